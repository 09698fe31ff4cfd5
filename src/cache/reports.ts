/** What a node tells about itself and about the cluster as it knows it: pure sums over the table and a few counters. */
import type { NodeConfig } from "../config.ts";
import type { RingStats } from "../ring/ring-options.ts";
import type { Row, Table } from "../ring/table.ts";
import type { StatsReport, StatusReport } from "./command.ts";

/** What lies on this node, and what has happened to it since it started. */
export interface Totals {
  /** In the partitions that it owns. */
  readonly entries: number;
  /** Those of {@link entries} that expire. */
  readonly entriesWithTtl: number;
  /** In the copies that it holds for other owners. */
  readonly backupEntries: number;
  /** Memory that its entries take, copies included, and what they may take; in bytes. */
  readonly memoryBytes: number;
  readonly memoryMaxBytes: number;
  readonly expired: number;
  readonly evicted: number;
  readonly cleaned: number;
  readonly lost: number;
}

export interface StatsSources {
  readonly node: string;
  readonly table: Table;
  /** The partitions that the node serves, in order. */
  readonly owned: readonly number[];
  readonly totals: Totals;
  readonly ring: RingStats;
}

export function statsReport({ node, table, owned, totals, ring }: StatsSources): StatsReport {
  const copies = copiesOfAll(table);
  const backups = table.rows.flatMap((row, partition) => (row.backups.includes(node) ? [partition] : []));
  return {
    node_id: node,
    entries: totals.entries,
    entries_with_ttl: totals.entriesWithTtl,
    partitions: owned,
    partition_count: owned.length,
    partition_copies: owned.map((partition) => copies[partition] ?? 0),
    backup_partitions: backups,
    backup_partition_count: backups.length,
    backup_entries: totals.backupEntries,
    under_replicated: underReplicated(table, copies),
    memory_bytes: totals.memoryBytes,
    memory_max_bytes: totals.memoryMaxBytes,
    total_expired_by_ttl: totals.expired,
    total_evicted: totals.evicted,
    total_cleaned_by_release: totals.cleaned,
    total_partitions_lost: totals.lost,
    ring,
  };
}

export interface StatusSources {
  readonly config: Pick<NodeConfig, "platform" | "backups">;
  readonly table: Table;
  /** Empty if none is known. */
  readonly coordinator: string;
  /** Of the connection to what the nodes agree through. */
  readonly coordination: string;
}

export function statusReport({ config, table, coordinator, coordination }: StatusSources): StatusReport {
  const copies = copiesOfAll(table);
  const owned = count(table.rows.map((row) => row.owner));
  const held = count(table.rows.flatMap((row) => row.backups));
  const living = livingIds(table);
  const lacking = new Set(underReplicated(table, copies));
  const isUnowned = (row: Row): boolean => !living.has(row.owner);
  const isUnsettled = (row: Row, partition: number): boolean =>
    lacking.has(partition) || isCopying(row, living) || row.incoming !== "" || isUnowned(row);
  return {
    platform: config.platform,
    epoch: table.epoch,
    coordinator,
    coordination,
    backups: config.backups,
    members: table.members.map((member) => ({
      id: member.id,
      peer: `${member.host}:${member.port}`,
      http: member.http,
      zone: member.zone,
      leaving: member.leaving,
      dead: member.dead,
      partitions: owned.get(member.id) ?? 0,
      backups: held.get(member.id) ?? 0,
    })),
    copies: Object.fromEntries(count(copies)),
    under_replicated_partitions: lacking.size,
    copying_partitions: table.rows.filter((row) => isCopying(row, living)).length,
    moving_partitions: table.rows.filter((row) => row.incoming !== "").length,
    unowned_partitions: table.rows.filter(isUnowned).length,
    unsettled_partitions: table.rows.filter(isUnsettled).length,
  };
}

/** Per partition, how many copies living members hold, the owner's included. */
function copiesOfAll(table: Table): number[] {
  const living = livingIds(table);
  return table.rows.map(
    ({ owner, backups }) => (living.has(owner) ? 1 : 0) + backups.filter((id) => living.has(id)).length,
  );
}

/**
 * Partitions with fewer copies than they are to have. One whose copies are enough and only lie elsewhere than they are
 * to, after a node has joined, isn't among them: nothing is at risk.
 */
function underReplicated(table: Table, copies: readonly number[]): number[] {
  return table.rows.flatMap(({ wanted }, partition) =>
    copies[partition]! < 1 + wanted.length ? [partition] : [],
  );
}

/** A living owner has yet to fill a member that is to hold a copy. */
function isCopying({ owner, backups, wanted, incoming }: Row, living: ReadonlySet<string>): boolean {
  const lacks = (id: string): boolean => id !== owner && !backups.includes(id);
  return living.has(owner) && (wanted.some(lacks) || (incoming !== "" && lacks(incoming)));
}

function livingIds(table: Table): ReadonlySet<string> {
  return new Set(table.members.filter(({ dead }) => dead === "").map(({ id }) => id));
}

function count<T>(items: readonly T[]): Map<T, number> {
  const counts = new Map<T, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}
