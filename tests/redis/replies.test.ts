/**
 * Bytes that go to a real redis-server and to this cluster, whole and a byte at a time: everything that comes back until
 * the connection closes is the same.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encode, RespConnection } from "../support/redis-resp.ts";
import { type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RedisSubject, startRedisSubject } from "../support/redis-subject.ts";

let redis: RedisServer;
let subject: RedisSubject;

beforeAll(async () => {
  [redis, subject] = await Promise.all([startRedisServer(), startRedisSubject()]);
});
afterAll(async () => {
  await Promise.all([redis?.stop(), subject?.end()]);
});

/** What differs by nature: ids, versions, what is left of a lifetime. */
function withoutIds(bytes: Buffer): string {
  return bytes
    .toString("latin1")
    .replace(/(\$7\r\nversion\r\n)\$\d+\r\n[\d.]+/g, "$1(version)")
    .replace(/(\$2\r\nid\r\n):\d+/g, "$1(id)")
    .replace(/(\$4\r\nmode\r\n)\$\d+\r\n\w+/g, "$1(mode)");
}

async function received(port: number, bytes: Buffer, byByte: boolean): Promise<string> {
  const connection = await RespConnection.connect(port);
  await connection.send(bytes, byByte);
  const all = await connection.rest();
  connection.close();
  return withoutIds(all);
}

async function isTheSame(input: string, end = "QUIT\r\n"): Promise<void> {
  const bytes = Buffer.from(input + end, "latin1");
  const clear = async (port: number): Promise<void> => {
    const connection = await RespConnection.connect(port);
    expect(String(await connection.command("FLUSHALL"))).toBe("+OK\r\n");
    connection.close();
  };
  // Where a byte at a time would take too long, a piece of it says as much.
  for (const byByte of bytes.length < 5_000 ? [false, true] : [false]) {
    await Promise.all([clear(redis.port), clear(subject.ports[1])]);
    const [expected, actual] = [
      await received(redis.port, bytes, false),
      await received(subject.ports[1], bytes, byByte),
    ];
    expect(actual, byByte ? "a byte at a time" : "whole").toBe(expected);
    expect(expected).not.toBe("");
  }
}

/** Commands as a person would type them, sent as clients send them. */
const commands = (...lines: readonly string[]): string =>
  lines
    .map((line) => encode(line.split(" ").map((word) => word.replaceAll("_", " "))).toString("latin1"))
    .join("");

describe("inline commands", () => {
  test.each([
    ["simple", "PING\r\nSET a 1\r\nGET a\r\n"],
    ["ended by LF alone", "PING\nGET a\n"],
    ["with spaces around and between", "  PING  \r\n\tset   a  1 \r\nGET a\r\n"],
    ["empty lines", "\r\n\r\nPING\r\n\n"],
    ["quoted", `SET a "x y\\n\\x41\\""\r\nGET a\r\nSET a 'it\\'s\\n'\r\nGET a\r\nSET a ""\r\nGET a\r\n`],
    ["unbalanced", 'SET a "x\r\n'],
    ["text after a quote", 'SET a "x"y\r\n'],
    ["between others", `${commands("SET a 1")}GET a\r\n${commands("GET a")}`],
  ])("%s", (_, input) => isTheSame(input));
});

describe("what is no request", () => {
  test.each([
    ["no bulk", "*1\r\n:3\r\n"],
    ["another type", "*2\r\n$3\r\nGET\r\n+a\r\n"],
    ["a count that is no number", "*x\r\n"],
    ["a count with a space", "* 1\r\n"],
    ["too many arguments", "*2147483648\r\n"],
    ["more than an integer", "*99999999999999999999999\r\n"],
    ["none", "*0\r\n*-1\r\n*-5\r\n"],
    ["a negative length", "*1\r\n$-1\r\n"],
    ["a length that is no number", "*1\r\n$x\r\n"],
    ["a length too large", "*2\r\n$3\r\nGET\r\n$536870913\r\n"],
    ["an empty name", "*1\r\n$0\r\n\r\n"],
    ["after what was one", `${commands("SET a 1", "GET a")}*1\r\n!\r\n${commands("SET a 2")}`],
  ])("%s", (_, input) => isTheSame(input));

  test.each([
    ["no end to a line", "x".repeat(70_000)],
    ["no end to a count", `*${"1".repeat(70_000)}`],
    ["no end to a length", `*1\r\n$${"1".repeat(70_000)}`],
  ])("%s", (_, input) => isTheSame(input, ""));
});

