/**
 * MULTI and what belongs to it. What is queued is carried out as one run, atomically, if all its keys are in one partition, as keys of
 * one slot are; else partition by partition, in order, each atomically. A watched key is compared in the same run if it is in that
 * partition, else just before.
 */
import { type Result, type Step, StepCode } from "../../cache/steps/step.ts";
import { numberArg } from "../../cache/steps/strings.ts";
import type { Call } from "../call.ts";
import type { Handlers } from "../command-table.ts";
import type { Connection } from "../connection.ts";
import { type Plan, planOf, runSteps, runTogether } from "../plan.ts";
import type { Transaction } from "../session.ts";
import { ReplyWriter } from "../writer.ts";
import { planners } from "./planners.ts";

/** By connection: watched keys and the versions that they had. */
const watched = new WeakMap<Connection, Map<string, number>>();
/** By connection, what ends its watching: one, however often it watches, since it stays until the connection ends. */
const cleanups = new WeakMap<Connection, () => void>();

function multi(call: Call): void {
  const { connection } = call;
  if (connection.transaction !== undefined) {
    call.error("ERR MULTI calls can not be nested");
    return;
  }
  connection.transaction = { queued: [], sizeBytes: 0, aborted: false };
  call.ok();
}

function discard(call: Call): void {
  const { connection } = call;
  if (connection.transaction === undefined) {
    call.error("ERR DISCARD without MULTI");
    return;
  }
  connection.transaction = undefined;
  watched.delete(connection);
  call.ok();
}

function watch(call: Call): void {
  const { connection, args } = call;
  if (connection.transaction !== undefined) {
    call.error("ERR WATCH inside MULTI is not allowed");
    return;
  }
  const keys = args.slice(1);
  // What ends the watching meanwhile takes this away, and what is found out then is of no consequence.
  const known = watched.get(connection) ?? new Map<string, number>();
  watched.set(connection, known);
  const cleanup = cleanups.get(connection) ?? (() => void watched.delete(connection));
  cleanups.set(connection, cleanup);
  connection.cleanups.add(cleanup);
  runSteps(call, keys.map(versionStep), (error, results) => {
    if (error !== undefined) {
      call.fail(error);
      return;
    }
    keys.forEach((key, i) => {
      const name = key.toString("latin1");
      // Watched since earlier, it is compared with what it was then.
      if (!known.has(name)) known.set(name, (results[i] as number[])[0]!);
    });
    call.ok();
  });
}

function unwatch(call: Call): void {
  watched.delete(call.connection);
  call.ok();
}

function exec(call: Call): void {
  const { connection } = call;
  const { transaction } = connection;
  if (transaction === undefined) {
    call.error("ERR EXEC without MULTI");
    return;
  }
  const versions = watched.get(connection) ?? new Map<string, number>();
  connection.transaction = undefined;
  watched.delete(connection);
  if (transaction.aborted) {
    call.error("EXECABORT Transaction discarded because of previous errors.");
    return;
  }
  const plans = transaction.queued.map(({ spec, args }) => {
    const planner = planners[spec.name];
    return planner === undefined ? undefined : planOf(call, planner, args);
  });
  const isPlanned = (plan: ReturnType<typeof planOf>): plan is Plan | string => plan !== undefined;
  if (plans.every(isPlanned)) execPlans(call, plans, versions);
  else {
    unchanged(call, versions, (same) => (same ? execInOrder(call, transaction) : abort(call)));
  }
}

/** The reply of an EXEC whose watched keys have changed. */
function abort(call: Call): void {
  call.out.nullArray();
  call.end();
}

function execPlans(call: Call, plans: readonly (Plan | string)[], versions: Map<string, number>): void {
  const partitionOf = (key: Buffer): number => call.context.ring?.partitionFor(key) ?? 0;
  const steps = plans.flatMap((plan) => (typeof plan === "string" ? [] : plan.steps));
  const guards = [...versions].map(([name, version]): Step => {
    const key = Buffer.from(name, "latin1");
    return { code: StepCode.guard, keys: [key], args: [numberArg(version)] };
  });
  const partitions = new Set([...guards, ...steps].map(({ keys }) => partitionOf(keys[0]!)));
  if (partitions.size > 1) {
    unchanged(call, versions, (same) => {
      if (!same) {
        abort(call);
        return;
      }
      runSteps(call, steps, (error, results) => {
        if (error !== undefined) {
          call.fail(error);
          return;
        }
        writePlans(call, plans, results);
      });
    });
    return;
  }
  const all = [...guards, ...steps];
  if (all.length === 0) {
    writePlans(call, plans, []);
    return;
  }
  runTogether(call, all[0]!.keys[0]!, all, (error, results) => {
    if (error !== undefined) {
      call.fail(error);
      return;
    }
    if (results.slice(0, guards.length).some((result) => result !== 1)) {
      abort(call);
      return;
    }
    writePlans(call, plans, results.slice(guards.length));
  });
}

function writePlans(call: Call, plans: readonly (Plan | string)[], results: readonly Result[]): void {
  const { out } = call;
  out.array(plans.length);
  let at = 0;
  for (const plan of plans) {
    if (typeof plan === "string") out.error(plan);
    else {
      plan.reply(out, results.slice(at, at + plan.steps.length));
      at += plan.steps.length;
    }
  }
  call.end();
}

/** One after the other, with what isn't about keys in between. */
function execInOrder(call: Call, { queued }: Transaction): void {
  const sinks: ReplyWriter[] = [];
  const next = (): void => {
    const one = queued[sinks.length];
    if (one === undefined) {
      const { out } = call;
      out.array(sinks.length);
      for (const sink of sinks) out.raw(sink.bytes);
      call.end();
      return;
    }
    const sink = new ReplyWriter(call.connection.protocol, 256);
    call.run(one.spec, one.args, sink, () => {
      sinks.push(sink);
      next();
    });
  };
  next();
}

/** Whether the watched keys are as they were; if that can't be found out, the call fails. */
function unchanged(call: Call, versions: Map<string, number>, then: (same: boolean) => void): void {
  const names = [...versions.keys()];
  if (names.length === 0) {
    then(true);
    return;
  }
  const steps = names.map((name) => versionStep(Buffer.from(name, "latin1")));
  runSteps(call, steps, (error, results) => {
    if (error !== undefined) {
      call.fail(error);
      return;
    }
    then(names.every((name, i) => (results[i] as number[])[0] === versions.get(name)));
  });
}

function versionStep(key: Buffer): Step {
  return { code: StepCode.version, keys: [key], args: [] };
}

export const transactionCommands: Handlers = { multi, exec, discard, watch, unwatch };
