/**
 * The store of a node, alone in a process, with keys of 11 bytes and values of 100: 64 partitions that share their memory. Against
 * `Map` and lru-cache, which hold the same entries under strings, each in a process of its own; for memory also against a real
 * Redis and a real memcached. Everything is asked for by Zipf's law, and everything is there.
 *
 * The benchmark itself, with no store behind it, is one of the subjects: `driver`.
 */

import { growthOf, serverNames, versionOf } from "./support/cache-servers.mjs";
import { compare, compareToBound, measure } from "./support/compare.mjs";
import { startWorker } from "./support/processes.mjs";
import { keyOf, valueBytes } from "./workers/storage-load.mjs";

const names = ["ringcache", "ringcache-1", "lru-cache", "map", "driver"];
const mixes = { "95/5": 5, "50/50": 50 };
/** What V8 may take for objects: `Map` needs more for ten million than it has by itself. */
const heapMebibytes = 12_288;
const fillEntries = 500_000;

const stallMsMax = 2;
const p999MicrosMax = 50;
/** Bytes of an entry; what is fixed weighs more where there are fewer. */
const memoryMax = (entries) => (entries >= 10_000_000 ? 145 : 160);

export async function run({ entries, ...plan }) {
  const comparisons = [];
  for (const count of entries) {
    const figures = await measureStores(count, plan);
    comparisons.push(...compareAll(count, figures, await measureServers(count)));
  }
  return comparisons;
}

/** By name: `{ memory, fill, observed, mixes }`. */
async function measureStores(entries, plan) {
  const workers = {};
  const figures = {};
  for (const name of names) {
    const worker = startWorker(name, "storage-subject.mjs", [
      "--expose-gc",
      `--max-old-space-size=${heapMebibytes}`,
    ]);
    workers[name] = worker;
    figures[name] = { ...(await fill(worker, name, entries)), observed: [], mixes: {} };
  }
  for (const [mix, writePercent] of Object.entries(mixes)) {
    const measured = await measure(
      Object.fromEntries(names.map((name) => [name, subject(workers[name], writePercent)])),
      plan,
    );
    for (const name of names) figures[name].mixes[mix] = measured[name];
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const name of names) {
      figures[name].observed.push(await workers[name].call("observe", mixes["50/50"], plan.seconds));
    }
  }
  for (const name of names) await workers[name].exit();
  return figures;
}

function subject(worker, writePercent) {
  return {
    servers: [worker],
    processes: [worker],
    run: (seconds) => worker.call("run", writePercent, seconds),
  };
}

/** In slices, each of which is a call that doesn't take long. */
async function fill(worker, name, entries) {
  const emptyBytes = await worker.call("open", name, entries);
  const slices = [];
  for (let from = 0; from < entries; from += fillEntries) {
    slices.push(await worker.call("fill", from, Math.min(from + fillEntries, entries)));
  }
  const rss = await worker.call("rss");
  return {
    entryBytes: (rss.asItIs - emptyBytes) / entries,
    settledBytes: (rss.settled - emptyBytes) / entries,
    filled: slices,
  };
}

async function measureServers(entries) {
  const bytes = {};
  for (const name of serverNames) {
    const version = versionOf(name);
    if (version === undefined) console.error(`${name} isn't installed: left out`);
    else {
      const growth = await growthOf(name, entries, keyOf, Buffer.alloc(valueBytes, "v"));
      bytes[`${name} ${version}`] = growth / entries;
    }
  }
  return bytes;
}

/** The longest of all turns, collections or operations while it was filled and asked. */
function longest({ filled, observed }, field) {
  return Math.max(...[...filled, ...observed].map((measured) => measured[field] ?? 0));
}

function compareAll(entries, figures, serverBytes) {
  const size = entries % 1_000_000 === 0 ? `${entries / 1_000_000}M` : String(entries);
  const ours = figures.ringcache;
  const lru = figures["lru-cache"];
  const one = (name, unit, value, baseline) => {
    const field = "one";
    return compare({
      name: `${size}, ${name}`,
      unit,
      field,
      subject: [{ one: value }],
      baseline: [{ one: baseline }],
    });
  };
  const bound = (name, unit, value, most) =>
    compareToBound({ name: `${size}, ${name}, against the bound`, unit, value, bound: most });
  const stall = longest(ours, "stallOwnMs");
  const p999 = (name) => Math.max(...figures[name].observed.map(({ p999Micros }) => p999Micros));
  const others = ["lru-cache", "map", "ringcache-1"];
  return [
    ...Object.keys(mixes).flatMap((mix) => compareMix(`${size}, ${mix}`, mix, figures)),
    bound("memory of an entry", "B", ours.entryBytes, memoryMax(entries)),
    ...others.map((name) =>
      one(`its memory, against ${name}`, "B", ours.entryBytes, figures[name].entryBytes),
    ),
    ...Object.entries(serverBytes).map(([name, bytes]) =>
      one(`its memory, against ${name}`, "B", ours.entryBytes, bytes),
    ),
    bound("longest stall", "ms", stall, stallMsMax),
    ...[...others, "driver"].map((name) =>
      one(`longest stall, against ${name}`, "ms", stall, longest(figures[name], "stallOwnMs")),
    ),
    one(
      "the same by the clock, against driver",
      "ms",
      longest(ours, "stallMs"),
      longest(figures.driver, "stallMs"),
    ),
    ...["lru-cache", "map"].map((name) =>
      one(`longest GC pause, against ${name}`, "ms", longest(ours, "gcMs"), longest(figures[name], "gcMs")),
    ),
    bound("p99.9 of operations", "µs", p999("ringcache"), p999MicrosMax),
    one("p99.9 of operations, against lru-cache", "µs", p999("ringcache"), p999("lru-cache")),
    one(
      "longest operation, against lru-cache",
      "ms",
      longest(ours, "operationMs"),
      longest(lru, "operationMs"),
    ),
  ];
}

function compareMix(title, mix, figures) {
  const of = (name) => figures[name].mixes[mix];
  const speed = { unit: "operations/s", field: "perSecond" };
  const cpu = { unit: "µs/operation", field: "cpuMicros" };
  const against = (subject, baseline) => ({ subject: of(subject), baseline: of(baseline) });
  const lru = against("ringcache", "lru-cache");
  return [
    compare({ name: `${title} against lru-cache`, ...speed, ...lru, target: 1 }),
    compare({ name: `${title}, its CPU time`, ...cpu, ...lru }),
    compare({ name: `${title} against map`, ...speed, ...against("ringcache", "map") }),
    compare({ name: `${title} in one store, against 64`, ...speed, ...against("ringcache-1", "ringcache") }),
    compare({ name: `${title}, CPU time of the driver alone`, ...cpu, ...against("driver", "ringcache") }),
  ];
}
