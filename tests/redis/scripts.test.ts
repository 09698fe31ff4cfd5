/**
 * The scripts that packages send: what a real redis-server answers when it runs the Lua text, this cluster answers by
 * native code.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decode, type Node, RespConnection } from "../support/redis-resp.ts";
import { type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RedisSubject, startRedisSubject } from "../support/redis-subject.ts";

interface Script {
  readonly sentBy: string;
  readonly sha1: string;
  /** Which arguments it takes. */
  readonly shape: "window" | "banned" | "change" | "points";
  readonly text: string;
}

const scripts = JSON.parse(readFileSync(new URL("scripts.json", import.meta.url), "utf8")) as Script[];
const sha1Of = (text: string): string => createHash("sha1").update(text).digest("hex");

let redis: RedisServer;
let subject: RedisSubject;

beforeAll(async () => {
  [redis, subject] = await Promise.all([startRedisServer(), startRedisSubject()]);
});
afterAll(async () => {
  await Promise.all([redis?.stop(), subject?.end()]);
});

test("each is known by the hash of its text", () => {
  expect(scripts.map(({ text }) => sha1Of(text))).toEqual(scripts.map(({ sha1 }) => sha1));
});

/** What is before the script and between its runs: the states that a key can be in. */
const state = fc.constantFrom(
  ["DEL", "k"],
  ["SET", "k", "5"],
  ["SET", "k", "5", "EX", "1000"],
  ["SET", "k", "text"],
  ["SET", "k", "text", "EX", "1000"],
  // A Lua number is exact up to here and a bit.
  ["SET", "k", "9007199254740000", "EX", "1000"],
  ["PERSIST", "k"],
  ["PING"],
  ["PING"],
);
const whole = fc.constantFrom("1", "2", "5", "100000", "400000");
const time = fc.constantFrom("100000", "400000");
const flag = fc.constantFrom("true", "false", "0", "1");
/** What the packages send: nothing that is over while a test runs. */
const shapes: Readonly<Record<Script["shape"], fc.Arbitrary<string[]>>> = {
  window: fc.tuple(time, whole, flag, flag),
  banned: fc.tuple(time, whole, fc.constantFrom("-1", "1", "3"), flag),
  change: fc.tuple(flag, time),
  points: fc.tuple(whole, fc.constantFrom("1000", "2000"), fc.constant("3"), fc.constant("1000")),
};
/** And what nobody sends, as many as are used. */
const odd = fc.array(fc.constantFrom("100000", "0", "-1", "x", "1.5", ""), { minLength: 4, maxLength: 4 });

const apartMsMax = 10_000;
/** No expiry here is later than 8.64e15 ms since 1970: what is longer to come is as good as for ever. */
const longMs = 8.6e15;

/** Redis 7.0 has no `server`, which is Valkey's name for the same: it runs the text under its own. */
const runnable = (text: string): string => text.replaceAll("server.call", "redis.call");

/** Errors without the hash, which another text has; what is left of a lifetime is compared by `agree`. */
function agree(a: Node, b: Node): boolean {
  if (a.type !== b.type || a.elements?.length !== b.elements?.length) return false;
  if (a.elements !== undefined) return a.elements.every((one, i) => agree(one, b.elements![i]!));
  if (a.type === ":" && Number(a.text) > 50_000 && Number(b.text) > 50_000) {
    if (Number(a.text) > longMs && Number(b.text) > longMs) return true;
    return Math.abs(Number(a.text) - Number(b.text)) <= apartMsMax;
  }
  const plain = (text: string | undefined) => text?.replace(/script: [0-9a-f]{40}/, "script: (hash)");
  return plain(a.text) === plain(b.text);
}

describe.each([2, 3] as const)("RESP%i", (protocol) => {
  test.each(scripts)("$sentBy", { timeout: 60_000 }, async ({ text: sent, sha1: hash, shape }) => {
    const text = subject.kind === "redis-server" ? runnable(sent) : sent;
    const sha1 = subject.kind === "redis-server" ? sha1Of(text) : hash;
    const right = shapes[shape].map((args) => ({ args, isOdd: false }));
    const wrong = odd.map((args) => ({ args, isOdd: true }));
    const call = fc.oneof({ weight: 4, arbitrary: right }, { weight: 1, arbitrary: wrong });
    const [expected, actual] = [
      await RespConnection.connect(redis.port),
      await RespConnection.connect(subject.ports[1]),
    ];
    /** Whether Redis failed; if `isOdd`, anything will do then. */
    const both = async (
      onRedis: readonly string[],
      here: readonly string[],
      isOdd = false,
    ): Promise<boolean> => {
      const [a, b] = await Promise.all([expected.command(...onRedis), actual.command(...here)]);
      const [one, other] = [decode(a)!.node, decode(b)!.node];
      const isError = one.type === "-";
      if (agree(one, other) || (isOdd && isError)) return isError;
      expect({ command: here, reply: b.toString("latin1") }).toEqual({
        command: here,
        reply: a.toString("latin1"),
      });
      return isError;
    };
    if (protocol === 3) await both(["HELLO", "3"], ["HELLO", "3"]).catch(() => {});
    await both(["SCRIPT", "FLUSH"], ["SCRIPT", "FLUSH"]);
    const steps = fc.array(fc.tuple(state, call, fc.boolean()), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        await both(["DEL", "k"], ["DEL", "k"]);
        for (const [before, { args, isOdd }, byHash] of sequence) {
          await both(before, before);
          const failed = await both(
            ["EVAL", runnable(text), "1", "k", ...args],
            ["EVAL", text, "1", "k", ...args],
            isOdd,
          );
          // Lua has done by then what came before the error; this project does all of a script or nothing.
          if (failed) return;
          if (byHash) {
            const own = sha1Of(runnable(text)).toUpperCase();
            await both(
              ["EVALSHA", own, "1", "k", ...args],
              ["EVALSHA", sha1.toUpperCase(), "1", "k", ...args],
            );
          }
          await both(["GET", "k"], ["GET", "k"]);
          await both(["PTTL", "k"], ["PTTL", "k"]);
        }
      }),
      { numRuns: Number(process.env.REDIS_RUNS || 40) },
    );
    expect(String(await actual.command("SCRIPT", "LOAD", text))).toBe(`$40\r\n${sha1}\r\n`);
    expect(String(await actual.command("SCRIPT", "EXISTS", sha1, "f".repeat(40)))).toBe("*2\r\n:1\r\n:0\r\n");
    expected.close();
    actual.close();
  });
});
