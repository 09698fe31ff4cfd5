/**
 * Frames, the unit of everything on a peer link:
 *
 *     u32 length of what follows | u8 type | u8 kind | u32 call id | payload
 *
 * Numbers are big-endian. The kind of a request names its handler; a reply carries its request's call id.
 */
import { RingcacheError } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import type { ByteStream } from "./transport.ts";

export const FrameType = { hello: 1, welcome: 2, proof: 3, request: 4, reply: 5 } as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

const prefixBytes = 4;
const headerBytes = 10;

/** A whole frame, its length prefix included: 17 MiB, a value and a key of the largest size with room around them. */
export const frameSizeBytesMax = 17 * 1024 * 1024;
/** A whole frame before the other side has proved who it is. */
export const handshakeFrameSizeBytesMax = 4 * 1024;
/** The payload of the largest frame. */
export const payloadSizeBytesMax = frameSizeBytesMax - headerBytes;

export interface FrameHandler {
  /** `payload` is a view into the bytes received. */
  frame(type: FrameType, kind: number, callId: number, payload: Buffer): void;
}

function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function writeHeader(
  bytes: Uint8Array,
  at: number,
  type: FrameType,
  kind: number,
  callId: number,
  payloadBytes: number,
): void {
  const length = headerBytes - prefixBytes + payloadBytes;
  bytes[at] = length >>> 24;
  bytes[at + 1] = length >>> 16;
  bytes[at + 2] = length >>> 8;
  bytes[at + 3] = length;
  bytes[at + 4] = type;
  bytes[at + 5] = kind;
  bytes[at + 6] = callId >>> 24;
  bytes[at + 7] = callId >>> 16;
  bytes[at + 8] = callId >>> 8;
  bytes[at + 9] = callId;
}

/** One frame as bytes of its own. */
export function encodeFrame(type: FrameType, kind: number, callId: number, payload: Uint8Array): Buffer {
  // Not from the shared pool: a large frame must not pin it, and a small one is rarely made this way.
  const bytes = Buffer.allocUnsafeSlow(headerBytes + payload.length);
  writeHeader(bytes, 0, type, kind, callId, payload.length);
  bytes.set(payload, headerBytes);
  return bytes;
}

/**
 * Cuts chunks, split anywhere, into frames. Frames that lie whole in a chunk are handed on as views of it; one that
 * spans chunks is collected in a buffer of exactly its size, so each byte is copied at most once and no more than
 * one frame is held.
 */
export class FrameDecoder {
  readonly #handler: FrameHandler;
  #sizeBytesMax: number;
  #stopped = false;
  /** The first bytes of a frame, until they tell its size and type. */
  readonly #start = Buffer.alloc(prefixBytes + 1);
  /** The frame that spans chunks, once its size is known. */
  #partial: Buffer | undefined;
  /** How many bytes of that frame are here. */
  #have = 0;

  constructor(handler: FrameHandler, sizeBytesMax: number = frameSizeBytesMax) {
    this.#handler = handler;
    this.#sizeBytesMax = sizeBytesMax;
  }

  /** Applies from the next frame on. */
  set sizeBytesMax(sizeBytesMax: number) {
    this.#sizeBytesMax = sizeBytesMax;
  }

  /** No further frame is handed on, not even of the chunk being decoded. */
  stop(): void {
    this.#stopped = true;
    this.#partial = undefined;
    this.#have = 0;
  }

  /**
   * Returns whether the chunk may still be referred to: a request's payload may be kept, a reply's may not. Throws FRAME_INVALID for
   * a frame that is too large, too short or of no known type; stopped from then on.
   */
  push(chunk: Buffer): boolean {
    let at = this.#have === 0 ? 0 : this.#collect(chunk, 0);
    const end = chunk.length;
    let isKept = false;
    while (!this.#stopped && end - at >= headerBytes) {
      const next = at + this.#frameBytes(readU32(chunk, at));
      this.#checkType(chunk[at + 4]!);
      if (next > end) break;
      if (chunk[at + 4] !== FrameType.reply) isKept = true;
      this.#deliver(chunk, at, next);
      at = next;
    }
    if (at < end && !this.#stopped) this.#collect(chunk, at);
    return isKept;
  }

  /** Adds to the frame that spans chunks, and delivers it once it is whole. Returns where in `chunk` it stopped. */
  #collect(chunk: Buffer, from: number): number {
    let at = from;
    if (this.#partial === undefined) {
      const start = this.#start;
      while (this.#have < start.length && at < chunk.length) start[this.#have++] = chunk[at++]!;
      if (this.#have < prefixBytes) return at;
      // Refused on its length alone, before a byte of it is buffered.
      const size = this.#frameBytes(readU32(start, 0));
      if (this.#have < start.length) return at;
      this.#checkType(start[prefixBytes]!);
      this.#partial = Buffer.allocUnsafe(size);
      this.#partial.set(start);
    }
    const frame = this.#partial;
    const taken = Math.min(frame.length - this.#have, chunk.length - at);
    chunk.copy(frame, this.#have, at, at + taken);
    this.#have += taken;
    if (this.#have === frame.length) {
      this.#partial = undefined;
      this.#have = 0;
      this.#deliver(frame, 0, frame.length);
    }
    return at + taken;
  }

  #deliver(bytes: Buffer, at: number, end: number): void {
    this.#handler.frame(
      bytes[at + 4] as FrameType,
      bytes[at + 5]!,
      readU32(bytes, at + 6),
      bytes.subarray(at + headerBytes, end),
    );
  }

  #frameBytes(length: number): number {
    const size = prefixBytes + length;
    if (size < headerBytes || size > this.#sizeBytesMax) {
      this.stop();
      throw new RingcacheError(
        "FRAME_INVALID",
        `a frame of ${size} bytes; ${headerBytes} to ${this.#sizeBytesMax} are allowed`,
      );
    }
    return size;
  }

  #checkType(type: number): void {
    if (type < FrameType.hello || type > FrameType.reply) {
      this.stop();
      throw new RingcacheError("FRAME_INVALID", `a frame of the unknown type ${type}`);
    }
  }
}

/** Small frames are gathered in slabs of this size. */
const slabBytes = 64 * 1024;
/** From this payload size on a frame gets a buffer of its own, so that its bytes are copied once and fit exactly. */
const ownBufferBytes = 32 * 1024;
/**
 * A turn's first part goes out when it has this many bytes, and each further one when it has {@link partGrowth} times
 * the last one's: the other side begins while this one goes on, and a large batch costs few more writes than one.
 */
const partBytes = 2 * 1024;
const partGrowth = 4;
const noSlab: Buffer = Buffer.alloc(0);

/**
 * What goes out on one stream. The frames of one event-loop turn are gathered and written together, many of them in a
 * few growing parts. Payloads are copied, as a stream may hold on to what it was given after `write` has returned; a
 * part of a slab that it holds on to is not used again.
 */
export class FrameWriter {
  readonly #runtime: Runtime;
  readonly #stream: ByteStream;
  readonly #endSoon = (): void => this.#endTurn();
  /** See {@link atTurnEnd}. */
  #atTurnEnd: (() => void)[] = [];
  #slab = noSlab;
  /** The part of the slab that was written since the last flush: [#from, #to). */
  #from = 0;
  #to = 0;
  /** Filled before the slab's part, in order. */
  #filled: Buffer[] = [];
  #batchBytes = 0;
  #part = partBytes;
  #scheduled = false;
  #closed = false;
  #batches = 0;
  #framesWritten = 0;
  #framesFlushed = 0;
  #bytes = 0;

