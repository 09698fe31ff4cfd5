/**
 * What a request comes down to, apart from its connection: steps, each on keys of one partition, and a reply made of their results. So
 * a request can be carried out by itself or, between MULTI and EXEC, together with others.
 */
import { noBytes, RunCommand } from "../cache/command.ts";
import { decodeResults, type Result, type Step } from "../cache/steps/step.ts";
import { messageOf, type RingcacheError } from "../errors.ts";
import type { Call } from "./call.ts";
import type { Handler, Handlers } from "./command-table.ts";
import type { ReplyWriter } from "./writer.ts";

export interface Plan {
  readonly steps: readonly Step[];
  /** Writes one whole reply. */
  readonly reply: (out: ReplyWriter, results: readonly Result[]) => void;
}

/**
 * The plan of a request, or an error's text; undefined if it needs several partitions one after the other, and so has none. `nowMs`:
 * milliseconds since 1970.
 */
export type Planner = (
  args: readonly Buffer[],
  nowMs: number,
  partitionFor: (key: Buffer) => number,
) => Plan | string | undefined;

/** By the command's full name. */
export type Planners = Readonly<Record<string, Planner>>;

/** A handler for each, which carries its plan out at once; `others` are those of requests without one. */
export function planned(planners: Planners, others: Readonly<Record<string, Handler>> = {}): Handlers {
  return Object.fromEntries(
    Object.entries(planners).map(([name, planner]) => [
      name,
      (call: Call) => carryOut(call, planner, others[name]),
    ]),
  );
}

export function planOf({ context }: Call, planner: Planner, args: readonly Buffer[]): ReturnType<Planner> {
  return planner(args, context.runtime.wallMs(), (key) => context.ring?.partitionFor(key) ?? 0);
}

function carryOut(call: Call, planner: Planner, other: Handler | undefined): void {
  const plan = planOf(call, planner, call.args);
  if (plan === undefined) {
    other!(call);
    return;
  }
  if (typeof plan === "string") {
    call.error(plan);
    return;
  }
  runSteps(call, plan.steps, (error, results) => {
    if (error !== undefined) return call.fail(error);
    const { out } = call;
    const { size } = out;
    try {
      plan.reply(out, results);
    } catch (thrown) {
      // A defect: nobody is to wait for this reply, and for all that come after it, in vain.
      out.truncate(size);
      out.error(`ERR INTERNAL ${messageOf(thrown)}`);
      call.context.log.error(
        { event: "defect-survived", where: "redis", err: thrown },
        "defect while a reply to a Redis command was written",
      );
    }
    call.end();
  });
}

/** A step's result as its whole reply. */
export function writeResult(out: ReplyWriter, result: Result): void {
  if (result === null) out.null();
  else if (typeof result === "number" || typeof result === "bigint") out.integer(result);
  else if (Buffer.isBuffer(result)) out.bulk(result);
  else if (Array.isArray(result)) {
    out.array(result.length);
    for (const one of result) writeResult(out, one);
  } else if ("failure" in result) out.error(result.failure);
  else if ("word" in result) out.simple(result.word);
}

/** The plan of one step whose result is the reply. */
export function oneStep(
  code: Step["code"],
  keys: readonly Buffer[],
  args: readonly Buffer[],
  reply: (out: ReplyWriter, result: Result) => void = writeResult,
): Plan {
  return { steps: [{ code, keys, args }], reply: (out, results) => reply(out, results[0]!) };
}

type Ended = (error: RingcacheError | undefined, results: readonly Result[]) => void;

/**
 * Carries the steps out: those of one partition together and atomically, those of several side by side. Calls `ended` once, with a
 * result for each step, or with the first error; what other partitions were asked for is carried out all the same.
 */
export function runSteps(call: Call, steps: readonly Step[], ended: Ended): void {
  const [first] = steps;
  if (first !== undefined && steps.length === 1) {
    runTogether(call, first.keys[0] ?? noBytes, steps, ended);
    return;
  }
  const { ring } = call.context;
  const groups = new Map<number, number[]>();
  steps.forEach((step, i) => {
    const partition = ring?.partitionFor(step.keys[0] ?? noBytes) ?? 0;
    const group = groups.get(partition);
    if (group === undefined) groups.set(partition, [i]);
    else group.push(i);
  });
  const results = new Array<Result>(steps.length).fill(null);
  let left = groups.size;
  let failure: RingcacheError | undefined;
  if (left === 0) ended(undefined, results);
  for (const group of groups.values()) {
    const own = group.map((i) => steps[i]!);
    runTogether(call, own[0]!.keys[0] ?? noBytes, own, (error, found) => {
      failure ??= error;
      found.forEach((result, i) => {
        // Beyond this turn only what is copied stays as it is.
        results[group[i]!] = left > 1 ? kept(result) : result;
      });
      if (--left === 0) ended(failure, results);
    });
  }
}

/** Steps of one partition, as one run. With a guard among them there may be fewer results. */
export function runTogether(call: Call, key: Buffer, steps: readonly Step[], ended: Ended): void {
  run(call, { key, steps }, ended);
}

/** Steps that are about a partition as a whole. */
export function runAt(call: Call, partition: number, steps: readonly Step[], ended: Ended): void {
  run(call, { key: noBytes, steps, partition }, ended);
}

function run(
  { context }: Call,
  { key, steps, partition }: { key: Buffer; steps: readonly Step[]; partition?: number },
  ended: Ended,
): void {
  context.door.execute(new RunCommand(steps, key, partition), (error, reply) => {
    if (error !== undefined) ended(error, []);
    else ended(undefined, reply!.results ?? decodeResults(reply!.value));
  });
}

function kept(result: Result): Result {
  if (Buffer.isBuffer(result)) return Buffer.from(result);
  return Array.isArray(result) ? result.map(kept) : result;
}
