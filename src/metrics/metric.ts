/** What a metric is: what it is called, what it means and how it is read off a snapshot. */
import type { HistogramReading } from "./histogram.ts";
import type { NodeSnapshot } from "./snapshot.ts";

export interface Sample<V> {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: V;
}

interface Description {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  /** For the documentation: what to do when it moves. */
  readonly advice: string;
}

export interface NumberMetric extends Description {
  readonly type: "counter" | "gauge";
  read(snapshot: NodeSnapshot): readonly Sample<number>[];
}

export interface HistogramMetric extends Description {
  readonly type: "histogram";
  read(snapshot: NodeSnapshot): readonly Sample<HistogramReading>[];
}

export type Metric = NumberMetric | HistogramMetric;

/** The only sample of a metric without labels. */
export function one<V>(value: V): readonly Sample<V>[] {
  return [{ labels: {}, value }];
}

/** A sample for each field of `values`, named by `label`. */
export function each(label: string, values: Readonly<Record<string, number>>): readonly Sample<number>[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }));
}

/** 1 for true. */
export function flag(value: boolean): readonly Sample<number>[] {
  return one(value ? 1 : 0);
}

/** A sample for each peer. */
export function ofPeers(
  { peers }: NodeSnapshot,
  value: (peer: NodeSnapshot["peers"][number]) => number,
): readonly Sample<number>[] {
  return peers.map((peer) => ({ labels: { peer: peer.peer }, value: value(peer) }));
}
