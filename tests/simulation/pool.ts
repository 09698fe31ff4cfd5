/** Runs many seeds, in this process or shared among several. */
import { type ChildProcess, fork } from "node:child_process";
import { type Report, runScenario, type ScenarioOptions, type Violation } from "./scenario.ts";

/** Seeds that a process is given at a time. */
const seedsAtATime = 8;

/** What is told of a run; all of it crosses from one process to another. */
export interface Outcome {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly events: number;
  readonly operations: number;
  readonly faults: number;
  readonly handoffs: number;
  readonly promotions: number;
}

export interface PoolOptions {
  readonly from: number;
  readonly count: number;
  /** Processes; with 1, none beside this one. */
  readonly jobs: number;
  /** For the other processes, so that they run the same. */
  readonly flags: readonly string[];
  readonly scenario: ScenarioOptions;
  each(outcome: Outcome): void;
}

interface Task {
  readonly from: number;
  readonly count: number;
}

export async function runPool(options: PoolOptions): Promise<void> {
  const { from, count, jobs, scenario, each } = options;
  hurry();
  if (jobs === 1) {
    for (let seed = from; seed < from + count; seed++) each(outcomeOf(await runScenario(seed, scenario)));
    return;
  }
  let next = from;
  const take = (): Task | undefined => {
    if (next >= from + count) return undefined;
    const task = { from: next, count: Math.min(seedsAtATime, from + count - next) };
    next += task.count;
    return task;
  };
  await Promise.all(Array.from({ length: jobs }, () => work(options, take)));
}

/** One other process, from its first task to its last. */
function work({ flags, each }: PoolOptions, take: () => Task | undefined): Promise<void> {
  const child: ChildProcess = fork(process.argv[1]!, ["--worker", ...flags]);
  return new Promise((resolve, reject) => {
    let left = 0;
    const give = (): void => {
      const task = take();
      if (task === undefined) {
        child.disconnect();
        resolve();
        return;
      }
      left = task.count;
      child.send(task);
    };
    child.on("message", (outcome) => {
      each(outcome as Outcome);
      if (--left === 0) give();
    });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (code !== 0) reject(new Error(`a process that ran seeds ended with ${signal ?? code}`));
    });
    give();
  });
}

/** Runs what the parent process asks for, until it lets go. */
export function serveAsWorker(scenario: ScenarioOptions): void {
  hurry();
  process.on("message", (message) => {
    const { from, count } = message as Task;
    void (async () => {
      for (let seed = from; seed < from + count; seed++) {
        process.send!(outcomeOf(await runScenario(seed, scenario)));
      }
    })();
  });
  process.on("disconnect", () => process.exit(0));
}

/** For many runs: a failing seed is run again, and told more of, by itself. */
function hurry(): void {
  // A trace that names each error's place costs more than the run.
  Error.stackTraceLimit = 0;
}

function outcomeOf(report: Report): Outcome {
  const { seed, violations, events, operations, faults, handoffs, promotions } = report;
  return { seed, violations, events, operations, faults, handoffs, promotions };
}
