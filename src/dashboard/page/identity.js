// @ts-check
/**
 * How a node looks: a number, a hue and a pattern. It keeps them for as long as the page is open. Hue and pattern differ together, so
 * that neighbours differ by both, and the first sixty by the pair.
 */

export const hueCount = 10;
export const patternCount = 6;

/** @typedef {{ number: number, hue: number, pattern: number }} Identity */

/** @type {Map<string, Identity>} */
const identities = new Map();

/** @param {string} id @returns {Identity} */
export function identityOf(id) {
  let identity = identities.get(id);
  if (identity === undefined) {
    const k = identities.size;
    identity = { number: k + 1, hue: k % hueCount, pattern: (k + Math.floor(k / 30)) % patternCount };
    identities.set(id, identity);
  }
  return identity;
}

/** Those that come together get their numbers in the order of their names: node-2 before node-10. @param {readonly string[]} ids */
export function introduce(ids) {
  for (const id of [...ids].sort((a, b) => a.localeCompare(b, "en", { numeric: true }))) identityOf(id);
}

/** Of a line in a plot. @type {readonly (readonly number[])[]} */
export const dashes = [[], [7, 3], [2, 3], [10, 3, 2, 3], [14, 5], [5, 2, 1, 2, 1, 2]];

/** Ids of SVG patterns that are laid over a node's hue; the first node has none. */
export function patternFill(/** @type {Identity} */ { pattern }) {
  return pattern === 0 ? "none" : `url(#pattern-${pattern})`;
}
