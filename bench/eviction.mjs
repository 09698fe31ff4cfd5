/**
 * What the store keeps when it can't keep everything: its hit ratio against exact LRU, FIFO and S3-FIFO, on real traces and on
 * generated requests, where the cache holds 1, 10 or 30 % of all that is asked for. A request is a get, and on a miss a set.
 * Nothing is timed: the same requests give the same figures.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Fifo, Lru, S3Fifo } from "./support/eviction-references.mjs";
import { Store } from "./support/eviction-store.mjs";
import { readTrace, zipf, zipfWithScans } from "./support/eviction-workloads.mjs";
import { say, step } from "./support/progress.mjs";

const traces = ["web07", "sprite", "multi3", "loop", "requests-sized"];
const tracesFolder = fileURLToPath(new URL("../../shared/traces/", import.meta.url));
const percents = [1, 10, 30];
/** How far the store may be below the best of the references, in percentage points. */
const below = 1;

const keyCount = 100_000;
const count = 1_000_000;
const generated = [
  () => zipf("zipf-0.99", { exponent: 0.99, keyCount, count, seed: 1 }),
  () => zipf("zipf-0.8", { exponent: 0.8, keyCount, count, seed: 2 }),
  () =>
    zipfWithScans("zipf-0.99+scans", {
      exponent: 0.99,
      keyCount,
      count,
      every: 20_000,
      scanLength: 10_000,
      seed: 3,
    }),
];

/** `files`: traces to use instead of all others. */
export async function run({ files }) {
  const results = [];
  const loads = files.length > 0 ? files.map((file) => () => readTrace(file)) : everyWorkload();
  for (const load of loads) {
    const workload = load();
    const { name, keys, distinct } = workload;
    say(`eviction: ${name}: ${figure(keys.length)} requests for ${figure(distinct)} keys`);
    for (const percent of percents) {
      step(results.length, loads.length * percents.length, `caches measured, now ${name} at ${percent} %`);
      results.push(measure(workload, percent));
    }
  }
  return results;
}

function everyWorkload() {
  const known = existsSync(tracesFolder);
  if (!known) say("eviction: ../shared/traces isn't there: without the real traces");
  return [
    ...(known ? traces.map((name) => () => readTrace(`${tracesFolder}${name}.csv.gz`)) : []),
    ...generated,
  ];
}

function measure(workload, percent) {
  const { name, distinct, footprint, sized } = workload;
  const capacity = Math.max(Math.floor((footprint * percent) / 100), 1);
  const lru = hitPercent(workload, new Lru(capacity, distinct));
  const fifo = hitPercent(workload, new Fifo(capacity, distinct));
  const s3Fifo = hitPercent(workload, new S3Fifo(capacity, distinct));
  const store = hitPercent(workload, new Store("s3-fifo", capacity, workload));
  const storeLru = hitPercent(workload, new Store("lru", capacity, workload));
  const best = Math.max(lru, fifo, s3Fifo);
  const difference = store - best;
  return {
    case: `${name}, ${percent} %`,
    capacity,
    unit: sized ? "bytes" : "entries",
    lru,
    fifo,
    s3Fifo,
    store,
    storeLru,
    best,
    difference,
    reached: difference >= -below,
  };
}

function hitPercent({ keys, sizes }, cache) {
  let hits = 0;
  for (let i = 0; i < keys.length; i++) {
    if (cache.get(keys[i])) hits++;
    else cache.set(keys[i], sizes[i]);
  }
  return (100 * hits) / keys.length;
}

/** Unlike a speed, a hit ratio doesn't depend on the machine: one that is missed is a failure. */
export function failed(results) {
  return results.some(({ reached }) => !reached);
}

export function printJson(name, results) {
  for (const { case: case_, capacity, unit, store, best, difference, reached, ...others } of results) {
    const references = { lru: others.lru, fifo: others.fifo, "s3-fifo": others.s3Fifo };
    console.log(
      JSON.stringify({
        bench: name,
        case: case_,
        capacity,
        capacityUnit: unit,
        unit: "% hits",
        value: rounded(store),
        baseline: rounded(best),
        difference: rounded(difference),
        target: -below,
        reached,
        references: Object.fromEntries(
          Object.entries(references).map(([key, value]) => [key, rounded(value)]),
        ),
        storeLru: rounded(others.storeLru),
      }),
    );
  }
}

export function printTable(results) {
  const rows = [
    ["hits in %", "cache", "", "LRU", "FIFO", "S3-FIFO", "store", "against best", "", "store: lru"],
    ...results.map(
      ({ case: name, capacity, unit, lru, fifo, s3Fifo, store, storeLru, difference, reached }) => [
        name,
        figure(capacity),
        unit,
        ...[lru, fifo, s3Fifo, store].map((percent) => percent.toFixed(2)),
        `${difference < 0 ? "" : "+"}${difference.toFixed(2)}`,
        reached ? "reached" : "MISSED",
        storeLru.toFixed(2),
      ],
    ),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 || column === 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
    );
    console.log(cells.join("  ").trimEnd());
  }
}

function figure(number) {
  return Math.round(number).toLocaleString("en-US");
}

function rounded(percent) {
  return Number(percent.toFixed(2));
}
