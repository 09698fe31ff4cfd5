/**
 * Measures several subjects in turns: a machine that is slower for a while is slower for all of them, and a ratio
 * compares only what was measured one right after the other.
 */
import { step } from "./progress.mjs";

/**
 * `subjects`: by name, `{ run(seconds), servers, processes }`. `run` resolves with `{ operations, perSecond }`;
 * `servers` are the processes whose CPU time counts as the server's, `processes` all that take part. Resolves with
 * one list per subject, one measurement a round: `{ perSecond, serverCpuMicros, cpuMicros }`, CPU time per operation.
 */
export async function measure(subjects, { rounds, seconds, warmUpSeconds }) {
  const names = Object.keys(subjects);
  const results = Object.fromEntries(names.map((name) => [name, []]));
  let done = 0;
  const next = (what) => step(done++, names.length * (rounds + 1), `measurements, now ${what}`);
  for (const name of names) {
    next(`${name}, warming up`);
    await subjects[name].run(warmUpSeconds);
  }
  for (let round = 0; round < rounds; round++) {
    // Every other round backwards: none is always the first.
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      next(name);
      results[name].push(await measureOnce(subjects[name], seconds));
    }
  }
  return results;
}

async function measureOnce({ run, servers, processes }, seconds) {
  const before = await cpuOf(processes);
  const { operations, perSecond } = await run(seconds);
  const after = await cpuOf(processes);
  const used = (process) => (after.get(process) - before.get(process)) / operations;
  return { perSecond, serverCpuMicros: sum(servers.map(used)), cpuMicros: sum(processes.map(used)) };
}

async function cpuOf(processes) {
  return new Map(await Promise.all(processes.map(async (process) => [process, await process.cpuMicros()])));
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * One comparison: `ratio` is the median of the rounds' ratios of subject to baseline, `ratioMin` and `ratioMax` the
 * range of them. Without a `target` it is for information, and `reached` is null.
 */
export function compare({ name, unit, field, subject, baseline, target = null }) {
  const ratios = subject.map((measured, round) => measured[field] / baseline[round][field]);
  const ratio = median(ratios);
  return {
    case: name,
    unit,
    value: median(subject.map((measured) => measured[field])),
    baseline: median(baseline.map((measured) => measured[field])),
    ratio,
    ratioMin: Math.min(...ratios),
    ratioMax: Math.max(...ratios),
    target,
    reached: target === null ? null : ratio >= target,
  };
}

/**
 * What was measured against a bound that it isn't to exceed: `baseline` is the bound, and `reached` whether the ratio is at
 * most 1.
 */
export function compareToBound({ name, unit, value, bound }) {
  const ratio = value / bound;
  const range = { ratioMin: ratio, ratioMax: ratio };
  return {
    case: name,
    unit,
    value,
    baseline: bound,
    ratio,
    ...range,
    target: 1,
    atMost: true,
    reached: ratio <= 1,
  };
}
