/**
 * The memory of all stores of one node: blocks of four sizes, cut from a few large pieces outside V8's heap, given out, taken back
 * and given out again. Nothing here is left to the garbage collector, so what is in use is known to the byte.
 */

/** Of so many parts of the limit one is kept free: below the limit, but short of memory, entries are evicted already. */
const reserveParts = 64;

/** What V8 and the allocator need for a block beside its bytes, measured. */
const blockObjectBytes = 224;
/**
 * Of so many parts of the limit, one may be quarters that nothing is in, of blocks that are in use otherwise, and one the room in slabs, which
 * may be a block for each size of tables in any case. What there is more of them counts as in use: it takes memory, and large blocks can't be
 * made of it.
 */
const idleParts = 20;

/** Each is four of the one before. */
export const blockBytes = [1_024, 4_096, 16_384, 65_536] as const;
/** The largest block: what a segment of a large store is. */
export const blockBytesMax = 65_536;
const largest = blockBytes.length - 1;

/** A piece is a quarter of what there is already, within these bounds. Pages that were never written to take no memory. */
const pieceBytesMin = blockBytesMax;
const pieceBytesMax = 4 * 1024 * 1024;

/** A table's number of slots. A page of an index grows from one to the next; of each, as many as fit fill a slab but for 2 %. */
export const tableSlots = [16, 32, 64, 128, 256, 384, 512, 680, 800, 1_000, 1_168, 1_360] as const;
const slotBytes = 8;
const slabOfEachBytes = tableSlots.length * blockBytesMax;

/**
 * A block of the largest size, cut into tables of one size. The pages of all indexes grow at nearly the same time, as hashes are
 * spread evenly: so slabs of one size empty, and their blocks hold something else, where single tables would leave holes.
 */
interface Slab {
  readonly block: Buffer;
  /** Tables that came back. */
  readonly free: Int32Array[];
  /** Tables that were cut from it so far, and those that are given out. */
  cut: number;
  used: number;
}

export class StoreMemory {
  /** In bytes; Infinity for none. What is in use may pass it: those who write look at {@link excessBytes}. */
  limitBytes: number;
  #usedBytes = 0;
  #blocks = 0;
  /** Bytes of the free blocks that aren't of the largest class. */
  #quarterBytes = 0;
  /** Bytes in slabs that aren't given out. */
  #roomBytes = 0;
  #pieceBytes = 0;
  /** Where each piece begins, as if they lay one behind the other. */
  readonly #bases = new Map<ArrayBufferLike, number>();
  /** By class, and by where the block begins. */
  readonly #free: Map<number, Buffer>[] = blockBytes.map(() => new Map());
  /** By class, places at which blocks became free, the last one last; some of them aren't free any more. */
  readonly #places: number[][] = blockBytes.map(() => []);
  /** By size of their tables, slabs with room for more, and all by where their blocks begin. */
  readonly #roomy: Slab[][] = tableSlots.map(() => []);
  readonly #slabs = new Map<number, Slab>();

  constructor(limitBytes: number = Number.POSITIVE_INFINITY) {
    this.limitBytes = limitBytes;
  }

  /** Bytes of all pieces: of them, those that were ever written to take memory. */
  get pieceBytes(): number {
    return this.#pieceBytes;
  }

