import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { defaultRedisLimits, type RedisLimits } from "./limits.ts";
import { Found, RequestParser } from "./parser.ts";

const limits = { ...defaultRedisLimits, bulkBytesMax: 100, requestBytesMax: 1_000, argumentsMax: 50 };

interface Setting {
  readonly limits?: Partial<RedisLimits>;
  readonly authenticated?: boolean;
}

/** What the parser makes of the bytes: requests as lists of latin1 strings, `refused`, or an error. */
type Seen = readonly string[] | "refused" | { readonly error: string };

function parse(
  chunks: readonly Buffer[],
  { limits: changed = {}, authenticated = true }: Setting = {},
): Seen[] {
  const parser = new RequestParser({ ...limits, ...changed });
  parser.authenticated = authenticated;
  const seen: Seen[] = [];
  const kept: { readonly args: readonly Buffer[]; readonly text: readonly string[] }[] = [];
  for (const chunk of chunks) {
    parser.feed(Buffer.from(chunk));
    for (let found = parser.next(); found !== Found.nothing; found = parser.next()) {
      if (found === Found.broken) {
        seen.push({ error: parser.error });
        break;
      }
      if (found === Found.refused) seen.push("refused");
      else {
        const args = parser.args();
        const text = args.map((arg) => arg.toString("latin1"));
        kept.push({ args, text });
        seen.push(text);
      }
    }
    if (parser.error !== "") break;
  }
  // What was kept is as it was: nothing has been written over it.
  for (const { args, text } of kept) expect(args.map((arg) => arg.toString("latin1"))).toEqual(text);
  return seen;
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function everyByte(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (byte) => Buffer.from([byte]));
}

function encode(args: readonly string[]): string {
  return `*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join("")}`;
}

const broken = (error: string): Seen => ({ error: `Protocol error: ${error}` });

const cases: readonly (readonly [name: string, text: string, seen: readonly Seen[], setting?: Setting])[] = [
  ["a request", "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", [["GET", "a"]]],
  ["an empty argument", "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", [["ECHO", ""]]],
  [
    "every byte there is",
    encode([String.fromCharCode(...Array(100).keys())]),
    [[String.fromCharCode(...Array(100).keys())]],
  ],
  ["line ends in arguments", encode(["SET", "\r\n", "$5\r\n"]), [["SET", "\r\n", "$5\r\n"]]],
  ["several requests", `${encode(["GET", "a"])}${encode(["PING"])}`, [["GET", "a"], ["PING"]]],
  ["requests for nothing", `*0\r\n*-1\r\n*-10\r\n${encode(["PING"])}`, [["PING"]]],
  ["any two bytes as an argument's end", "*1\r\n$4\r\nPINGxy*1\r\n$4\r\nPING\r\n", [["PING"], ["PING"]]],
  ["any byte behind a length's CR", "*1\rx$4\ryPING\r\n", [["PING"]]],
  ["an inline request", "PING\r\n", [["PING"]]],
  ["an inline request that ends with LF", "SET a b\n", [["SET", "a", "b"]]],
  ["spaces of all kinds around words", " \t SET\v a\f  b \r\n", [["SET", "a", "b"]]],
  ["empty lines", "\r\n\n  \r\nPING\r\n", [["PING"]]],
  ["quotes", `ECHO "a b\\x41\\n\\"" 'c\\'d\\n'\r\n`, [["ECHO", 'a bA\n"', "c'd\\n"]]],
  ["escapes", `"\\r\\t\\b\\a\\q\\xzz\\x4"\n`, [["\r\t\b\x07qxzzx4"]]],
  ["empty quotes", `ECHO "" ''\n`, [["ECHO", "", ""]]],
  ["a quote within a word", `a"b"\n`, [["ab"]]],
  ["a zero byte, which ends a line's text", "PING\0 x\r\n", [["PING"]]],
  [
    "inline between others",
    `${encode(["GET", "a"])}PING\r\n${encode(["GET", "b"])}`,
    [["GET", "a"], ["PING"], ["GET", "b"]],
  ],
  ["an open quote", `${encode(["PING"])}GET "a\r\n`, [["PING"], broken("unbalanced quotes in request")]],
  ["an open single quote", "GET 'a\\'\r\n", [broken("unbalanced quotes in request")]],
  ["text behind a closing quote", `GET "a"b\r\n`, [broken("unbalanced quotes in request")]],
  ["a long line", `GET ${"a".repeat(65_533)}`, [broken("too big inline request")]],
  ["a long line that ends", `GET ${"a".repeat(70_000)}\r\n`, [broken("too big inline request")]],
  ["a number of arguments that is none", "*x\r\n", [broken("invalid multibulk length")]],
  ["an empty one", "*\r\n", [broken("invalid multibulk length")]],
  ["one with a leading zero", "*01\r\n", [broken("invalid multibulk length")]],
  ["one with a plus", "*+1\r\n", [broken("invalid multibulk length")]],
  ["one with a space", "* 1\r\n", [broken("invalid multibulk length")]],
  ["minus zero", "*-0\r\n", [broken("invalid multibulk length")]],
  ["a fraction", "*1.0\r\n", [broken("invalid multibulk length")]],
  ["too many arguments", "*51\r\n", [broken("invalid multibulk length")]],
  ["2^63 of them", "*9223372036854775808\r\n", [broken("invalid multibulk length")]],
  ["2^64 + 1 of them", "*18446744073709551617\r\n", [broken("invalid multibulk length")]],
  ["a long number of arguments", `*${"1".repeat(70_000)}`, [broken("too big mbulk count string")]],
  ["one that ends", `*${"1".repeat(70_000)}\r\n`, [broken("too big mbulk count string")]],
  ["no dollar", "*1\r\n:1\r\n", [broken("expected '$', got ':'")]],
  ["a line end for a dollar", "*1\r\n\r\n", [broken("expected '$', got '\r'")]],
  ["a zero byte for a dollar", "*1\r\n\0\r\n", [broken("expected '$', got '")]],
  ["no dollar with an invalid length", "*1\r\nxy\r\n", [broken("expected '$', got 'x'")]],
  ["a length that is none", "*1\r\n$x\r\n", [broken("invalid bulk length")]],
  ["an empty length", "*1\r\n$\r\n", [broken("invalid bulk length")]],
  ["a negative length", "*2\r\n$4\r\nPING\r\n$-1\r\n", [broken("invalid bulk length")]],
  ["more than 512 MiB", "*1\r\n$536870913\r\n", [broken("invalid bulk length")]],
  ["a length of 2^64", "*1\r\n$18446744073709551616\r\n", [broken("invalid bulk length")]],
  ["a long length", `*1\r\n$${"1".repeat(70_000)}`, [broken("too big bulk count string")]],
  ["a value that is too large", `${encode(["SET", "a", "v".repeat(101)])}PING\r\n`, ["refused", ["PING"]]],
  [
    "a large one among others",
    `${encode(["SET", "v".repeat(200), "a"])}${encode(["PING"])}`,
    ["refused", ["PING"]],
  ],
  ["two large ones", `${encode(["v".repeat(200), "v".repeat(300)])}PING\n`, ["refused", ["PING"]]],
  [
    "arguments that are too much together",
    `${encode(Array(12).fill("v".repeat(90)))}PING\r\n`,
    ["refused", ["PING"]],
  ],
  [
    "11 arguments before AUTH",
    "*11\r\n",
    [broken("unauthenticated multibulk length")],
    { authenticated: false },
  ],
  ["10 arguments before AUTH", encode(Array(10).fill("a")), [Array(10).fill("a")], { authenticated: false }],
  [
    "a large argument before AUTH",
    "*1\r\n$16385\r\n",
    [broken("unauthenticated bulk length")],
    { authenticated: false, limits: { bulkBytesMax: 100_000, requestBytesMax: 200_000 } },
  ],
];

