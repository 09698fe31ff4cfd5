/**
 * The keys that were evicted last, as fingerprints of their hashes: rows of eight, each its own queue. With a row's worth of
 * evictions per row it remembers about as many keys as there are entries, in 2 to 4 bytes each.
 */
const rowPrints = 8;
/** With more rows than this, what there is isn't copied when it grows, since that would take milliseconds, but forgotten. */
const copiedRowsMax = 65_536;

export class Ghost {
  #prints: Uint16Array;
  #rows: number;
  /** How many of a row's fingerprints count. */
  #counted = rowPrints;

  /** For about so many entries. */
  constructor(entries: number) {
    this.#rows = 2 ** Math.max(Math.ceil(Math.log2(entries / rowPrints)), 0);
    this.#prints = new Uint16Array(this.#rows * rowPrints);
  }

  get allocatedBytes(): number {
    return this.#prints.byteLength;
  }

  /** Sets how many evictions are remembered: as many as there are entries. Call before {@link add}. */
  fit(entries: number): void {
    let perRow = Math.round(entries / this.#rows);
    if (perRow > rowPrints) {
      // Rows `i` and `i + rows` begin with the same content: nothing is forgotten.
      const prints = new Uint16Array(this.#prints.length * 2);
      if (this.#rows <= copiedRowsMax) {
        prints.set(this.#prints, 0);
        prints.set(this.#prints, this.#prints.length);
      }
      this.#prints = prints;
      this.#rows *= 2;
      perRow = Math.round(entries / this.#rows);
    } else if (perRow < rowPrints / 2 && this.#rows > 1) {
      this.#rows /= 2;
      this.#prints = this.#prints.slice(0, this.#rows * rowPrints);
      perRow = Math.round(entries / this.#rows);
    }
    this.#counted = Math.min(Math.max(perRow, 1), rowPrints);
  }

  add(hash: number): void {
    const from = (hash & (this.#rows - 1)) * rowPrints;
    this.#prints.copyWithin(from + 1, from, from + rowPrints - 1);
    this.#prints[from] = printOf(hash);
  }

  /** Whether the key was evicted lately; it is forgotten then. */
  take(hash: number): boolean {
    const from = (hash & (this.#rows - 1)) * rowPrints;
    const print = printOf(hash);
    for (let i = from; i < from + this.#counted; i++) {
      if (this.#prints[i] !== print) continue;
      this.#prints[i] = 0;
      return true;
    }
    return false;
  }
}

/** Never 0, which is an empty place. */
function printOf(hash: number): number {
  return hash >>> 16 || 1;
}