  /** Bytes of the blocks and tables that are given out. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** What counts against the limit: {@link usedBytes}, and what memory they take beside that. */
  get costBytes(): number {
    const idleBytesMax = this.limitBytes / idleParts;
    const quarterBytes = Math.max(this.#quarterBytes - idleBytesMax, 0);
    const roomBytes = Math.max(this.#roomBytes - Math.max(idleBytesMax, slabOfEachBytes), 0);
    return this.#usedBytes + this.#blocks * blockObjectBytes + quarterBytes + roomBytes;
  }

  /** Only the reserve is left: to write something, something else should go. */
  get isShort(): boolean {
    return this.costBytes > this.shortFromBytes;
  }

  get shortFromBytes(): number {
    return this.limitBytes - this.limitBytes / reserveParts;
  }

  /** By how much the use passes the limit; negative: what is left. */
  get excessBytes(): number {
    return this.costBytes - this.limitBytes;
  }

  /** A block of one of the {@link blockBytes}; its content is arbitrary. */
  take(sizeBytes: number): Buffer {
    this.#usedBytes += sizeBytes;
    this.#blocks++;
    return this.#block(classOf(sizeBytes));
  }

  /** Takes a block back, to be given out again at once: nothing may refer to it any more. */
  give(block: Buffer): void {
    this.#usedBytes -= block.length;
    this.#blocks--;
    this.#give(classOf(block.length), block);
  }

  /** A table of so many slots, all zero. */
  takeTable(slots: number): Int32Array {
    this.#usedBytes += slots * slotBytes;
    const roomy = this.#roomy[sizeOf(slots)];
    if (roomy === undefined) return new Int32Array(slots * 2);
    const slab = roomy.at(-1) ?? this.#openSlab(roomy);
    const { block, free } = slab;
    const at = block.byteOffset + slab.cut * slots * slotBytes;
    const table = free.pop() ?? new Int32Array(block.buffer, at, slots * 2);
    if (slab.used++ === slab.cut) slab.cut++;
    if (slab.used === tablesIn(slots)) roomy.pop();
    this.#roomBytes -= table.byteLength;
    return table.fill(0);
  }

  giveTable(table: Int32Array): void {
    this.#usedBytes -= table.byteLength;
    const slots = table.length / 2;
    const roomy = this.#roomy[sizeOf(slots)];
    if (roomy === undefined) return;
    const place = this.#placeOf(table);
    const from = place - (place % blockBytesMax);
    const slab = this.#slabs.get(from)!;
    slab.free.push(table);
    this.#roomBytes += table.byteLength;
    if (slab.used-- === tablesIn(slots)) roomy.push(slab);
    if (slab.used > 0) return;
    roomy.splice(roomy.indexOf(slab), 1);
    this.#slabs.delete(from);
    this.#roomBytes -= blockBytesMax;
    this.#give(largest, slab.block);
  }

  /** Counts memory that was had elsewhere (negative: given back). */
  count(sizeBytes: number): void {
    this.#usedBytes += sizeBytes;
  }

  #block(size: number): Buffer {
    const free = this.#free[size]!;
    const places = this.#places[size]!;
    for (let at = places.pop(); at !== undefined; at = places.pop()) {
      const known = free.get(at);
      if (known === undefined) continue;
      free.delete(at);
      if (size !== largest) this.#quarterBytes -= known.length;
      return known;
    }
    const sizeBytes = blockBytes[size]!;
    const whole = size === largest ? this.#piece() : this.#block(size + 1);
    const from = this.#placeOf(whole);
    for (let at = sizeBytes; at < whole.length; at += sizeBytes) {
      free.set(from + at, Buffer.from(whole.buffer, whole.byteOffset + at, sizeBytes));
      places.push(from + at);
      if (size !== largest) this.#quarterBytes += sizeBytes;
    }
    return Buffer.from(whole.buffer, whole.byteOffset, sizeBytes);
  }

  /** A quarter whose three others are free too is joined with them again: else large blocks would run out. */
  #give(size: number, block: Buffer): void {
    const free = this.#free[size]!;
    const at = this.#placeOf(block);
    free.set(at, block);
    this.#places[size]!.push(at);
    if (size === largest) return;
    const { length } = block;
    this.#quarterBytes += length;
    const first = at - (at % (4 * length));
    for (let i = 0; i < 4; i++) if (!free.has(first + i * length)) return;
    for (let i = 0; i < 4; i++) free.delete(first + i * length);
    this.#quarterBytes -= 4 * length;
    const from = block.byteOffset - (at - first);
    this.#give(size + 1, Buffer.from(block.buffer, from, 4 * length));
  }

  #openSlab(roomy: Slab[]): Slab {
    const slab: Slab = { block: this.#block(largest), free: [], cut: 0, used: 0 };
    this.#slabs.set(this.#placeOf(slab.block), slab);
    roomy.push(slab);
    this.#roomBytes += blockBytesMax;
    return slab;
  }

  #placeOf({ buffer, byteOffset }: Uint8Array | Int32Array): number {
    return this.#bases.get(buffer)! + byteOffset;
  }

  /**
   * Shared, though nobody shares it: V8 collects all its garbage for every 64 MiB of other buffers that are made, and that stops
   * the process for milliseconds each time.
   */
  #piece(): Buffer {
    const quarter = Math.floor(this.#pieceBytes / 4 / blockBytesMax) * blockBytesMax;
    const sizeBytes = Math.min(Math.max(quarter, pieceBytesMin), pieceBytesMax);
    const piece = Buffer.from(new SharedArrayBuffer(sizeBytes));
    this.#bases.set(piece.buffer, this.#pieceBytes);
    this.#pieceBytes += sizeBytes;
    return piece;
  }
}

function classOf(sizeBytes: number): number {
  return (21 - Math.clz32(sizeBytes)) >> 1;
}

/** The place among the {@link tableSlots}; -1: it is none of them. */
function sizeOf(slots: number): number {
  return (tableSlots as readonly number[]).indexOf(slots);
}

function tablesIn(slots: number): number {
  return Math.floor(blockBytesMax / (slots * slotBytes));
}
