/** Options of a node after validation; `src/cli/options.ts` holds the table of defaults, units and bounds. */
export interface NodeConfig {
  /** Unique in its platform: 1 to 64 letters, digits, `-`, `_` or `.`. */
  readonly node: string;
  /** Prefix of the buckets: 1 to 64 letters, digits, `-` or `_`. */
  readonly platform: string;
  /** 1 to 16384, fixed at the platform's creation. */
  readonly partitions: number;
  /** Where the peer port listens; empty: on loopback if that is advertised, else on every address. */
  readonly peerHost: string;
  /** 0: any free port. */
  readonly peerPort: number;
  /** The host that other nodes reach this one at; empty: chosen by where it listens and where NATS is. */
  readonly advertiseHost: string;
  /** Where the HTTP door is reached, `host:port`; empty if there is none. Told to other nodes, not listened on here. */
  readonly advertiseHttp: string;
  /** Where the Redis door is reached, `host:port`; empty if there is none. Told to other nodes, not listened on here. */
  readonly advertiseRedis: string;
  /**
   * Synchronous copies of every partition beside the owner's, as many as the other nodes allow: 0 to {@link backupsMax}.
   * The coordinator's own is what counts.
   */
  readonly backups: number;
  /** Failure zone: no backup is in its owner's. Empty if none is named. */
  readonly zone: string;
  /**
   * For the entries of this node, those of its backup copies included, as measured by the process's size: at least
   * {@link maxMemoryBytesMin}; 0: half of what the machine or its container has.
   */
  readonly maxMemoryBytes: number;
  readonly eviction: EvictionPolicy;
  /** How long an operation may wait before it fails. */
  readonly requestDeadlineMs: number;
  /** How often a node renews its member record. */
  readonly heartbeatMs: number;
  /** For how long a node may trust its last renewal; at least two heartbeats. */
  readonly leaseMs: number;
  /** How long a drain may take before the node leaves with what it still holds. */
  readonly drainTimeoutMs: number;
}

/**
 * What goes when memory is short. `s3-fifo`: what was asked for least, by S3-FIFO. `lru`: least recently used, approximated by a
 * second chance for what was asked for (CLOCK). `none`: nothing, writes are refused.
 */
export const evictionPolicies = ["s3-fifo", "lru", "none"] as const;
export type EvictionPolicy = (typeof evictionPolicies)[number];

/** 4 MiB. */
export const maxMemoryBytesMin = 4 * 1024 * 1024;

/** With more, a table of 16,384 partitions would outgrow the 1 MiB that a NATS message has by default. */
export const backupsMax = 3;

export const defaultNodeConfig: NodeConfig = {
  node: "node-1",
  platform: "cache-platform",
  partitions: 64,
  peerHost: "",
  peerPort: 0,
  advertiseHost: "",
  advertiseHttp: "",
  advertiseRedis: "",
  backups: 1,
  zone: "",
  maxMemoryBytes: 0,
  eviction: "s3-fifo",
  requestDeadlineMs: 5_000,
  heartbeatMs: 1_000,
  leaseMs: 3_000,
  drainTimeoutMs: 60_000,
};
