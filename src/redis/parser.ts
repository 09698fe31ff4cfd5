/**
 * Requests from the bytes of a connection, however they are cut into chunks. Arguments are views of the chunk that brought
 * them, or of what a request was put together in from several; neither is written to by the parser, so a view may be kept as
 * long as the chunk is. Source: `processMultibulkBuffer` and `processInlineBuffer` of Redis, whose order of checks and words these are.
 */
import type { RedisLimits } from "./limits.ts";
import { splitLine } from "./split-line.ts";

/** What {@link RequestParser.next} found. `refused`: a whole request that is too large, without its arguments. */
export const Found = { nothing: 0, request: 1, refused: 2, broken: 3 } as const;
export type Found = (typeof Found)[keyof typeof Found];

type ParserLimits = Pick<
  RedisLimits,
  "protocolBulkBytesMax" | "bulkBytesMax" | "argumentsMax" | "requestBytesMax" | "lineBytesMax"
>;

const cr = 0x0d;
const lf = 0x0a;
const star = 0x2a;
const dollar = 0x24;
const noBytes = Buffer.alloc(0);
/** Room for a large argument is made as it comes in, not as it is announced: at first for this much. */
const announcedBytesMax = 1024 * 1024;
/** Smaller buffers come from Node's pool, which costs much less. */
const pooledBytesMax = 2 * 1024;
/** Redis's bounds for those who have yet to authenticate. */
const unauthenticatedArguments = 10;
const unauthenticatedBulkBytes = 16 * 1024;
/** More than this many places of arguments are given up after the request. */
const keptArguments = 1024;

/** A length that is not whole yet, isn't one, is longer than a line may be, or is negative. */
const incomplete = -1;
const invalid = -2;
const tooLong = -3;
const negative = -4;

export class RequestParser {
  /** While false, Redis's smaller bounds hold. */
  authenticated = true;
  /** What the client is told when the protocol is broken. */
  error = "";
  /** How many arguments the request has, its name included. */
  argc = 0;
  readonly #limits: ParserLimits;
  #buffer: Buffer = noBytes;
  /** The buffer has room behind its end and is this parser's own. */
  #own = false;
  /** The bytes that are there and not yet parsed. */
  #at = 0;
  #end = 0;
  /** Where the request under way, or the last one, begins. */
  #from = 0;
  /** Arguments still to come of a multibulk request; 0: none is under way. */
  #left = 0;
  /** The length of the argument under way; -1: not yet known. */
  #bulk = -1;
  /** Up to here the line under way holds no end. */
  #scanned = 0;
  /** The request under way is too large: nothing of it is kept. */
  #refused = false;
  /** Bytes of it that are still to come and to be dropped. */
  #skip = 0;
  #broken = false;
  /** Begin and end of each argument in the buffer. */
  #places = new Int32Array(32);
  #inline: Buffer[] | undefined;

  constructor(limits: ParserLimits) {
    this.#limits = limits;
  }

  /** How many bytes of requests it holds that are not parsed, or not wholly there. */
  get heldBytes(): number {
    return this.#end - (this.#left > 0 ? this.#from : this.#at);
  }

  /** It holds a part of the last chunk that was fed, rather than a copy. */
  get holdsChunk(): boolean {
    return !this.#own && this.heldBytes > 0;
  }

  /** The bytes of the last request. */
  get requestBytes(): number {
    return this.#at - this.#from;
  }

