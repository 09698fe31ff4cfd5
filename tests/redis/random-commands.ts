/** Commands at random, as fast-check draws and shrinks them: mostly right, now and then wrong in some way. */
import fc from "fast-check";
import type { Argument } from "../support/redis-resp.ts";

/** One step of a sequence. */
export interface Step {
  /** 0 is the connection of most steps; 1 another one, for WATCH. */
  readonly connection: 0 | 1;
  readonly args: readonly Argument[];
}

type Arguments = fc.Arbitrary<Argument[]>;

/** Few, so that commands meet; several slots, `{t}` one; one that is no text. */
const keys: Argument[] = [
  "a",
  "b",
  "key:42",
  "{t}1",
  "{t}2",
  "{t}3",
  "long".repeat(60),
  Buffer.from([0, 255, 13, 10]),
];
const key = fc.constantFrom(...keys);
const keysOfOneSlot = fc.constantFrom("{t}1", "{t}2", "{t}3");

const value: fc.Arbitrary<Argument> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom("", "0", "10", "-5", "hello", "3.5", "x".repeat(44), "x".repeat(45)),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "9223372036854775807",
      "-9223372036854775808",
      "9223372036854775808",
      "01",
      " 1",
      "+1",
      "-0",
      "1e3",
      "nan",
      "inf",
      "5.0e3",
      "0.25",
    ),
  },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: fc.constantFrom("v".repeat(1_000), "\r\n$3\r\n") },
);
const number = fc.constantFrom(
  "1",
  "-1",
  "0",
  "7",
  "100",
  "-3",
  "9223372036854775807",
  "-9223372036854775808",
  "9223372036854775808",
  "1.5",
  "x",
  "",
  " 1",
  "01",
);
const float = fc.constantFrom(
  ...["1", "-2", "1e2", "3.0e3", "nan", "inf", "-inf", "x", "", " 1", "100000000000000000"],
);
/** Fractions that a binary number holds exactly: Redis counts in those of 80 bits, this project in decimals. */
const fraction = fc.constantFrom("0.5", "-2.25", "1.125e1", "3", "1e-3x");
const index = fc.constantFrom("0", "1", "-1", "3", "-3", "10", "-100", "100", "x", "9223372036854775807");
/** Too far for either, or near: what lies between differs, see `differences.ts`. */
const writeOffset = fc.constantFrom("0", "1", "5", "30", "-1", "x", "536870912", "9223372036854775807");
/** Either long, so that no key expires while a sequence runs, or over at once, or wrong. */
const seconds = fc.constantFrom("100", "1000", "100000", "0", "-1", "x", "", "9223372036854775807", "1.5");
const milliseconds = fc.constantFrom("100000", "999999", "0", "-1", "x", "9223372036854775807");
const unixSeconds = fc.constantFrom("33177117420", "33177117421", "1", "0", "-1", "x", "9223372036854775807");
const unixMilliseconds = fc.constantFrom("33177117420000", "33177117420001", "1", "0", "-1", "x");

const all = (...parts: fc.Arbitrary<Argument>[]): Arguments => fc.tuple(...parts);
const listOf = (part: fc.Arbitrary<Argument>, minLength = 1): Arguments =>
  fc.array(part, { minLength, maxLength: 4 });
const joined = (...parts: Arguments[]): Arguments => fc.tuple(...parts).map((lists) => lists.flat());
/** Some of these, in any order, each at most once: options that go together and options that don't. */
const someOf = (...parts: Arguments[]): Arguments =>
  fc.shuffledSubarray(parts, { maxLength: Math.min(3, parts.length) }).chain((chosen) => joined(...chosen));
const none: Arguments = fc.constant<Argument[]>([]);
const word = (...words: string[]): Arguments => fc.constantFrom(...words).map((one) => [one]);
const pairs = (of: fc.Arbitrary<Argument>): Arguments =>
  fc.array(fc.tuple(of, value), { minLength: 1, maxLength: 3 }).map((list) => list.flat());

