// @ts-check
/** Arcs of the ring: slot 0 is at the top, slots go round clockwise. Coordinates of the picture's own box. */

export const size = 760;
export const center = size / 2;
export const band = { inner: 300, outer: 336 };
export const backupBand = { outer: 294, height: 12, gap: 3 };
export const marks = { inner: 342, outer: 350 };

/** The inner edge of the last backup band. @param {number} bands */
export function backupFloor(bands) {
  return backupBand.outer - bands * (backupBand.height + backupBand.gap) + backupBand.gap;
}

const fullTurn = 2 * Math.PI;

/** @param {number} angle in turns @param {number} radius @returns {[number, number]} */
export function point(angle, radius) {
  const radians = angle * fullTurn - Math.PI / 2;
  return [center + radius * Math.cos(radians), center + radius * Math.sin(radians)];
}

/** @param {number} angle @param {number} radius */
function at(angle, radius) {
  const [x, y] = point(angle, radius);
  return `${x.toFixed(2)} ${y.toFixed(2)}`;
}

/** A piece of a band, from one angle to another (in turns). @param {number} from @param {number} to @param {number} inner @param {number} outer @returns {string} */
export function sector(from, to, inner, outer) {
  // A whole turn begins and ends at one point, which is no arc.
  if (to - from >= 1)
    return sector(from, from + 0.5, inner, outer) + sector(from + 0.5, from + 1, inner, outer);
  const large = to - from > 0.5 ? 1 : 0;
  return (
    `M${at(from, outer)}A${outer} ${outer} 0 ${large} 1 ${at(to, outer)}` +
    `L${at(to, inner)}A${inner} ${inner} 0 ${large} 0 ${at(from, inner)}Z`
  );
}

/** Partitions as one path: neighbours become one piece. @param {readonly number[]} partitions ascending @param {number} total @param {number} inner @param {number} outer */
export function sectors(partitions, total, inner, outer) {
  let path = "";
  for (let i = 0; i < partitions.length; ) {
    const first = /** @type {number} */ (partitions[i]);
    let end = first + 1;
    while (++i < partitions.length && partitions[i] === end) end++;
    path += sector(first / total, end / total, inner, outer);
  }
  return path;
}

/** Lines between partitions. @param {number} total @param {number} inner @param {number} outer */
export function separators(total, inner, outer) {
  let path = "";
  for (let p = 0; p < total; p++) path += `M${at(p / total, inner)}L${at(p / total, outer)}`;
  return path;
}

/** Of the point of the picture: which partition's, or -1 outside the bands. @param {number} x @param {number} y @param {number} total */
export function partitionAt(x, y, total) {
  const [dx, dy] = [x - center, y - center];
  const radius = Math.hypot(dx, dy);
  if (radius < backupBand.outer - 3 * (backupBand.height + backupBand.gap) || radius > marks.outer + 6)
    return -1;
  const turn = (Math.atan2(dx, -dy) / fullTurn + 1) % 1;
  return Math.min(Math.floor(turn * total), total - 1);
}

/** Free of lines: there is text in the middle. */
const clearRadius = 112;

/**
 * A curve from one point to another that bends towards the middle, but not through it. Its way back runs beside it.
 * @param {[number, number]} from @param {[number, number]} to @param {number} margin left free at both ends
 */
export function bow(from, to, margin) {
  const [x, y] = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
  const [along, across] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(along, across) || 1;
  const off = Math.hypot(x - center, y - center);
  // The direction from the middle to the curve; between opposite points there is none, and the side tells the way.
  const [dx, dy] = off > 20 ? [(x - center) / off, (y - center) / off] : [-across / length, along / length];
  const goal = Math.max(off * 0.8, clearRadius);
  const beside = 0.04;
  /** @type {[number, number]} */
  const control = [
    2 * (center + dx * goal + across * beside) - x,
    2 * (center + dy * goal - along * beside) - y,
  ];
  const start = towards(from, control, margin);
  const end = towards(to, control, margin + 5);
  const label = [
    0.25 * start[0] + 0.5 * control[0] + 0.25 * end[0],
    0.25 * start[1] + 0.5 * control[1] + 0.25 * end[1],
  ];
  const xy = (/** @type {number[]} */ [x = 0, y = 0]) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  return { path: `M${xy(start)}Q${xy(control)} ${xy(end)}`, label: { x: label[0] ?? 0, y: label[1] ?? 0 } };
}

/** The nearest point to that one at the edge of what is kept free in the middle. @param {[number, number]} to */
export function inwards(to) {
  return towards([center, center], to, clearRadius);
}

/** @param {[number, number]} from @param {[number, number]} to @param {number} distance @returns {[number, number]} */
function towards([x, y], [toX, toY], distance) {
  const length = Math.hypot(toX - x, toY - y) || 1;
  return [x + ((toX - x) / length) * distance, y + ((toY - y) / length) * distance];
}
