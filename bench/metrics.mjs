/**
 * What metrics cost on the request path: one node with them against one without (nothing counted or timed, nothing of the process
 * observed), in the same run. CPU time of the node's process per operation; with metrics at most 1.03 times as much. They take turns of
 * a fraction of a second, and the ratio is the median of those of all turns.
 * - `GET /get` over HTTP: 64 keep-alive connections with one request each;
 * - GET and SET over the Redis protocol by `redis-benchmark`, 50 connections, pipelines of 16: the cheapest operations that there are.
 * Both nodes are started anew in every round: two processes of the same program differ by a percent or two for as long as they live.
 * On a machine that does other work as well these ratios vary by more than what is looked for. So there is, beside them, the same
 * without sockets, two nodes in one process; what counting and timing cost by themselves; and what a scrape costs the node.
 */

import { benchmark } from "./redis.mjs";
import { compare, compareToBound, median } from "./support/compare.mjs";
import { startWorker } from "./support/processes.mjs";
import { step } from "./support/progress.mjs";

const bound = 1.03;
const connections = 64;
const keyCount = 1_000;
const scrapes = 50;
/** Of some milliseconds each. */
const callTurns = 200;
/** Of each node, in a round and a case. */
const turns = 10;
const kinds = ["with", "without"];
const names = ["GET /get", "GET", "SET"];

export async function run(plan) {
  const load = startWorker("the load", "http-load.mjs");
  const cases = new Map();
  const scrapeMicros = [];
  for (let round = 0; round < plan.rounds; round++) {
    // Every other round backwards: neither is always the first.
    const order = round % 2 === 0 ? kinds : kinds.toReversed();
    const nodes = new Map();
    for (const kind of order) nodes.set(kind, await startNode(kind, load, `${kind} ${round}`));
    for (const [i, name] of names.entries()) {
      step(round * names.length + i, plan.rounds * names.length, `measurements, now ${name}`);
      for (const kind of order) await nodes.get(kind).run[name](plan.warmUpSeconds);
      const lists = cases.get(name) ?? { with: [], without: [] };
      cases.set(name, lists);
      await measureBoth(nodes, order, name, plan.seconds, lists);
    }
    scrapeMicros.push(await scrapeCost(nodes.get("with").worker));
    for (const { worker } of nodes.values()) await worker.kill();
  }
  return [
    ...[...cases].map(([name, lists]) => against(name, lists)),
    ...(await withoutSockets(cases.get("GET").without)),
    compareToBound({
      name: "one scrape, against a hundredth of the 15 s between two",
      ...{ unit: "µs", value: median(scrapeMicros), bound: 150_000 },
    }),
  ];
}

function against(name, lists) {
  const what = name.includes("/") ? `${name} over HTTP` : `${name} over Redis's protocol, pipeline 16`;
  const compared = compare({
    ...{ name: `${what}, with metrics against without`, unit: "µs/operation", field: "serverCpuMicros" },
    ...{ subject: lists.with, baseline: lists.without },
  });
  return { ...compared, target: bound, atMost: true, reached: compared.ratio <= bound };
}

/** Nothing but the node, so that its part is seen; and nothing but the counting, against 3 % of a whole GET. */
async function withoutSockets(gets) {
  const worker = startWorker("two nodes", "counted-node.mjs");
  await worker.call("start");
  const compared = [];
  for (const name of ["get", "set"]) {
    await worker.call("turns", name, callTurns);
    const lists = await worker.call("turns", name, callTurns);
    const what = `a ${name} as a door hands it over, without the door`;
    compared.push(
      compare({ name: what, unit: "ns", field: "nanos", subject: lists.with, baseline: lists.without }),
    );
  }
  await worker.call("counting", callTurns);
  const counting = await worker.call("counting", callTurns);
  await worker.kill();
  const getNanos = 1_000 * median(gets.map(({ serverCpuMicros }) => serverCpuMicros));
  const name = "counting and timing an operation by itself, against 3 % of such a GET";
  return [
    ...compared,
    compareToBound({ name, unit: "ns", value: median(counting), bound: (bound - 1) * getNanos }),
  ];
}

async function startNode(kind, load, name) {
  const worker = startWorker(`the node ${kind} metrics`, "door-node.mjs");
  const ports = await worker.call("start", kind === "with");
  const key = (i) => `key:${String(i).padStart(12, "0")}`;
  for (let i = 0; i < keyCount; i++) {
    const body = JSON.stringify({ key: key(i), value: "v".repeat(100) });
    await fetch(`http://127.0.0.1:${ports.http}/set`, { method: "POST", body });
  }
  const paths = Array.from({ length: keyCount }, (_, i) => `/get?key=${key(i)}`);
  await load.call("open", name, ports.http, paths, connections);
  let perSecond = 100_000;
  const redis = (test) => async (seconds) => {
    // Never fewer than redis-benchmark has clients: then it may not end.
    const requests = Math.max(1_000, Math.round(perSecond * seconds));
    const result = await benchmark({ port: ports.redis }, { test, pipeline: 16, requests });
    perSecond = result.perSecond;
    return result;
  };
  const http = (seconds) => load.call("run", name, seconds);
  return { worker, run: { "GET /get": http, GET: redis("GET"), SET: redis("SET") } };
}

/** In short turns, `a b b a`: what else happens on the machine hits both. Adds what each took to `lists`. */
async function measureBoth(nodes, order, name, seconds, lists) {
  for (let turn = 0; turn < turns; turn++) {
    for (const kind of turn % 2 === 0 ? order : order.toReversed()) {
      const { worker, run } = nodes.get(kind);
      const before = await worker.cpuMicros();
      const { operations } = await run[name](seconds / turns);
      lists[kind].push({ serverCpuMicros: ((await worker.cpuMicros()) - before) / operations });
    }
  }
}

async function scrapeCost(worker) {
  await worker.call("scrape", scrapes);
  const before = await worker.cpuMicros();
  await worker.call("scrape", scrapes);
  return ((await worker.cpuMicros()) - before) / scrapes;
}
