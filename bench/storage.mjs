/**
 * The store of a node, alone in a process, with keys of 11 bytes and values of 100: 64 partitions that share their memory. Against
 * `Map` and lru-cache, which hold the same entries under strings, each in a process of its own; for memory also against a real
 * Redis and a real memcached. Keys are asked for by Zipf's law, and all of them are there.
 *
 * The benchmark itself, with no store behind it, is one of the subjects: `driver`.
 */
import { growthOf, serverNames, versionOf } from "./support/cache-servers.mjs";
import { compare, compareToBound, measure, median } from "./support/compare.mjs";
import { startWorker } from "./support/processes.mjs";
import { step } from "./support/progress.mjs";
import { keyOf, valueBytes } from "./workers/storage-load.mjs";

const names = ["ringcache", "ringcache-1", "lru-cache", "map", "driver"];
const titles = { "lru-cache": "lru-cache", map: "Map", driver: "the driver alone" };
/** Reads to writes, and the percentage of the writes. */
const mixes = { "95/5": 5, "50/50": 50 };
/** What V8 may take for objects: `Map` needs more for ten million than it has by itself. */
const heapMebibytes = 12_288;
/** How often those are filled, each time in a new process, of which single turns are compared; the others once. */
const fills = { ringcache: 3, driver: 3 };
const sliceEntries = 250_000;

const stallMsMax = 2;
const p999MicrosMax = 50;
/** Bytes of an entry. What is fixed weighs more where there are fewer, and with few nothing is promised. */
function memoryMax(entries) {
  if (entries < 1_000_000) return undefined;
  return entries < 10_000_000 ? 160 : 145;
}

export async function run({ entries, ...plan }) {
  const comparisons = [];
  for (const count of entries) {
    const figures = await measureStores(count, plan);
    const serverBytes = await measureServers(count);
    const size = count % 1_000_000 === 0 ? `${count / 1_000_000}M` : String(count);
    comparisons.push(
      ...compareSpeed(size, figures),
      ...compareMemory(size, figures, serverBytes, memoryMax(count)),
      ...comparePauses(size, figures),
    );
  }
  return comparisons;
}

