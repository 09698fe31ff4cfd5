/**
 * `npm run sim -- --seeds N` runs the seeds 1 to N, `--from F` starts at another, `--jobs J` shares them among J
 * processes. `--seed S` runs one; if it fails, its schedule of faults is made as short as it gets and printed.
 * `--trace`: the transcript too. `--key KEY`: and what clients did to that key. `--schedule FILE`: with the faults of that file instead of the seed's.
 * `--profile NAME` and `--plant BUG` are for work on the simulator itself. Exit code 1 if anything happened that must not.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { planted } from "../../src/planted.ts";
import { describeOperation } from "./linearizability.ts";
import { runPool, serveAsWorker } from "./pool.ts";
import { type ProfileName, profiles } from "./profiles.ts";
import { Progress } from "./progress.ts";
import { type Report, runScenario, type ScenarioOptions } from "./scenario.ts";
import { type Fault, formatSchedule, parseSchedule } from "./schedule.ts";
import { shrink } from "./shrink.ts";

const linesAtFailure = 80;
const shrinkRunsMax = 300;
const shrinkMsMax = 120_000;
/** Not in `dist`: ignored by git. */
const keepIn = ".artefacts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string", default: "100" },
    from: { type: "string", default: "1" },
    jobs: { type: "string", default: "1" },
    key: { type: "string" },
    trace: { type: "boolean", default: false },
    schedule: { type: "string" },
    profile: { type: "string", default: "everything" },
    plant: { type: "string" },
    worker: { type: "boolean", default: false },
  },
});

function refuse(message: string): never {
  console.error(message);
  process.exit(2);
}

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) refuse(`--${name} takes a whole number, not "${text}"`);
  return number;
}

function options(): ScenarioOptions {
  if (!Object.hasOwn(profiles, values.profile)) {
    refuse(`--profile is one of ${Object.keys(profiles).join(", ")}, not "${values.profile}"`);
  }
  const profile = profiles[values.profile as ProfileName];
  if (values.schedule === undefined) return { profile };
  return { profile, schedule: parseSchedule(readFileSync(values.schedule, "utf8")) };
}

function plantBug(name: string): void {
  if (!Object.hasOwn(planted, name))
    refuse(`--plant is one of ${Object.keys(planted).join(", ")}, not "${name}"`);
  planted[name as keyof typeof planted] = true;
}

function summary(report: Report): string {
  const { seed, violations, operations, failures, faults, handoffs, promotions, longestWaitMs } = report;
  return [
    `seed ${seed} ${violations.length === 0 ? "ok" : "FAILED"}`,
    `${operations} operations, ${failures} failed, longest ${longestWaitMs.toFixed(0)} ms`,
    `${faults} faults, ${handoffs} handoffs, ${promotions} promotions, ${report.epochs} epochs`,
    `${report.events} events, hash ${report.hash}`,
  ].join(" · ");
}

async function runOne(seed: number): Promise<boolean> {
  const scenario = options();
  const onLine = values.trace ? (line: string) => console.log(line) : undefined;
  const report = await runScenario(seed, { ...scenario, ...(onLine !== undefined && { onLine }) });
  for (const operation of report.history) {
    if (operation.key === values.key) console.log(describeOperation(operation));
  }
  console.log(JSON.stringify(report.settings));
  console.log(summary(report));
  for (const { kind, what } of report.violations) console.log(`  ${kind}: ${what}`);
  if (report.violations.length === 0) return true;
  await printShortest(report, scenario);
  return false;
}

async function printShortest(failed: Report, scenario: ScenarioOptions): Promise<void> {
  const { seed } = failed;
  const kind = failed.violations[0]!.kind;
  const run = (schedule: readonly Fault[]): Promise<Report> => runScenario(seed, { ...scenario, schedule });
  const untilMs = performance.now() + shrinkMsMax;
  const shrunk = await shrink(failed.schedule, {
    fails: async (schedule) => (await run(schedule)).violations.some((violation) => violation.kind === kind),
    runsMax: shrinkRunsMax,
    goesOn: () => performance.now() < untilMs,
  });
  const text = formatSchedule(shrunk.schedule);
  const file = `${keepIn}/sim-${seed}.txt`;
  mkdirSync(keepIn, { recursive: true });
  writeFileSync(file, text);
  const again = await run(shrunk.schedule);
  console.log(`\nthe end of the shortest run found that fails with "${kind}":`);
  for (const line of again.lines.slice(-linesAtFailure)) console.log(line.slice(0, 300));
  console.log(
    `\n${shrunk.schedule.length} of its ${failed.schedule.length} faults, after ${shrunk.runs} runs:`,
  );
  console.log(text);
  console.log(`again: npm run sim -- --seed ${seed} --schedule ${file} --trace`);
}

async function runMany(from: number, count: number, jobs: number): Promise<boolean> {
  const progress = new Progress(count);
  const flags = [
    "--profile",
    values.profile,
    ...(values.plant === undefined ? [] : ["--plant", values.plant]),
  ];
  await runPool({ from, count, jobs, flags, scenario: options(), each: (report) => progress.seed(report) });
  progress.end();
  return progress.failed === 0;
}

if (values.plant !== undefined) plantBug(values.plant);
if (values.worker) {
  serveAsWorker(options());
} else {
  const ok =
    values.seed === undefined
      ? await runMany(
          wholeNumber("from", values.from),
          wholeNumber("seeds", values.seeds),
          Math.max(wholeNumber("jobs", values.jobs), 1),
        )
      : await runOne(wholeNumber("seed", values.seed));
  if (!ok) process.exitCode = 1;
}
