/** One node with its HTTP and its Redis door in a process of its own, with or without metrics. */
import { CacheNode } from "../../dist/cache/node.js";
import { slotsOf } from "../../dist/cli/door-slot.js";
import { defaultNodeConfig } from "../../dist/config.js";
import { MemoryCoordination, MemoryStore } from "../../dist/coordination/memory.js";
import { startHttp } from "../../dist/http/server.js";
import { silentLog as log } from "../../dist/log.js";
import { ProcessExposition } from "../../dist/metrics/process.js";
import { tcpTransport } from "../../dist/peers/tcp.js";
import { startRedis } from "../../dist/redis/server.js";
import { systemRuntime as runtime } from "../../dist/runtime.js";
import { serve } from "../support/serve.mjs";

const address = { host: "127.0.0.1", port: 0 };
let ofProcess;
let node;

serve({
  async start(metrics) {
    const slots = slotsOf("node-1");
    ofProcess = metrics ? new ProcessExposition() : undefined;
    const http = await startHttp({ ...address, door: slots.http, log, runtime });
    const redis = await startRedis({ ...address, door: slots.redis, ring: () => node?.ring, log, runtime });
    const own = { node: "node-1", backups: 0, peerHost: "127.0.0.1", advertiseHost: "127.0.0.1" };
    const coordination = new MemoryCoordination(new MemoryStore(runtime));
    const config = { ...defaultNodeConfig, ...own };
    node = await CacheNode.start({
      config,
      coordination,
      runtime,
      transport: tcpTransport,
      log,
      counts: metrics,
    });
    slots.fill(node);
    return { http: http.port, redis: redis.port };
  },
  /** As often as Prometheus would ask, one after the other. */
  async scrape(times) {
    let text = "";
    for (let i = 0; i < times; i++) text = (await node.metrics()) + (await ofProcess.text());
    return { operations: times, bytes: text.length };
  },
});
