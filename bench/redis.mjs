/**
 * The Redis door against a real redis-server, both driven by `redis-benchmark` as its users drive it: GET, SET, INCR and MSET (of
 * ten keys), 50 connections, pipelines of 1 and 16, values of 100 bytes, random keys out of a million. They take turns.
 * The node runs as in production but for its copies: `ringcache start --backups 0`, a real nats-server.
 * - `throughput` is what the load got, `server CPU time` what an operation cost the process that serves it. With two cores and the load
 *   on one of them, only the latter says what a server could do with a core of its own.
 * - `plain server`: a few lines over node:net (`workers/plain-redis.mjs`), against Redis too: what Node is good for at the least.
 * - `through a node that doesn't own them`: GET of keys that another node owns, against the same through their owner. CPU time:
 *   that of both nodes together.
 * - `two nodes`: `redis-benchmark --cluster`, which asks every key of its owner, against one node. On two cores the load takes what
 *   the second node would need, so what counts is CPU time: as much per operation means twice the rate with cores enough.
 */
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { compare, measure } from "./support/compare.mjs";
import { cpuMicrosOf } from "./support/cpu.mjs";
import { startNats, startProgram, startServer, startWorker } from "./support/processes.mjs";
import { settled } from "./support/settle.mjs";

const connections = 50;
const valueBytes = 100;
const keyCount = 1_000_000;
const tests = ["GET", "SET", "INCR", "MSET"];
/** What the plain server knows. */
const plainTests = ["GET", "SET"];
const pipelines = [1, 16];
/** Where a benchmark's keys are if they have this tag; see {@link tagOf}. */
const key = (tag) => `key:${tag}__rand_int__`;

export async function run(plan) {
  const nats = await startNats();
  const platform = (name) => [
    "--platform",
    name,
    "--redis",
    "127.0.0.1:0",
    "--backups",
    "0",
    "--max-memory",
    "1gb",
  ];
  const single = await startServer(nats.url, "node-1", platform("single"));
  await settled(single.port, 1);
  const redis = await startRedisServer();
  const results = [];
  const node = { port: single.redisPort, processes: [single.worker] };
  const reference = { port: redis.port, processes: [redis] };
  const worker = startWorker("the plain server", "plain-redis.mjs");
  const plain = { port: await worker.call("listen"), processes: [worker] };
  for (const server of [node, reference, plain]) await fill(server);
  for (const pipeline of pipelines) {
    for (const test of tests)
      results.push(...(await against(plan, test, pipeline, { node, reference, plain })));
  }
  results.push(...(await clustered(plan, nats, platform, node)));
  return results;
}

async function against(plan, test, pipeline, { node, reference, plain }) {
  const subject = (server) => ({
    servers: server.processes,
    processes: server.processes,
    run: (seconds) => load(server, { test, pipeline, seconds }),
  });
  const isPlain = plainTests.includes(test);
  const subjects = { node: subject(node), redis: subject(reference) };
  if (isPlain) subjects.plain = subject(plain);
  const measured = await measure(subjects, plan);
  const target = pipeline === 1 ? 1 : 0.9;
  const name = `${test}, pipeline ${pipeline}`;
  const results = pair(`${name}, against Redis`, measured.node, measured.redis, target);
  if (isPlain)
    results.push(...pair(`${name}, plain server against Redis`, measured.plain, measured.redis, null));
  return results;
}

/** Throughput, and operations per second of CPU time: both are better when they are more. */
function pair(name, subject, baseline, target) {
  const perCpu = (list) =>
    list.map(({ serverCpuMicros, ...rest }) => ({ ...rest, perCpuSecond: 1e6 / serverCpuMicros }));
  return [
    compare({
      name: `${name}: throughput`,
      unit: "operations/s",
      field: "perSecond",
      subject,
      baseline,
      target,
    }),
    compare({
      ...{ name: `${name}: per second of server CPU time`, unit: "operations/s" },
      ...{ field: "perCpuSecond", subject: perCpu(subject), baseline: perCpu(baseline), target },
    }),
  ];
}

