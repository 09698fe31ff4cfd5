// @ts-check
/**
 * What is being looked at: a node or a partition, by pointer, focus or look-up. What was chosen by a click or a look-up stays when the
 * pointer goes on; everything that shows it draws anew when it changes.
 */

/** @typedef {{ node?: string, partition?: number }} Target */

export class Selection {
  /** @type {Target} */ #looked = {};
  /** @type {Target} */ #kept = {};
  /** @type {() => void} */ #changed;

  /** @param {() => void} changed */
  constructor(changed) {
    this.#changed = changed;
  }

  /** Empty: none. */
  get node() {
    return this.#looked.node ?? (this.#looked.partition === undefined ? this.#kept.node : undefined) ?? "";
  }

  /** -1: none. */
  get partition() {
    return (
      this.#looked.partition ?? (this.#looked.node === undefined ? this.#kept.partition : undefined) ?? -1
    );
  }

  /** The one that stays. */
  get keptNode() {
    return this.#kept.node ?? "";
  }

  /** @param {Target} target */
  look(target) {
    if (target.node === this.#looked.node && target.partition === this.#looked.partition) return;
    this.#looked = target.partition === -1 ? {} : target;
    this.#changed();
  }

  lookAway() {
    this.look({});
  }

  /** The same once more lets it go. @param {Target} target */
  keep(target) {
    const isSame = target.node === this.#kept.node && target.partition === this.#kept.partition;
    this.#kept = isSame || target.partition === -1 ? {} : target;
    if (isSame) this.#looked = {};
    this.#changed();
  }

  /** Chosen by a look-up: stays. @param {number} partition */
  show(partition) {
    this.#kept = { partition };
    this.#looked = {};
    this.#changed();
  }

  clear() {
    this.#kept = {};
    this.#looked = {};
    this.#changed();
  }
}