  /** Argument `i` of the last request; valid for as long as it is kept. */
  arg(i: number): Buffer {
    if (this.#inline !== undefined) return this.#inline[i]!;
    return this.#buffer.subarray(this.#places[2 * i], this.#places[2 * i + 1]);
  }

  args(): Buffer[] {
    if (this.#inline !== undefined) return this.#inline;
    const args = new Array<Buffer>(this.argc);
    for (let i = 0; i < args.length; i++) args[i] = this.arg(i);
    return args;
  }

  /** Whether the last request was inline: then there is no {@link buffer} with its arguments. */
  get isInline(): boolean {
    return this.#inline !== undefined;
  }

  /** Where the arguments of the last request lie, each {@link from} one place {@link to} another. */
  get buffer(): Buffer {
    return this.#buffer;
  }

  from(i: number): number {
    return this.#places[2 * i]!;
  }

  to(i: number): number {
    return this.#places[2 * i + 1]!;
  }

  /** Takes the next `count` bytes; they have to stay as they are for as long as {@link holdsChunk}, or a view of them is in use. */
  feed(chunk: Buffer, count: number = chunk.length): void {
    if (this.#broken) return;
    let from = 0;
    if (this.#skip > 0) {
      from = Math.min(this.#skip, count);
      this.#skip -= from;
      if (from === count) return;
    }
    const keep = this.#left > 0 ? this.#from : this.#at;
    if (keep === this.#end) this.#adopt(chunk, from, count);
    else this.#append(chunk.subarray(from, count), keep);
  }

  #adopt(chunk: Buffer, from: number, end: number): void {
    this.#buffer = chunk;
    this.#own = false;
    this.#at = from;
    this.#from = from;
    this.#scanned = from;
    this.#end = end;
  }

  #append(chunk: Buffer, keep: number): void {
    if (!this.#own || this.#buffer.length - this.#end < chunk.length) this.#enlarge(chunk.length, keep);
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Moves what is unfinished to a buffer with room for as many bytes more, and for what is announced. */
  #enlarge(more: number, keep: number): void {
    const held = this.#end - keep;
    const announced = this.#left > 0 && this.#bulk > 0 ? this.#at - keep + this.#bulk + 2 : 0;
    const grown = Math.max(2 * held, announcedBytesMax);
    // Doubled when it is enlarged again: else a request of many chunks would be copied as many times.
    const room = this.#own ? held : 0;
    const sizeBytes = Math.max(held + more + room, Math.min(announced, grown));
    const larger =
      sizeBytes < pooledBytesMax ? Buffer.allocUnsafe(sizeBytes) : Buffer.allocUnsafeSlow(sizeBytes);
    larger.set(this.#buffer.subarray(keep, this.#end));
    if (keep > 0 && this.#left > 0) {
      for (let i = 0; i < 2 * this.argc; i++) this.#places[i]! -= keep;
    }
    this.#buffer = larger;
    this.#own = true;
    this.#at -= keep;
    this.#from -= keep;
    this.#scanned = Math.max(this.#scanned - keep, 0);
    this.#end = held;
  }

  /** Looks for the next whole request in what was fed. After `broken` there are no more. */
  next(): Found {
    while (!this.#broken) {
      if (this.#left > 0) return this.#multibulk();
      if (this.#at >= this.#end) return Found.nothing;
      this.#from = this.#at;
      this.#inline = undefined;
      if (this.#buffer[this.#at] !== star) {
        const found = this.#line();
        if (found !== Found.request || this.argc > 0) return found;
        // An empty line asks for nothing.
        continue;
      }
      const count = this.#length(this.#at + 1);
      if (count === incomplete) return Found.nothing;
      if (count === tooLong) return this.#break("Protocol error: too big mbulk count string");
      if (count === invalid || count > this.#limits.argumentsMax) {
        return this.#break("Protocol error: invalid multibulk length");
      }
      if (count > unauthenticatedArguments && !this.authenticated) {
        return this.#break("Protocol error: unauthenticated multibulk length");
      }
      this.#at = this.#scanned;
      this.argc = 0;
      this.#refused = false;
      this.#bulk = -1;
      this.#left = Math.max(count, 0);
      if (this.#places.length > 2 * keptArguments) this.#places = new Int32Array(32);
    }
    return Found.broken;
  }

  #multibulk(): Found {
    const limits = this.#limits;
    while (this.#left > 0) {
      if (this.#bulk === -1) {
        if (this.#at >= this.#end) return Found.nothing;
        const size = this.#length(this.#buffer[this.#at] === cr ? this.#at : this.#at + 1);
        if (size === incomplete) return Found.nothing;
        if (size === tooLong) return this.#break("Protocol error: too big bulk count string");
        if (this.#buffer[this.#at] !== dollar) return this.#expectedDollar();
        if (size < 0 || size > limits.protocolBulkBytesMax) {
          return this.#break("Protocol error: invalid bulk length");
        }
        if (size > unauthenticatedBulkBytes && !this.authenticated) {
          return this.#break("Protocol error: unauthenticated bulk length");
        }
        this.#at = this.#scanned;
        this.#bulk = size;
        if (size > limits.bulkBytesMax || this.#at + size - this.#from > limits.requestBytesMax) {
          this.#refused = true;
        }
      }
      const end = this.#at + this.#bulk;
      if (this.#refused) this.#drop(end + 2);
      else if (end + 2 > this.#end) return Found.nothing;
      else this.#place(this.#at, end);
      this.#bulk = -1;
      this.#left--;
      // What is to be dropped is still to come, and so may be further arguments.
      if (this.#skip > 0 && this.#left > 0) return Found.nothing;
    }
    return this.#refused ? Found.refused : Found.request;
  }

  #place(from: number, end: number): void {
    const i = 2 * this.argc++;
    if (i >= this.#places.length) {
      const larger = new Int32Array(this.#places.length * 2);
      larger.set(this.#places);
      this.#places = larger;
    }
    this.#places[i] = from;
    this.#places[i + 1] = end;
    this.#at = end + 2;
  }

  /** Keeps nothing of the request up to `end`, which may be beyond what is there. */
  #drop(end: number): void {
    this.argc = 0;
    this.#skip = Math.max(end - this.#end, 0);
    this.#at = Math.min(end, this.#end);
    this.#from = this.#at;
  }

  /**
   * The number from `from` to the end of its line, behind which `#scanned` is then, or one of the negative numbers
   * above.
   */
  #length(from: number): number {
    const buffer = this.#buffer;
    const end = this.#end;
    let at = from;
    let value = 0;
    // Up to nine digits and no leading zero: nearly always.
    const first = at < end ? buffer[at]! - 0x30 : -1;
    if (first >= 0 && first <= 9) {
      for (let digit = first; digit >= 0 && digit <= 9 && at - from < 10; ) {
        value = value * 10 + digit;
        digit = ++at < end ? buffer[at]! - 0x30 : -1;
      }
      if (at + 1 < end && buffer[at] === cr && at - from < 10 && (first > 0 || at - from === 1)) {
        this.#scanned = at + 2;
        return value;
      }
    }
    return this.#unusualLength(from);
  }

  #unusualLength(from: number): number {
    const found = this.#buffer.subarray(0, this.#end).indexOf(cr, Math.max(this.#scanned, from));
    if ((found === -1 ? this.#end : found) - from >= this.#limits.lineBytesMax) return tooLong;
    if (found === -1 || found + 1 >= this.#end) {
      this.#scanned = found === -1 ? this.#end : found;
      return incomplete;
    }
    this.#scanned = found + 2;
    const text = this.#buffer.toString("latin1", from, found);
    if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return invalid;
    return text.startsWith("-") ? negative : Number(text);
  }

  #expectedDollar(): Found {
    const byte = this.#buffer[this.#at]!;
    // Redis writes it as C does: a zero byte ends the text.
    return this.#break(
      `Protocol error: expected '$', got '${byte === 0 ? "" : `${String.fromCharCode(byte)}'`}`,
    );
  }

  #line(): Found {
    const { lineBytesMax } = this.#limits;
    const found = this.#buffer.subarray(0, this.#end).indexOf(lf, Math.max(this.#scanned, this.#at));
    if ((found === -1 ? this.#end : found) - this.#at > lineBytesMax) {
      return this.#break("Protocol error: too big inline request");
    }
    if (found === -1) {
      this.#scanned = this.#end;
      return Found.nothing;
    }
    const end = found > this.#at && this.#buffer[found - 1] === cr ? found - 1 : found;
    const args = splitLine(this.#buffer.subarray(this.#at, end));
    if (args === undefined) return this.#break("Protocol error: unbalanced quotes in request");
    this.#at = found + 1;
    this.#inline = args;
    this.argc = args.length;
    return Found.request;
  }

  #break(error: string): Found {
    this.error = error;
    this.#broken = true;
    this.#buffer = noBytes;
    this.#at = 0;
    this.#end = 0;
    this.#left = 0;
    return Found.broken;
  }
}
