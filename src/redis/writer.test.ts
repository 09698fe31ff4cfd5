import { describe, expect, test } from "vitest";
import { ReplyWriter } from "./writer.ts";

type Write = (out: ReplyWriter) => void;

function written(write: Write, protocol: 2 | 3): string {
  const out = new ReplyWriter(protocol, 16);
  write(out);
  return out.bytes.toString("latin1");
}

const cases: readonly (readonly [name: string, write: Write, resp2: string, resp3?: string])[] = [
  ["OK", (out) => out.ok(), "+OK\r\n"],
  ["a word", (out) => out.simple("QUEUED"), "+QUEUED\r\n"],
  ["an error", (out) => out.error("ERR no"), "-ERR no\r\n"],
  ["an error of two lines", (out) => out.error("ERR a\r\nb\n\u00e9"), "-ERR a  b \u00c3\u00a9\r\n"],
  ["an error with a client's bytes", (out) => out.errorLatin1("ERR '\u00ff\n'"), "-ERR '\u00ff '\r\n"],
  ["a bulk string", (out) => out.bulk(Buffer.from([0, 13, 10, 255])), "$4\r\n\0\r\n\u00ff\r\n"],
  ["an empty one", (out) => out.bulk(Buffer.alloc(0)), "$0\r\n\r\n"],
  ["a long one", (out) => out.bulk(Buffer.alloc(100_000, "x")), `$100000\r\n${"x".repeat(100_000)}\r\n`],
  ["text", (out) => out.text("\u00e9"), "$2\r\n\u00c3\u00a9\r\n"],
  ["null", (out) => out.null(), "$-1\r\n", "_\r\n"],
  ["a null array", (out) => out.nullArray(), "*-1\r\n", "_\r\n"],
  ["an array", (out) => out.array(12), "*12\r\n"],
  ["a map", (out) => out.map(3), "*6\r\n", "%3\r\n"],
  ["a set", (out) => out.set(3), "*3\r\n", "~3\r\n"],
  ["a push", (out) => out.push(3), "*3\r\n", ">3\r\n"],
  ["a double", (out) => out.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"],
  ["infinity", (out) => out.double(-Infinity), "$4\r\n-inf\r\n", ",-inf\r\n"],
  ["no number", (out) => out.double(Number.NaN), "$3\r\nnan\r\n", ",nan\r\n"],
  [
    "a big number",
    (out) => out.bigNumber(2n ** 70n),
    "$22\r\n1180591620717411303424\r\n",
    "(1180591620717411303424\r\n",
  ],
  ["true", (out) => out.boolean(true), ":1\r\n", "#t\r\n"],
  ["false", (out) => out.boolean(false), ":0\r\n", "#f\r\n"],
  ["verbatim text", (out) => out.verbatim("\u00e9"), "$2\r\n\u00c3\u00a9\r\n", "=6\r\ntxt:\u00c3\u00a9\r\n"],
  ["bytes as they are", (out) => out.raw(Buffer.from(":1\r\n")), ":1\r\n"],
];

describe.each([2, 3] as const)("RESP%i", (protocol) => {
  test.each(cases.map(([name, write, resp2, resp3]) => ({ name, write, resp2, resp3 })))(
    "$name",
    ({ write, resp2, resp3 }) => {
      expect(written(write, protocol)).toBe(protocol === 2 ? resp2 : (resp3 ?? resp2));
    },
  );
});

test.each([
  0,
  1,
  9,
  10,
  99,
  100,
  101,
  999_999_999,
  1_000_000_000,
  2 ** 53 - 1,
  -1,
  -10,
  2n ** 63n - 1n,
  -(2n ** 63n),
])("the integer %i", (value) => {
  expect(written((out) => out.integer(value), 2)).toBe(`:${value}\r\n`);
});

test("what is handed over stays as it is when more is written", () => {
  const out = new ReplyWriter();
  out.text("first");
  const { bytes } = out;
  out.abandon();
  expect(out.size).toBe(0);
  out.text("other");
  expect(bytes.toString()).toBe("$5\r\nfirst\r\n");
  expect(out.bytes.toString()).toBe("$5\r\nother\r\n");
});

test("what was undone isn't there", () => {
  const out = new ReplyWriter();
  out.ok();
  const { size } = out;
  out.text("x".repeat(10_000));
  out.truncate(size);
  out.null();
  expect(out.bytes.toString()).toBe("+OK\r\n$-1\r\n");
});