const expiryOptions = [
  joined(word("EX"), all(seconds)),
  joined(word("px"), all(milliseconds)),
  joined(word("EXAT"), all(unixSeconds)),
  joined(word("PXAT"), all(unixMilliseconds)),
];
const setOptions = someOf(...expiryOptions, word("NX", "XX"), word("GET"), word("KEEPTTL"));
const oneExpiry = fc.oneof(...expiryOptions, word("PERSIST"));
const expireFlags = someOf(word("NX"), word("xx"), word("GT"), word("LT"));

const strings: Record<string, Arguments> = {
  GET: all(fc.oneof({ weight: 9, arbitrary: key }, { weight: 1, arbitrary: fc.constant("fraction") })),
  SET: fc.oneof(all(key, value), joined(all(key, value), setOptions)),
  SETEX: all(key, seconds, value),
  PSETEX: all(key, milliseconds, value),
  SETNX: all(key, value),
  GETSET: all(key, value),
  GETDEL: all(key),
  GETEX: fc.oneof(all(key), joined(all(key), oneExpiry), joined(all(key), oneExpiry, oneExpiry)),
  MGET: listOf(key),
  MSET: pairs(key),
  MSETNX: fc.oneof(pairs(keysOfOneSlot), pairs(fc.constantFrom<Argument>("{t}1", "{t}2"))),
  APPEND: all(key, value),
  STRLEN: all(key),
  GETRANGE: all(key, index, index),
  SETRANGE: all(key, writeOffset, value),
  INCR: all(key),
  DECR: all(key),
  INCRBY: all(key, number),
  DECRBY: all(key, number),
  INCRBYFLOAT: fc.oneof(all(key, float), all(fc.constant("fraction"), fraction)),
};

const keyspace: Record<string, Arguments> = {
  DEL: listOf(key),
  UNLINK: listOf(key),
  EXISTS: listOf(key),
  TOUCH: listOf(key),
  TYPE: all(key),
  EXPIRE: joined(all(key, seconds), expireFlags),
  PEXPIRE: joined(all(key, milliseconds), expireFlags),
  EXPIREAT: joined(all(key, unixSeconds), expireFlags),
  PEXPIREAT: joined(all(key, unixMilliseconds), expireFlags),
  TTL: all(key),
  PTTL: all(key),
  EXPIRETIME: all(key),
  PEXPIRETIME: all(key),
  PERSIST: all(key),
  RENAME: all(key, key),
  RENAMENX: all(key, key),
  COPY: fc.oneof(
    all(key, key),
    joined(
      all(key, key),
      someOf(
        word("REPLACE"),
        word("DB").map(() => ["DB", "0"]),
      ),
    ),
  ),
  RANDOMKEY: none,
  DBSIZE: none,
  KEYS: all(fc.constantFrom("*", "a", "{t}*", "key:?2", "[ab]", "[^a]", "k*[0-9]", "\\*", "", "nothing*")),
  SCAN: joined(
    word("0", "0", "0", "x", "-1"),
    someOf(
      joined(word("MATCH"), all(fc.constantFrom("*", "{t}*", "[ab]", "key:*"))),
      joined(word("COUNT"), all(fc.constantFrom("1", "2", "1000", "0", "-1", "x"))),
      joined(word("TYPE"), word("string", "hash", "nothing")),
    ),
  ),
  OBJECT: fc.oneof(joined(word("ENCODING", "IDLETIME", "encoding"), all(key)), word("NOPE")),
  MEMORY: joined(word("USAGE"), all(key)),
  FLUSHDB: fc.oneof(none, word("ASYNC", "SYNC", "NOPE")),
  FLUSHALL: fc.oneof(none, word("async", "NOPE")),
};

