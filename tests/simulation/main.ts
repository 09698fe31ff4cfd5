/**
 * `npm run sim -- --seeds N` runs the seeds 1 to N, `--from F` starts at another; `--seed S` runs one and prints its
 * end when it fails, with `--trace` all of it. `--deaths`: nodes crash and
 * stall as well, and only what must hold even then is judged. Exit code 1 if anything happened that must not.
 */
import { parseArgs } from "node:util";
import { type Report, runScenario } from "./scenario.ts";

const linesAtFailure = 60;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string", default: "20" },
    from: { type: "string", default: "1" },
    deaths: { type: "boolean", default: false },
    trace: { type: "boolean", default: false },
  },
});

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) {
    console.error(`--${name} takes a whole number, not "${text}"`);
    process.exit(2);
  }
  return number;
}

function summary(report: Report, tookMs: number): string {
  const { seed, violations, hash, events, operations, failures, handoffs, epochs, longestWaitMs } = report;
  return [
    `seed ${String(seed).padStart(4)} ${violations.length === 0 ? "ok    " : "FAILED"}`,
    `${operations} operations, ${failures} past their deadline, longest ${longestWaitMs.toFixed(0)} ms`,
    `${handoffs} handoffs, ${epochs} epochs`,
    `${events} events, ${(events / tookMs).toFixed(0)}/ms, hash ${hash}`,
  ].join(" · ");
}

const first = wholeNumber("seed", values.seed ?? values.from);
const count = values.seed === undefined ? wholeNumber("seeds", values.seeds) : 1;
const failed: number[] = [];
for (let seed = first; seed < first + count; seed++) {
  const fromMs = performance.now();
  const report = await runScenario(seed, {
    deaths: values.deaths,
    ...(values.trace && { onLine: (line: string) => console.log(line) }),
  });
  console.log(summary(report, performance.now() - fromMs));
  if (report.violations.length === 0) continue;
  failed.push(seed);
  if (count === 1 && !values.trace) for (const line of report.lines.slice(-linesAtFailure)) console.log(line);
  for (const violation of report.violations) console.log(`  ${violation}`);
}
if (failed.length > 0) {
  console.log(`${failed.length} of ${count} seeds failed: ${failed.join(" ")}`);
  process.exitCode = 1;
}
