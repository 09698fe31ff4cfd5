// @ts-check
/**
 * The picture: partitions round the circle, coloured by their owners, their backups as thinner bands within, what is wrong with them
 * as marks outside; and in the middle the nodes, with the moves between them. Drawn by hand, one path per node and band: sixteen
 * thousand partitions are some hundred elements.
 */
import {
  backupBand,
  backupFloor,
  band,
  marks,
  partitionAt,
  point,
  sector,
  sectors,
  separators,
  size,
} from "./geometry.js";
import { identityOf, patternCount, patternFill } from "./identity.js";
import { livingIds, stateOfRow } from "./model.js";
import { NodeBadges } from "./ring-nodes.js";
import { describePartition, middleOf } from "./ring-text.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./selection.js").Selection} Selection */

const svgNamespace = "http://www.w3.org/2000/svg";
/** With more there is no room for what they are drawn with. */
const numberedMax = 96;
const separatedMax = 256;
const flashMs = 1_500;

/** @param {string} name @param {Record<string, string | number>} [attributes] */
export function svg(name, attributes = {}) {
  const element = document.createElementNS(svgNamespace, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

export class RingPicture {
  /** @type {Model} */ #model;
  /** @type {Selection} */ #selection;
  #root = svg("svg", {
    viewBox: `0 0 ${size} ${size}`,
    role: "group",
    "aria-label": "The ring of partitions",
  });
  #owners = svg("g", { class: "owners" });
  #backups = svg("g", { class: "backups" });
  #lines = svg("path", { class: "separators" });
  #numbers = svg("g", { class: "numbers", "aria-hidden": "true" });
  #marks = svg("g", { class: "marks" });
  #flash = svg("path", { class: "flash" });
  #cursor = svg("path", { class: "cursor" });
  /** @type {NodeBadges} */ #nodes;
  #middle = document.createElement("div");
  /** A stop for the keyboard: arrows go from partition to partition. */
  #slider = svg("g", { class: "slider", role: "slider", tabindex: "0", "aria-label": "Partition" });
  #drawn = -1;
  #separatedFor = -1;

  /** @param {HTMLElement} parent @param {Model} model @param {Selection} selection */
  constructor(parent, model, selection) {
    this.#model = model;
    this.#selection = selection;
    this.#nodes = new NodeBadges(model, selection);
    this.#slider.append(
      this.#owners,
      this.#backups,
      this.#lines,
      this.#numbers,
      this.#marks,
      this.#flash,
      this.#cursor,
    );
    this.#root.append(definitions(), slotScale(), this.#slider, this.#nodes.root);
    const figure = document.createElement("div");
    figure.className = "figure";
    this.#middle.className = "middle";
    this.#middle.setAttribute("aria-hidden", "true");
    figure.append(this.#root, this.#middle);
    parent.append(figure);
    this.#listen();
  }

  /** Draws what has changed since the last time. */
  draw() {
    const { rows, version } = this.#model;
    if (this.#drawn !== version.table) {
      this.#drawn = version.table;
      this.#drawBands();
      this.#drawMarks();
    }
    this.#drawFlash();
    this.#nodes.draw();
    this.#drawSelection();
    this.#root.classList.toggle("empty", rows.length === 0);
  }

  #drawBands() {
    const { rows, backupCount } = this.#model;
    /** @type {Map<string, number[]>} */
    const owned = new Map();
    /** @type {Map<string, number[]>[]} */
    const held = [];
    rows.forEach((row, p) => {
      push(owned, row.owner, p);
      row.backups.forEach((id, copy) => {
        held[copy] ??= new Map();
        push(held[copy], id, p);
      });
    });
    drawNodes(this.#owners, owned, rows.length, band.inner, band.outer);
    const parts = held.flatMap((byNode, copy) => {
      const outer = backupBand.outer - copy * (backupBand.height + backupBand.gap);
      return [...byNode].map(([id, partitions]) =>
        nodePath(id, partitions, rows.length, outer - backupBand.height, outer),
      );
    });
    const depth = Math.max(held.length, backupCount);
    const floor = backupFloor(depth);
    this.#backups.replaceChildren(...parts);
    if (this.#separatedFor !== rows.length) {
      this.#separatedFor = rows.length;
      this.#lines.setAttribute(
        "d",
        rows.length <= separatedMax && rows.length > 1 ? separators(rows.length, floor, band.outer) : "",
      );
    }
    this.#drawNumbers();
  }

  /** Each partition says by a number whose it is: nobody has to tell colours apart. */
  #drawNumbers() {
    const { rows } = this.#model;
    if (rows.length > numberedMax) {
      this.#numbers.replaceChildren();
      return;
    }
    while (this.#numbers.childElementCount > rows.length) this.#numbers.lastElementChild?.remove();
    while (this.#numbers.childElementCount < rows.length) this.#numbers.append(svg("text"));
    const scale = Math.min(16, 1_100 / rows.length);
    rows.forEach(({ owner }, p) => {
      const text = /** @type {Element} */ (this.#numbers.children[p]);
      const [x, y] = point((p + 0.5) / rows.length, (band.inner + band.outer) / 2);
      text.setAttribute("x", x.toFixed(1));
      text.setAttribute("y", y.toFixed(1));
      text.setAttribute("font-size", scale.toFixed(1));
      text.textContent = owner === "" ? "" : String(identityOf(owner).number);
      text.setAttribute("data-node", owner);
    });
  }

  /** Outside the ring, by shape: a full block has no owner, a dot lacks copies, a wedge is to move, in its next owner's colour. */
  #drawMarks() {
    const { rows, members } = this.#model;
    const living = livingIds(members);
    /** @type {number[]} */ const unowned = [];
    /** @type {number[]} */ const few = [];
    /** @type {Map<string, number[]>} */ const coming = new Map();
    rows.forEach((row, p) => {
      const state = stateOfRow(row, living);
      if (state === "unowned") unowned.push(p);
      else if (state === "few") few.push(p);
      if (row.incoming !== "") push(coming, row.incoming, p);
    });
    const total = rows.length;
    const wedges = [...coming].map(([id, partitions]) => {
      const path = svg("path", {
        d: sectors(partitions, total, marks.inner + 3, marks.outer + 5),
        class: `moving hue-${identityOf(id).hue}`,
      });
      return path;
    });
    this.#marks.replaceChildren(
      svg("path", { d: sectors(unowned, total, band.inner, band.outer), class: "unowned" }),
      svg("path", { d: sectors(unowned, total, marks.inner, marks.outer + 6), class: "unowned-mark" }),
      svg("path", { d: dots(few, total), class: "few" }),
      ...wedges,
    );
  }

  /** Partitions light up for a moment when their owner has changed. */
  #drawFlash() {
    const { changedAtMs, rows } = this.#model;
    const nowMs = performance.now();
    const fresh = [];
    for (const [p, atMs] of changedAtMs) {
      if (nowMs - atMs > flashMs) changedAtMs.delete(p);
      else fresh.push(p);
    }
    fresh.sort((a, b) => a - b);
    this.#flash.setAttribute("d", sectors(fresh, rows.length, band.inner - 3, band.outer + 3));
  }

  #drawSelection() {
    const { rows } = this.#model;
    const { node, partition } = this.#selection;
    for (const element of this.#root.querySelectorAll("[data-node]")) {
      element.classList.toggle("faded", node !== "" && element.getAttribute("data-node") !== node);
    }
    const isShown = partition >= 0 && partition < rows.length;
    const floor = backupFloor(Math.max(this.#model.backupCount, 1));
    this.#cursor.setAttribute(
      "d",
      isShown ? sector(partition / rows.length, (partition + 1) / rows.length, floor, marks.outer) : "",
    );
    const now = Math.max(partition, 0);
    this.#slider.setAttribute("aria-valuemin", "0");
    this.#slider.setAttribute("aria-valuemax", String(Math.max(rows.length - 1, 0)));
    this.#slider.setAttribute("aria-valuenow", String(now));
    this.#slider.setAttribute("aria-valuetext", describePartition(this.#model, now));
    this.#middle.replaceChildren(...middleOf(this.#model, this.#selection));
  }

  #listen() {
    const selection = this.#selection;
    const partitionOf = (/** @type {MouseEvent} */ event) => {
      const box = this.#root.getBoundingClientRect();
      const scale = size / box.width;
      return partitionAt(
        (event.clientX - box.left) * scale,
        (event.clientY - box.top) * scale,
        this.#model.rows.length,
      );
    };
    this.#slider.addEventListener("pointermove", (event) =>
      selection.look({ partition: partitionOf(/** @type {PointerEvent} */ (event)) }),
    );
    this.#slider.addEventListener("pointerleave", () => selection.lookAway());
    this.#slider.addEventListener("click", (event) => {
      const partition = partitionOf(/** @type {MouseEvent} */ (event));
      selection.keep({ partition });
    });
    this.#slider.addEventListener("focus", () =>
      selection.look({ partition: Math.max(selection.partition, 0) }),
    );
    this.#slider.addEventListener("blur", () => selection.lookAway());
    this.#slider.addEventListener("keydown", (event) => {
      const { key } = /** @type {KeyboardEvent} */ (event);
      const last = this.#model.rows.length - 1;
      const now = Math.max(selection.partition, 0);
      const far = Math.max(Math.round(last / 16), 1);
      const next = {
        ArrowRight: now + 1,
        ArrowUp: now + 1,
        ArrowLeft: now - 1,
        ArrowDown: now - 1,
        PageUp: now + far,
        PageDown: now - far,
        Home: 0,
        End: last,
      }[key];
      if (key === "Escape") selection.clear();
      if (next === undefined) return;
      event.preventDefault();
      selection.look({ partition: (next + last + 1) % (last + 1) });
    });
  }
}

