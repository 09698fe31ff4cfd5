/**
 * The records of one store: append-only segments in two queues, each in the order of age. What is replaced, deleted or moved is
 * marked dead where it lies, and a segment whose records are all dead is given back at once. (Segcache: Yang, Yue and Vinayak,
 * NSDI'21; the two queues are those of S3-FIFO: Yang et al., SOSP'23.)
 */
import { blockBytes, blockBytesMax, type StoreMemory } from "./memory.ts";
import {
  expiresAtMsAt,
  headerBytesOf,
  keyLengthAt,
  Mark,
  marksOf,
  ownSegmentAt,
  ownSegmentsAt,
  recordBytesAt,
  recordBytesOf,
  valueLengthAt,
  writeHeader,
  writeOwnSegments,
} from "./record.ts";
import { copyBytes, equalBytes, type Span } from "./span.ts";

/** Where a segment belongs; in `own` it holds a part of one large entry, whose record names it. */
export const Queue = { small: 0, main: 1, own: 2, free: 3 } as const;
export type Queue = (typeof Queue)[keyof typeof Queue];
export type LogQueue = typeof Queue.small | typeof Queue.main;

/** A reference to a record is its segment's number and, in the lowest 14 bits, its place in units of 4 bytes. */
const placeBits = 14;
const placeMask = 2 ** placeBits - 1;
const numberMax = 2 ** (32 - placeBits) - 1;
/** Of one entry: their numbers, and a header, must fit in a segment. */
const ownSegmentsMax = 16_000;

export interface Segment {
  readonly number: number;
  readonly bytes: Buffer;
  queue: Queue;
  usedBytes: number;
  deadBytes: number;
  /** When the first of its entries expires, or earlier; Infinity: none does. */
  dueMs: number;
  /** The next younger one in its queue, and the next older one. */
  next: Segment | undefined;
  previous: Segment | undefined;
}

interface List {
  oldest: Segment | undefined;
  youngest: Segment | undefined;
  usedBytes: number;
  deadBytes: number;
  /** Keys and values of large entries, in segments of their own. */
  ownBytes: number;
}

export class Segments {
  readonly #memory: StoreMemory;
  readonly sizeBytesMax: number;
  /** By number; 0 is no segment. The bytes apart: every look-up needs them, and nothing else. */
  readonly #segments: (Segment | undefined)[] = [undefined];
  readonly #bytes: Buffer[] = [noBytes];
  readonly #spare: number[] = [];
  readonly #lists: readonly [List, List] = [newList(), newList()];
  #allocatedBytes = 0;
  /** No entry expires before. */
  dueMs: number = Number.POSITIVE_INFINITY;

  /** `sizeBytesMax`: of one segment; one of {@link blockBytes}. */
  constructor(memory: StoreMemory, sizeBytesMax: number = blockBytesMax) {
    this.#memory = memory;
    this.sizeBytesMax = sizeBytesMax;
  }

  /** Bytes of memory that segments take. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** Bytes of records that aren't dead, and of what they have in segments of their own. */
  liveBytes(queue: LogQueue): number {
    const { usedBytes, deadBytes, ownBytes } = this.#lists[queue];
    return usedBytes - deadBytes + ownBytes;
  }

  list(queue: LogQueue): Readonly<List> {
    return this.#lists[queue];
  }

