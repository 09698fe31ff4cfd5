import { CacheNode } from "../cache/node.ts";
import { defaultNodeConfig, maxMemoryBytesMin } from "../config.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { dashboardPages } from "../dashboard/pages.ts";
import { startHttp } from "../http/server.ts";
import type { Log } from "../log.ts";
import { ProcessExposition } from "../metrics/process.ts";
import { tcpTransport } from "../peers/tcp.ts";
import type { RingView } from "../redis/context.ts";
import type { Runtime } from "../runtime.ts";
import { findSpans } from "../tracing.ts";
import type { Output } from "./client.ts";
import { CommandError } from "./command-error.ts";
import { nodeControl } from "./control.ts";
import { type DoorSlots, slotsOf } from "./door-slot.ts";
import { exitOnDefect, listenForStop, stopWithin } from "./lifecycle.ts";
import { createLog, type RootLog } from "./log.ts";
import { httpLimits } from "./node-config.ts";
import type { Values } from "./options.ts";
import { openRedis } from "./redis-door.ts";
import { type Address, formatAddress } from "./values.ts";

const closingMs = 10_000;

/** How long the nodes may take to find each other before the addresses are printed all the same. */
const settleMs = 10_000;

type Close = () => Promise<void>;

/** What has been opened so far. The doors are closed first: what is under way in them needs the nodes. */
interface Opened {
  readonly doors: Close[];
  readonly nodes: Close[];
}

async function closeAll({ doors, nodes }: Opened): Promise<void> {
  await Promise.all(doors.map((close) => close()));
  await Promise.all(nodes.map((close) => close()));
}

