/** Two nodes in one process, one that counts and one that doesn't, asked as their doors ask them. */
import { CacheNode } from "../../dist/cache/node.js";
import { defaultNodeConfig } from "../../dist/config.js";
import { MemoryCoordination, MemoryStore } from "../../dist/coordination/memory.js";
import { silentLog as log } from "../../dist/log.js";
import { OperationCounters } from "../../dist/metrics/operations.js";
import { tcpTransport as transport } from "../../dist/peers/tcp.js";
import { systemRuntime as runtime } from "../../dist/runtime.js";
import { serve } from "../support/serve.mjs";

const get = 1;
const set = 2;
const redis = 1;
const keys = Array.from({ length: 1_000 }, (_, i) => Buffer.from(`key:${String(i).padStart(12, "0")}`));
const noBytes = Buffer.alloc(0);
const value = Buffer.alloc(100, 0x61);
const operationsAtOnce = 5_000;
const nodes = {};

function start(platform, counts) {
  const own = { platform, node: "node-1", backups: 0, peerHost: "127.0.0.1", advertiseHost: "127.0.0.1" };
  const coordination = new MemoryCoordination(new MemoryStore(runtime));
  return CacheNode.start({
    config: { ...defaultNodeConfig, ...own },
    coordination,
    runtime,
    transport,
    log,
    counts,
  });
}

function carriedOut(error) {
  if (error !== undefined) throw error;
}

/** CPU time of one operation, in nanoseconds. */
function nanosOf(work) {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1_000) / operationsAtOnce;
}

function run(node, op) {
  for (let i = 0; i < operationsAtOnce; i++) {
    const key = keys[i % keys.length];
    const bytes = op === set ? value : noBytes;
    const command = { op, key, value: bytes, expiresAtMs: 0, expected: undefined };
    node.execute(command, carriedOut, undefined, redis);
  }
}

serve({
  async start() {
    nodes.with = await start("with", true);
    nodes.without = await start("without", false);
  },
  /** So many turns, `a b b a`, each short enough that what else happens on the machine hits both. */
  async turns(name, count) {
    const op = name === "get" ? get : set;
    const lists = { with: [], without: [] };
    for (let turn = 0; turn < count; turn++) {
      for (const kind of turn % 2 === 0 ? ["with", "without"] : ["without", "with"]) {
        lists[kind].push({ nanos: nanosOf(() => run(nodes[kind], op)) });
      }
      // Leases are renewed, and whatever else the nodes have to do.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return lists;
  },
  /** What counting and timing a local operation take by themselves. */
  counting(count) {
    const counters = new OperationCounters(runtime);
    const nanos = [];
    for (let turn = 0; turn < count; turn++) {
      nanos.push(
        nanosOf(() => {
          for (let i = 0; i < operationsAtOnce; i++) {
            // As the router does it.
            const fromMs = counters.takesSample() ? runtime.monotonicMs() : -1;
            counters.answered(i & 1, 1 + (i & 3));
            if (fromMs >= 0) counters.sampled(i & 1, fromMs);
          }
        }),
      );
    }
    return nanos;
  },
});
