/**
 *     npm run fuzz:redis -- [--inputs N] [--seed N]
 *
 * Parses mutated requests; prints how many, what they led to and how the process's memory went. Exit code 1 for an input that
 * the parser can't cope with, which is printed with its seed, or if memory grows.
 */
import { parseArgs } from "node:util";
import { Fuzzer } from "./redis-requests.ts";

const { values } = parseArgs({
  options: { inputs: { type: "string", default: "1000000" }, seed: { type: "string", default: "1" } },
});
const inputs = Number(values.inputs);
const seed = Number(values.seed);
if (!(Number.isInteger(inputs) && inputs > 0 && Number.isInteger(seed))) {
  console.error("fuzz:redis: --inputs and --seed are whole numbers.");
  process.exit(2);
}

/** What garbage collection and the compiler leave for later. */
const slackBytes = 64 * 1024 * 1024;
const fuzzer = new Fuzzer(seed);
const startMs = performance.now();
let settledBytes = 0;
let slowestMs = 0;
for (let i = 1; i <= inputs; i++) {
  const atMs = performance.now();
  try {
    fuzzer.one();
  } catch (error) {
    console.error(`seed ${seed}, input number ${i}:`, error);
    process.exit(1);
  }
  slowestMs = Math.max(slowestMs, performance.now() - atMs);
  if (i === Math.ceil(inputs / 10)) settledBytes = process.memoryUsage.rss();
}
const grownBytes = process.memoryUsage.rss() - settledBytes;
const seconds = (performance.now() - startMs) / 1000;
const { requests, refused, errors } = fuzzer.seen;
console.log(`${inputs} inputs in ${seconds.toFixed(1)} s, the slowest in ${slowestMs.toFixed(1)} ms`);
console.log(
  `${requests} requests, ${refused} refused, ${[...errors.values()].reduce((a, b) => a + b, 0)} broken`,
);
console.log(`memory after a tenth: ${mib(settledBytes)}, at the end ${mib(grownBytes)} more`);
if (grownBytes > slackBytes) {
  console.error("fuzz:redis: memory grows.");
  process.exit(1);
}

function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
