/** What all connections of one door share. */
import type { Door } from "../cache/command.ts";
import type { NodeConfig } from "../config.ts";
import type { Coordination } from "../coordination/coordination.ts";
import type { Log } from "../log.ts";
import type { Table } from "../ring/table.ts";
import type { Runtime } from "../runtime.ts";
import type { CommandTable } from "./command-table.ts";
import type { Connection } from "./connection.ts";
import type { RedisLimits } from "./limits.ts";

/** Which connections are answered as a node of Redis Cluster answers: those that have shown that they know it, or all, or none. */
export const clusterModes = ["auto", "always", "never"] as const;
export type ClusterMode = (typeof clusterModes)[number];

/** What the door needs of the ring, for the answers of a cluster; a `Ring` is one. */
export interface RingView {
  readonly nodeId: string;
  readonly config: Pick<NodeConfig, "platform">;
  readonly coordination: Pick<Coordination, "openChannel">;
  readonly table: Table;
  partitionFor(key: Buffer): number;
  /** Whether this node may carry out operations of that partition in this turn. */
  serves(partition: number): boolean;
}

export interface RedisContext {
  readonly door: Door;
  /** Undefined until the node has joined. */
  readonly ring: RingView | undefined;
  readonly log: Log;
  readonly runtime: Runtime;
  readonly limits: RedisLimits;
  readonly commands: CommandTable;
  readonly cluster: ClusterMode;
  /** Empty: none is needed. */
  readonly password: string;
  /** Where this door listens, `host:port`, as a client sees it. */
  readonly host: string;
  readonly port: number;
  /** By id. */
  readonly connections: ReadonlyMap<number, Connection>;
  readonly statistics: Statistics;
  /** Commands that are for tests only, DEBUG SLEEP, are there. */
  readonly debug: boolean;
}

/** Whoever gives connections their turns. */
export interface Turns {
  /** Calls {@link Connection.turn} after the input of this event-loop turn has been read. */
  schedule(connection: Connection): void;
  /** Has those of the connections' requests that can be carried out in a {@link Batch} carried out at once. */
  carryOut(connections: readonly Connection[]): void;
}

export interface Statistics {
  /** On the runtime's monotonic clock. */
  readonly startedMs: number;
  /** Milliseconds since 1970. */
  readonly startedWallMs: number;
  connections: number;
  rejected: number;
  commands: number;
  errors: number;
  bytesIn: number;
  bytesOut: number;
}