/** @param {Element} group @param {Map<string, number[]>} byNode @param {number} total @param {number} inner @param {number} outer */
function drawNodes(group, byNode, total, inner, outer) {
  group.replaceChildren(
    ...[...byNode].map(([id, partitions]) => nodePath(id, partitions, total, inner, outer)),
  );
}

/** The hue below, the pattern above it. @param {string} id @param {number[]} partitions @param {number} total @param {number} inner @param {number} outer */
function nodePath(id, partitions, total, inner, outer) {
  const d = sectors(partitions, total, inner, outer);
  const group = svg("g", { "data-node": id });
  if (id === "") return group;
  const identity = identityOf(id);
  group.append(svg("path", { d, class: `fill hue-${identity.hue}` }));
  if (identity.pattern !== 0) group.append(svg("path", { d, fill: patternFill(identity) }));
  return group;
}

/** @param {readonly number[]} partitions @param {number} total */
function dots(partitions, total) {
  const radius = (marks.inner + marks.outer) / 2;
  const r = Math.max(1.5, Math.min(4, (Math.PI * radius) / total));
  return partitions
    .map((p) => {
      const [x, y] = point((p + 0.5) / total, radius);
      return `M${(x - r).toFixed(1)} ${y.toFixed(1)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
    })
    .join("");
}

/** @param {Map<string, number[]>} map @param {string} id @param {number} p */
function push(map, id, p) {
  const list = map.get(id);
  if (list === undefined) map.set(id, [p]);
  else list.push(p);
}

function definitions() {
  const defs = svg("defs");
  const strokes = [
    "",
    "M-2 2l4 -4M0 8l8 -8M6 10l4 -4",
    "",
    "M-2 6l4 4M0 0l8 8M6 -2l4 4",
    "M0 2h8M0 6h8",
    "M2 0v8M6 0v8M0 2h8M0 6h8",
  ];
  for (let i = 1; i < patternCount; i++) {
    const pattern = svg("pattern", {
      id: `pattern-${i}`,
      width: 8,
      height: 8,
      patternUnits: "userSpaceOnUse",
      class: "pattern",
    });
    if (i === 2)
      pattern.append(svg("circle", { cx: 2, cy: 2, r: 1.5 }), svg("circle", { cx: 6, cy: 6, r: 1.5 }));
    else pattern.append(svg("path", { d: /** @type {string} */ (strokes[i]) }));
    defs.append(pattern);
  }
  const arrow = svg("marker", {
    id: "arrow",
    viewBox: "0 0 10 10",
    refX: 7,
    refY: 5,
    markerWidth: 5,
    markerHeight: 5,
    orient: "auto-start-reverse",
  });
  arrow.append(svg("path", { d: "M0 0L10 5L0 10z", class: "arrowhead" }));
  defs.append(arrow);
  return defs;
}

/** Where on the ring which slots are. */
function slotScale() {
  const group = svg("g", { class: "scale", "aria-hidden": "true" });
  for (let i = 0; i < 8; i++) {
    const [x, y] = point(i / 8, marks.outer + 24);
    const text = svg("text", { x: x.toFixed(1), y: y.toFixed(1) });
    text.textContent = String(i * 2_048);
    group.append(text);
  }
  return group;
}
