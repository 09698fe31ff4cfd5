/**
 * Writes replies of RESP2 and RESP3 into one growing buffer. What only RESP3 has is written to a client of RESP2 as Redis
 * does it. Source: the Redis serialization protocol specification; `networking.c` of Redis for RESP2's substitutes.
 */
import { copyBytes } from "../storage/span.ts";

export type Protocol = 2 | 3;

const cr = 0x0d;
const lf = 0x0a;

const okReply = Buffer.from("+OK\r\n");
const nullBulk = Buffer.from("$-1\r\n");
const nullArray = Buffer.from("*-1\r\n");
const null3 = Buffer.from("_\r\n");

/** Decimal lengths and small integers are written digit by digit; beyond this they go through a string. */
const fastIntegerMax = 999_999_999;

/** Of a fresh buffer; it doubles as need be. */
const initialSizeBytes = 4 * 1024;
/** A buffer that grew beyond this is given up once its content is sent. */
const keptSizeBytesMax = 256 * 1024;

export class ReplyWriter {
  /** What the client speaks; changed by HELLO. */
  protocol: Protocol;
  #buffer: Buffer;
  #size = 0;
  /** The last two of this buffer that were asked for: replies are often as long as those before, or say that nothing is there. */
  #view: Buffer;
  #viewBefore: Buffer;

  constructor(protocol: Protocol = 2, sizeBytes = initialSizeBytes) {
    this.protocol = protocol;
    this.#buffer = Buffer.allocUnsafeSlow(sizeBytes);
    this.#view = this.#buffer;
    this.#viewBefore = this.#buffer;
  }

  /** How many bytes are written and not yet taken. */
  get size(): number {
    return this.#size;
  }

