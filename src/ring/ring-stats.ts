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
