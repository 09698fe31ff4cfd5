/**
 * Every metric that a node exposes; `docs/operations.md` has its tables from here. Labels never name keys or clients: a node has
 * as many series as it has peers, and a fixed number beside.
 */
import { linkMetrics, partitionMetrics, standingMetrics } from "./cluster-metrics.ts";
import { operationMetrics, storageMetrics } from "./data-metrics.ts";
import type { Metric } from "./metric.ts";

/** By chapter of the documentation. */
export const metricTable: Readonly<Record<string, readonly Metric[]>> = {
  Operations: operationMetrics,
  "Entries and memory": storageMetrics,
  "Partitions and moves": partitionMetrics,
  "Node and cluster": standingMetrics,
  "Links between nodes": linkMetrics,
};

export const metrics: readonly Metric[] = Object.values(metricTable).flat();
