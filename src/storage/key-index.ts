/**
 * Where each key's record is: extendible hashing (Fagin et al., 1979) over pages of at most 1,156 entries, so that growing
 * is done page by page and no step touches more than one. A page is an open-addressed table with linear probing whose entries
 * lie in the order of their hashes; it grows by a quarter, so it is never much larger than it must be.
 */
import { type StoreMemory, tableSlots } from "./memory.ts";

/** Entries per slot beyond which a page grows. */
const loadMax = 0.85;
const slotBytes = 8;
const slotsMax = tableSlots[tableSlots.length - 1]!;
/** Below this depth a full page is split; at it, which takes a billion entries, it grows. */
const depthMax = 20;
/** One more than the highest hash: a cursor at the end. */
export const cursorEnd = 2 ** 32;

export interface Page {
  /** Pairs of hash and reference; a reference of 0 is an empty slot. */
  table: Int32Array;
  slots: number;
  count: number;
  /** Entries at which it grows. */
  room: number;
  /** How many of the highest bits all hashes in it share. */
  readonly depth: number;
}

export class KeyIndex {
  readonly #memory: StoreMemory;
  /** By the highest bits of a hash. */
  #pages: Page[];
  /** How many bits that are. */
  #depth = 0;
  #size = 0;
  #allocatedBytes = 0;
  /** Where the last {@link find} or {@link seek} ended. */
  #page: Page;
  #slot = 0;

  constructor(memory: StoreMemory) {
    this.#memory = memory;
    this.#page = emptyPage;
    this.#pages = [emptyPage];
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of memory that the tables take. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /**
   * The reference of the entry with that hash for which `isKey` holds; 0 if there is none. {@link replace} and {@link remove}
   * then apply to it.
   */
  find<T>(hash: number, isKey: { holds(ref: number, key: T): boolean }, key: T): number {
    const page = this.#pages[(hash >>> 1) >>> (31 - this.#depth)]!;
    const { table, slots } = page;
    for (let slot = homeOf(hash, page); ; ) {
      const ref = table[slot * 2 + 1]!;
      if (ref === 0) return 0;
      if (table[slot * 2] === hash && isKey.holds(ref, key)) {
        this.#page = page;
        this.#slot = slot;
        return ref;
      }
      if (++slot === slots) slot = 0;
    }
  }

  /** The page in which a key of that hash is, if anywhere. */
  pageOf(hash: number): Page {
    return this.#pages[(hash >>> 1) >>> (31 - this.#depth)]!;
  }

  /** Like {@link find}, by the reference. */
  seek(hash: number, ref: number): boolean {
    const page = this.#pages[(hash >>> 1) >>> (31 - this.#depth)]!;
    const { table, slots } = page;
    for (let slot = homeOf(hash, page); table[slot * 2 + 1] !== 0; ) {
      if (table[slot * 2 + 1] === ref) {
        this.#page = page;
        this.#slot = slot;
        return true;
      }
      if (++slot === slots) slot = 0;
    }
    return false;
  }

  /** The entry that was found is elsewhere now. */
  replace(ref: number): void {
    this.#page.table[this.#slot * 2 + 1] = ref;
  }

  /** A key that isn't here yet. */
  insert(hash: number, ref: number): void {
    let page = this.#pages[(hash >>> 1) >>> (31 - this.#depth)]!;
    while (page.count >= page.room) {
      this.#grow(page, hash);
      page = this.#pages[(hash >>> 1) >>> (31 - this.#depth)]!;
    }
    put(page, hash, ref);
    page.count++;
    this.#size++;
  }

  /** Removes the entry that was found: those behind it that it kept from their places move up. */
  remove(): void {
    const page = this.#page;
    const { table, slots } = page;
    let hole = this.#slot;
    for (let slot = hole; ; ) {
      if (++slot === slots) slot = 0;
      const ref = table[slot * 2 + 1]!;
      if (ref === 0) break;
      const hash = table[slot * 2]!;
      const home = homeOf(hash, page);
      // It may go to the hole unless its home lies behind the hole and not behind itself, on the circle.
      const stays = hole <= slot ? home > hole && home <= slot : home > hole || home <= slot;
      if (stays) continue;
      table[hole * 2] = hash;
      table[hole * 2 + 1] = ref;
      hole = slot;
    }
    table[hole * 2 + 1] = 0;
    page.count--;
    this.#size--;
    if (this.#size === 0) this.clear();
    else this.#shrink(page);
  }

  /**
   * Appends hashes and references to `out` in the order of the unsigned hashes, from `cursor` on, until there are `limit` of
   * them; those with the same hash come together. Returns where to go on, {@link cursorEnd} at the end. Which entries come
   * depends on their hashes alone, whatever is inserted and removed in between.
   */
  range(cursor: number, limit: number, out: { hash: number[]; ref: number[] }): number {
    let from = cursor;
    while (from < cursorEnd && out.ref.length < limit) {
      const page = this.#pages[(from >>> 1) >>> (31 - this.#depth)]!;
      const span = 2 ** (32 - page.depth);
      const end = Math.floor(from / span) * span + span;
      const found = entriesFrom(page, from);
      from = end;
      for (const one of found) {
        const slot = one % slotsFactor;
        const hash = Math.floor(one / slotsFactor);
        if (out.ref.length >= limit && hash !== out.hash[out.hash.length - 1]) {
          from = hash;
          break;
        }
        out.hash.push(hash);
        out.ref.push(page.table[slot * 2 + 1]!);
      }
    }
    return from;
  }

  /** Forgets all, and gives the memory back. */
  clear(): void {
    for (let i = 0; i < this.#pages.length; i++) {
      const page = this.#pages[i]!;
      if (page !== this.#pages[i - 1] && page !== emptyPage) this.#giveTable(page.table);
    }
    this.#pages = [emptyPage];
    this.#page = emptyPage;
    this.#depth = 0;
    this.#size = 0;
  }

  #grow(page: Page, hash: number): void {
    const next = tableSlots.find((slots) => slots > page.slots);
    if (page === emptyPage) this.#pages[0] = this.#newPage(0, 0);
    else if (next !== undefined) this.#resize(page, next);
    else if (page.depth < depthMax) this.#split(page, hash);
    else this.#resize(page, page.slots + (page.slots >> 2));
  }

  #shrink(page: Page): void {
    const smaller = tableSlots[tableSlots.indexOf(page.slots as 16) - 1];
    if (smaller !== undefined && page.count < smaller * loadMax * 0.7) this.#resize(page, smaller);
  }

  #resize(page: Page, slots: number): void {
    const { table, slots: before } = page;
    page.table = this.#takeTable(slots);
    page.slots = slots;
    page.room = Math.floor(slots * loadMax);
    for (let slot = 0; slot < before; slot++) {
      if (table[slot * 2 + 1] !== 0) put(page, table[slot * 2]!, table[slot * 2 + 1]!);
    }
    this.#giveTable(table);
  }

