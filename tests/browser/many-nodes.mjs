/**
 * A cluster of many nodes in this process, for the dashboard to show; the first one has an HTTP door. Arguments: how many nodes,
 * partitions, and backups. Says on stdout, as JSON lines, when it serves and when a command has been carried out. A command is a line on
 * stdin: `close ID` or `start ID`.
 */
import { createInterface } from "node:readline";
import { CacheNode } from "../../dist/cache/node.js";
import { defaultNodeConfig } from "../../dist/config.js";
import { MemoryCoordination, MemoryStore } from "../../dist/coordination/memory.js";
import { dashboardPages } from "../../dist/dashboard/pages.js";
import { startHttp } from "../../dist/http/server.js";
import { silentLog } from "../../dist/log.js";
import { tcpTransport } from "../../dist/peers/tcp.js";
import { systemRuntime } from "../../dist/runtime.js";

const [count, partitions, backups] = process.argv.slice(2).map(Number);

/** What a node gives a connection until it is open. Here one event loop opens 2,450 of them at once. */
const connectTimeoutMs = 2_000;
const runtime = {
  ...systemRuntime,
  after: (delayMs, fn) => systemRuntime.after(delayMs === connectTimeoutMs ? 60_000 : delayMs, fn),
};

const store = new MemoryStore(runtime);
const nodes = new Map();
const ids = Array.from({ length: count }, (_, i) => `node-${String(i + 1).padStart(2, "0")}`);

/** Nobody may plan yet: all are there when the partitions are given out, so that none has to move afterwards. */
let mayPlan = false;
let registered = 0;

class Patient extends MemoryCoordination {
  async openBucket(name, options) {
    const bucket = await super.openBucket(name, options);
    const create = bucket.create.bind(bucket);
    bucket.create = async (key, value) => {
      if (key === "coordinator" && !mayPlan) return { written: false };
      if (name.endsWith("-members")) registered++;
      return create(key, value);
    };
    return bucket;
  }
}

async function start(node) {
  const own = {
    node,
    partitions,
    backups,
    maxMemoryBytes: 8 * 1024 * 1024,
    peerHost: "127.0.0.1",
    advertiseHost: "127.0.0.1",
  };
  // Fifty nodes share one event loop: what they ask of each other takes its time.
  const config = { ...defaultNodeConfig, ...own, heartbeatMs: 8_000, leaseMs: 120_000 };
  const coordination = new Patient(store);
  nodes.set(
    node,
    await CacheNode.start({ config, coordination, runtime, transport: tcpTransport, log: silentLog }),
  );
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const starts = ids.map(start);
while (registered < count) await new Promise((resolve) => setTimeout(resolve, 50));
mayPlan = true;
await Promise.all(starts);
const door = nodes.get(ids[0]);
const isWhole = ({ members, under_replicated_partitions, unowned_partitions }) =>
  members.length === count && under_replicated_partitions + unowned_partitions === 0;
const isLinked = ({ ring }) => ring.peers.stats().linksUp === count - 1;
while (!isWhole(door.status()) || ![...nodes.values()].every(isLinked))
  await new Promise((resolve) => setTimeout(resolve, 100));
const http = await startHttp({
  host: "127.0.0.1",
  port: 0,
  door,
  log: silentLog,
  runtime,
  pages: dashboardPages(),
});
say({ event: "serving", http: `127.0.0.1:${http.port}` });

/** Something for the plots: each node works at a pace of its own. */
let turn = 0;
setInterval(() => {
  turn++;
  for (const [id, node] of nodes) {
    const pace = 1 + (Number(id.slice(-2)) % 7) + Math.round(2 * Math.sin(turn / 8));
    for (let i = 0; i < pace; i++) {
      const key = Buffer.from(`key ${Math.floor(Math.random() ** 2 * 2_000)}`);
      const isWrite = i % 4 === 0;
      const value = Buffer.alloc(isWrite ? 500 : 0);
      node.execute({ op: isWrite ? 2 : 1, key, value, expiresAtMs: 0, expected: undefined }, () => {});
    }
  }
}, 500);

for await (const line of createInterface({ input: process.stdin })) {
  const [command, id] = line.split(" ");
  if (command === "start") await start(id);
  else {
    const node = nodes.get(id);
    nodes.delete(id);
    await node.close();
  }
  say({ event: "done", command: line });
}
process.exit(0);