async function clustered(plan, nats, platform, single) {
  const nodes = [];
  for (const name of ["node-1", "node-2"]) nodes.push(await startServer(nats.url, name, platform("pair")));
  for (const { port } of nodes) await settled(port, 2);
  const processes = nodes.map(({ worker }) => worker);
  const [first, second] = nodes.map(({ redisPort: port }) => ({ port, processes }));
  const tag = await tagOf(nodes[0].port, "node-1");
  const options = { command: ["GET", key(tag)], pipeline: 16 };
  await load(first, {
    command: ["SET", key(tag), "v".repeat(valueBytes)],
    pipeline: 16,
    requests: keyCount / 4,
  });
  const through = (server, servers) => ({
    servers,
    processes,
    run: (seconds) => load(server, { ...options, seconds }),
  });
  const routed = await measure(
    { owner: through(first, [processes[0]]), other: through(second, processes) },
    plan,
  );
  const both = { port: first.port, processes, cluster: true };
  await load(both, { test: "SET", pipeline: 16, requests: keyCount });
  const gets = (server) => ({
    servers: server.processes,
    processes: server.processes,
    run: (seconds) => load(server, { test: "GET", pipeline: 16, seconds }),
  });
  const pairOfNodes = await measure({ one: gets(single), two: gets(both) }, plan);
  const [throughput, cpu] = pair(
    "GET of two nodes, with --cluster, against one node",
    pairOfNodes.two,
    pairOfNodes.one,
    null,
  );
  return [
    ...pair(
      "GET through a node that doesn't own the keys, against their owner",
      routed.other,
      routed.owner,
      0.5,
    ),
    throughput,
    cpu,
  ];
}

/** A tag whose slot that node owns. */
async function tagOf(httpPort, owner) {
  for (let i = 0; ; i++) {
    const tag = `{${i}}`;
    const response = await fetch(`http://127.0.0.1:${httpPort}/owner?key=${encodeURIComponent(tag)}`);
    if ((await response.json()).owner === owner) return tag;
  }
}

async function fill(server) {
  await load(server, { test: "SET", pipeline: 16, requests: keyCount });
}

/** About as many requests as the server carries out in that time, going by its last run of the same. */
async function load(server, { seconds, requests, ...what }) {
  if (requests !== undefined) return benchmark(server, { ...what, requests });
  server.rates ??= new Map();
  const memory = server.rates;
  const name = JSON.stringify(what);
  if (!memory.has(name)) memory.set(name, (await benchmark(server, { ...what, requests: 10_000 })).perSecond);
  const measured = await benchmark(server, {
    ...what,
    requests: Math.max(1_000, Math.round(memory.get(name) * seconds)),
  });
  memory.set(name, measured.perSecond);
  return measured;
}

/** Runs `redis-benchmark` once; resolves with `{ operations, perSecond }`. */
export async function benchmark({ port, cluster }, { test, command, pipeline, requests }) {
  const args = [
    "-h",
    "127.0.0.1",
    "-p",
    String(port),
    "--csv",
    "-n",
    String(requests),
    "-c",
    String(connections),
  ];
  args.push("-P", String(pipeline), "-d", String(valueBytes), "-r", String(keyCount));
  if (cluster) args.push("--cluster");
  args.push(...(command ?? ["-t", test.toLowerCase()]));
  const child = spawn("redis-benchmark", args, { stdio: ["ignore", "pipe", "pipe"] });
  let [text, complaint] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (chunk) => (text += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk) => (complaint += chunk));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  const perSecond = Number(/^"[^"]*","([\d.]+)"/m.exec(text.split("\n").slice(1).join("\n"))?.[1]);
  if (code !== 0 || !(perSecond > 0))
    throw new Error(`redis-benchmark ${args.join(" ")}: ${complaint || text}`);
  return { operations: requests, perSecond };
}

async function startRedisServer() {
  const port = await freePort();
  const settings = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const server = startProgram("redis-server", () => settings);
  for (const giveUpAt = performance.now() + 10_000; ; ) {
    // With fewer requests than it has clients, redis-benchmark may never end.
    const ready = await benchmark({ port }, { command: ["PING"], pipeline: 1, requests: 100 }).catch(
      () => undefined,
    );
    if (ready !== undefined) break;
    if (server.failure() !== undefined || performance.now() > giveUpAt) {
      throw new Error(`redis-server didn't start: ${server.failure() ?? "no answer"}`);
    }
  }
  return { port, cpuMicros: () => cpuMicrosOf(server.pid) };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
