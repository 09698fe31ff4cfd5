/**
 * What every front door turns a request into, and what it gets back. Keys and values are bytes from the socket to
 * the store and back.
 */
import type { RingcacheError } from "../errors.ts";
import type { Via } from "../metrics/operations.ts";
import type { RingStats } from "../ring/ring-options.ts";
import type { ClusterReport, ClusterWatcher, LookUpReport } from "./cluster/report.ts";
import type { Lane } from "./lane.ts";
import { encodeSteps, type Result, type Step } from "./steps/step.ts";

export const Op = {
  get: 1,
  set: 2,
  delete: 3,
  has: 4,
  cas: 5,
  /** Steps, carried out in one turn, as one write and once: `value` is of `encodeSteps`, and that of the reply for `decodeResults`. */
  run: 6,
} as const;
export type Op = (typeof Op)[keyof typeof Op];

/** 64 KiB of UTF-8. */
export const keySizeBytesMax = 64 * 1024;
/** 16 MiB. */
export const valueSizeBytesMax = 16 * 1024 * 1024;
/** The last millisecond that a `Date` can name; an expiry beyond it is refused. */
export const expiresAtMsMax = 8.64e15;

export const noBytes: Buffer = Buffer.alloc(0);

export interface Command {
  readonly op: Op;
  /** 1 to {@link keySizeBytesMax} bytes. */
  readonly key: Buffer;
  /**
   * For `set` and `cas`: 0 to {@link valueSizeBytesMax} bytes; for `run`: its steps; else {@link noBytes}. Of a `cas`, `value` and `expected`
   * together have at most that many, so that they fit in a frame.
   */
  readonly value: Buffer;
  /** For `set` and `cas`: milliseconds since 1970; 0 for never. */
  readonly expiresAtMs: number;
  /** For `cas`: stored only if the value is these bytes; undefined: only if the key isn't there. Else undefined. */
  readonly expected: Buffer | undefined;
  /** For a `run` that is about no key: where. Absent: the key's. */
  readonly partition?: number;
  /** Of a `run` that was made in this process: the same as `value`. */
  readonly steps?: readonly Step[];
}

export interface Reply {
  /** For get, delete, has: whether the key was there. For set and run: true. For cas: whether the value was stored. */
  readonly found: boolean;
  /** For a get that found something, and for a run; a view that is valid during the callback only. */
  readonly value: Buffer;
  /** For a get that found something: milliseconds since 1970; 0 for never. */
  readonly expiresAtMs: number;
  /** The id of the node that carried it out. */
  readonly node: string;
  /** Of a run with {@link Command.steps} that was carried out in this process; `value` may be empty then. */
  readonly results?: readonly Result[];
}

/** Steps as a command: they are only encoded if it goes to another node. */
export class RunCommand implements Command {
  readonly op: Op = Op.run;
  readonly key: Buffer;
  readonly expiresAtMs = 0;
  readonly expected = undefined;
  readonly steps: readonly Step[];
  readonly partition?: number;
  #value: Buffer | undefined;

  /** All keys of the steps are in one partition: that of `key`, or the one that is named. */
  constructor(steps: readonly Step[], key: Buffer, partition?: number) {
    this.steps = steps;
    this.key = key;
    if (partition !== undefined) this.partition = partition;
  }

  get value(): Buffer {
    this.#value ??= encodeSteps(this.steps);
    return this.#value;
  }
}

/** Called exactly once, in the same turn when this node owns the key. */
export type Done = (error: RingcacheError | undefined, reply: Reply | undefined) => void;