  constructor(runtime: Runtime, stream: ByteStream) {
    this.#runtime = runtime;
    this.#stream = stream;
  }

  /** How many frames were written; the count after a `write` is that frame's number. */
  get framesWritten(): number {
    return this.#framesWritten;
  }

  /** Frames up to this number have been handed to the stream. */
  get framesFlushed(): number {
    return this.#framesFlushed;
  }

  /** Bytes handed to the stream so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that were written and have not yet been handed to the network. */
  get queuedBytes(): number {
    return this.#batchBytes + this.#stream.queuedBytes;
  }

  /** Whether this turn's batch has begun. */
  get batching(): boolean {
    return this.#scheduled;
  }

  /** How many batches are over. */
  get batches(): number {
    return this.#batches;
  }

  /** `payload` may be reused when this returns; at most {@link payloadSizeBytesMax} bytes. */
  write(type: FrameType, kind: number, callId: number, payload: Uint8Array): void {
    if (this.#closed) return;
    const size = headerBytes + payload.length;
    if (payload.length >= ownBufferBytes) {
      this.#seal();
      this.#filled.push(encodeFrame(type, kind, callId, payload));
    } else {
      if (this.#slab.length - this.#to < size) {
        this.#seal();
        this.#slab = Buffer.allocUnsafeSlow(slabBytes);
        this.#from = 0;
        this.#to = 0;
      }
      writeHeader(this.#slab, this.#to, type, kind, callId, payload.length);
      this.#slab.set(payload, this.#to + headerBytes);
      this.#to += size;
    }
    this.#batchBytes += size;
    this.#framesWritten++;
    if (this.#batchBytes >= this.#part) {
      this.#part *= partGrowth;
      this.#send();
    }
    this.#schedule();
  }

  /**
   * Calls `fn` once at the end of this turn, before its batch is flushed: what `fn` writes goes out in the same write. It is
   * called when the writer has been closed meanwhile, too.
   */
  atTurnEnd(fn: () => void): void {
    this.#atTurnEnd.push(fn);
    this.#schedule();
  }

  /** Hands the batch to the stream now. */
  flush(): void {
    this.#scheduled = false;
    this.#batches++;
    this.#part = partBytes;
    this.#send();
  }

  #send(): void {
    if (this.#closed || this.#batchBytes === 0) return;
    this.#bytes += this.#batchBytes;
    this.#batchBytes = 0;
    this.#framesFlushed = this.#framesWritten;
    if (this.#filled.length === 0) {
      const batch = this.#slab.subarray(this.#from, this.#to);
      this.#wrote(this.#stream.write(batch));
      return;
    }
    this.#seal();
    const filled = this.#filled;
    this.#filled = [];
    let isTaken = false;
    for (const bytes of filled) isTaken = this.#stream.write(bytes);
    this.#wrote(isTaken);
  }

  /** Nearly always the kernel takes all at once. */
  #wrote(isTaken: boolean): void {
    if (isTaken) this.#to = 0;
    this.#from = this.#to;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#runtime.soon(this.#endSoon);
  }

  #endTurn(): void {
    if (this.#atTurnEnd.length > 0) {
      const fns = this.#atTurnEnd;
      this.#atTurnEnd = [];
      // What is written now goes out at once in any case: in parts it would only be more writes.
      this.#part = Number.POSITIVE_INFINITY;
      for (const fn of fns) fn();
    }
    this.flush();
  }

  /** Drops what has not been flushed; it is never sent. */
  close(): void {
    this.#closed = true;
    this.#slab = noSlab;
    this.#filled = [];
    this.#batchBytes = 0;
  }

  #seal(): void {
    if (this.#to > this.#from) this.#filled.push(this.#slab.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }
}
