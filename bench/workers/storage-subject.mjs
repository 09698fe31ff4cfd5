/**
 * One subject of the storage benchmark, in a process of its own. It works in turns of the event loop, a batch in each, as a
 * server does; from one turn to the next is what everything else in the process would have waited.
 */
import { constants, PerformanceObserver } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { serve } from "../support/serve.mjs";
import { keyOf, requests, valueBytes } from "./storage-load.mjs";
import { Spans, Times } from "./storage-spans.mjs";
import { subjects } from "./storage-subjects.mjs";

/** Operations in a turn: when they are counted, and when stalls are looked for. */
const batch = 512;
const watchedBatch = 64;
const warmUpEntries = 10_000;
const warmUpSeconds = 0.5;
const settleMs = 200;

const value = Buffer.alloc(valueBytes, "v");
let load;
let store;
let at = 0;
/** So that nothing that is read is left out as useless. */
let sum = 0;

let gcMs = 0;
const observer = new PerformanceObserver((list) => {
  for (const { duration, detail } of list.getEntries()) {
    // Not those that were asked for here.
    if ((detail.flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) === 0) gcMs = Math.max(gcMs, duration);
  }
});
observer.observe({ entryTypes: ["gc"] });

const turn = () => new Promise((resolve) => setImmediate(resolve));

function operate(writePercent, nowMs) {
  at = (at + 1) & load.mask;
  const number = load.numbers[at];
  const key = keyOf(number);
  if (load.dice[at] < writePercent) store.set(number, key, value, nowMs);
  else {
    const found = store.get(number, key, nowMs);
    if (found !== undefined) sum += found[0];
  }
}

/** Operations on keys of the load, so many percent of them writes. */
async function run(writePercent, seconds) {
  const startedAtMs = performance.now();
  const endAtMs = startedAtMs + seconds * 1000;
  let operations = 0;
  while (performance.now() < endAtMs) {
    const nowMs = Date.now();
    for (let i = 0; i < batch; i++) operate(writePercent, nowMs);
    operations += batch;
    await turn();
  }
  return { operations, perSecond: (operations * 1000) / (performance.now() - startedAtMs) };
}

/** The same, with a clock at each operation and each turn. */
async function observe(writePercent, seconds) {
  const endAtMs = performance.now() + seconds * 1000;
  const times = new Times();
  const stalls = await watch(() => {
    const nowMs = Date.now();
    let from = performance.now();
    for (let i = 0; i < watchedBatch; i++) {
      operate(writePercent, nowMs);
      const to = performance.now();
      times.add(to - from);
      from = to;
    }
    return from < endAtMs;
  });
  return { ...stalls, p999Micros: times.quantileMicros(0.999), operationMs: times.longestMs };
}

/**
 * Calls `work` in each turn until it returns false, and `passed` with the time that each took to the next. Resolves with the longest
 * of them, and the longest garbage collection.
 */
async function watch(work, passed) {
  const gaps = new Spans();
  gcMs = 0;
  await turn();
  gaps.start();
  while (work()) {
    await turn();
    const ownMs = gaps.next();
    passed?.(ownMs);
  }
  // The observer hears of a collection some turns later.
  for (let i = 0; i < 8; i++) await turn();
  return { stallMs: gaps.longestMs, stallOwnMs: gaps.ownMs, gcMs };
}

/** The memory of this process, in bytes, once garbage is collected. */
async function rss() {
  for (let i = 0; i < 2; i++) {
    globalThis.gc();
    await sleep(settleMs);
  }
  return process.memoryUsage.rss();
}

serve({
  /** All that isn't the subject's own is made here, and the subject's code compiled by a small one. */
  async open(name, entries) {
    load = requests(warmUpEntries);
    store = subjects[name](warmUpEntries);
    for (let number = 0; number < warmUpEntries; number++) store.set(number, keyOf(number), value, 1);
    for (const writePercent of [5, 50]) {
      await run(writePercent, warmUpSeconds);
      await observe(writePercent, warmUpSeconds);
    }
    store = undefined;
    load = requests(entries);
    const emptyBytes = await rss();
    store = subjects[name](entries);
    return emptyBytes;
  },
  /** Stores the entries with these numbers. `turns`: of each turn, how long it was, in µs. */
  async fill(from, to) {
    let number = from;
    const turns = [];
    const stalls = await watch(
      () => {
        if (number === to) return false;
        const nowMs = Date.now();
        const end = Math.min(number + watchedBatch, to);
        for (; number < end; number++) store.set(number, keyOf(number), value, nowMs);
        return true;
      },
      (ownMs) => turns.push(Math.round(ownMs * 1000)),
    );
    return { ...stalls, turns };
  },
  run,
  observe,
  rss,
  sum: () => sum,
});