/** What a front door needs of a node. {@link CacheNode} implements it. */
export interface Door {
  readonly nodeId: string;
  /** Whether this node serves: it is a member of the table and isn't leaving. */
  readonly ready: boolean;
  /**
   * Carries the command out where its key is owned. Errors: DEADLINE_EXCEEDED, OVERLOADED, CLOSED, LINK_LOST.
   * `deadlineMs`: at most this long from now; absent: the node's request deadline. `via`: as whose it is counted; absent: the library's.
   */
  execute(command: Command, done: Done, deadlineMs?: number, via?: Via): void;
  /** A way of the caller's own for many requests of one turn; undefined if there is none (yet). `via` is as of {@link execute}. */
  lane(via?: Via): Lane | undefined;
  owner(key: Buffer): OwnerReport;
  stats(): StatsReport;
  status(): StatusReport;
  /** In Prometheus's text format: everything that this node counts. */
  metrics(): Promise<string>;
  /** The whole cluster; asks its other nodes, for up to a second. */
  cluster(): Promise<ClusterReport>;
  /** Tells the watcher the state of the cluster, then what changes, until {@link unwatch}. Throws OVERLOADED and CLOSED. */
  watch(watcher: ClusterWatcher): Promise<void>;
  unwatch(watcher: ClusterWatcher): void;
  /** Where the HTTP doors of members are or were, as far as this node has seen: the last 1,024. */
  httpAddresses(): Iterable<string>;
  /** Where a key is and how long it lives; doesn't count as a use of it. Errors as of {@link execute}. */
  lookUp(key: Buffer, done: LookedUp): void;
}

export type LookedUp = (error: RingcacheError | undefined, report: LookUpReport | undefined) => void;

/** The body of `GET /owner`, but for the key. */
export interface OwnerReport {
  readonly partition: number;
  /** Empty while no node owns it. */
  readonly owner: string;
  readonly is_local: boolean;
  readonly this_node: string;
}

/** The body of `GET /stats`. */
export interface StatsReport {
  readonly node_id: string;
  readonly entries: number;
  readonly entries_with_ttl: number;
  readonly partitions: readonly number[];
  readonly partition_count: number;
  /** Of each of {@link partitions}, in the same order: how many copies living nodes hold, this one's included. */
  readonly partition_copies: readonly number[];
  /** The partitions of which this node holds a copy for another owner. */
  readonly backup_partitions: readonly number[];
  readonly backup_partition_count: number;
  /** The entries in those copies. */
  readonly backup_entries: number;
  /** The partitions of the whole cluster that have fewer copies than they are to have. */
  readonly under_replicated: readonly number[];
  /** Memory that the entries of this node take, those of its copies included. */
  readonly memory_bytes: number;
  /** What they may take. */
  readonly memory_max_bytes: number;
  readonly total_expired_by_ttl: number;
  /** Entries that went for want of memory. */
  readonly total_evicted: number;
  readonly total_cleaned_by_release: number;
  readonly total_partitions_lost: number;
  readonly ring: RingStats;
}

/** The body of `GET /status`, which `ringcache status` prints: the cluster as this node knows it. */
export interface StatusReport {
  readonly platform: string;
  readonly epoch: number;
  readonly coordinator: string;
  readonly coordination: string;
  /** How many this node is configured with; the coordinator's counts. */
  readonly backups: number;
  readonly members: readonly {
    readonly id: string;
    readonly peer: string;
    readonly http: string;
    /** Empty if none is named. */
    readonly zone: string;
    readonly leaving: boolean;
    /** Empty while it lives; `gone`: its process is known to be; `silent`: its lease ran out. */
    readonly dead: "" | "gone" | "silent";
    /** How many it owns. */
    readonly partitions: number;
    /** Of how many it holds a copy for another owner. */
    readonly backups: number;
  }[];
  /** From a number of copies on living nodes, the owner's included, to how many partitions have so many. */
  readonly copies: Readonly<Record<string, number>>;
  /** Partitions with fewer copies than they are to have, given the nodes that there are. */
  readonly under_replicated_partitions: number;
  /** Partitions of which a node is being given a copy. */
  readonly copying_partitions: number;
  /** Partitions that are to get another owner. */
  readonly moving_partitions: number;
  /** Partitions without a living owner. */
  readonly unowned_partitions: number;
  /** Partitions of which any of the four above is true. */
  readonly unsettled_partitions: number;
}