/** `ringcache dev`: a whole cluster in this process, for trying out and for development. */
export async function dev(values: Values, runtime: Runtime, output: Output): Promise<number> {
  const log = createLog({ level: values["log-level"], format: values["log-format"] });
  for (const name of ["http", "redis"] as const) {
    const port = values[name]?.port ?? 0;
    if (port + values.nodes - 1 > 65_535) {
      throw new CommandError(`--${name} ${port} leaves no room for ${values.nodes} ports.`, 2);
    }
  }
  exitOnDefect(log);
  const stop = listenForStop(runtime, log);
  const opened: Opened = { doors: [], nodes: [] };
  let nodes: Reached[];
  try {
    nodes = await startNodes(values, runtime, log, opened);
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
  await output.out(whatToTry(nodes));
  await stop.asked;
  await stopWithin(runtime, log, closingMs, () => closeAll(opened));
  await output.out(
    `Stopped ${values.nodes} ${values.nodes === 1 ? "node" : "nodes"}; what they held is gone.\n`,
  );
  return 0;
}

async function startNodes(
  values: Values,
  runtime: Runtime,
  log: RootLog,
  opened: Opened,
): Promise<Reached[]> {
  const spans = await findSpans(log);
  const store = new MemoryStore(runtime);
  const ofProcess = new ProcessExposition();
  const doors: Doors[] = [];
  const pages = dashboardPages();
  // All ports first: with one of them taken, no node should have started.
  for (let i = 0; i < values.nodes; i++) {
    const slots = slotsOf(`node-${i + 1}`);
    const { host, port } = values.http;
    const doorsOfNode: Doors = { slots, port: 0, redisPort: undefined, node: undefined, closings: [] };
    const node = (): CacheNode | undefined => doorsOfNode.node;
    const http = await startHttp({
      host,
      port: port === 0 ? 0 : port + i,
      door: slots.http,
      log,
      runtime,
      limits: httpLimits(values["request-deadline"]),
      moreMetrics: () => ofProcess.text(),
      pages,
      control: nodeControl(
        values,
        node,
        () => void leave(doorsOfNode, log.child({ node: slots.http.nodeId })),
      ),
      spans,
    });
    opened.doors.push(() => http.close());
    doorsOfNode.port = http.port;
    doorsOfNode.closings.push(() => http.close());
    doors.push(doorsOfNode);
    const ring = (): RingView | undefined => node()?.ring;
    const redis = await openRedis(values, runtime, log, slots.redis, ring, nth(values.redis, i));
    if (redis === undefined) continue;
    opened.doors.push(() => redis.close());
    doorsOfNode.closings.push(() => redis.close());
    doorsOfNode.redisPort = redis.port;
  }
  const host = values.http.host === "" ? "localhost" : values.http.host;
  const redisHost = values.redis?.host === "" ? "localhost" : values.redis?.host;
  const redisAt = (port: number | undefined): string =>
    redisHost === undefined || port === undefined ? "" : formatAddress({ host: redisHost, port });
  const starts = doors.map(async (doorsOfNode) => {
    const { slots, port, redisPort } = doorsOfNode;
    const coordination = new MemoryCoordination(store);
    const node = await CacheNode.start({
      config: {
        ...defaultNodeConfig,
        node: slots.http.nodeId,
        platform: values.platform,
        partitions: values.partitions,
        backups: values.backups,
        maxMemoryBytes: Math.max(Math.floor(values["max-memory"] / values.nodes), maxMemoryBytesMin),
        eviction: values.eviction,
        peerHost: "127.0.0.1",
        advertiseHost: "127.0.0.1",
        advertiseHttp: formatAddress({ host, port }),
        advertiseRedis: redisAt(redisPort),
        requestDeadlineMs: values["request-deadline"],
        heartbeatMs: values.heartbeat,
        leaseMs: values.lease,
        drainTimeoutMs: values["drain-timeout"],
      },
      coordination,
      runtime,
      transport: tcpTransport,
      spans,
      log: log.child({ node: slots.http.nodeId }),
    });
    opened.nodes.push(async () => {
      // Nothing to hand over to: all nodes end together.
      await node.close();
      await coordination.close();
    });
    slots.fill(node);
    doorsOfNode.node = node;
    return node;
  });
  // Every start has ended, well or not, before anything is closed again.
  const failed = (await Promise.allSettled(starts)).find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  const [first] = await Promise.all(starts);
  await first?.ring.waitForNodes(values.nodes, settleMs).catch(() => undefined);
  await first?.ring.waitForPartitions(settleMs).catch(() => undefined);
  return doors.map(({ port, redisPort }) => ({
    url: `http://${formatAddress({ host, port })}`,
    redis: redisAt(redisPort),
  }));
}

/** The doors of one node, opened before it; and the node. */
interface Doors {
  readonly slots: DoorSlots;
  port: number;
  redisPort: number | undefined;
  node: CacheNode | undefined;
  readonly closings: Close[];
}

/** One node leaves, and the others go on. */
async function leave({ node, closings }: Doors, log: Log): Promise<void> {
  if (node === undefined || node.ring.state !== "open") return;
  log.info({ event: "stopping", by: "drain" }, "leaving the ring");
  await node.drain();
  await Promise.all(closings.map((close) => close()));
  await node.leave();
  log.info({ event: "stopped" }, "stopped");
}

/** The address of node number `i`, counted from the first one's. */
function nth(first: Address | undefined, i: number): Address | undefined {
  return first === undefined || first.port === 0 ? first : { ...first, port: first.port + i };
}

/** Where a node is reached; `redis` `host:port`, empty if it has no such door. */
interface Reached {
  readonly url: string;
  readonly redis: string;
}

/** The walk-through of a running cluster, with addresses that can be pasted. */
export function whatToTry(nodes: readonly Reached[]): string {
  const urls = nodes.map(({ url }) => url);
  const [first = ""] = urls;
  const second = urls[1] ?? first;
  const third = urls[2] ?? second;
  const redis = nodes.find((node) => node.redis !== "")?.redis;
  return `
A cluster of ${urls.length} ${urls.length === 1 ? "node" : "nodes"} runs in this process:
${nodes.map(({ url, redis }, i) => `  node-${i + 1}  ${url}${redis === "" ? "" : `  redis://${redis}`}`).join("\n")}

The dashboard: ${first}/

Try, in another terminal:

  # Set a value (any node will do: it routes to the owner of the key)
  curl -X POST ${first}/set \\
    -H "Content-Type: application/json" \\
    -d '{"key":"user:1","value":"Alice"}'

  # Get the value (from any node)
  curl ${second}/get?key=user:1

  # Check which node owns a key
  curl ${first}/owner?key=user:1

  # Delete a value
  curl -X DELETE ${third}/delete?key=user:1

  # View cache statistics
  curl ${first}/stats
${
  redis === undefined
    ? ""
    : `
  # The same cache, with any client for Redis
  redis-cli -p ${redis.slice(redis.lastIndexOf(":") + 1)} set user:2 Bob
`
}
Ctrl-C stops it.

`;
}