  #split(page: Page, hash: number): void {
    if (page.depth === this.#depth) {
      this.#pages = this.#pages.flatMap((one) => [one, one]);
      this.#depth++;
    }
    const { table, slots } = page;
    const bit = 31 - page.depth;
    let ones = 0;
    for (let slot = 0; slot < slots; slot++) {
      if (table[slot * 2 + 1] !== 0) ones += (table[slot * 2]! >>> bit) & 1;
    }
    const halves = [
      this.#newPage(page.depth + 1, page.count - ones),
      this.#newPage(page.depth + 1, ones),
    ] as const;
    for (let slot = 0; slot < slots; slot++) {
      const ref = table[slot * 2 + 1]!;
      if (ref === 0) continue;
      const half = halves[((table[slot * 2]! >>> bit) & 1) as 0 | 1];
      put(half, table[slot * 2]!, ref);
      half.count++;
    }
    this.#giveTable(table);
    // The page's places in the directory: half of them for each.
    const places = 2 ** (this.#depth - page.depth);
    const first = Math.floor(((hash >>> 1) >>> (31 - this.#depth)) / places) * places;
    for (let i = 0; i < places; i++) this.#pages[first + i] = halves[i < places / 2 ? 0 : 1];
  }

  #takeTable(slots: number): Int32Array {
    this.#allocatedBytes += slots * slotBytes;
    return this.#memory.takeTable(slots);
  }

  #giveTable(table: Int32Array): void {
    this.#allocatedBytes -= table.byteLength;
    this.#memory.giveTable(table);
  }

  /** With room for so many entries and some more. */
  #newPage(depth: number, entries: number): Page {
    const slots = tableSlots.find((one) => one * loadMax * 0.9 > entries) ?? slotsMax;
    return { table: this.#takeTable(slots), slots, count: 0, room: Math.floor(slots * loadMax), depth };
  }
}

/** Of an index without entries: nothing is ever written to it. */
const emptyPage: Page = { table: new Int32Array(2), slots: 1, count: 0, room: 0, depth: 0 };

/** By the 16 bits of the hash that follow the page's own. */
export function homeOf(hash: number, page: Page): number {
  return (((hash << page.depth) >>> 16) * page.slots) >>> 16;
}

/** The reference of the page's first entry with that hash, whichever key it has; 0 if there is none. `home`: that of {@link homeOf}. */
export function candidateIn({ table, slots }: Page, hash: number, home: number): number {
  for (let slot = home; ; ) {
    const ref = table[slot * 2 + 1]!;
    if (ref === 0 || table[slot * 2] === hash) return ref;
    if (++slot === slots) slot = 0;
  }
}

function put(page: Page, hash: number, ref: number): void {
  const { table, slots } = page;
  let slot = homeOf(hash, page);
  while (table[slot * 2 + 1] !== 0) if (++slot === slots) slot = 0;
  table[slot * 2] = hash;
  table[slot * 2 + 1] = ref;
}

const slotsFactor = 2 ** 20;

/** The slots of a page with unsigned hashes from `cursor` on, in their order: hash and slot in one number. */
function entriesFrom(page: Page, cursor: number): Float64Array {
  const found = new Float64Array(page.count);
  let count = 0;
  for (let slot = 0; slot < page.slots; slot++) {
    const hash = page.table[slot * 2]! >>> 0;
    if (page.table[slot * 2 + 1] !== 0 && hash >= cursor) found[count++] = hash * slotsFactor + slot;
  }
  return found.subarray(0, count).sort();
}