const named = cases.map(([name, text, seen, setting]) => ({ name, text, seen, setting }));

describe("whole", () => {
  test.each(named)("$name", ({ text, seen, setting }) => {
    expect(parse([bytesOf(text)], setting)).toEqual(seen);
  });
});

describe("byte by byte", () => {
  test.each(named)("$name", ({ text, seen, setting }) => {
    expect(parse(everyByte(bytesOf(text)), setting)).toEqual(seen);
  });
});

describe("in two parts, cut at every byte", () => {
  const short = named.filter(({ text }) => text.length < 500);
  test.each(short)("$name", ({ text, seen, setting }) => {
    const bytes = bytesOf(text);
    for (let at = 1; at < bytes.length; at++) {
      expect(parse([bytes.subarray(0, at), bytes.subarray(at)], setting)).toEqual(seen);
    }
  });
});

test("what isn't whole yet is nothing", () => {
  const text = encode(["SET", "key", "value"]);
  for (let size = 0; size < text.length; size++) expect(parse([bytesOf(text.slice(0, size))])).toEqual([]);
});

test("any requests in any chunks", () => {
  const args = fc.array(fc.string({ unit: "binary", maxLength: 90 }), { minLength: 1, maxLength: 8 });
  const latin1 = args.map((list) => list.map((arg) => Buffer.from(arg).toString("latin1").slice(0, 90)));
  const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(fc.array(latin1, { maxLength: 12 }), cuts, (requests, sizes) => {
      const bytes = bytesOf(requests.map(encode).join(""));
      const chunks: Buffer[] = [];
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = sizes[i % sizes.length]!;
        chunks.push(bytes.subarray(at, at + size));
        at += size;
      }
      expect(parse(chunks)).toEqual(requests);
    }),
  );
});

test("a large value is put together without being copied over and over", () => {
  const parser = new RequestParser(defaultRedisLimits);
  const value = Buffer.alloc(8 * 1024 * 1024, "v");
  parser.feed(bytesOf(`*3\r\n$3\r\nSET\r\n$1\r\na\r\n$${value.length}\r\n`));
  for (let at = 0; at < value.length; at += 16_384) {
    expect(parser.next()).toBe(Found.nothing);
    parser.feed(value.subarray(at, at + 16_384));
  }
  parser.feed(bytesOf("\r\n"));
  expect(parser.next()).toBe(Found.request);
  expect(parser.arg(2).equals(value)).toBe(true);
  expect(parser.heldBytes).toBe(0);
});

test("nothing is kept of a value that is too large", () => {
  const parser = new RequestParser(defaultRedisLimits);
  const chunk = Buffer.alloc(1024 * 1024, "v");
  parser.feed(bytesOf(`*2\r\n$4\r\nECHO\r\n$${100 * chunk.length}\r\n`));
  const founds: number[] = [parser.next()];
  for (let i = 0; i < 100; i++) {
    parser.feed(chunk);
    founds.push(parser.next());
    expect(parser.heldBytes).toBe(0);
  }
  parser.feed(bytesOf("\r\nPING\r\n"));
  expect(founds.filter((found) => found !== Found.nothing)).toEqual([Found.refused]);
  expect(parser.next()).toBe(Found.request);
  expect(parser.args().map(String)).toEqual(["PING"]);
});
