/**
 * The look-ups and writes of one store, by hash and spans: no view and no object is made for them.
 */
import type { Compactor } from "./compactor.ts";
import type { Entries } from "./entries.ts";
import type { Evictor } from "./evictor.ts";
import { hashOf } from "./hash.ts";
import type { KeyIndex } from "./key-index.ts";
import {
  expiresAtMsAt,
  flagsAt,
  headerBytesOf,
  isExpiredAt,
  keyLengthAt,
  Mark,
  marksOf,
  recordBytesAt,
  recordBytesOf,
  valueLengthAt,
  writeHeader,
} from "./record.ts";
import type { LogQueue, Segments } from "./segments.ts";
import { copyBytes, Span } from "./span.ts";

/** Records that are looked at to make up for the ones that a write has killed. */
export const compactPerWrite = 8;
const frequencyMax = 3;
/** Numbers of so many digits, and their sums, are exact as a double. */
const digitsMax = 15;
const minus = 0x2d;
const zero = 0x30;

export class Access {
  readonly index: KeyIndex;
  readonly segments: Segments;
  readonly #entries: Entries;
  readonly #compactor: Compactor;
  readonly #evictor: Evictor;
  readonly #digits = Buffer.allocUnsafeSlow(digitsMax + 2);
  readonly #number = new Span();

  constructor(entries: Entries, compactor: Compactor, evictor: Evictor) {
    this.index = entries.index;
    this.segments = entries.segments;
    this.#entries = entries;
    this.#compactor = compactor;
    this.#evictor = evictor;
  }

  hash(bytes: Uint8Array, from: number, to: number): number {
    return hashOf(bytes, from, to, this.#entries.seed);
  }

  /** The reference of the key's record; 0 if there is none. */
  refOf(hash: number, key: Span): number {
    return this.index.find(hash, this.segments, key);
  }

  /** The same, but 0 if it has expired. */
  find(hash: number, key: Span, nowMs: number): number {
    const ref = this.refOf(hash, key);
    return ref === 0 || this.isExpired(ref, nowMs) ? 0 : ref;
  }

  isExpired(ref: number, nowMs: number): boolean {
    const { segments } = this;
    return isExpiredAt(segments.bytesOf(ref), segments.placeOf(ref), nowMs);
  }

  /** It was asked for. */
  use(ref: number): void {
    const { segments } = this;
    const bytes = segments.bytesOf(ref);
    const at = segments.placeOf(ref);
    const marks = bytes[at]!;
    if ((marks & Mark.frequency) < frequencyMax) bytes[at] = marks + 1;
  }

  /** Whether the key is there; `value` then names its value until the store is changed. Counts as a use. */
  get(hash: number, key: Span, nowMs: number, value: Span): boolean {
    const ref = this.find(hash, key, nowMs);
    if (ref === 0) return false;
    this.use(ref);
    const { segments } = this;
    const bytes = segments.bytesOf(ref);
    const at = segments.placeOf(ref);
    const marks = bytes[at]!;
    if ((marks & Mark.own) === 0) {
      const from = at + headerBytesOf(marks) + keyLengthAt(bytes, at);
      value.of(bytes, from, from + valueLengthAt(bytes, at));
    } else value.of(segments.valueOf(ref));
    return true;
  }

  /** As `PartitionStore.set`. */
  set(hash: number, key: Span, value: Span, expiresAtMs: number, version: number): void {
    this.store(hash, this.refOf(hash, key), key, value, expiresAtMs, version, 0);
  }

  /**
   * As `PartitionStore.add`, of integers of up to 15 digits; `delta` is one, and not -0. NaN, with nothing changed, if the value
   * isn't one.
   */
  add(hash: number, key: Span, delta: number, nowMs: number, version: number): number {
    const ref = this.refOf(hash, key);
    let sum = delta;
    let expiresAtMs = 0;
    let flags = 0;
    if (ref !== 0 && !this.isExpired(ref, nowMs)) {
      const { segments } = this;
      const bytes = segments.bytesOf(ref);
      const at = segments.placeOf(ref);
      const marks = bytes[at]!;
      if ((marks & Mark.own) !== 0) return Number.NaN;
      const from = at + headerBytesOf(marks) + keyLengthAt(bytes, at);
      sum += smallIntegerAt(bytes, from, from + valueLengthAt(bytes, at));
      if (Number.isNaN(sum)) return sum;
      expiresAtMs = expiresAtMsAt(bytes, at);
      flags = flagsAt(bytes, at);
    }
    this.store(hash, ref, key, this.#numberOf(sum), expiresAtMs, version, flags);
    return sum;
  }

  /** `ref`: of the key's record before, which the index has found last; 0 if there was none. */
  store(
    hash: number,
    ref: number,
    key: Span,
    value: Span,
    expiresAtMs: number,
    version: number,
    flags: number,
  ): void {
    const { index, segments } = this;
    if (ref === 0) {
      const queue = this.#evictor.queueFor(hash);
      index.insert(hash, segments.append(queue, key, value, expiresAtMs, version, flags, 0));
      if (expiresAtMs !== 0) this.#entries.withTtl++;
      return;
    }
    const bytes = segments.bytesOf(ref);
    const at = segments.placeOf(ref);
    const before = bytes[at]!;
    const frequency = Math.min((before & Mark.frequency) + 1, frequencyMax);
    const marks = marksOf(key.length, value.length, expiresAtMs, flags);
    if (
      marks === (before & ~Mark.frequency) &&
      recordBytesOf(marks, key.length, value.length) === recordBytesAt(bytes, at)
    ) {
      writeHeader(bytes, at, marks | frequency, key.length, value.length, version, expiresAtMs, flags);
      copyBytes(value.bytes, value.from, value.to, bytes, at + headerBytesOf(marks) + key.length);
      if (expiresAtMs !== 0) segments.due(segments.segmentOf(ref), expiresAtMs);
      return;
    }
    const { queue: place } = segments.segmentOf(ref);
    const queue = this.#evictor.queueAfter(place as LogQueue, before & Mark.frequency);
    const moved = segments.append(queue, key, value, expiresAtMs, version, flags, frequency);
    index.replace(moved);
    segments.kill(ref);
    this.#entries.withTtl += (expiresAtMs === 0 ? 0 : 1) - ((before & Mark.expires) === 0 ? 0 : 1);
    this.#compactor.step(compactPerWrite);
  }

  #numberOf(value: number): Span {
    const digits = this.#digits;
    let at = digits.length;
    let rest = Math.abs(value);
    do {
      const next = Math.floor(rest / 10);
      digits[--at] = zero + (rest - next * 10);
      rest = next;
    } while (rest > 0);
    if (value < 0) digits[--at] = minus;
    return this.#number.of(digits, at);
  }
}

/** An integer of up to 15 digits as a value of Redis has it: without spaces, a plus or zeros in front. NaN if it isn't one. */
export function smallIntegerAt(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  const isNegative = at < to && bytes[at] === minus;
  if (isNegative) at++;
  const count = to - at;
  if (count < 1 || count > digitsMax) return Number.NaN;
  if (bytes[at] === zero && (count > 1 || isNegative)) return Number.NaN;
  let value = 0;
  for (; at < to; at++) {
    const digit = bytes[at]! - zero;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return isNegative ? -value : value;
}
