/** What a ring tells of itself. */
import type { MovesReading } from "../metrics/moves.ts";
import type { OwnedStates } from "../metrics/snapshot.ts";
import type { Membership } from "./membership.ts";
import type { Ownership } from "./ownership.ts";
import type { RingStats } from "./ring-options.ts";
import { isSettled, livingMembers, partitionsByOwner, type Table } from "./table.ts";

export function ringStats(table: Table, owned: number, isCoordinator: boolean): RingStats {
  return {
    num_partitions: table.rows.length,
    num_nodes: livingMembers(table).length,
    owned_partitions: owned,
    is_coordinator: isCoordinator,
    is_rebalancing: !isSettled(table),
    partitions_by_node: partitionsByOwner(table),
  };
}

/** What a node knows of its own part in the ring. */
export interface RingInside {
  /** Milliseconds since the lease was last renewed; infinite before the first time. */
  readonly leaseAgeMs: number;
  readonly owned: OwnedStates;
  /** What has happened to the partitions that this node owns or owned. */
  readonly moves: MovesReading;
}

export function ringInside(membership: Membership, ownership: Ownership): RingInside {
  const { leaseAgeMs } = membership;
  return { leaseAgeMs, owned: ownership.states(), moves: ownership.counters.read() };
}
