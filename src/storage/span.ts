/**
 * Bytes that lie within others. A view of them is an object that costs more than a look-up does; a span is made once and names one
 * place after the other.
 */

/** What is copied or compared byte by byte: for less, a call of a built-in, and the view that it takes, costs more. */
const loopBytesMax = 160;

export class Span {
  bytes: Uint8Array = noBytes;
  from = 0;
  to = 0;

  /** From now on it names these. */
  of(bytes: Uint8Array, from = 0, to: number = bytes.length): this {
    this.bytes = bytes;
    this.from = from;
    this.to = to;
    return this;
  }

  get length(): number {
    return this.to - this.from;
  }

  /** A view of the bytes `[from, to)`, counted from the span's first. */
  view(from: number, to: number): Uint8Array {
    return this.bytes.subarray(this.from + from, Math.min(this.from + to, this.to));
  }
}

/** Copies `from[start..end)` to `to`, from `at` on. */
export function copyBytes(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): void {
  if (end - start > loopBytesMax) {
    to.set(from.subarray(start, end), at);
    return;
  }
  let i = start;
  let o = at;
  for (const last = end - 3; i < last; i += 4, o += 4) {
    to[o] = from[i]!;
    to[o + 1] = from[i + 1]!;
    to[o + 2] = from[i + 2]!;
    to[o + 3] = from[i + 3]!;
  }
  for (; i < end; i++, o++) to[o] = from[i]!;
}

/** Whether `bytes` has those of the span, from `at` on. */
export function equalBytes(bytes: Buffer, at: number, span: Span): boolean {
  const { bytes: other, from, to } = span;
  if (to - from > loopBytesMax) return bytes.compare(other, from, to, at, at + to - from) === 0;
  const shift = at - from;
  for (let i = from; i < to; i++) if (bytes[i + shift] !== other[i]) return false;
  return true;
}

const noBytes: Uint8Array = new Uint8Array(0);
