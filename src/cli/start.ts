import { networkInterfaces } from "node:os";
import { CacheNode } from "../cache/node.ts";
import type { NodeConfig } from "../config.ts";
import { connectNats } from "../coordination/nats.ts";
import { dashboardPages } from "../dashboard/pages.ts";
import { startHttp } from "../http/server.ts";
import type { Log } from "../log.ts";
import { ProcessExposition } from "../metrics/process.ts";
import { tcpTransport } from "../peers/tcp.ts";
import type { Runtime } from "../runtime.ts";
import { findSpans } from "../tracing.ts";
import { nodeControl } from "./control.ts";
import { slotsOf } from "./door-slot.ts";
import { exitOnDefect, listenForStop, stopWithin } from "./lifecycle.ts";
import { createLog } from "./log.ts";
import { httpLimits, nodeConfig } from "./node-config.ts";
import type { Values } from "./options.ts";
import { openRedis } from "./redis-door.ts";

/** Beyond the drain itself: writes to a NATS that is gone run into their time-outs, HTTP answers what is under way. */
const closingMs = 30_000;

/** `ringcache start`: joins the cluster and serves until a signal, then hands everything over and leaves. */
export async function start(values: Values, runtime: Runtime): Promise<number> {
  const log = createLog({ level: values["log-level"], format: values["log-format"] }).child({
    node: values.node,
  });
  exitOnDefect(log);
  const stop = listenForStop(runtime, log);
  const running = await startNode(values, runtime, log, () => stop.ask("drain"));
  const { config } = running;
  const { advertiseHttp: http, advertiseRedis: redis, platform } = config;
  log.info(
    { event: "serving", http, ...(redis === "" ? {} : { redis }), platform, nats: running.location },
    `serving on http://${http}${redis === "" ? "" : ` and redis://${redis}`}`,
  );
  const by = await stop.asked;
  log.info({ event: "stopping", by }, "leaving the ring; a second signal stops at once");
  await stopWithin(runtime, log, config.drainTimeoutMs + closingMs, running.stop);
  log.info({ event: "stopped" }, "stopped");
  return 0;
}

interface Running {
  readonly config: NodeConfig;
  readonly location: string;
  stop(): Promise<void>;
}

/** Whatever was opened is closed again if a later step fails. */
async function startNode(values: Values, runtime: Runtime, log: Log, leave: () => void): Promise<Running> {
  const opened: (() => Promise<void>)[] = [];
  let node: CacheNode | undefined;
  try {
    const spans = await findSpans(log);
    const coordination = await connectNats({ url: values.nats, runtime, log });
    opened.push(() => coordination.close());
    const doors = slotsOf(values.node);
    const ofProcess = new ProcessExposition();
    const http = await startHttp({
      ...values.http,
      door: doors.http,
      log,
      runtime,
      limits: httpLimits(values["request-deadline"]),
      pages: dashboardPages(),
      control: nodeControl(values, () => node, leave),
      moreMetrics: () => ofProcess.text(),
      spans,
    });
    opened.push(() => http.close());
    const redis = await openRedis(values, runtime, log, doors.redis, () => node?.ring);
    opened.push(async () => redis?.close());
    const config = nodeConfig(
      values,
      { host: values.http.host, port: http.port },
      redis,
      networkInterfaces(),
    );
    const joined = await CacheNode.start({
      config,
      coordination,
      runtime,
      transport: tcpTransport,
      log,
      spans,
    });
    node = joined;
    doors.fill(node);
    return {
      config,
      location: coordination.location,
      async stop() {
        // The doors stay open while the node drains: what still comes in is carried out at the new owners.
        await joined.drain();
        await Promise.all([http.close(), redis?.close()]);
        await joined.leave();
        await coordination.close();
      },
    };
  } catch (error) {
    for (const close of opened.reverse()) await close();
    throw error;
  }
}
