/**
 * What copies cost, and what they give:
 * - `set` with one backup against none: two clusters of three nodes, each node a process of its own, on one nats-server. The
 *   set enters a node where its HTTP door would enter it, for keys that the two other nodes own, 64 at a time.
 * - The failover: nodes under `ringcache start` with default settings, clients at a steady pace at the doors of those that
 *   stay, and a `kill -9` of the coordinator or of another node by turns. The gap is the longest time in which nothing is
 *   acknowledged in one of the 64 partitions; each client has a partition and thinks 20 ms on average. Beside it the same
 *   without a kill.
 * - The rebuild: from the kill of a node to the moment when every partition has its two copies again. Beside it the bare
 *   copy of as many bytes over one TCP connection between two processes, and how long requests take meanwhile and before.
 */
import { compare, compareToBound, measure } from "./support/compare.mjs";
import { startNats, startServer, startWorker } from "./support/processes.mjs";
import { step } from "./support/progress.mjs";
import { getJson, settled } from "./support/settle.mjs";

const inFlight = 64;
const valueBytes = 100;
const keyCount = 1_000;
const nodeCount = 3;
/** The promise of the design for default settings. */
const gapMsMax = 500;
const killsPerRound = 4;
const thinkMs = 20;
const largeBytes = 64 * 1024;
/** Before a kill and after what follows it, so that a gap is seen to its ends. */
const marginMs = 200;

export async function run(plan) {
  const nats = await startNats();
  const sets = await measureSets(nats, plan);
  const load = startWorker("the clients", "steady-load.mjs");
  const cluster = await startCluster(nats, load);
  const failovers = await measureFailovers(cluster, plan);
  const rebuilds = await measureRebuilds(cluster, plan);
  const pair = { subject: sets.oneBackup, baseline: sets.noBackup };
  const gaps = { subject: failovers.killed, baseline: failovers.quiet, field: "longestGapMs" };
  const latency = { subject: rebuilds.during, baseline: rebuilds.before, unit: "ms" };
  const kills = failovers.killed.length;
  return [
    compare({
      name: "set with 1 backup against 0",
      unit: "sets/s",
      field: "perSecond",
      ...pair,
      target: 0.45,
    }),
    compare({ name: "its CPU time, all processes", unit: "µs/set", field: "cpuMicros", ...pair }),
    compare({ name: `gap of ${kills} kills, against none: median`, unit: "ms", ...gaps }),
    compareToBound({
      name: `gap of ${kills} kills, against the bound: worst`,
      unit: "ms",
      value: Math.max(...failovers.killed.map(({ longestGapMs }) => longestGapMs)),
      bound: gapMsMax,
    }),
    compare({
      name: "rebuild, against a bare TCP copy",
      unit: "MB/s",
      field: "megabytesPerSecond",
      subject: rebuilds.during,
      baseline: rebuilds.bare,
    }),
    compare({ name: "requests meanwhile, against before: median", field: "medianMs", ...latency }),
    compare({ name: "requests meanwhile, against before: 99th of 100", field: "p99Ms", ...latency }),
  ];
}

async function measureSets(nats, plan) {
  const subjects = { noBackup: await setCluster(nats, 0), oneBackup: await setCluster(nats, 1) };
  // Six processes, of which each does less than the one or two of other benchmarks: they take longer to be compiled.
  const measured = await measure(subjects, { ...plan, warmUpSeconds: plan.warmUpSeconds * 2.5 });
  for (const { processes } of Object.values(subjects)) {
    for (const node of processes) await node.kill();
  }
  return measured;
}

async function setCluster(nats, backups) {
  const nodes = [];
  for (let i = 1; i <= nodeCount; i++) {
    const node = startWorker(`node ${i} with ${backups} backups`, "cache-node.mjs");
    await node.call("join", nats.url, `node-${i}`, { platform: `bench-${backups}`, backups });
    nodes.push(node);
  }
  for (const node of nodes) await node.call("settled", nodeCount);
  const [first] = nodes;
  await first.call("chooseRemote", keyCount);
  return {
    servers: nodes,
    processes: nodes,
    run: (seconds) => first.call("runSets", inFlight, seconds, valueBytes),
  };
}

/** Three servers, of which any can be killed and followed by another of the same id. */
async function startCluster(nats, load) {
  const start = async (id) => ({ id, ...(await startServer(nats.url, id)) });
  let servers = [];
  for (let i = 1; i <= nodeCount; i++) servers.push(await start(`node-${i}`));
  const whole = async () => {
    for (const { port } of servers) await settled(port, servers.length);
  };
  await whole();
  return {
    load,
    get servers() {
      return servers;
    },
    whole,
    async kill(victim) {
      servers = servers.filter((server) => server !== victim);
      await victim.worker.kill();
    },
    async restart(victim) {
      servers = [...servers, await start(victim.id)];
      await whole();
    },
  };
}

async function measureFailovers(cluster, { rounds, seconds }) {
  const { load } = cluster;
  const quietMs = Math.min(seconds * 1000, 1000);
  const results = { killed: [], quiet: [] };
  for (let i = 0; i < rounds * killsPerRound; i++) {
    step(i, rounds * killsPerRound, "nodes killed and started again");
    const { coordinator } = await getJson(cluster.servers[0].port, "/status");
    const victim = cluster.servers.find(({ id }) => (id === coordinator) === (i % 2 === 0));
    const doors = cluster.servers.filter((server) => server !== victim).map(({ port }) => port);
    await load.call("start", doors, thinkMs);
    await pause(quietMs);
    results.quiet.push(await load.call("stop"));
    await load.call("start", doors, thinkMs);
    await pause(marginMs);
    await cluster.kill(victim);
    await cluster.whole();
    await pause(marginMs);
    results.killed.push(await load.call("stop"));
    await cluster.restart(victim);
  }
  return results;
}

async function measureRebuilds(cluster, { rounds, seconds }) {
  const { load } = cluster;
  const entries = Math.ceil(2_048 * seconds);
  await load.call("fill", cluster.servers[0].port, entries, largeBytes);
  const results = { during: [], before: [], bare: [] };
  const [sender, receiver] = [
    startWorker("the sender", "bare-copy.mjs"),
    startWorker("the receiver", "bare-copy.mjs"),
  ];
  const receiving = await receiver.call("listen");
  for (let round = 0; round < rounds; round++) {
    step(round, rounds, "copies rebuilt");
    const victim = cluster.servers[round % nodeCount];
    const doors = cluster.servers.filter((server) => server !== victim).map(({ port }) => port);
    const { entries: owned, backup_entries: copied } = await getJson(victim.port, "/stats");
    const bytes = (owned + copied) * largeBytes;
    const bareSeconds = await sender.call("send", receiving, bytes);
    results.bare.push({ megabytesPerSecond: bytes / 1e6 / bareSeconds });

    await load.call("start", doors, thinkMs);
    await pause(seconds * 1000);
    results.before.push(await load.call("stop"));
    await load.call("start", doors, thinkMs);
    const killedAtMs = performance.now();
    await cluster.kill(victim);
    await cluster.whole();
    const megabytesPerSecond = bytes / 1e3 / (performance.now() - killedAtMs);
    results.during.push({ ...(await load.call("stop")), megabytesPerSecond });
    await cluster.restart(victim);
  }
  return results;
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
