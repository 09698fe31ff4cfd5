/** Commands on keys, whatever their values. */
import { ExpireFlag } from "../../cache/steps/keys.ts";
import { type Result, type Step, StepCode } from "../../cache/steps/step.ts";
import { numberArg, SetFlag } from "../../cache/steps/strings.ts";
import { integerOf } from "../../storage/integer.ts";
import type { Call } from "../call.ts";
import type { Handlers } from "../command-table.ts";
import { expiryOf, notAnInteger, syntaxError, wordOf } from "../numbers.ts";
import { oneStep, type Planner, type Planners, planned, runTogether, writeResult } from "../plan.ts";

/** A step for each key; the reply is the sum of their results. */
function counted(code: Step["code"]): Planner {
  return (args) => ({
    steps: args.slice(1).map((key) => ({ code, keys: [key], args: [] })),
    reply: (out, results) => out.integer(results.reduce<number>((sum, one) => sum + Number(one), 0)),
  });
}

const expireFlags: Readonly<Record<string, number>> = {
  NX: ExpireFlag.ifNone,
  XX: ExpireFlag.ifAny,
  GT: ExpireFlag.ifLater,
  LT: ExpireFlag.ifSooner,
};

function expire(command: string, unitMs: 1 | 1_000, isFromNow: boolean): Planner {
  return (args, nowMs) => {
    let flags = 0;
    for (const option of args.slice(3)) {
      const flag = expireFlags[wordOf(option)];
      if (flag === undefined) return `ERR Unsupported option ${option.toString("latin1")}`;
      flags |= flag;
    }
    const orders = flags & (ExpireFlag.ifLater | ExpireFlag.ifSooner);
    if ((flags & ExpireFlag.ifNone) !== 0 && flags !== ExpireFlag.ifNone) {
      return "ERR NX and XX, GT or LT options at the same time are not compatible";
    }
    if (orders === (ExpireFlag.ifLater | ExpireFlag.ifSooner)) {
      return "ERR GT and LT options at the same time are not compatible";
    }
    const amount = integerOf(args[2]!);
    if (amount === undefined) return notAnInteger;
    const expiresAtMs = expiryOf(amount, unitMs, isFromNow, nowMs);
    if (expiresAtMs === undefined) return `ERR invalid expire time in '${command}' command`;
    return oneStep(StepCode.expire, [args[1]!], [numberArg(expiresAtMs), Buffer.from([flags])]);
  };
}

/** `of`: what is said of an expiry that there is. */
function expiry(of: (expiresAtMs: number, nowMs: number) => number): Planner {
  return ([, key], nowMs) =>
    oneStep(StepCode.expiry, [key!], [], (out, result) => {
      const atMs = Number(result);
      out.integer(atMs < 0 ? atMs : of(atMs, nowMs));
    });
}

const leftMs = (atMs: number, nowMs: number): number => Math.max(atMs - Math.floor(nowMs), 0);
const inSeconds = (ms: number): number => Math.floor((ms + 500) / 1_000);

/** Undefined if the keys are in several partitions. */
function ofTwo(code: Step["code"], args: readonly Buffer[], flag: boolean): Planner {
  return (_args, _nowMs, partitionFor) => {
    const [from, to] = args as [Buffer, Buffer];
    if (partitionFor(from) !== partitionFor(to)) return undefined;
    return oneStep(code, [from, to], [Buffer.from([flag ? 1 : 0])]);
  };
}

/** COPY's options, or an error's text. */
function copyOptions(args: readonly Buffer[]): { replaces: boolean } | string {
  let replaces = false;
  for (let i = 3; i < args.length; i++) {
    const word = wordOf(args[i]);
    if (word === "REPLACE") replaces = true;
    else if (word === "DB" && args[i + 1] !== undefined) {
      const db = integerOf(args[++i]!);
      if (db === undefined) return notAnInteger;
      if (db !== 0n) return "ERR DB index is out of range";
    } else return syntaxError;
  }
  if (args[1]!.equals(args[2]!)) return "ERR source and destination objects are the same";
  return { replaces };
}