  /** A view of what was written; valid until the next call. */
  get bytes(): Buffer {
    const view = this.#view;
    if (view.length === this.#size) return view;
    const before = this.#viewBefore;
    this.#viewBefore = view;
    this.#view = before.length === this.#size ? before : this.#buffer.subarray(0, this.#size);
    return this.#view;
  }

  /** Forgets what was written; the buffer is used again, so nobody may still hold {@link bytes}. */
  reset(): void {
    this.#size = 0;
    if (this.#buffer.length > keptSizeBytesMax) this.#use(Buffer.allocUnsafeSlow(initialSizeBytes));
  }

  /** Forgets what was written and leaves the buffer to whoever holds {@link bytes}. */
  abandon(): void {
    const sizeBytes = Math.min(this.#buffer.length, keptSizeBytesMax);
    this.#size = 0;
    this.#use(Buffer.allocUnsafeSlow(sizeBytes));
  }

  /** Undoes what was written since `size` was that. */
  truncate(size: number): void {
    this.#size = size;
  }

  ok(): void {
    this.raw(okReply);
  }

  /** A simple string: no CR or LF in it. */
  simple(text: string): void {
    this.#line(0x2b, text);
  }

  /** `text` begins with its code, as in `ERR syntax error`. What would end the line is replaced by spaces, as Redis does. */
  error(text: string): void {
    const oneLine = text.replace(/[\r\n]/g, " ");
    const size = Buffer.byteLength(oneLine);
    this.#reserve(size + 3);
    this.#buffer[this.#size++] = 0x2d;
    this.#size += this.#buffer.write(oneLine, this.#size);
    this.#endLine();
  }

  /** As {@link error}, of an error that quotes what the client sent: one character for each byte. */
  errorLatin1(text: string): void {
    this.#line(0x2d, text.replace(/[\r\n]/g, " "));
  }

  integer(value: number | bigint): void {
    this.#header(0x3a, value);
  }

  bulk(bytes: Buffer): void {
    this.bulkOf(bytes, 0, bytes.length);
  }

  /** A bulk string of `bytes[from..to)`. */
  bulkOf(bytes: Uint8Array, from: number, to: number): void {
    const size = to - from;
    this.#reserve(size + 24);
    this.#number(0x24, size);
    const buffer = this.#buffer;
    const at = this.#size;
    copyBytes(bytes, from, to, buffer, at);
    buffer[at + size] = cr;
    buffer[at + size + 1] = lf;
    this.#size = at + size + 2;
  }

  /** A bulk string of this text in UTF-8. */
  text(text: string): void {
    const size = Buffer.byteLength(text);
    this.#reserve(size + 24);
    this.#number(0x24, size);
    this.#size += this.#buffer.write(text, this.#size);
    this.#endLine();
  }

  /** RESP2: the null bulk string. */
  null(): void {
    this.raw(this.protocol === 3 ? null3 : nullBulk);
  }

  /** RESP2: the null array, as of an EXEC that was aborted. */
  nullArray(): void {
    this.raw(this.protocol === 3 ? null3 : nullArray);
  }

  array(count: number): void {
    this.#header(0x2a, count);
  }

  /** `count` pairs follow. RESP2: an array of twice as many. */
  map(count: number): void {
    if (this.protocol === 3) this.#header(0x25, count);
    else this.#header(0x2a, 2 * count);
  }

  /** RESP2: an array. */
  set(count: number): void {
    this.#header(this.protocol === 3 ? 0x7e : 0x2a, count);
  }

  /** What the client didn't ask for. RESP2: an array. */
  push(count: number): void {
    this.#header(this.protocol === 3 ? 0x3e : 0x2a, count);
  }

  /** RESP2: a bulk string. */
  double(value: number): void {
    const text = Number.isNaN(value) ? "nan" : Math.abs(value) === Infinity ? infinity(value) : String(value);
    if (this.protocol === 3) this.#line(0x2c, text);
    else this.text(text);
  }

  /** RESP2: a bulk string. */
  bigNumber(value: bigint): void {
    if (this.protocol === 3) this.#line(0x28, String(value));
    else this.text(String(value));
  }

  /** RESP2: 1 or 0. */
  boolean(value: boolean): void {
    if (this.protocol === 3) this.#line(0x23, value ? "t" : "f");
    else this.integer(value ? 1 : 0);
  }

  /** Text that is meant for people, with a format of three letters. RESP2: a bulk string. */
  verbatim(text: string, format: "txt" | "mkd" = "txt"): void {
    if (this.protocol === 2) {
      this.text(text);
      return;
    }
    const size = Buffer.byteLength(text);
    this.#reserve(size + 32);
    this.#number(0x3d, size + 4);
    this.#size += this.#buffer.write(`${format}:`, this.#size, "latin1");
    this.#size += this.#buffer.write(text, this.#size);
    this.#endLine();
  }

  /** Bytes of a reply that is encoded already. */
  raw(bytes: Buffer): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#size);
    this.#size += bytes.length;
  }

  #header(type: number, value: number | bigint): void {
    if (typeof value === "number" && value >= 0 && value <= fastIntegerMax) {
      this.#reserve(16);
      this.#number(type, value);
    } else this.#line(type, String(value));
  }

  /** `type`, the digits, the end of the line; 13 bytes at most must be reserved. */
  #number(type: number, value: number): void {
    const buffer = this.#buffer;
    let at = this.#size;
    buffer[at++] = type;
    if (value < 10) buffer[at++] = 0x30 + value;
    else {
      let digits = 2;
      for (let bound = 100; digits < 9 && value >= bound; bound *= 10) digits++;
      let rest = value;
      if (value > fastIntegerMax) digits = 10;
      for (let i = at + digits - 1; i >= at; i--) {
        const next = Math.floor(rest / 10);
        buffer[i] = 0x30 + (rest - next * 10);
        rest = next;
      }
      at += digits;
    }
    buffer[at++] = cr;
    buffer[at++] = lf;
    this.#size = at;
  }

  #line(type: number, text: string): void {
    this.#reserve(text.length + 3);
    this.#buffer[this.#size++] = type;
    this.#size += this.#buffer.write(text, this.#size, "latin1");
    this.#endLine();
  }

  #endLine(): void {
    this.#reserve(2);
    this.#buffer[this.#size++] = cr;
    this.#buffer[this.#size++] = lf;
  }

  #reserve(count: number): void {
    const needed = this.#size + count;
    if (needed <= this.#buffer.length) return;
    let sizeBytes = this.#buffer.length * 2;
    while (sizeBytes < needed) sizeBytes *= 2;
    const larger = Buffer.allocUnsafeSlow(sizeBytes);
    larger.set(this.#buffer.subarray(0, this.#size));
    this.#use(larger);
  }

  #use(buffer: Buffer): void {
    this.#buffer = buffer;
    this.#view = buffer;
    this.#viewBefore = buffer;
  }
}

function infinity(value: number): string {
  return value > 0 ? "inf" : "-inf";
}
