/**
 * Nodes whose memory is full, under load for minutes: three `ringcache start` with little memory, and clients that ask for far more than
 * fits in it. What nodes take is their RSS, from outside and every second; it is to be flat, no request is to fail, and what is found is
 * to stay as much. The time counts from when all of them evict.
 */
import { startNats, startServer, startWorker } from "./support/processes.mjs";
import { say, step } from "./support/progress.mjs";
import { getJson, settled } from "./support/settle.mjs";

const nodeCount = 3;
const maxMemoryMebibytes = 64;
const clients = 32;
/** About 8 times what there is room for. */
const keyCount = 150_000;
/** Before it: the same work on next to nothing, for what a node takes besides its store. */
const plain = { keyCount: 200, clients, renewEvery: 3, seconds: 10 };
const fillSecondsMax = 600;
const intervals = 18;

/** The last third's highest RSS against the middle third's. */
const flatMax = 1.02;
/** How far an interval's hit ratio may be from the mean, after the first third, in percentage points. */
const pointsMax = 2;
/** What a node's stores take by its own account, against `--max-memory`: what comes for copies is there before their owner evicts. */
const storeMax = 1.05;

export async function run({ minutes }) {
  const nats = await startNats();
  const nodes = [];
  for (let i = 1; i <= nodeCount; i++) {
    nodes.push(await startServer(nats.url, `node-${i}`, ["--max-memory", `${maxMemoryMebibytes}mb`]));
  }
  for (const { port } of nodes) await settled(port, nodeCount);
  const load = startWorker("the clients", "full-memory-load.mjs");
  const plainBytes = await measurePlain(nodes, load);
  await load.call("start", portsOf(nodes), { keyCount, clients });
  await fill(nodes, load);
  const seen = await observe(nodes, load, minutes * 60);
  await load.call("stop");
  return figures(seen, plainBytes);
}

/** The most that each node takes. */
async function measurePlain(nodes, load) {
  await load.call("start", portsOf(nodes), plain);
  let most = await rssOf(nodes);
  for (let second = 0; second < plain.seconds; second++) {
    await pause(1000);
    most = highest([most, await rssOf(nodes)]);
  }
  await load.call("stop");
  return most;
}

/** Until every node has had to evict something. */
async function fill(nodes, load) {
  for (let second = 1; ; second++) {
    await pause(1000);
    const stats = await statsOf(nodes);
    const isFull = stats.every(({ total_evicted }) => total_evicted > 0);
    if (isFull || second % 10 === 0) {
      const figures = stats.map(({ memory_bytes }) => megabytes(memory_bytes)).join(", ");
      progress(`${isFull ? "full" : "filling"} after ${second} s: ${figures} MB in the stores`);
    }
    if (isFull) return;
    const { failed, told } = await load.call("counts");
    if (failed > 0) throw new Error(`${failed} requests failed while it was filled: ${told.join("; ")}`);
    if (second > fillSecondsMax) throw new Error(`the nodes aren't full after ${fillSecondsMax} s`);
  }
}

async function observe(nodes, load, seconds) {
  const seen = { rss: [], store: [], hitPercents: [] };
  const { epoch } = await getJson(nodes[0].port, "/status");
  const startMs = performance.now();
  let before = await load.call("counts");
  const first = before;
  for (let interval = 1; interval <= intervals; interval++) {
    const untilMs = startMs + (1000 * seconds * interval) / intervals;
    const beganMs = performance.now();
    while (performance.now() < untilMs) {
      await pause(Math.min(1000, untilMs - performance.now()));
      step(Math.round((performance.now() - startMs) / 1000), Math.round(seconds), "seconds observed");
      seen.rss.push({ interval, bytes: await rssOf(nodes) });
      seen.store.push((await statsOf(nodes)).map(({ memory_bytes }) => memory_bytes));
    }
    const now = await load.call("counts");
    const hits = now.hits - before.hits;
    seen.hitPercents.push((100 * hits) / (hits + now.misses - before.misses));
    const perSecond = (1000 * (now.requests - before.requests)) / (performance.now() - beganMs);
    const rss = seen.rss.at(-1).bytes.map(megabytes).join(", ");
    progress(
      `${Math.round((performance.now() - startMs) / 1000)} s: ${seen.hitPercents.at(-1).toFixed(1)} % hits, ` +
        `${Math.round(perSecond)} requests/s, ${now.failed} failed, RSS ${rss} MB`,
    );
    before = now;
  }
  const { requests, failed, told } = before;
  const stats = await statsOf(nodes);
  const evicted = stats.reduce((sum, { total_evicted }) => sum + total_evicted, 0);
  const tables = (await getJson(nodes[0].port, "/status")).epoch - epoch;
  return { ...seen, requests: requests - first.requests, failed, told, evicted, tables };
}