export const keyPlanners: Planners = {
  del: counted(StepCode.delete),
  unlink: counted(StepCode.delete),
  exists: counted(StepCode.exists),
  touch: counted(StepCode.exists),
  type: ([, key]) =>
    oneStep(StepCode.expiry, [key!], [], (out, result) => out.simple(result === -2 ? "none" : "string")),
  expire: expire("expire", 1_000, true),
  pexpire: expire("pexpire", 1, true),
  expireat: expire("expireat", 1_000, false),
  pexpireat: expire("pexpireat", 1, false),
  ttl: expiry((atMs, nowMs) => inSeconds(leftMs(atMs, nowMs))),
  pttl: expiry(leftMs),
  expiretime: expiry(inSeconds),
  pexpiretime: expiry((atMs) => atMs),
  persist: ([, key]) => oneStep(StepCode.expire, [key!], [numberArg(0), Buffer.from([0])]),
  rename: (args, nowMs, partitionFor) =>
    ofTwo(StepCode.rename, args.slice(1), false)(args, nowMs, partitionFor),
  renamenx: (args, nowMs, partitionFor) =>
    ofTwo(StepCode.rename, args.slice(1), true)(args, nowMs, partitionFor),
  copy: (args, nowMs, partitionFor) => {
    const options = copyOptions(args);
    if (typeof options === "string") return options;
    return ofTwo(StepCode.copy, args.slice(1, 3), options.replaces)(args, nowMs, partitionFor);
  },
  "object|encoding": ([, , key]) =>
    oneStep(StepCode.get, [key!], [], (out, result) => {
      if (Buffer.isBuffer(result)) out.text(encodingOf(result));
      else out.null();
    }),
  "object|freq": inspected(1),
  "object|idletime": ([, , key]) =>
    oneStep(StepCode.expiry, [key!], [], (out, result) => (result === -2 ? out.null() : out.integer(0))),
  "object|refcount": ([, , key]) =>
    oneStep(StepCode.expiry, [key!], [], (out, result) => (result === -2 ? out.null() : out.integer(1))),
  "memory|usage": (args) => {
    for (let i = 3; i < args.length; i += 2) {
      if (wordOf(args[i]) !== "SAMPLES" || args[i + 1] === undefined) return syntaxError;
      const samples = integerOf(args[i + 1]!);
      if (samples === undefined) return notAnInteger;
      if (samples < 0n) return syntaxError;
    }
    return inspected(2)(args, 0, () => 0);
  },
};

/** One figure of what is known of the entry under the second argument. */
function inspected(i: number): Planner {
  return ([, , key]) =>
    oneStep(StepCode.inspect, [key!], [], (out, result) =>
      writeResult(out, result === null ? null : (result as readonly Result[])[i]!),
    );
}

/** As Redis would keep a value that was set at once. */
function encodingOf(value: Buffer): string {
  if (integerOf(value) !== undefined) return "int";
  return value.length <= 44 ? "embstr" : "raw";
}

/** From one partition to another: the entry is read, written there and, for a RENAME, removed if it is still the same. */
function moveApart(keepsSource: boolean, onlyIfNew: (call: Call) => boolean): (call: Call) => void {
  return (call) => {
    const [, from, to] = call.args as [Buffer, Buffer, Buffer];
    const isNew = onlyIfNew(call);
    const read: Step[] = [StepCode.version, StepCode.get, StepCode.expiry].map((code) => ({
      code,
      keys: [from],
      args: [],
    }));
    const counts = keepsSource || isNew;
    runTogether(call, from, read, (error, results) => {
      if (error !== undefined) {
        call.fail(error);
        return;
      }
      const [versions, value, expiresAtMs] = results as [number[], Buffer | null, number];
      if (value === null) {
        if (keepsSource) call.integer(0);
        else call.error("ERR no such key");
        return;
      }
      const [version] = versions;
      const flags = Buffer.from([isNew ? SetFlag.ifAbsent : 0]);
      const write: Step = {
        code: StepCode.set,
        keys: [to],
        args: [flags, Buffer.from(value), numberArg(Math.max(expiresAtMs, 0))],
      };
      runTogether(call, to, [write], (failure, [written]) => {
        if (failure !== undefined) {
          call.fail(failure);
          return;
        }
        if (written === null) {
          call.integer(0);
          return;
        }
        const end = (): void => (counts ? call.integer(1) : call.ok());
        if (keepsSource) {
          end();
          return;
        }
        const remove: Step[] = [
          { code: StepCode.guard, keys: [from], args: [numberArg(version!)] },
          { code: StepCode.delete, keys: [from], args: [] },
        ];
        runTogether(call, from, remove, (lost) => (lost === undefined ? end() : call.fail(lost)));
      });
    });
  };
}

const apart: Handlers = {
  rename: moveApart(false, () => false),
  renamenx: moveApart(false, () => true),
  copy: moveApart(true, (call) => {
    const options = copyOptions(call.args);
    return typeof options === "string" || !options.replaces;
  }),
};

export const keyCommands: Handlers = planned(keyPlanners, apart);
