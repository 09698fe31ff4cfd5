/** INFO: the sections and fields that tools look at, for this node. */

import { nodeIdOf } from "../cluster-view.ts";
import type { Connection } from "../connection.ts";
import type { RedisContext } from "../context.ts";
import { redisVersion } from "../version.ts";

type Fields = Readonly<Record<string, string | number>>;

const sections: Readonly<Record<string, { title: string; fields: (connection: Connection) => Fields }>> = {
  server: { title: "Server", fields: server },
  clients: { title: "Clients", fields: ({ context }) => clients(context) },
  memory: { title: "Memory", fields: ({ context }) => memory(context) },
  persistence: { title: "Persistence", fields: ({ context }) => persistence(context) },
  stats: { title: "Stats", fields: ({ context }) => statistics(context) },
  replication: { title: "Replication", fields: ({ context }) => replication(context) },
  cpu: { title: "CPU", fields: cpu },
  modules: { title: "Modules", fields: () => ({}) },
  errorstats: { title: "Errorstats", fields: () => ({}) },
  cluster: { title: "Cluster", fields: ({ clusterAware }) => ({ cluster_enabled: clusterAware ? 1 : 0 }) },
  keyspace: { title: "Keyspace", fields: ({ context }) => keyspace(context) },
};

/** `names` in lower case; none: all. Each section once, in the order above. */
export function infoText(connection: Connection, names: readonly string[]): string {
  const everything =
    names.length === 0 || names.some((name) => ["all", "default", "everything"].includes(name));
  return Object.entries(sections)
    .filter(([name]) => everything || names.includes(name))
    .map(([, { title, fields }]) => {
      const lines = Object.entries(fields(connection)).map(([name, value]) => `${name}:${value}\r\n`);
      return `# ${title}\r\n${lines.join("")}`;
    })
    .join("\r\n");
}

function server({ context, clusterAware }: Connection): Fields {
  const { runtime, statistics: counted, door, port } = context;
  const seconds = Math.floor((runtime.monotonicMs() - counted.startedMs) / 1000);
  return {
    redis_version: redisVersion,
    redis_git_sha1: "00000000",
    redis_git_dirty: 0,
    redis_build_id: "ringcache",
    redis_mode: clusterAware ? "cluster" : "standalone",
    os: `${process.platform} ${process.arch}`,
    arch_bits: 64,
    multiplexing_api: "libuv",
    process_id: process.pid,
    run_id: nodeIdOf(door.nodeId),
    tcp_port: port,
    server_time_usec: Math.floor(runtime.wallMs() * 1000),
    uptime_in_seconds: seconds,
    uptime_in_days: Math.floor(seconds / 86_400),
    hz: 10,
    executable: process.execPath,
    config_file: "",
  };
}

function clients({ connections, limits }: RedisContext): Fields {
  let subscribed = 0;
  for (const connection of connections.values()) if (connection.subscriptions > 0) subscribed++;
  return {
    connected_clients: connections.size,
    cluster_connections: 0,
    maxclients: limits.clientsMax,
    blocked_clients: 0,
    tracking_clients: 0,
    pubsub_clients: subscribed,
  };
}

function memory({ door, ring }: RedisContext): Fields {
  const stats = ring === undefined ? undefined : door.stats();
  const used = stats?.memory_bytes ?? 0;
  const max = stats?.memory_max_bytes ?? 0;
  return {
    used_memory: used,
    used_memory_human: human(used),
    used_memory_rss: process.memoryUsage.rss(),
    used_memory_peak: used,
    used_memory_peak_human: human(used),
    used_memory_dataset: used,
    used_memory_lua: 0,
    maxmemory: max,
    maxmemory_human: human(max),
    maxmemory_policy: "allkeys-lfu",
    mem_fragmentation_ratio: "1.00",
    mem_allocator: "ringcache",
  };
}

function human(bytes: number): string {
  const units = ["B", "K", "M", "G"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(2)}${units[unit]}`;
}

function persistence({ ring }: RedisContext): Fields {
  return {
    // A client asks this before it sends anything: a node that has not joined can't serve.
    loading: ring === undefined ? 1 : 0,
    async_loading: 0,
    rdb_changes_since_last_save: 0,
    rdb_bgsave_in_progress: 0,
    rdb_last_bgsave_status: "ok",
    aof_enabled: 0,
    aof_rewrite_in_progress: 0,
    aof_last_bgrewrite_status: "ok",
    aof_last_write_status: "ok",
  };
}

function statistics({ statistics: counted, door, ring }: RedisContext): Fields {
  const stats = ring === undefined ? undefined : door.stats();
  return {
    total_connections_received: counted.connections,
    total_commands_processed: counted.commands,
    instantaneous_ops_per_sec: 0,
    total_net_input_bytes: counted.bytesIn,
    total_net_output_bytes: counted.bytesOut,
    rejected_connections: counted.rejected,
    expired_keys: stats?.total_expired_by_ttl ?? 0,
    evicted_keys: stats?.total_evicted ?? 0,
    keyspace_hits: 0,
    keyspace_misses: 0,
    pubsub_channels: 0,
    pubsub_patterns: 0,
    total_error_replies: counted.errors,
  };
}

function replication({ door }: RedisContext): Fields {
  return {
    role: "master",
    connected_slaves: 0,
    master_failover_state: "no-failover",
    master_replid: nodeIdOf(door.nodeId),
    master_replid2: "0".repeat(40),
    master_repl_offset: 0,
    second_repl_offset: -1,
    repl_backlog_active: 0,
  };
}

function cpu(): Fields {
  const { user, system } = process.cpuUsage();
  return { used_cpu_sys: (system / 1e6).toFixed(6), used_cpu_user: (user / 1e6).toFixed(6) };
}

/** The entries that this node owns. */
function keyspace({ door, ring }: RedisContext): Fields {
  const stats = ring === undefined ? undefined : door.stats();
  if (stats === undefined || stats.entries === 0) return {};
  return { db0: `keys=${stats.entries},expires=${stats.entries_with_ttl},avg_ttl=0` };
}