function figures(seen, plainBytes) {
  const { rss, store, hitPercents, requests, failed, told, evicted, tables } = seen;
  if (failed > 0) progress(`failed: ${told.join("; ")}`);
  const third = (at) => rss.filter(({ interval }) => Math.ceil((3 * interval) / intervals) === at);
  const [middle, last] = [2, 3].map((at) => highest(third(at).map(({ bytes }) => bytes)));
  const most = highest(rss.map(({ bytes }) => bytes));
  const later = hitPercents.slice(intervals / 3);
  const mean = later.reduce((sum, percent) => sum + percent, 0) / later.length;
  const furthest = Math.max(...later.map((percent) => Math.abs(percent - mean)));
  const limitBytes = maxMemoryMebibytes * 2 ** 20;
  const node = (i) => `node-${i + 1}`;
  return [
    atMost("failed requests", "requests", failed, 0),
    // If there are any, a node was declared dead: the machine may be too busy for three nodes.
    atMost("tables published meanwhile", "tables", tables, 0),
    ...last.map((bytes, i) =>
      atMost(
        `highest RSS of ${node(i)}, last third against the middle one`,
        "MB",
        bytes / 1e6,
        middle[i] / 1e6,
        flatMax,
      ),
    ),
    atMost("furthest hit ratio of an interval from the mean", "points", furthest, pointsMax),
    ...highest(store).map((bytes, i) =>
      atMost(
        `largest store of ${node(i)}, against --max-memory`,
        "MB",
        bytes / 1e6,
        limitBytes / 1e6,
        storeMax,
      ),
    ),
    ...most.map((bytes, i) => ({
      ...atMost(
        `growth of ${node(i)}'s RSS by it, against --max-memory`,
        "MB",
        (bytes - plainBytes[i]) / 1e6,
        limitBytes / 1e6,
      ),
      target: null,
      reached: null,
    })),
    {
      case: "hits",
      unit: "%",
      value: mean,
      intervals: hitPercents.map((percent) => Number(percent.toFixed(2))),
    },
    { case: "requests", unit: "requests", value: requests },
    { case: "evicted entries of all nodes", unit: "entries", value: evicted },
  ].map((line) => ({ baseline: null, ratio: null, target: null, reached: null, ...line }));
}

/** `target`: how often the baseline it may be. */
function atMost(name, unit, value, baseline, target = 1) {
  const reached = value <= baseline * target;
  return {
    case: name,
    unit,
    value,
    baseline,
    ratio: baseline === 0 ? null : value / baseline,
    target,
    reached,
  };
}

/** What is to hold doesn't depend on how fast the machine is: a target that is missed is a failure. */
export function failed(results) {
  return results.some(({ reached }) => reached === false);
}

export function printJson(name, results) {
  for (const { case: case_, unit, value, baseline, ratio, target, reached, ...more } of results) {
    const numbers = { value: rounded(value), baseline: rounded(baseline), ratio: rounded(ratio) };
    console.log(JSON.stringify({ bench: name, case: case_, unit, ...numbers, target, reached, ...more }));
  }
}

export function printTable(results) {
  const rows = [
    ["case", "value", "baseline", "unit", "ratio", "target", ""],
    ...results.map(({ case: name, unit, value, baseline, ratio, target, reached }) => [
      name,
      figure(value),
      figure(baseline),
      unit,
      ratio === null ? "" : ratio.toFixed(3),
      target === null ? "" : `<= ${target}`,
      reached === null ? "" : reached ? "reached" : "MISSED",
    ]),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 || column === 3 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
    );
    console.log(cells.join("  ").trimEnd());
  }
  const { intervals: percents } = results.find((result) => result.intervals !== undefined);
  console.log(`hits of each interval in %: ${percents.map((percent) => percent.toFixed(1)).join(" ")}`);
}

function figure(number) {
  if (number === null) return "";
  return number >= 1000 ? Math.round(number).toLocaleString("en-US") : String(rounded(number));
}

function rounded(number) {
  return number === null ? null : Number(number.toPrecision(4));
}

function rssOf(nodes) {
  return Promise.all(nodes.map(({ worker }) => worker.rssBytes()));
}

function statsOf(nodes) {
  return Promise.all(nodes.map(({ port }) => getJson(port, "/stats")));
}

function portsOf(nodes) {
  return nodes.map(({ port }) => port);
}

/** Of each column. */
function highest(rows) {
  return rows[0].map((_, column) => Math.max(...rows.map((row) => row[column])));
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}

function progress(sentence) {
  say(`full-memory: ${sentence}`);
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
