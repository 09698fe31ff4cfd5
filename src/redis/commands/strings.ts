/** Commands on values. */
import { type Result, type Step, StepCode } from "../../cache/steps/step.ts";
import { integerArg, numberArg, SetFlag } from "../../cache/steps/strings.ts";
import { integerMin, integerOf } from "../../storage/integer.ts";
import type { Call } from "../call.ts";
import { expiryOf, notAFloat, notAnInteger, numberOf, syntaxError, wordOf } from "../numbers.ts";
import { oneStep, type Plan, type Planner, type Planners, planned, runSteps, writeResult } from "../plan.ts";
import type { ReplyWriter } from "../writer.ts";

/** Units of an expiry's options, and whether what is given is a time to live. */
const expiryOptions: Readonly<Record<string, readonly [unitMs: 1 | 1_000, isFromNow: boolean]>> = {
  EX: [1_000, true],
  PX: [1, true],
  EXAT: [1_000, false],
  PXAT: [1, false],
};

function setStep(key: Buffer, value: Buffer, flags: number, expiresAtMs: number): Step {
  return { code: StepCode.set, keys: [key], args: [Buffer.from([flags]), value, numberArg(expiresAtMs)] };
}

function setPlan(
  key: Buffer,
  value: Buffer,
  flags: number,
  expiresAtMs: number,
  reply: (out: ReplyWriter, result: Result) => void = writeResult,
): Plan {
  return {
    steps: [setStep(key, value, flags, expiresAtMs)],
    reply: (out, results) => reply(out, results[0]!),
  };
}

/** A positive time, or an error's text. */
function positiveExpiry(
  bytes: Buffer,
  [unitMs, isFromNow]: readonly [1 | 1_000, boolean],
  command: string,
  nowMs: number,
): number | string {
  const amount = integerOf(bytes);
  if (amount === undefined) return notAnInteger;
  const expiresAtMs = amount <= 0n ? undefined : expiryOf(amount, unitMs, isFromNow, nowMs);
  return expiresAtMs ?? `ERR invalid expire time in '${command}' command`;
}

/** An expiry as it was asked for: the last one counts, but they are all of one kind. */
interface GivenExpiry {
  readonly word: string;
  readonly bytes: Buffer;
}

const set: Planner = (args, nowMs) => {
  let flags = 0;
  let expiry: GivenExpiry | undefined;
  for (let i = 3; i < args.length; i++) {
    const word = wordOf(args[i]);
    const next = args[i + 1];
    if (word === "NX" && (flags & SetFlag.ifPresent) === 0) flags |= SetFlag.ifAbsent;
    else if (word === "XX" && (flags & SetFlag.ifAbsent) === 0) flags |= SetFlag.ifPresent;
    else if (word === "GET") flags |= SetFlag.get;
    else if (word === "KEEPTTL" && expiry === undefined) flags |= SetFlag.keepExpiry;
    else if (mayFollow(expiry, word, next) && (flags & SetFlag.keepExpiry) === 0) {
      expiry = { word, bytes: next! };
      i++;
    } else return syntaxError;
  }
  const expiresAtMs =
    expiry === undefined ? 0 : positiveExpiry(expiry.bytes, expiryOptions[expiry.word]!, "set", nowMs);
  if (typeof expiresAtMs === "string") return expiresAtMs;
  return setPlan(args[1]!, args[2]!, flags, expiresAtMs);
};

function mayFollow(before: GivenExpiry | undefined, word: string, next: Buffer | undefined): boolean {
  const isExpiry = expiryOptions[word] !== undefined && next !== undefined;
  return isExpiry && (before === undefined || before.word === word);
}

const setWithTtl =
  (command: string, unitMs: 1 | 1_000): Planner =>
  ([, key, ttl, value], nowMs) => {
    const expiresAtMs = positiveExpiry(ttl!, [unitMs, true], command, nowMs);
    return typeof expiresAtMs === "string" ? expiresAtMs : setPlan(key!, value!, 0, expiresAtMs);
  };

const getex: Planner = (args, nowMs) => {
  const key = args[1]!;
  let expiry: GivenExpiry | undefined;
  let persists = false;
  for (let i = 2; i < args.length; i++) {
    const word = wordOf(args[i]);
    const next = args[i + 1];
    if (word === "PERSIST" && expiry === undefined) persists = true;
    else if (!persists && mayFollow(expiry, word, next)) {
      expiry = { word, bytes: next! };
      i++;
    } else return syntaxError;
  }
  if (persists) return oneStep(StepCode.getExpire, [key], [numberArg(0)]);
  if (expiry === undefined) return oneStep(StepCode.get, [key], []);
  const expiresAtMs = positiveExpiry(expiry.bytes, expiryOptions[expiry.word]!, "getex", nowMs);
  if (typeof expiresAtMs === "number") return oneStep(StepCode.getExpire, [key], [numberArg(expiresAtMs)]);
  // The key is looked at first.
  return oneStep(StepCode.exists, [key], [], (out, found) =>
    found === 0 ? out.null() : out.error(expiresAtMs),
  );
};

