/**
 * The scripts that well-known packages send, in native code: there is no interpreter. A script is known by the SHA-1 of its
 * text, and does what the text says, its errors included.
 */
import { integerMax, integerOf } from "../../storage/integer.ts";
import { expiresAtMsMax } from "../command.ts";
import type { Keyspace } from "./keyspace.ts";
import { type Failure, type Result, type Step, StepCode } from "./step.ts";
import { add, integerArg } from "./strings.ts";

/** One that ends a script, with the line of its text. */
class ScriptError extends Error {
  readonly line: number;

  constructor(text: string, line: number) {
    super(text);
    this.line = line;
  }
}

/** What a script works with: the first key, which is the only one that any of them uses, and its arguments. */
class Script {
  readonly space: Keyspace;
  readonly key: Buffer;
  readonly #args: readonly string[];

  constructor(space: Keyspace, key: Buffer, args: readonly string[]) {
    this.space = space;
    this.key = key;
    this.#args = args;
  }

  /** The argument's text; empty if it is missing. */
  text(i: number): string {
    return this.#args[i] ?? "";
  }

  number(i: number): number {
    return Number(this.text(i));
  }

  /** For a command that is given the argument as it is. */
  given(i: number, line: number): string {
    const text = this.#args[i];
    if (text === undefined) {
      throw new ScriptError("ERR Lua redis lib command arguments must be strings or integers", line);
    }
    return text;
  }

  incr(line: number, delta = "1"): number {
    const by = integerOf(Buffer.from(delta, "latin1"));
    if (by === undefined) throw new ScriptError("ERR value is not an integer or out of range", line);
    const result = add(this.space, { code: StepCode.add, keys: [this.key], args: [integerArg(by)] });
    if (typeof result === "bigint" || typeof result === "number") return Number(result);
    throw new ScriptError((result as Failure).failure, line);
  }

  /** Milliseconds that are left; -1 if it doesn't expire, -2 if it isn't there. */
  pttl(): number {
    const entry = this.space.peek(this.key);
    if (entry === undefined) return -2;
    return entry.expiresAtMs === 0 ? -1 : entry.expiresAtMs - this.space.nowMs;
  }

  pexpire(text: string, line: number, unitMs = 1): void {
    this.space.touch(this.key, this.#expiryOf(text, line, unitMs, "expire", false));
  }

  /** `SET key value EX|PX`, with NX if it is only for a key that isn't there. */
  set(value: string, ttl: string, line: number, unitMs: number, onlyIfNew: boolean): void {
    const expiresAtMs = this.#expiryOf(ttl, line, unitMs, "set", true);
    if (onlyIfNew && this.space.peek(this.key) !== undefined) return;
    this.space.set(this.key, Buffer.from(value, "latin1"), expiresAtMs);
  }

  #expiryOf(text: string, line: number, unitMs: number, command: string, positive: boolean): number {
    const amount = integerOf(Buffer.from(text, "latin1"));
    if (amount === undefined) throw new ScriptError("ERR value is not an integer or out of range", line);
    const ttlMs = amount * BigInt(unitMs);
    if ((positive && ttlMs <= 0n) || ttlMs > integerMax - BigInt(Math.ceil(this.space.nowMs))) {
      throw new ScriptError(`ERR invalid expire time in '${command}' command`, line);
    }
    return Math.min(Math.max(this.space.nowMs + Number(ttlMs), 1), expiresAtMsMax);
  }
}

type Native = (script: Script) => Result;

const fastifyRateLimit10: Native = (script) => {
  const current = script.incr(12);
  let ttl = script.pttl();
  if (ttl === -1 || (script.text(2) === "true" && current > script.number(1))) {
    script.pexpire(script.given(0, 19), 19);
    ttl = script.number(0);
  }
  return [current, ttl];
};

const fastifyRateLimit11: Native = (script) => {
  const max = script.number(1);
  const current = script.incr(17);
  let windowMs = script.number(0);
  if (current === 1 || (script.text(2) === "true" && current > max)) {
    script.pexpire(script.given(0, 20), 20);
  } else if (script.text(3) === "true" && current > max) {
    windowMs = Math.min(windowMs * 2 ** (current - max - 1), Number.MAX_SAFE_INTEGER);
    script.pexpire(String(windowMs), 24);
  } else windowMs = script.pttl();
  return [current, windowMs];
};

const fastifyRateLimitRead: Native = (script) => {
  const value = script.space.get(script.key)?.value.toString("latin1");
  if (value === undefined) return [0, 0];
  const current = Number(value.trim() === "" ? Number.NaN : value);
  // A list of Lua ends before its first nil.
  return Number.isNaN(current) ? [] : [Math.trunc(current), Math.max(script.pttl(), 0)];
};

const fastifyRateLimit9: Native = (script) => {
  const current = script.incr(14);
  const max = script.number(1);
  const ban = script.number(2);
  let ttl = script.pttl();
  if (ttl === -1 || (script.text(3) === "true" && current > max)) {
    script.pexpire(script.given(0, 21), 21);
    ttl = script.number(0);
  }
  return [current, ttl, ban !== -1 && current - max > ban ? 1 : null];
};

