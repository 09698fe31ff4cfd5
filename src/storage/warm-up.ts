/**
 * Asks for the memory that look-ups of many keys will need, before they are made. A look-up of a large store waits several times for
 * memory, each time to learn where to look next. Here one step is made for all keys before the next one: the processor asks for all
 * of a step at once and waits once, so that each key's part of the wait is a fraction of what it would be alone.
 */
import type { Access } from "./access.ts";
import { candidateIn, homeOf, type Page } from "./key-index.ts";

/** Memory is loaded in lines of so many bytes; of a record the first few are asked for. */
const lineBytes = 64;

export class WarmUp {
  /** Made of what was read: means nothing, but that it was read. */
  sum = 0;
  #count = 0;
  readonly #accesses: Access[] = [];
  readonly #hashes: Int32Array;
  readonly #pages: Page[] = [];
  readonly #tables: Int32Array[] = [];
  readonly #homes: Int32Array;
  readonly #refs: Int32Array;
  readonly #bytes: Buffer[] = [];

  /** For up to so many keys at a time. */
  constructor(keysMax: number) {
    this.#hashes = new Int32Array(keysMax);
    this.#homes = new Int32Array(keysMax);
    this.#refs = new Int32Array(keysMax);
  }

  /** A key of that hash will be looked up in that store. */
  add(access: Access, hash: number): void {
    const i = this.#count++;
    this.#accesses[i] = access;
    this.#hashes[i] = hash;
  }

  /** Reads for all keys that were added, and forgets them. */
  run(): void {
    // One alone waits just as long when it is looked up.
    if (this.#count > 1) {
      this.#readSlots();
      this.#readRecords();
    }
    this.#count = 0;
  }

  #readSlots(): void {
    const count = this.#count;
    const [hashes, homes] = [this.#hashes, this.#homes];
    const [pages, tables] = [this.#pages, this.#tables];
    let sum = 0;
    for (let i = 0; i < count; i++) pages[i] = this.#accesses[i]!.index.pageOf(hashes[i]!);
    for (let i = 0; i < count; i++) {
      const page = pages[i]!;
      homes[i] = homeOf(hashes[i]!, page);
      tables[i] = page.table;
    }
    for (let i = 0; i < count; i++) sum ^= tables[i]!.length;
    for (let i = 0; i < count; i++) sum ^= tables[i]![homes[i]! * 2]!;
    this.sum = sum;
  }

  #readRecords(): void {
    const count = this.#count;
    const [refs, bytes] = [this.#refs, this.#bytes];
    let sum = 0;
    for (let i = 0; i < count; i++) refs[i] = candidateIn(this.#pages[i]!, this.#hashes[i]!, this.#homes[i]!);
    for (let i = 0; i < count; i++) {
      const block = this.#accesses[i]!.segments.bytesOf(refs[i]!);
      bytes[i] = block;
      sum ^= block.length;
    }
    for (let i = 0; i < count; i++) {
      const ref = refs[i]!;
      if (ref === 0) continue;
      const block = bytes[i]!;
      const at = this.#accesses[i]!.segments.placeOf(ref);
      const last = block.length - 1;
      sum ^= block[at]! ^ block[Math.min(at + lineBytes, last)]! ^ block[Math.min(at + 2 * lineBytes, last)]!;
    }
    this.sum ^= sum;
  }
}
