/**
 * A cluster of many nodes in this process, for the dashboard to show; the first one has an HTTP door. Arguments: how many nodes, how
 * many partitions. Says on stdout, as JSON lines, when it serves and what a command has come to. Commands, a line each on stdin: `close ID`,
 * `start ID`.
 */
import { createInterface } from "node:readline";
import { dashboardPages } from "../../dist/dashboard/pages.js";
import { startHttp } from "../../dist/http/server.js";
import { createCache, Embedded } from "../../dist/index.js";
import { silentLog } from "../../dist/log.js";
import { systemRuntime as runtime } from "../../dist/runtime.js";

const [nodes, partitions] = process.argv.slice(2).map(Number);
const nats = new Embedded();
const caches = new Map();

async function start(node) {
  const options = {
    node,
    nats,
    partitions,
    maxMemoryBytes: 8 * 1024 * 1024,
    heartbeatMs: 10_000,
    leaseMs: 60_000,
  };
  caches.set(node, await createCache(options));
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const ids = Array.from({ length: nodes }, (_, i) => `node-${String(i + 1).padStart(2, "0")}`);
// Together: joins that come together are planned together.
await Promise.all(ids.map(start));
const door = caches.get(ids[0]).node;
await door.ring.waitForPartitions(120_000);
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
  for (const [id, cache] of caches) {
    const pace = 1 + (Number(id.slice(-2)) % 7) + Math.round(3 * Math.sin(turn / 40));
    for (let i = 0; i < pace; i++) {
      const key = `key ${Math.floor(Math.random() ** 2 * 5_000)}`;
      const work = i % 4 === 0 ? cache.set(key, "v".repeat(500)) : cache.get(key);
      work.catch(() => {});
    }
  }
}, 500);

for await (const line of createInterface({ input: process.stdin })) {
  const [command, id] = line.split(" ");
  if (command === "start") await start(id);
  else {
    const cache = caches.get(id);
    caches.delete(id);
    await cache.node.close();
  }
  say({ event: "done", command: line });
}
