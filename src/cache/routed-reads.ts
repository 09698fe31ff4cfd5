/**
 * Reads of keys that other nodes own, all that a turn asks of one node in one message. Whatever stands in a read's way (its partition
 * moves, waits for a backup, the link breaks) it is told to go through `Door.execute`, which knows what to do; a read may be made twice.
 * All integers are big-endian.
 */
import type { CallHandler } from "../peers/messages.ts";
import { PeerKind } from "../ring/calls.ts";
import type { Ring } from "../ring/ring.ts";
import type { Member } from "../ring/table.ts";
import { copyBytes } from "../storage/span.ts";
import { Found, type Lane, laneKeysMax } from "./lane.ts";

/** Of a key: a longer one goes alone. */
export const routedKeyBytesMax = 1_024;
/** Of an answer: what doesn't fit goes alone. */
const answerBytesMax = 1024 * 1024;
/** Messages that were answered, kept for those to come. */
const spareMax = 64;
/** In place of a value's length. */
const absent = -1;
const elsewhere = -2;

/** Who has asked for keys, each with a number; for each of these exactly one is called, in a later turn. */
export interface Reader {
  /** The value is `bytes[from..to)`, during the call. */
  present(number: number, bytes: Buffer, from: number, to: number): void;
  absent(number: number): void;
  /** It has to be read by `Door.execute`, within so many milliseconds. */
  elsewhere(number: number, key: Buffer, leftMs: number): void;
}

export class RoutedReads {
  readonly #ring: Ring;
  readonly #frames = new Map<Member, ReadFrame>();
  readonly #spare: ReadFrame[] = [];
  readonly #nowMs: () => number;
  readonly #ended: (fromMs: number, count: number) => void;

  /** `ended`: so many reads that began then were made. `nowMs`: the monotonic clock. */
  constructor(ring: Ring, nowMs: () => number, ended: (fromMs: number, count: number) => void) {
    this.#ring = ring;
    this.#nowMs = nowMs;
    this.#ended = ended;
  }

  /** To be sent with the next {@link send}; the key has at most {@link routedKeyBytesMax}, and there are at most {@link laneKeysMax}. */
  ask(owner: Member, bytes: Uint8Array, from: number, to: number, reader: Reader, number: number): void {
    let frame = this.#frames.get(owner);
    if (frame === undefined) {
      frame = this.#spare.pop() ?? this.#newFrame();
      frame.begin();
      this.#frames.set(owner, frame);
    }
    frame.add(bytes, from, to, reader, number);
  }

  send(): void {
    if (this.#frames.size === 0) return;
    const { peers, config } = this.#ring;
    for (const [owner, frame] of this.#frames) {
      peers.call(owner, PeerKind.reads, frame.bytes, config.requestDeadlineMs, frame);
    }
    this.#frames.clear();
  }

  #newFrame(): ReadFrame {
    return new ReadFrame(this.#nowMs, this.#ring.config.requestDeadlineMs, this.#ended, (frame) => {
      if (this.#spare.length < spareMax) this.#spare.push(frame);
    });
  }
}

/** u16 number of keys; each: u16 length, bytes. */
class ReadFrame implements CallHandler {
  readonly #nowMs: () => number;
  readonly #deadlineMs: number;
  readonly #ended: (fromMs: number, count: number) => void;
  readonly #free: (frame: ReadFrame) => void;
  readonly #readers = new Array<Reader | undefined>(laneKeysMax).fill(undefined);
  readonly #numbers = new Int32Array(laneKeysMax);
  #count = 0;
  #fromMs = 0;
  #buffer: Buffer = Buffer.allocUnsafeSlow(1_024);
  #size = 2;

  /** `free`: it was answered, and may be used again. */
  constructor(
    nowMs: () => number,
    deadlineMs: number,
    ended: (fromMs: number, count: number) => void,
    free: (frame: ReadFrame) => void,
  ) {
    this.#nowMs = nowMs;
    this.#deadlineMs = deadlineMs;
    this.#ended = ended;
    this.#free = free;
  }

  get bytes(): Buffer {
    this.#buffer.writeUInt16BE(this.#count, 0);
    return this.#buffer.subarray(0, this.#size);
  }