const connection: Record<string, Arguments> = {
  PING: fc.oneof(none, all(value)),
  ECHO: all(value),
  SELECT: word("0", "x", "-1", "99999"),
  CLIENT: fc.oneof(
    word("GETNAME", "ID", "NOPE"),
    joined(word("SETNAME"), word("me", "", "a b")),
    joined(word("NO-EVICT"), word("on", "off", "x")),
    joined(word("REPLY"), word("x", "ON")),
  ),
  AUTH: fc.oneof(word("secret"), fc.constant<Argument[]>(["default", "secret"])),
  HELLO: fc.constantFrom<Argument[]>(["1"], ["4"], ["x"], ["3", "NOPE"], ["2", "AUTH", "default"]),
  PUBLISH: all(fc.constantFrom("nobody", "listens"), value),
  UNWATCH: none,
  EVALSHA: fc.constantFrom<Argument[]>(
    ["f".repeat(40), "0"],
    ["abc", "1", "a"],
    ["abc", "2", "a"],
    ["abc", "x"],
  ),
  SCRIPT: fc.constantFrom<Argument[]>(["EXISTS", "f".repeat(40)], ["NOPE"], ["FLUSH"], ["FLUSH", "NOPE"]),
  COMMAND: fc.constantFrom<Argument[]>(
    ["GETKEYS", "GET", "a"],
    ["GETKEYS", "MSET", "a", "1", "b", "2"],
    ["GETKEYS", "PING"],
    ["GETKEYS", "NOPE", "a"],
    ["GETKEYS", "GET"],
    ["NOPE"],
  ),
  NOPE: listOf(value, 0),
};

const transactions: Record<string, Arguments> = {
  MULTI: none,
  EXEC: none,
  DISCARD: none,
  WATCH: listOf(key),
};

/** Every command here, in upper case. */
export const namesAtRandom: readonly string[] = [strings, keyspace, connection, transactions].flatMap(
  Object.keys,
);

/** Wrong in one of the ways in which people are. */
function spoilt(right: readonly Argument[], how: number, at: number): Argument[] {
  const place = right.length === 0 ? 0 : at % right.length;
  // What moves into a key's place isn't to be empty: no key of this project is.
  const args = right.map((arg) => (arg.length === 0 ? "none" : arg));
  if (how === 0) return args.slice(0, -1);
  if (how === 1) return [...args, "extra"];
  if (how === 2) return args.map((arg, i) => (i === place ? "junk" : arg));
  return [...args.slice(0, place), ...args.slice(place + 1)];
}

function commandsOf(table: Readonly<Record<string, Arguments>>): fc.Arbitrary<Argument[]> {
  const each = Object.entries(table).map(([name, args]) =>
    fc
      .tuple(fc.constantFrom(name, name, name.toLowerCase()), args, fc.nat(11), fc.nat(5))
      .map(([spelling, right, how, at]) => [
        spelling,
        ...(how < 4 && at < 2 ? spoilt(right, how, at) : right),
      ]),
  );
  return fc.oneof(...each);
}

const anyCommand = (withTransactions: boolean): fc.Arbitrary<Argument[]> =>
  fc.oneof(
    { weight: 8, arbitrary: commandsOf(strings) },
    { weight: 6, arbitrary: commandsOf(keyspace) },
    { weight: 1, arbitrary: commandsOf(connection) },
    ...(withTransactions ? [{ weight: 3, arbitrary: commandsOf(transactions) }] : []),
  );

/** For one connection: it can be sent without waiting for replies. */
export const sequenceOfOne: fc.Arbitrary<Step[]> = fc.array(
  anyCommand(true).map((args) => ({ connection: 0 as const, args })),
  { minLength: 1, maxLength: 30, size: "max" },
);

/** For two connections, whose steps are taken one after the other. */
export const sequenceOfTwo: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    connection: fc.constantFrom(0 as const, 0 as const, 1 as const),
    args: fc.oneof(
      {
        weight: 3,
        arbitrary: commandsOf({ ...transactions, SET: all(key, value), GET: all(key), DEL: listOf(key) }),
      },
      { weight: 2, arbitrary: anyCommand(true) },
    ),
  }),
  { minLength: 1, maxLength: 30, size: "max" },
);
