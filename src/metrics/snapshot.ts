/** What a node knows of itself at one moment. Two of them make a rate: everything that counts is a total since the node's start. */
import { between, countOf, quantileMs, sumOf } from "./histogram.ts";
import type { MovesReading } from "./moves.ts";
import type { OperationsReading } from "./operations.ts";

/** Plain numbers, strings, arrays and objects throughout, so that it can go to another node as JSON. */
export interface NodeSnapshot {
  readonly node: string;
  readonly platform: string;
  /** Another one has begun to count anew. */
  readonly incarnation: string;
  /** On the node's monotonic clock. */
  readonly atMs: number;
  readonly ready: boolean;
  readonly isCoordinator: boolean;
  /** Whether it reaches what the nodes agree through. */
  readonly isConnected: boolean;
  readonly epoch: number;
  /** Since the lease was last renewed; null before the first time. */
  readonly leaseAgeMs: number | null;
  /** How long it holds. */
  readonly leaseMs: number;
  /** Of its own clients. */
  readonly operations: OperationsReading;
  /** Keys that were asked for in the partitions that it owns and there, or not there, whoever's clients asked. */
  readonly hits: number;
  readonly misses: number;
  /** Operations that wait for their partition just now. */
  readonly waiting: number;
  readonly owned: Holdings;
  /** The copies for other owners, those that are not complete included. */
  readonly backup: Holdings;
  /** Memory that the entries of this node take, and what they may take. */
  readonly memoryBytes: number;
  readonly memoryMaxBytes: number;
  readonly evicted: number;
  readonly expired: number;
  /** Partitions that came to this node without the entries that they had. */
  readonly partitionsLost: number;
  readonly ownedStates: OwnedStates;
  readonly copyStates: CopyStates;
  readonly moves: MovesReading;
  /** Bytes of copies that this node sent to others, and that others sent to it, when they were made. */
  readonly copyBytesSent: number;
  readonly copyBytesReceived: number;
  /** Of the whole cluster, as this node knows it. */
  readonly cluster: ClusterReading;
  readonly peers: readonly PeerReading[];
}

export interface Holdings {
  readonly entries: number;
  /** Of memory. */
  readonly sizeBytes: number;
}

/** The partitions that a node owns: those that it doesn't serve yet, those that it serves, those that it is just handing over. */
export interface OwnedStates {
  readonly opening: number;
  readonly active: number;
  readonly sealed: number;
}

/** The copies that a node holds for other owners: those that could be promoted, and those that are being made. */
export interface CopyStates {
  readonly complete: number;
  readonly filling: number;
}

export interface ClusterReading {
  /** Living ones. */
  readonly members: number;
  readonly underReplicated: number;
  /** Partitions without a living owner. */
  readonly unowned: number;
  /** Those that are to get another owner. */
  readonly moving: number;
}

export interface PeerReading {
  /** The peer's id; links to earlier incarnations of it count too. */
  readonly peer: string;
  /** This node's link to it is open. */
  readonly up: boolean;
  /** This node's calls that have not ended. */
  readonly inFlight: number;
  /** The peer's requests that have not been answered. */
  readonly inFlightIncoming: number;
  /** Bytes that wait to be sent. */
  readonly queuedBytes: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Calls that ended without an answer. */
  readonly failedCalls: number;
  /** Links that broke after they had been open. */
  readonly lostLinks: number;
}

export interface Rates {
  /** Of this node's own clients, all doors together; of them, those that ended with an error. */
  readonly operationsPerSecond: number;
  readonly failuresPerSecond: number;
  /** 0 to 1; undefined if nothing was looked up. */
  readonly hitRatio: number | undefined;
  /** Of this node's own clients' operations, all paths together; undefined if there were none. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

/** What rates are made of. */
export type Counted = Pick<NodeSnapshot, "incarnation" | "atMs" | "operations" | "hits" | "misses">;

/** What happened between two snapshots of one node; undefined if they aren't of one incarnation or there is no time between them. */
export function ratesBetween(before: Counted, after: Counted): Rates | undefined {
  const seconds = (after.atMs - before.atMs) / 1_000;
  if (before.incarnation !== after.incarnation || seconds <= 0) return undefined;
  const [was, is] = [totalsOf(before), totalsOf(after)];
  const [hits, misses] = [after.hits - before.hits, after.misses - before.misses];
  const latency = between(latencyOf(before), latencyOf(after));
  const measured = countOf(latency) > 0;
  return {
    operationsPerSecond: (is.operations - was.operations) / seconds,
    failuresPerSecond: (is.failures - was.failures) / seconds,
    hitRatio: hits + misses > 0 ? hits / (hits + misses) : undefined,
    p50Ms: measured ? quantileMs(latency, 0.5) : undefined,
    p99Ms: measured ? quantileMs(latency, 0.99) : undefined,
  };
}

function totalsOf({ operations }: Counted): { operations: number; failures: number } {
  let [all, failures] = [0, 0];
  for (const [ok = 0, ...failed] of operations.counts.flat()) {
    const failedHere = failed.reduce((sum, count) => sum + count, 0);
    all += ok + failedHere;
    failures += failedHere;
  }
  return { operations: all, failures };
}

function latencyOf({ operations }: Counted): ReturnType<typeof sumOf> {
  return sumOf(operations.latency.flat());
}
