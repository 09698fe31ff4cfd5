/** What a node tells about the whole cluster: the table, what each node measures of itself, and what has happened lately. */
import type { StatusReport } from "../command.ts";

/** What a node measures of itself once a second. The rates are of the second before. */
export interface NodeSample {
  /** When it was taken, on that node's clock: milliseconds since 1970. */
  readonly at_ms: number;
  /** Operations of its clients that ended, whichever node carried them out. Null: not counted. */
  readonly operations_per_second: number | null;
  /** Of the reads that it carried out as the owner, from 0 to 1; null if there were none. */
  readonly hit_ratio: number | null;
  /** Of its clients' operations, from request to answer; null if there were none. */
  readonly latency_p50_seconds: number | null;
  readonly latency_p99_seconds: number | null;
  /** The most by which its event loop was late. */
  readonly event_loop_delay_seconds: number | null;
  readonly memory_bytes: number;
  readonly memory_max_bytes: number;
  /** In the partitions that it owns. */
  readonly entries: number;
  /** In the copies that it holds for others. */
  readonly backup_entries: number;
  readonly evicted_per_second: number;
  /** Of its process: where several nodes share one, of all together. */
  readonly rss_bytes: number;
  readonly uptime_seconds: number;
  /** Whether it reaches what the nodes agree through. */
  readonly coordination: string;
}

/** The samples of one node's last minutes, oldest first, a second apart; as columns, so that they are small. */
export interface SampleHistory {
  /** When the last one was taken. */
  readonly end_ms: number;
  readonly operations_per_second: readonly (number | null)[];
  readonly hit_ratio: readonly (number | null)[];
  readonly latency_p50_seconds: readonly (number | null)[];
  readonly latency_p99_seconds: readonly (number | null)[];
  readonly memory_bytes: readonly (number | null)[];
}

export const eventKinds = [
  "joined",
  "leaving",
  "left",
  "died",
  "coordinator",
  "assigned",
  "handed-over",
  "promoted",
  "lost",
  "degraded",
  "restored",
  "evicting",
  "evicting-ended",
  "disconnected",
  "reconnected",
  "fenced",
] as const;
export type EventKind = (typeof eventKinds)[number];

export interface ClusterEvent {
  /** Of the node that tells it, growing; an event that goes on is told again under its id. */
  readonly id: number;
  readonly at_ms: number;
  readonly kind: EventKind;
  /** Whom it is about; of partitions, who has them now. Empty: the whole cluster. */
  readonly node: string;
  /** Who had the partitions. */
  readonly from?: string;
  /** How many nodes beside `node`, or beside `from`. */
  readonly more_nodes?: number;
  readonly more_from?: number;
  readonly partitions?: number;
  /** Of a death: `gone`, its process is known to be; `silent`, its lease ran out. */
  readonly reason?: string;
}

/** What a node is asked for its members; in the order of {@link TableReport.members}. */
export type MemberReport = Omit<StatusReport["members"][number], "partitions" | "backups">;

/** Partitions as columns; members are named by their place in `members`, -1 is none. */
export interface TableReport {
  readonly epoch: number;
  readonly coordinator: string;
  readonly members: readonly MemberReport[];
  readonly owners: readonly number[];
  readonly backups: readonly (readonly number[])[];
  readonly terms: readonly number[];
  /** By partition, only where another owner is to come. */
  readonly incoming: Readonly<Record<string, number>>;
  /** By partition, only where the backups that it is to have are others than those that it has. */
  readonly wanted: Readonly<Record<string, readonly number[]>>;
}

/** From one table to a newer one: what has changed, in the terms of the newer one's members. */
export interface TableChange {
  readonly epoch: number;
  /** The table that it changes; on another one it means nothing. */
  readonly previous: number;
  readonly coordinator: string;
  readonly members: readonly MemberReport[];
  /** Partition, owner, backups, term, incoming, wanted. */
  readonly rows: readonly RowReport[];
}

export type RowReport = readonly [
  partition: number,
  owner: number,
  backups: readonly number[],
  term: number,
  incoming: number,
  wanted: readonly number[],
];

/** By node. A node that didn't answer in time is left out. */
export type Samples = Readonly<Record<string, NodeSample>>;

/** The body of `GET /cluster`. */
export interface ClusterReport {
  /** The node that answers. */
  readonly node: string;
  readonly platform: string;
  /** That of the answering node, in milliseconds since 1970. */
  readonly now_ms: number;
  /** How many copies beside the owner's this node is configured with. */
  readonly backup_count: number;
  readonly table: TableReport;
  readonly samples: Samples;
  /** Oldest first. */
  readonly events: readonly ClusterEvent[];
}

/** What one who watches begins with. */
export interface ClusterState extends ClusterReport {
  readonly histories: Readonly<Record<string, SampleHistory>>;
}

export interface ClusterWatcher {
  /** The first, once. */
  began(state: ClusterState): void;
  changed(change: TableChange): void;
  sampled(samples: Samples): void;
  happened(events: readonly ClusterEvent[]): void;
}

/** The body of `GET /lookup`, but for the key. */
export interface LookUpReport {
  readonly slot: number;
  readonly partition: number;
  /** Empty while no node owns it. */
  readonly owner: string;
  readonly backups: readonly string[];
  /** The owner that is to be; empty if it stays. */
  readonly incoming: string;
  readonly found: boolean;
  /** Null: it doesn't expire, or isn't there. */
  readonly ttl_seconds: number | null;
  readonly value_bytes: number | null;
  /** What it takes on each node that has it, its key and the store's header included. */
  readonly memory_bytes: number | null;
}
