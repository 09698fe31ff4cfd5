/** Plays one sequence of commands to a real redis-server and to this cluster and holds the replies against each other. */
import { type Argument, decode, encode, RespConnection } from "../support/redis-resp.ts";
import { Comparison } from "./compare.ts";
import type { Step } from "./random-commands.ts";

/** `steps`: each waits for the reply to the last; `whole`: all at once; `bytes`: all at once, a byte at a time. */
export type Manner = "steps" | "whole" | "bytes";

export interface Sides {
  /** Ports: of redis-server, of a door of this cluster. */
  readonly expected: number;
  readonly actual: number;
}

interface Pair {
  readonly expected: RespConnection;
  readonly actual: RespConnection;
  readonly comparison: Comparison;
}

async function open(sides: Sides, protocol: 2 | 3): Promise<Pair> {
  const [expected, actual] = await Promise.all([
    RespConnection.connect(sides.expected),
    RespConnection.connect(sides.actual),
  ]);
  if (protocol === 3) await Promise.all([expected.command("HELLO", "3"), actual.command("HELLO", "3")]);
  return { expected, actual, comparison: new Comparison() };
}

/** Whether to go on: not after a difference that is known. Throws at one that isn't. */
function hold(pair: Pair, args: readonly Argument[], expected: Buffer, actual: Buffer): boolean {
  const verdict = pair.comparison.judge(args, expected, actual);
  if (verdict.is === "different") throw new Error(`the replies differ: ${verdict.what}`);
  return verdict.is === "same";
}

async function step(pair: Pair, args: readonly Argument[]): Promise<boolean> {
  const [expected, actual] = await Promise.all([
    pair.expected.command(...args),
    pair.actual.command(...args),
  ]);
  return hold(pair, args, expected, actual);
}

async function allAtOnce(pair: Pair, steps: readonly Step[], manner: Manner): Promise<boolean> {
  const bytes = Buffer.concat(steps.map(({ args }) => encode(args)));
  await Promise.all([pair.expected.send(bytes), pair.actual.send(bytes, manner === "bytes")]);
  // All of them before any is looked at: nothing is still being carried out when the next sequence begins.
  const replies: [Buffer, Buffer][] = [];
  for (const _ of steps) replies.push([await pair.expected.reply(), await pair.actual.reply()]);
  return steps.every(({ args }, i) => hold(pair, args, ...replies[i]!));
}

/** Every key that SCAN meets from 0 until it says 0 again. */
export async function walk(
  connection: RespConnection,
  ...options: readonly Argument[]
): Promise<Set<string>> {
  const keys = new Set<string>();
  let cursor = "0";
  for (let steps = 0; steps < 10_000; steps++) {
    const [next, page] = decode(await connection.command("SCAN", cursor, ...options))?.node.elements ?? [];
    for (const key of page?.elements ?? []) keys.add(key.text ?? "");
    cursor = next?.text ?? "";
    if (cursor === "0") return keys;
  }
  throw new Error("SCAN never came to its end");
}

/** What both hold at the end: every key, its value and when it expires. */
async function compareContents(sides: Sides, protocol: 2 | 3): Promise<void> {
  const pair = await open(sides, protocol);
  try {
    const [expected, actual] = await Promise.all([walk(pair.expected), walk(pair.actual, "COUNT", "3")]);
    const [one, other] = [[...expected].sort(), [...actual].sort()];
    if (JSON.stringify(one) !== JSON.stringify(other)) {
      throw new Error(
        `SCAN meets other keys: ${JSON.stringify(one)} of redis-server, ${JSON.stringify(other)} here`,
      );
    }
    for (const text of expected) {
      const key = Buffer.from(text, "latin1");
      await step(pair, ["GET", key]);
      await step(pair, ["PEXPIRETIME", key]);
    }
    await step(pair, ["DBSIZE"]);
    await step(pair, ["KEYS", "*"]);
  } finally {
    pair.expected.close();
    pair.actual.close();
  }
}

/** Begins with an empty store on both sides, and with connections of its own. */
export async function play(
  steps: readonly Step[],
  sides: Sides,
  protocol: 2 | 3,
  manner: Manner,
): Promise<void> {
  const pairs = [await open(sides, protocol), await open(sides, protocol)] as const;
  try {
    await step(pairs[0], ["FLUSHALL"]);
    if (manner === "steps") {
      for (const { connection, args } of steps) if (!(await step(pairs[connection], args))) return;
    } else if (!(await allAtOnce(pairs[0], steps, manner))) {
      return;
    }
    await compareContents(sides, protocol);
  } finally {
    for (const { expected, actual } of pairs) {
      expected.close();
      actual.close();
    }
  }
}
