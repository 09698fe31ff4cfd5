/** What a ring is made with, what it tells and what it counts. */
import type { NodeConfig } from "../config.ts";
import type { Coordination } from "../coordination/coordination.ts";
import type { Log } from "../log.ts";
import type { Transport } from "../peers/transport.ts";
import type { Runtime } from "../runtime.ts";
import type { PartitionKeeper } from "./keeper.ts";
import type { PartitionsHook } from "./ownership.ts";
import type { Ring } from "./ring.ts";
import type { Member, Table } from "./table.ts";

export interface RingOptions {
  readonly config: NodeConfig;
  readonly coordination: Coordination;
  readonly runtime: Runtime;
  readonly transport: Transport;
  readonly log: Log;
  /** Called with partitions that this node now owns, before it serves them. */
  readonly onOwn?: PartitionsHook;
  /** Called with partitions that this node gives up, before their new owner's onOwn. */
  readonly onRelease?: PartitionsHook;
  /** Runs at the very end of `close` and `stop`. */
  readonly closed?: () => Promise<void>;
  /** What holds the partitions' data and moves it; absent for a ring without data. */
  readonly keeper?: (ring: Ring) => PartitionKeeper;
}

export interface RingEvents {
  /** A newer table is known here. */
  table: [table: Table, previous: Table];
  joined: [member: Member];
  left: [member: Member];
  /** Partitions whose owner is gone without having handed them over; their new owners start without its entries. */
  lost: [partitions: number[]];
  /** The set of partitions that this node serves has changed. */
  owned: [];
  /** The lease was renewed after having lapsed. */
  lease: [];
  /** This incarnation was declared dead, or gave itself up: nothing of it counts any more. */
  fenced: [];
}

export interface RingStats {
  readonly num_partitions: number;
  readonly num_nodes: number;
  readonly owned_partitions: number;
  readonly is_coordinator: boolean;
  readonly is_rebalancing: boolean;
  readonly partitions_by_node: Readonly<Record<string, number>>;
}