describe("errors", () => {
  test.each([
    ["unknown", commands("nope", "NOPE a b", `NOPE ${"x".repeat(200)} y z`, "NOPE _quoted'", "get|set a")],
    ["with line ends in them", encode(["NO\r\nPE", "a\r\nb"]).toString("latin1")],
    [
      "subcommands",
      commands("CLIENT", "CLIENT NOPE", "OBJECT NOPE a", "CONFIG NOPE", "CLIENT REPLY", "SCRIPT"),
    ],
    ["arguments", commands("GET", "get a b", "MSET a", "MSET a b c", "SET a", "CLIENT SETNAME", "PING a b")],
    ["options", commands("SET a b EX", "SET a b NX XX", "SET a b EX 1 PX 1", "SET a b EX x")],
  ])("%s", (_, input) => isTheSame(input));
});

describe("connections", () => {
  test.each([
    ["HELLO", commands("HELLO", "HELLO 3", "HELLO 2", "HELLO 3 SETNAME me", "CLIENT GETNAME")],
    ["HELLO, wrong", commands("HELLO 4", "HELLO x", "HELLO 3 AUTH a", "HELLO 3 SETNAME a_b", "GET a")],
    ["HELLO with AUTH", commands("HELLO 3 AUTH default x", "HELLO 3 AUTH nobody x", "HELLO 2 AUTH")],
    ["AUTH", commands("AUTH x", "AUTH default x", "AUTH nobody x", "AUTH", "AUTH a b c")],
    ["RESET", commands("MULTI", "SET a 1", "RESET", "GET a", "CLIENT SETNAME me", "RESET", "CLIENT GETNAME")],
    ["RESET from RESP3", commands("HELLO 3", "RESET", "GET absent")],
    ["nulls in both", commands("GET absent", "MGET absent b", "HELLO 3", "GET absent", "MGET absent b")],
    ["SELECT", commands("SELECT 0", "SELECT -1", "SELECT x", "SELECT 99999", "SELECT")],
    ["REPLY OFF", commands("CLIENT REPLY OFF", "SET a 1", "NOPE", "CLIENT REPLY ON", "GET a")],
    ["REPLY SKIP", commands("CLIENT REPLY SKIP", "SET a 1", "GET a", "CLIENT REPLY SKIP", "GET a", "PING")],
    ["names", commands("CLIENT SETNAME me", "CLIENT GETNAME", "CLIENT SETNAME a_b", "CLIENT GETNAME")],
    ["WAIT", commands("WAIT x 0", "WAIT 0 x", "WAIT 0 -1", "WAIT 0")],
    ["QUIT and what follows", commands("SET a 1", "QUIT", "SET a 2")],
    ["READONLY where there is no cluster to speak of", commands("COMMAND GETKEYS READONLY")],
  ])("%s", (_, input) => isTheSame(input));
});