  begin(): void {
    this.#fromMs = this.#nowMs();
    this.#count = 0;
    this.#size = 2;
  }

  add(bytes: Uint8Array, from: number, to: number, reader: Reader, number: number): void {
    const length = to - from;
    const at = this.#size;
    if (at + 2 + length > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow((at + 2 + length) * 2);
      larger.set(this.#buffer.subarray(0, at));
      this.#buffer = larger;
    }
    this.#buffer[at] = length >> 8;
    this.#buffer[at + 1] = length;
    copyBytes(bytes, from, to, this.#buffer, at + 2);
    this.#size = at + 2 + length;
    this.#readers[this.#count] = reader;
    this.#numbers[this.#count++] = number;
  }

  /** For each key, i32: the value's length, then its bytes; or {@link absent} or {@link elsewhere}. */
  reply(answer: Buffer): void {
    let at = 0;
    let made = 0;
    for (let i = 0; i < this.#count; i++) {
      const reader = this.#readers[i]!;
      const number = this.#numbers[i]!;
      const length = at + 4 <= answer.length ? int32At(answer, at) : elsewhere;
      at += 4;
      if (length >= 0) reader.present(number, answer, at, at + length);
      else if (length === absent) reader.absent(number);
      else this.#giveBack(i);
      if (length > 0) at += length;
      if (length !== elsewhere) made++;
    }
    this.#end(made);
  }

  failed(): void {
    for (let i = 0; i < this.#count; i++) this.#giveBack(i);
    this.#end(0);
  }

  #end(made: number): void {
    if (made > 0) this.#ended(this.#fromMs, made);
    this.#readers.fill(undefined, 0, this.#count);
    this.#free(this);
  }

  #giveBack(which: number): void {
    let at = 2;
    for (let i = 0; i < which; i++) at += 2 + this.#buffer.readUInt16BE(at);
    const key = Buffer.from(this.#buffer.subarray(at + 2, at + 2 + this.#buffer.readUInt16BE(at)));
    const leftMs = Math.max(this.#fromMs + this.#deadlineMs - this.#nowMs(), 1);
    this.#readers[which]!.elsewhere(this.#numbers[which]!, key, leftMs);
  }
}

/** Answers the reads of other nodes by the lane. */
export function serveReads(ring: Ring, lane: Lane): void {
  const answer = new Answer();
  ring.peers.handle(PeerKind.reads, (request) => request.reply(answer.of(lane, request.payload)));
}

class Answer {
  #buffer: Buffer = Buffer.allocUnsafeSlow(4 * 1024);

  /** Valid until the next one is made. */
  of(lane: Lane, reads: Buffer): Buffer {
    const count = reads.readUInt16BE(0);
    if (count > laneKeysMax) throw new RangeError(`${count} reads in one message`);
    let at = 2;
    for (let i = 0; i < count; i++) {
      const from = at + 2;
      at = from + reads.readUInt16BE(at);
      lane.add(reads, from, Math.min(at, reads.length));
    }
    lane.begin();
    let size = 0;
    for (let i = 0; i < count; i++) {
      const found = size < answerBytesMax ? lane.get(i) : Found.elsewhere;
      const { bytes, from, to } = lane.value;
      const length = found === Found.present ? to - from : 0;
      this.#reserve(size, size + 4 + length);
      const code = found === Found.present ? length : found === Found.absent ? absent : elsewhere;
      writeInt32(this.#buffer, size, code);
      size += 4;
      if (length > 0) copyBytes(bytes, from, to, this.#buffer, size);
      size += length;
    }
    // Held up, and it may serve no more: nobody is to see what was read. An answer that ends early says elsewhere.
    return this.#buffer.subarray(0, lane.end() ? size : 0);
  }

  #reserve(size: number, needed: number): void {
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(2 * needed);
    larger.set(this.#buffer.subarray(0, size));
    this.#buffer = larger;
  }
}

function int32At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 24;
  bytes[at + 1] = value >> 16;
  bytes[at + 2] = value >> 8;
  bytes[at + 3] = value;
}
