/**
 * `npm run soak -- --minutes 5 [--seed N]`: random operations on stores beside their models, at full speed, and every few seconds an
 * audit of everything. The same seed makes the same operations. Exit code 1 at the first difference.
 */
import { parseArgs } from "node:util";
import { SoakWorld } from "./soak-world.ts";

const operationsAtOnce = 20_000;
const auditEveryMs = 5_000;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "5" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});

function numberOf(name: string, text: string): number {
  const number = Number(text);
  if (text.trim() !== "" && Number.isFinite(number) && number >= 0) return number;
  console.error(`--${name} takes a number, not "${text}"`);
  process.exit(2);
}

function soak(minutes: number, seed: number): void {
  const world = new SoakWorld(seed);
  const startedMs = performance.now();
  let auditedMs = startedMs;
  for (let nowMs = startedMs; nowMs < startedMs + minutes * 60_000; nowMs = performance.now()) {
    world.run(operationsAtOnce);
    if (nowMs < auditedMs + auditEveryMs) continue;
    world.audit();
    auditedMs = nowMs;
    const { operations, ...others } = world.counts;
    const rest = Object.entries(others).map(([name, count]) => `${count} ${name}`);
    const megabytes = (world.usedBytes / 1024 / 1024).toFixed(1);
    const seconds = Math.round((nowMs - startedMs) / 1_000);
    console.log(
      `${seconds} s: ${operations} operations, ${rest.join(", ")}; ${world.size} entries in ${megabytes} MiB`,
    );
  }
  world.end();
}

const seed = numberOf("seed", values.seed);
console.log(`seed ${seed}`);
try {
  soak(numberOf("minutes", values.minutes), seed);
  console.log("no difference");
} catch (error) {
  console.error(error);
  console.error(`seed ${seed}: a store and its model differ`);
  process.exit(1);
}