describe("transactions", () => {
  test.each([
    ["plain", commands("MULTI", "SET a 1", "INCR a", "GET a", "EXEC", "GET a")],
    [
      "over several slots",
      commands("MULTI", "SET a 1", "SET b 2", "MGET a b c", "DEL a b", "EXEC", "DBSIZE"),
    ],
    ["empty", commands("MULTI", "EXEC")],
    ["given up", commands("SET a 1", "MULTI", "SET a 2", "DISCARD", "GET a")],
    ["out of place", commands("EXEC", "DISCARD", "MULTI", "MULTI", "WATCH a", "EXEC")],
    ["with a wrong command", commands("MULTI", "SET a", "SET a 1", "EXEC", "GET a")],
    ["with an unknown command", commands("MULTI", "NOPE", "PING", "EXEC", "GET a")],
    ["with one that fails", commands("SET a x", "MULTI", "INCR a", "SET b 1", "EXEC", "GET b")],
    [
      "in RESP3",
      commands("HELLO 3", "MULTI", "GET absent", "SET a 1", "INCR a", "EXEC", "WATCH a", "UNWATCH"),
    ],
    ["watching one's own change", commands("WATCH a", "SET a 1", "MULTI", "GET a", "EXEC", "MULTI", "EXEC")],
    ["watching, and nothing queued", commands("WATCH a", "SET a 1", "MULTI", "EXEC")],
    ["given up with what was watched", commands("WATCH a", "MULTI", "DISCARD", "SET a 1", "MULTI", "EXEC")],
    ["watching in RESP3", commands("HELLO 3", "WATCH a", "SET a 1", "MULTI", "GET a", "EXEC")],
    ["expired by itself", commands("WATCH a", "MULTI", "SET a 1 EX 100", "PERSIST a", "TTL a", "EXEC")],
    ["then QUIT", commands("MULTI", "SET a 1")],
    ["AUTH and SELECT inside", commands("MULTI", "SELECT 0", "ECHO hi", "EXEC")],
  ])("%s", (_, input) => isTheSame(input));
});

describe.each([2, 3])("publish and subscribe in RESP%i", (protocol) => {
  test.each([
    ["nothing", ["UNSUBSCRIBE", "PUNSUBSCRIBE", "UNSUBSCRIBE a b"]],
    ["in and out", ["SUBSCRIBE a b a", "UNSUBSCRIBE a", "UNSUBSCRIBE c", "UNSUBSCRIBE", "GET a"]],
    [
      "patterns",
      ["PSUBSCRIBE a* b*", "SUBSCRIBE a", "PUNSUBSCRIBE b*", "UNSUBSCRIBE", "PUNSUBSCRIBE", "PING"],
    ],
    ["PING meanwhile", ["PING", "SUBSCRIBE a", "PING", "PING hi", "UNSUBSCRIBE", "PING"]],
    [
      "other commands meanwhile",
      ["SUBSCRIBE a", "GET a", "SET a 1", "MULTI", "NOPE", "UNSUBSCRIBE", "GET a"],
    ],
    ["RESET", ["SUBSCRIBE a", "PSUBSCRIBE b", "RESET", "PING"]],
    ["counts", ["SUBSCRIBE a", "UNSUBSCRIBE a", "PUBSUB NUMSUB", "PUBSUB NUMSUB a b", "PUBSUB CHANNELS"]],
    ["wrong", ["SUBSCRIBE", "PUBLISH a", "PUBSUB", "PUBSUB NOPE", "PUBSUB NUMPAT x"]],
    ["nobody listens", ["PUBLISH nobody hi"]],
    ["within a transaction", ["MULTI", "SUBSCRIBE a", "PUBLISH nobody hi", "EXEC", "PING", "UNSUBSCRIBE"]],
  ])("%s", (_, lines) => isTheSame(commands(...(protocol === 3 ? ["HELLO 3"] : []), ...lines)));

  test("a message, and one that matches a pattern too", async () => {
    const heard = async (port: number): Promise<string> => {
      const listener = await RespConnection.connect(port);
      const speaker = await RespConnection.connect(port);
      const replies: Buffer[] = [];
      if (protocol === 3) replies.push(await listener.command("HELLO", "3"));
      replies.push(
        await listener.command("SUBSCRIBE", "news"),
        await listener.command("PSUBSCRIBE", "n*", "*"),
      );
      replies.push(await listener.reply());
      await speaker.command("PUBLISH", "news", Buffer.from([0, 13, 10, 255]));
      // One of the channel and one of each pattern, in an order that Redis doesn't promise among patterns.
      const messages = [await listener.reply(), await listener.reply(), await listener.reply()];
      replies.push(...messages.sort(Buffer.compare), await listener.command("UNSUBSCRIBE"));
      listener.close();
      speaker.close();
      return withoutIds(Buffer.concat(replies));
    };
    expect(await heard(subject.ports[2])).toBe(await heard(redis.port));
  });
});
