/**
 * Makes a failing schedule short: Zeller and Hildebrandt's delta debugging ("Simplifying and isolating failure-inducing
 * input", 2002) over the faults, then shorter durations. Greedy and bounded, so the result is small, not the smallest.
 */
import type { Fault } from "./schedule.ts";

export interface ShrinkOptions {
  /** Whether the cluster still fails in the same way under this schedule. */
  fails(schedule: readonly Fault[]): Promise<boolean>;
  /** At most so many runs. */
  readonly runsMax: number;
  /** Asked before every run: false ends the search. */
  goesOn?(): boolean;
}

export interface Shrunk {
  readonly schedule: readonly Fault[];
  readonly runs: number;
}

/** `schedule` is known to fail. */
export async function shrink(schedule: readonly Fault[], options: ShrinkOptions): Promise<Shrunk> {
  let best = schedule;
  let runs = 0;
  const spent = (): boolean => runs >= options.runsMax || options.goesOn?.() === false;
  const tryOut = async (candidate: readonly Fault[]): Promise<boolean> => {
    if (spent()) return false;
    runs++;
    if (!(await options.fails(candidate))) return false;
    best = candidate;
    return true;
  };

  if (schedule.length > 0) await tryOut([]);
  await dropParts();
  await shortenDurations();
  return { schedule: best, runs };

  /** Leaves out halves, then quarters, down to single faults, until no single one can be left out. */
  async function dropParts(): Promise<void> {
    let size = Math.ceil(best.length / 2);
    while (best.length > 0 && !spent()) {
      let dropped = false;
      // From the end: what comes late depends on what came early, not the other way round.
      for (let to = best.length; to > 0; to -= size) {
        const from = Math.max(to - size, 0);
        const before = best;
        if (await tryOut([...before.slice(0, from), ...before.slice(to)])) dropped = true;
        if (spent()) return;
      }
      if (!dropped && size === 1) return;
      if (!dropped || size > best.length) size = Math.max(Math.ceil(size / 2), 1);
    }
  }

  async function shortenDurations(): Promise<void> {
    for (let i = 0; i < best.length; i++) {
      for (const part of [0, 0.5, 0.75]) {
        const fault = best[i]!;
        if (fault.forMs === 0 || spent()) break;
        const shorter = { ...fault, forMs: Math.floor(fault.forMs * part) };
        if (await tryOut(best.map((each, at) => (at === i ? shorter : each)))) break;
      }
    }
  }
}
