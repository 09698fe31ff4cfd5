/**
 * Mutated requests for the parser of the Redis door. Each input is parsed twice, cut into chunks and whole, and must lead to the
 * same requests or the same error; whatever it is, the parser stops, holds no more than it was given, and throws nothing.
 */
import { defaultRedisLimits, type RedisLimits } from "../../src/redis/limits.ts";
import { Found, RequestParser } from "../../src/redis/parser.ts";

/** Small, so that inputs of some hundred bytes meet every bound. */
const limits: RedisLimits = {
  ...defaultRedisLimits,
  protocolBulkBytesMax: 400,
  bulkBytesMax: 120,
  requestBytesMax: 300,
  argumentsMax: 20,
  lineBytesMax: 60,
};
const inputBytesMax = 1_024;

const words = [
  "GET",
  "SET",
  "a",
  "",
  "key:1",
  "v".repeat(60),
  "w".repeat(150),
  "\r\n",
  "*1\r\n",
  "$3\r\n",
  '"',
  "'",
  "\0",
];
const pieces = [
  ...[
    "*",
    "$",
    "\r\n",
    "\r",
    "\n",
    "-1",
    "0",
    "00",
    "+1",
    "536870913",
    "9223372036854775808",
    "*3\r\n",
    "$5\r\n",
    "$-1\r\n",
  ],
  ...[
    "PING\r\n",
    '"a b"',
    "'",
    "\\x41",
    "\\",
    " ",
    "\0",
    "x".repeat(61),
    "1".repeat(70),
    ":1\r\n",
    "*2000000\r\n",
    "*15\r\n",
  ],
].map((text) => Buffer.from(text, "latin1"));

/** Xorshift: a seed, whole numbers below a bound. Not 0. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 1;
  }

  below(bound: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % bound;
  }
}

/** What inputs led to: shows that they go everywhere. */
export interface Seen {
  requests: number;
  refused: number;
  readonly errors: Map<string, number>;
}

export class Fuzzer {
  readonly seen: Seen = { requests: 0, refused: 0, errors: new Map() };
  readonly #chance: Chance;
  readonly #input = Buffer.alloc(inputBytesMax);
  #size = 0;

  constructor(seed: number) {
    this.#chance = new Chance(seed);
  }

  /** Makes and parses one input; throws an error that shows it if it leads to anything but requests and errors. */
  one(): void {
    this.#make();
    // A copy: the parser keeps views of it.
    const input = Buffer.from(this.#input.subarray(0, this.#size));
    const authenticated = this.#chance.below(8) > 0;
    try {
      const whole = this.#parse([input], authenticated);
      const cut = this.#parse(this.#cut(input), authenticated);
      if (whole !== cut) throw new Error(`whole: ${JSON.stringify(whole)}\ncut: ${JSON.stringify(cut)}`);
    } catch (cause) {
      throw new Error(`input ${JSON.stringify(input.toString("latin1"))}`, { cause });
    }
  }

  #make(): void {
    this.#size = 0;
    for (let n = 1 + this.#chance.below(4); n > 0; n--) this.#addRequest();
    for (let n = this.#chance.below(6); n > 0; n--) this.#mutate();
  }

  #addRequest(): void {
    const args = Array.from(
      { length: 1 + this.#chance.below(4) },
      () => words[this.#chance.below(words.length)]!,
    );
    const isInline = this.#chance.below(4) === 0;
    const text = isInline
      ? `${args.join(" ")}\r\n`
      : `*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join("")}`;
    const size = Math.min(text.length, inputBytesMax - this.#size);
    this.#input.write(text.slice(0, size), this.#size, "latin1");
    this.#size += size;
  }

  #mutate(): void {
    const chance = this.#chance;
    const at = chance.below(this.#size + 1);
    switch (chance.below(6)) {
      case 0:
        this.#input[Math.min(at, inputBytesMax - 1)] = chance.below(256);
        break;
      case 1:
        this.#replace(at, chance.below(8), Buffer.alloc(0));
        break;
      case 2:
        this.#replace(at, 0, pieces[chance.below(pieces.length)]!);
        break;
      case 3: {
        const piece = pieces[chance.below(pieces.length)]!;
        this.#replace(at, piece.length, piece);
        break;
      }
      case 4: {
        const from = chance.below(this.#size + 1);
        this.#replace(
          at,
          0,
          Buffer.from(this.#input.subarray(from, Math.min(from + chance.below(40), this.#size))),
        );
        break;
      }
      default:
        if (chance.below(3) === 0) this.#size = at;
        else if (at < this.#size) this.#input[at]! ^= 1 << chance.below(8);
    }
  }

  #replace(at: number, removed: number, inserted: Buffer): void {
    const rest = Buffer.from(this.#input.subarray(Math.min(at + removed, this.#size), this.#size));
    let end = at;
    for (const part of [inserted, rest]) {
      const size = Math.min(part.length, inputBytesMax - end);
      this.#input.set(part.subarray(0, size), end);
      end += size;
    }
    this.#size = end;
  }

  #cut(input: Buffer): Buffer[] {
    const chunks: Buffer[] = [];
    const most = 1 + this.#chance.below(1 + this.#chance.below(100));
    for (let at = 0; at < input.length; ) {
      const size = 1 + this.#chance.below(most);
      chunks.push(input.subarray(at, at + size));
      at += size;
    }
    return chunks;
  }

  /** All that was found, as one text. */
  #parse(chunks: readonly Buffer[], authenticated: boolean): string {
    const parser = new RequestParser(limits);
    parser.authenticated = authenticated;
    let text = "";
    let given = 0;
    for (const chunk of chunks) {
      given += chunk.length;
      parser.feed(chunk);
      // Every request takes a byte at least.
      for (let left = given + 2; ; left--) {
        if (left === 0) throw new Error("the parser doesn't stop");
        const found = parser.next();
        if (found === Found.nothing) break;
        text += this.#note(parser, found);
        if (found === Found.broken) return text;
      }
      if (parser.heldBytes < 0 || parser.heldBytes > given)
        throw new Error(`it holds ${parser.heldBytes} bytes`);
    }
    return text;
  }

  #note(parser: RequestParser, found: Found): string {
    const { seen } = this;
    if (found === Found.broken) {
      seen.errors.set(parser.error, (seen.errors.get(parser.error) ?? 0) + 1);
      return parser.error;
    }
    if (found === Found.refused) {
      seen.refused++;
      return "refused;";
    }
    seen.requests++;
    let text = "";
    for (const arg of parser.args()) {
      if (arg.length > limits.bulkBytesMax) throw new Error(`an argument of ${arg.length} bytes`);
      text += `${arg.toString("latin1")},`;
    }
    return `${text};`;
  }
}
