/**
 * What the tests of `tests/redis` talk to: three nodes of this project in processes of their own, each with its Redis
 * door; or, to check the tests themselves, `REDIS_SUBJECT=redis-server`: the real thing.
 */

import { startNatsServer } from "./nats-server.ts";
import { Cluster, type NodeProcess, settled } from "./node-process.ts";
import { startRedisCluster, startRedisServer } from "./redis-server.ts";

export interface RedisSubject {
  readonly kind: "ringcache" | "redis-server";
  /** Doors for a client that knows of no cluster; what is written through one is read through the others. */
  readonly ports: readonly [number, number, number];
  /** Doors for a client that does. */
  readonly clusterPorts: readonly [number, number, number];
  end(): Promise<void>;
}

/** Three nodes with their doors open, that hold all partitions between them. */
export interface RedisNodes extends RedisSubject {
  readonly cluster: Cluster;
  readonly nodes: readonly [NodeProcess, NodeProcess, NodeProcess];
}

/** `args`: more of the nodes' command line. */
export function startRedisSubject(args: readonly string[] = []): Promise<RedisSubject> {
  const kind = process.env.REDIS_SUBJECT || "ringcache";
  if (kind === "redis-server") return startRealRedis();
  if (kind === "ringcache") return startRedisNodes(args);
  throw new Error(`REDIS_SUBJECT is "${kind}", not "ringcache" or "redis-server"`);
}

async function startRealRedis(): Promise<RedisSubject> {
  const [single, cluster] = await Promise.all([startRedisServer(), startRedisCluster()]);
  const [first, second, third] = cluster.ports;
  return {
    kind: "redis-server",
    ports: [single.port, single.port, single.port],
    clusterPorts: [first!, second!, third!],
    async end() {
      await Promise.all([single.stop(), cluster.stop()]);
    },
  };
}

/** The port of a node's Redis door, as it says itself. */
export function redisPort(node: NodeProcess): number {
  const address = node.events("serving")[0]?.redis;
  if (typeof address !== "string") throw new Error(`${node.id} says nothing of a Redis door`);
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

export async function startRedisNodes(args: readonly string[] = []): Promise<RedisNodes> {
  const nats = await startNatsServer();
  const cluster = new Cluster(nats.url, ["--redis", "127.0.0.1:0", ...args]);
  const end = async (): Promise<void> => {
    await cluster.end();
    await nats.stop();
  };
  try {
    const nodes = [
      cluster.spawn("node-1"),
      cluster.spawn("node-2"),
      cluster.spawn("node-3"),
    ] as const satisfies readonly NodeProcess[];
    for (const node of nodes) await node.serving();
    await settled(nodes);
    const ports = [redisPort(nodes[0]), redisPort(nodes[1]), redisPort(nodes[2])] as const;
    return { kind: "ringcache", ports, clusterPorts: ports, cluster, nodes, end };
  } catch (error) {
    await end();
    throw error;
  }
}