const rateLimitRedis5: Native = (script) => {
  let leftMs = script.pttl();
  if (leftMs <= 0) {
    script.set("1", script.given(1, 5), 5, 1, false);
    return [1, script.number(1)];
  }
  const hits = script.incr(8);
  if (script.text(0) === "1") {
    script.pexpire(script.given(1, 10), 10);
    leftMs = script.number(1);
  }
  return [hits, leftMs];
};

const rateLimitRedis6: Native = (script) => {
  const leftMs = script.pttl();
  if (leftMs > 0) return [script.incr(7), leftMs];
  script.set("1", script.given(0, 4), 4, 1, false);
  return [1, script.number(0)];
};

const rateLimitRedis4: Native = (script) => {
  const hits = script.incr(1);
  let leftMs = script.pttl();
  if (leftMs <= 0 || script.text(0) === "1") {
    script.pexpire(script.given(1, 5), 5);
    leftMs = script.number(1);
  }
  return [hits, leftMs];
};

const rateLimitRedisGet: Native = (script) => {
  const value = script.space.get(script.key)?.value;
  return [value === undefined ? null : Buffer.from(value), script.pttl()];
};

const rateLimiterFlexible: Native = (script) => {
  script.set("0", script.given(1, 1), 1, 1_000, true);
  const consumed = script.incr(1, script.given(0, 1));
  let leftMs = script.pttl();
  if (leftMs === -1) {
    script.pexpire(script.given(1, 1), 1, 1_000);
    leftMs = 1_000 * script.number(1);
  }
  return [consumed, leftMs];
};

const rateLimiterFlexibleValkey: Native = (script) => {
  script.set("0", script.given(1, 2), 2, 1_000, true);
  return [script.incr(3, script.given(0, 3)), script.pttl()];
};

const rateLimiterFlexibleGlide: Native = (script) => {
  if (script.number(1) > 0) script.set("0", script.given(1, 4), 4, 1_000, true);
  return [script.incr(5, script.given(0, 5)), script.pttl()];
};

const rateLimiterFlexibleGlideGet: Native = (script) => {
  const value = script.space.get(script.key)?.value.toString("latin1");
  if (value === undefined || Number.isNaN(Number(value))) return [];
  return [Math.trunc(Number(value)), script.pttl()];
};

/** By SHA-1, with the packages and versions that send it. */
const natives: ReadonlyMap<string, Native> = new Map([
  // @fastify/rate-limit 9, 10.0 to 10.2, from 10.3 on, and its reading since 11.2.
  ["3f481dd9e75a7c63c2facb091af19e1ab17f2cc7", fastifyRateLimit9],
  ["f80d0c65a05e27559602a2b43fbe989df31fc5f6", fastifyRateLimit10],
  ["b8a19d47785922bb04e7a9fdb49e90d89be1b8af", fastifyRateLimit11],
  ["4c7d9ef62b3d4f8efd8d11d5d2fd1a56b1e723bc", fastifyRateLimitRead],
  // rate-limit-redis 3 and 4.0, 4.2 to 5, 6, and its reading.
  ["3f424a504987d231baa2e19159bb5def8ad32f87", rateLimitRedis4],
  ["81dbecea94d2d10514719b20ed51faf711529d9d", rateLimitRedis5],
  ["895b92e1712734e1b464999be23953485475357b", rateLimitRedis6],
  ["6aeb97ed6086dcdeafdc6fda3999a0d0e38ec96a", rateLimitRedisGet],
  // rate-limiter-flexible 2 to 11; of 11.4 with iovalkey, and with GLIDE.
  ["a1de965f42e177aa339706bd580f049065eca79a", rateLimiterFlexible],
  ["0aa93fe6a34317527000a66828426c0ae2104618", rateLimiterFlexibleValkey],
  ["c2dd110244ccc4448172c0148049c05a426917b4", rateLimiterFlexibleGlide],
  ["6604c8152bea174562b6b8a690770c3e9b617594", rateLimiterFlexibleGlideGet],
]);

/** `sha`: 40 hexadecimal digits in lower case. */
export function isKnownScript(sha: string): boolean {
  return natives.has(sha);
}

/** keys: those of the script; args: its SHA-1 in hexadecimal, then its arguments. */
export function script(space: Keyspace, { keys, args }: Step): Result {
  const sha = args[0]!.toString("latin1");
  const native = natives.get(sha);
  if (native === undefined) return { failure: "NOSCRIPT No matching script. Please use EVAL." };
  const key = keys[0];
  try {
    if (key === undefined) {
      throw new ScriptError("ERR Lua redis lib command arguments must be strings or integers", 1);
    }
    return native(
      new Script(
        space,
        key,
        args.slice(1).map((arg) => arg.toString("latin1")),
      ),
    );
  } catch (error) {
    if (!(error instanceof ScriptError)) throw error;
    return { failure: `${error.message} script: ${sha}, on @user_script:${error.line}.` };
  }
}