  /** All that are in use, in no order. */
  *all(): Generator<Segment> {
    for (const segment of this.#segments) if (segment !== undefined) yield segment;
  }

  /** The segment of that number, if it is in use. */
  at(number: number): Segment | undefined {
    return this.#segments[number];
  }

  /** One more than the highest number. */
  get count(): number {
    return this.#segments.length;
  }

  /** As a signed 32-bit integer; never 0. */
  refAt(number: number, at: number): number {
    return (number << placeBits) | (at >>> 2);
  }

  bytesOf(ref: number): Buffer {
    return this.#bytes[ref >>> placeBits]!;
  }

  placeOf(ref: number): number {
    return (ref & placeMask) << 2;
  }

  segmentOf(ref: number): Segment {
    return this.#segments[ref >>> placeBits]!;
  }

  /** Whether that record's key is this one. */
  holds(ref: number, key: Span): boolean {
    const bytes = this.#bytes[ref >>> placeBits]!;
    const at = (ref & placeMask) << 2;
    if (keyLengthAt(bytes, at) !== key.length) return false;
    const marks = bytes[at]!;
    if ((marks & Mark.own) !== 0) return equalBytes(this.#gather(bytes, at, 0, key.length), 0, key);
    return equalBytes(bytes, at + headerBytesOf(marks), key);
  }

  /** A view, or of a large entry a copy. */
  keyOf(ref: number): Buffer {
    const bytes = this.bytesOf(ref);
    const at = this.placeOf(ref);
    const length = keyLengthAt(bytes, at);
    const marks = bytes[at]!;
    if ((marks & Mark.own) !== 0) return this.#gather(bytes, at, 0, length);
    const from = at + headerBytesOf(marks);
    return bytes.subarray(from, from + length);
  }

  /** A view, or of a large entry a copy. */
  valueOf(ref: number): Buffer {
    const bytes = this.bytesOf(ref);
    const at = this.placeOf(ref);
    const keyLength = keyLengthAt(bytes, at);
    const length = valueLengthAt(bytes, at);
    const marks = bytes[at]!;
    if ((marks & Mark.own) !== 0) return this.#gather(bytes, at, keyLength, keyLength + length);
    const from = at + headerBytesOf(marks) + keyLength;
    return bytes.subarray(from, from + length);
  }

  /** Writes a record as the youngest of its queue; returns its reference. */
  append(
    queue: LogQueue,
    key: Span,
    value: Span,
    expiresAtMs: number,
    version: number,
    flags: number,
    frequency: number,
  ): number {
    const contentBytes = key.length + value.length;
    let marks = marksOf(key.length, value.length, expiresAtMs, flags) | frequency;
    let own: number[] | undefined;
    let sizeBytes: number;
    if (this.isLarge(contentBytes)) {
      marks |= Mark.own;
      own = this.#writeOwn(key, value);
      sizeBytes = recordBytesOf(marks, 4, own.length * 4);
    } else sizeBytes = recordBytesOf(marks, key.length, value.length);
    const segment = this.#reserve(queue, sizeBytes);
    const { bytes } = segment;
    const at = segment.usedBytes - sizeBytes;
    writeHeader(bytes, at, marks, key.length, value.length, version, expiresAtMs, flags);
    if (own !== undefined) {
      writeOwnSegments(bytes, at, own);
      this.#lists[queue].ownBytes += contentBytes;
    } else {
      const from = at + headerBytesOf(marks);
      copyBytes(key.bytes, key.from, key.to, bytes, from);
      copyBytes(value.bytes, value.from, value.to, bytes, from + key.length);
    }
    if (expiresAtMs !== 0) this.due(segment, expiresAtMs);
    return this.refAt(segment.number, at);
  }

  /** Whether an entry of so many bytes of key and value gets segments of its own. */
  isLarge(contentBytes: number): boolean {
    return contentBytes > this.sizeBytesMax >> 3;
  }

  /** Copies the record to another queue, or into `target`, if it has room there; the old one is dead. */
  move(ref: number, queue: LogQueue, frequency: number, target?: Segment): number {
    const from = this.segmentOf(ref);
    const at = this.placeOf(ref);
    const sizeBytes = recordBytesAt(from.bytes, at);
    const to = target ?? this.#reserve(queue, sizeBytes);
    if (target !== undefined) this.#fill(target, sizeBytes);
    const place = to.usedBytes - sizeBytes;
    from.bytes.copy(to.bytes, place, at, at + sizeBytes);
    to.bytes[place] = (to.bytes[place]! & ~Mark.frequency) | frequency;
    if ((to.bytes[place]! & Mark.expires) !== 0) this.due(to, expiresAtMsAt(to.bytes, place));
    if ((to.bytes[place]! & Mark.own) !== 0) {
      const contentBytes = keyLengthAt(to.bytes, place) + valueLengthAt(to.bytes, place);
      this.#lists[from.queue as LogQueue].ownBytes -= contentBytes;
      this.#lists[to.queue as LogQueue].ownBytes += contentBytes;
    }
    this.#die(from, at, sizeBytes);
    return this.refAt(to.number, place);
  }

  /** An entry in this segment expires then. */
  due(segment: Segment, expiresAtMs: number): void {
    if (expiresAtMs < segment.dueMs) segment.dueMs = expiresAtMs;
    if (expiresAtMs < this.dueMs) this.dueMs = expiresAtMs;
  }

  /** The record's entry is no more, or is elsewhere. */
  kill(ref: number): void {
    const segment = this.segmentOf(ref);
    const at = this.placeOf(ref);
    const { bytes } = segment;
    if ((bytes[at]! & Mark.own) !== 0) {
      this.#lists[segment.queue as LogQueue].ownBytes -= keyLengthAt(bytes, at) + valueLengthAt(bytes, at);
      const count = ownSegmentsAt(bytes, at);
      for (let i = 0; i < count; i++) this.#free(this.#segments[ownSegmentAt(bytes, at, i)]!);
    }
    this.#die(segment, at, recordBytesAt(bytes, at));
  }

  /** Takes an image over as a segment, the youngest of the queue. None of its records is large. */
  adopt(queue: LogQueue, image: Buffer): Segment {
    const segment = this.#allocate(image.length, queue);
    segment.bytes.set(image, 0);
    this.#link(segment);
    this.#fill(segment, image.length);
    return segment;
  }

  /** A segment of at least so many bytes, just before that one in its queue. */
  openBefore(segment: Segment, sizeBytes: number): Segment {
    const opened = this.#allocate(sizeBytes, segment.queue);
    const list = this.#lists[segment.queue as LogQueue];
    opened.next = segment;
    opened.previous = segment.previous;
    segment.previous = opened;
    if (opened.previous === undefined) list.oldest = opened;
    else opened.previous.next = opened;
    return opened;
  }

  /** Of the next segment: at most an eighth of what the queue has, so that little of it is empty. */
  sizeBytesFor(queue: LogQueue): number {
    const most = Math.min(this.#lists[queue].usedBytes / 8, this.sizeBytesMax);
    return blockBytes.findLast((one) => one <= most) ?? blockBytes[0];
  }

  /** Gives all memory back. */
  clear(): void {
    for (const segment of this.#segments) {
      if (segment === undefined) continue;
      this.#memory.give(segment.bytes);
      segment.queue = Queue.free;
    }
    this.#segments.length = 1;
    this.#bytes.length = 1;
    this.#spare.length = 0;
    for (const list of this.#lists) Object.assign(list, newList());
    this.#allocatedBytes = 0;
    this.dueMs = Number.POSITIVE_INFINITY;
  }

  /** So many bytes at the end of the queue's youngest segment. */
  #reserve(queue: LogQueue, sizeBytes: number): Segment {
    const list = this.#lists[queue];
    let segment = list.youngest;
    if (segment === undefined || segment.usedBytes + sizeBytes > segment.bytes.length) {
      segment = this.#allocate(Math.max(this.sizeBytesFor(queue), sizeBytes), queue);
      this.#link(segment);
    }
    this.#fill(segment, sizeBytes);
    return segment;
  }

  #link(segment: Segment): void {
    const list = this.#lists[segment.queue as LogQueue];
    segment.previous = list.youngest;
    if (list.youngest === undefined) list.oldest = segment;
    else list.youngest.next = segment;
    list.youngest = segment;
  }

  #fill(segment: Segment, sizeBytes: number): void {
    segment.usedBytes += sizeBytes;
    this.#lists[segment.queue as LogQueue].usedBytes += sizeBytes;
  }

  #die(segment: Segment, at: number, sizeBytes: number): void {
    segment.bytes[at] = segment.bytes[at]! | Mark.dead;
    segment.deadBytes += sizeBytes;
    const list = this.#lists[segment.queue as LogQueue];
    list.deadBytes += sizeBytes;
    if (segment.deadBytes < segment.usedBytes) return;
    list.usedBytes -= segment.usedBytes;
    list.deadBytes -= segment.deadBytes;
    if (segment.previous === undefined) list.oldest = segment.next;
    else segment.previous.next = segment.next;
    if (segment.next === undefined) list.youngest = segment.previous;
    else segment.next.previous = segment.previous;
    this.#free(segment);
  }