const add =
  (sign: 1n | -1n): Planner =>
  ([, key, by]) => {
    const delta = by === undefined ? 1n : integerOf(by);
    if (delta === undefined) return notAnInteger;
    if (sign === -1n && delta === integerMin) return "ERR decrement would overflow";
    return oneStep(StepCode.add, [key!], [integerArg(sign * delta)]);
  };

/** Pairs of key and value from the second argument on; undefined if one is without a value. */
function pairsOf(args: readonly Buffer[]): { keys: Buffer[]; values: Buffer[] } | undefined {
  if (args.length % 2 === 0) return undefined;
  const keys: Buffer[] = [];
  const values: Buffer[] = [];
  for (let i = 1; i < args.length; i += 2) {
    keys.push(args[i]!);
    values.push(args[i + 1]!);
  }
  return { keys, values };
}

const mset: Planner = (args) => {
  const pairs = pairsOf(args);
  if (pairs === undefined) return "ERR wrong number of arguments for 'mset' command";
  return {
    steps: pairs.keys.map((key, i) => setStep(key, pairs.values[i]!, 0, 0)),
    reply: (out, results) => {
      const failed = results.find(
        (result) => result !== null && typeof result === "object" && "failure" in result,
      );
      if (failed === undefined) out.ok();
      else writeResult(out, failed);
    },
  };
};

const msetnx: Planner = (args, _nowMs, partitionFor) => {
  const pairs = pairsOf(args);
  if (pairs === undefined) return "ERR wrong number of arguments for 'msetnx' command";
  const [first, ...others] = pairs.keys.map(partitionFor);
  if (others.some((partition) => partition !== first)) return undefined;
  return oneStep(StepCode.setAll, pairs.keys, pairs.values);
};

/** Keys of several partitions: first whether any of them is there, then they are set. */
function msetnxApart(call: Call): void {
  const { keys, values } = pairsOf(call.args)!;
  const exist = keys.map((key): Step => ({ code: StepCode.exists, keys: [key], args: [] }));
  runSteps(call, exist, (error, found) => {
    if (error !== undefined) {
      call.fail(error);
      return;
    }
    if (found.some((count) => count !== 0)) {
      call.integer(0);
      return;
    }
    runSteps(
      call,
      keys.map((key, i) => setStep(key, values[i]!, 0, 0)),
      (failure) => (failure === undefined ? call.integer(1) : call.fail(failure)),
    );
  });
}

const getrange: Planner = ([, key, from, to]) => {
  const [first, last] = [numberOf(from!), numberOf(to!)];
  if (first === undefined || last === undefined) return notAnInteger;
  return oneStep(StepCode.getRange, [key!], [numberArg(first), numberArg(last)]);
};

const setrange: Planner = ([, key, offset, value]) => {
  const place = numberOf(offset!);
  if (place === undefined) return notAnInteger;
  if (place < 0) return "ERR offset is out of range";
  return oneStep(StepCode.setRange, [key!], [numberArg(place), value!]);
};

const isFloat = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|^[+-]?inf(inity)?$/i;

export const stringPlanners: Planners = {
  get: ([, key]) => oneStep(StepCode.get, [key!], []),
  set,
  setex: setWithTtl("setex", 1_000),
  psetex: setWithTtl("psetex", 1),
  setnx: ([, key, value]) =>
    setPlan(key!, value!, SetFlag.ifAbsent, 0, (out, result) => out.integer(result === null ? 0 : 1)),
  getset: ([, key, value]) => setPlan(key!, value!, SetFlag.get, 0),
  getdel: ([, key]) => oneStep(StepCode.getDelete, [key!], []),
  getex,
  mget: (args) => ({
    steps: args.slice(1).map((key) => ({ code: StepCode.get, keys: [key], args: [] })),
    reply: writeResult,
  }),
  mset,
  msetnx,
  append: ([, key, tail]) => oneStep(StepCode.append, [key!], [tail!]),
  strlen: ([, key]) => oneStep(StepCode.length, [key!], []),
  getrange,
  substr: getrange,
  setrange,
  incr: add(1n),
  decr: add(-1n),
  incrby: add(1n),
  decrby: add(-1n),
  incrbyfloat: ([, key, by]) => {
    if (by!.length > 256 || !isFloat.test(by!.toString("latin1"))) return notAFloat;
    return oneStep(StepCode.addFloat, [key!], [by!]);
  },
};

export const stringCommands = planned(stringPlanners, { msetnx: msetnxApart });
