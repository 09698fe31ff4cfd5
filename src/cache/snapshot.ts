/** Puts together what a node knows of itself: nothing here counts, it only looks. */
import { OperationCounters } from "../metrics/operations.ts";
import type { NodeSnapshot } from "../metrics/snapshot.ts";
import type { Ring } from "../ring/ring.ts";
import { livingMembers } from "../ring/table.ts";
import type { Runtime } from "../runtime.ts";
import type { StatusReport } from "./command.ts";
import type { CacheKeeper } from "./keeper.ts";
import type { Partitions } from "./partitions.ts";
import type { Router } from "./router.ts";
import type { Stores } from "./stores.ts";

/** What a node consists of beside its ring, and what counts. */
export interface CountedParts {
  readonly partitions: Partitions;
  readonly router: Router;
  readonly keeper: CacheKeeper;
  readonly stores: Stores;
  /** Undefined if nothing is counted. */
  readonly counters: OperationCounters | undefined;
}

interface Node {
  readonly nodeId: string;
  readonly ready: boolean;
  readonly ring: Ring;
  status(): StatusReport;
}

export function snapshotOf(node: Node, parts: CountedParts, runtime: Runtime): NodeSnapshot {
  const { ring, nodeId, ready } = node;
  const { partitions, keeper, router, stores, counters } = parts;
  const { table } = ring;
  const { leaseAgeMs, owned: ownedStates, moves } = ring.inside();
  const totals = partitions.totals();
  const { complete, filling, entries, sizeBytes } = keeper.backups();
  const status = node.status();
  return {
    node: nodeId,
    platform: ring.config.platform,
    incarnation: ring.incarnation,
    atMs: runtime.monotonicMs(),
    ready,
    isCoordinator: ring.coordinator === nodeId,
    isConnected: ring.coordination.status === "connected",
    epoch: table.epoch,
    leaseAgeMs: Number.isFinite(leaseAgeMs) ? leaseAgeMs : null,
    leaseMs: ring.config.leaseMs,
    operations: (counters ?? new OperationCounters(runtime)).read(),
    hits: totals.hits,
    misses: totals.misses,
    waiting: router.room.count,
    owned: { entries: totals.entries, sizeBytes: totals.sizeBytes },
    backup: { entries, sizeBytes },
    memoryBytes: stores.memory.usedBytes,
    memoryMaxBytes: stores.memory.limitBytes,
    evicted: totals.evicted,
    expired: totals.expired,
    partitionsLost: totals.lost,
    ownedStates,
    copyStates: { complete, filling },
    moves,
    copyBytesSent: keeper.traffic.sentBytes,
    copyBytesReceived: keeper.traffic.receivedBytes,
    cluster: {
      members: livingMembers(table).length,
      underReplicated: status.under_replicated_partitions,
      unowned: status.unowned_partitions,
      moving: status.moving_partitions,
    },
    peers: ring.peers.byPeer(),
  };
}