  /** Key and value, one after the other, in as few segments as waste less than the smallest of them. */
  #writeOwn(key: Span, value: Span): number[] {
    const numbers: number[] = [];
    const contentBytes = key.length + value.length;
    // Before anything is taken. Beside the largest segments there are at most three of each other size, and a rest.
    const count = Math.ceil(contentBytes / this.sizeBytesMax) + 9;
    if (count > ownSegmentsMax || this.#segments.length - this.#spare.length + count > numberMax) {
      throw new RangeError(`an entry of ${contentBytes} bytes needs more segments than there can be`);
    }
    for (let from = 0; from < contentBytes; ) {
      const left = contentBytes - from;
      const fitting = blockBytes.findLast((one) => one <= left && one <= this.sizeBytesMax);
      const segment = this.#allocate(fitting ?? blockBytes[0], Queue.own);
      const to = Math.min(from + segment.bytes.length, contentBytes);
      if (from < key.length) segment.bytes.set(key.view(from, to), 0);
      const valueFrom = Math.max(from - key.length, 0);
      if (to > key.length)
        segment.bytes.set(value.view(valueFrom, to - key.length), Math.max(key.length - from, 0));
      segment.usedBytes = to - from;
      numbers.push(segment.number);
      from = to;
    }
    return numbers;
  }

  /** A copy of a large entry's bytes `[from, to)`; the key comes first. */
  #gather(bytes: Buffer, at: number, from: number, to: number): Buffer {
    const gathered = Buffer.allocUnsafe(to - from);
    const count = ownSegmentsAt(bytes, at);
    for (let i = 0, start = 0; i < count && start < to; i++) {
      const segment = this.#segments[ownSegmentAt(bytes, at, i)]!;
      const end = start + segment.usedBytes;
      if (end > from) {
        const first = Math.max(from - start, 0);
        segment.bytes.copy(gathered, start + first - from, first, Math.min(to - start, segment.usedBytes));
      }
      start = end;
    }
    return gathered;
  }

  #allocate(sizeBytes: number, queue: Queue): Segment {
    const block = blockBytes.find((one) => one >= sizeBytes);
    if (block === undefined) throw new RangeError(`a record of ${sizeBytes} bytes fits in no segment`);
    const number = this.#spare.pop() ?? this.#segments.length;
    if (number > numberMax) throw new RangeError(`a store has at most ${numberMax} segments`);
    const segment: Segment = {
      number,
      bytes: this.#memory.take(block),
      queue,
      usedBytes: 0,
      deadBytes: 0,
      dueMs: Number.POSITIVE_INFINITY,
      next: undefined,
      previous: undefined,
    };
    this.#segments[number] = segment;
    this.#bytes[number] = segment.bytes;
    this.#allocatedBytes += block;
    return segment;
  }

  #free(segment: Segment): void {
    this.#segments[segment.number] = undefined;
    this.#bytes[segment.number] = noBytes;
    this.#spare.push(segment.number);
    this.#allocatedBytes -= segment.bytes.length;
    this.#memory.give(segment.bytes);
    segment.queue = Queue.free;
  }
}

const noBytes: Buffer = Buffer.alloc(0);

function newList(): List {
  return { oldest: undefined, youngest: undefined, usedBytes: 0, deadBytes: 0, ownBytes: 0 };
}