/** By name: what was seen while it was filled, `speed` by mix, and `observed`, one for each round. */
async function measureStores(entries, plan) {
  const workers = {};
  const figures = {};
  for (const name of names) {
    const { worker, ...filled } = await fill(name, entries);
    workers[name] = worker;
    figures[name] = { ...filled, speed: {}, observed: [] };
  }
  for (const [mix, writePercent] of Object.entries(mixes)) {
    const subjects = names.map((name) => [name, subject(workers[name], writePercent)]);
    const measured = await measure(Object.fromEntries(subjects), plan);
    for (const name of names) figures[name].speed[mix] = measured[name];
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const [i, name] of names.entries()) {
      step(round * names.length + i, plan.rounds * names.length, `observations, now ${name}`);
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

/**
 * Fills the subject in several processes, one after the other, and leaves the last one as it is. All do the same turn by turn, so
 * what is the store's own is in each of them: `fillStallMs` is the longest of each turn's shortest times. `onceStallMs` is the
 * longest turn of a fill, with what else the machine did in it.
 */
async function fill(name, entries) {
  const heap = ["--expose-gc", `--max-old-space-size=${heapMebibytes}`];
  const entryBytes = [];
  const gcMs = [];
  const onceMs = [];
  let shortest;
  let worker;
  for (let i = 0; i < (fills[name] ?? 1); i++) {
    await worker?.exit();
    worker = startWorker(name, "storage-subject.mjs", heap);
    const emptyBytes = await worker.call("open", name, entries);
    const turns = [];
    const pauses = [];
    for (let from = 0; from < entries; from += sliceEntries) {
      step(from, entries, `entries in ${name}`);
      const slice = await worker.call("fill", from, Math.min(from + sliceEntries, entries));
      for (const micros of slice.turns) turns.push(micros);
      pauses.push(slice.gcMs);
    }
    gcMs.push(Math.max(...pauses));
    onceMs.push(longestOf(turns));
    shortest = shortest?.map((micros, turn) => Math.min(micros, turns[turn])) ?? turns;
    entryBytes.push(((await worker.call("rss")) - emptyBytes) / entries);
  }
  return {
    worker,
    entryBytes: median(entryBytes),
    fillStallMs: longestOf(shortest),
    onceStallMs: median(onceMs),
    fillGcMs: median(gcMs),
  };
}

function longestOf(turnsMicros) {
  return turnsMicros.reduce((a, b) => Math.max(a, b), 0) / 1000;
}

async function measureServers(entries) {
  const bytes = {};
  for (const name of serverNames) {
    const version = versionOf(name);
    if (version === undefined) console.error(`${name} isn't installed: without it`);
    else {
      bytes[`${name} ${version}`] =
        (await growthOf(name, entries, keyOf, Buffer.alloc(valueBytes, "v"))) / entries;
    }
  }
  return bytes;
}

/** One figure against another that was measured once. */
function compareOnce(name, unit, value, baseline) {
  return compare({
    name,
    unit,
    field: "figure",
    subject: [{ figure: value }],
    baseline: [{ figure: baseline }],
  });
}

function compareSpeed(size, figures) {
  return Object.keys(mixes).flatMap((mix) => {
    const against = (subject, baseline) => ({
      subject: figures[subject].speed[mix],
      baseline: figures[baseline].speed[mix],
    });
    const speed = { unit: "operations/s", field: "perSecond" };
    const cpu = { unit: "µs/operation", field: "cpuMicros" };
    const lru = against("ringcache", "lru-cache");
    const title = `${size} ${mix}`;
    return [
      compare({ name: `${title} against lru-cache`, ...speed, ...lru, target: 1 }),
      compare({ name: `${title}, CPU time against lru-cache`, ...cpu, ...lru }),
      compare({ name: `${title} against Map`, ...speed, ...against("ringcache", "map") }),
      compare({ name: `${title}, CPU time against Map`, ...cpu, ...against("ringcache", "map") }),
      compare({ name: `${title}, one store against 64`, ...speed, ...against("ringcache-1", "ringcache") }),
      compare({ name: `${title}, CPU time of the driver alone`, ...cpu, ...against("driver", "ringcache") }),
    ];
  });
}

function compareMemory(size, figures, serverBytes, most) {
  const bytes = figures.ringcache.entryBytes;
  const others = {
    "lru-cache": figures["lru-cache"].entryBytes,
    Map: figures.map.entryBytes,
    ...serverBytes,
    "one store": figures["ringcache-1"].entryBytes,
  };
  const name = `${size} memory of an entry, against`;
  return [
    ...(most === undefined
      ? []
      : [compareToBound({ name: `${name} the bound`, unit: "B", value: bytes, bound: most })]),
    ...Object.entries(others).map(([other, value]) => compareOnce(`${name} ${other}`, "B", bytes, value)),
  ];
}

/** Of each round its longest; of the rounds the median, as everywhere. */
function comparePauses(size, figures) {
  const { fillStallMs, onceStallMs, fillGcMs } = figures.ringcache;
  const fill = `${size} stall while it is filled, against`;
  const once = `${size} stall of one fill, against`;
  const against = (what, unit, field, others, bound) => {
    const subject = figures.ringcache.observed;
    const name = `${size} ${what}, against`;
    const value = median(subject.map((round) => round[field]));
    return [
      ...(bound === undefined ? [] : [compareToBound({ name: `${name} the bound`, unit, value, bound })]),
      ...others.map((other) =>
        compare({
          name: `${name} ${titles[other]}`,
          unit,
          field,
          subject,
          baseline: figures[other].observed,
        }),
      ),
    ];
  };
  return [
    compareToBound({ name: `${fill} the bound`, unit: "ms", value: fillStallMs, bound: stallMsMax }),
    compareOnce(`${fill} the driver alone`, "ms", fillStallMs, figures.driver.fillStallMs),
    ...["lru-cache", "map"].map((other) =>
      compareOnce(`${once} ${titles[other]}`, "ms", onceStallMs, figures[other].onceStallMs),
    ),
    ...against("stall", "ms", "stallOwnMs", ["lru-cache", "map", "driver"], stallMsMax),
    ...against("stall by the clock", "ms", "stallMs", ["lru-cache", "driver"]),
    ...against("p99.9 of operations", "µs", "p999Micros", ["lru-cache", "map"], p999MicrosMax),
    ...against("longest operation by the clock", "ms", "operationMs", ["lru-cache", "driver"]),
    compareOnce(
      `${size} GC pause while it is filled, against lru-cache`,
      "ms",
      fillGcMs,
      figures["lru-cache"].fillGcMs,
    ),
    ...against("GC pause", "ms", "gcMs", ["lru-cache", "map"]),
  ];
}
