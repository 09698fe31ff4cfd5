/** The metrics of operations, and of what is stored. */
import { each, type Metric, one } from "./metric.ts";
import { doors, operationKinds, outcomes, paths, sampleShare } from "./operations.ts";

export const operationMetrics: readonly Metric[] = [
  {
    name: "ringcache_operations_total",
    type: "counter",
    help: "Operations of this node's own clients, wherever they were carried out, by the door they came through and by how they ended.",
    labels: ["door", "operation", "outcome"],
    advice:
      "The load. Any `outcome` but `ok` was an error to a client: see [errors](errors.md). `deadline_exceeded` and `link_lost` come with failures of nodes or of NATS, `overloaded` with more load than there is room for, `memory_full` with `--eviction none`.",
    read: ({ operations }) =>
      doors.flatMap((door, i) =>
        operationKinds.flatMap((operation, kind) =>
          kind === 0
            ? []
            : outcomes.map((outcome, j) => ({
                labels: { door, operation, outcome },
                value: operations.counts[i]![kind]![j]!,
              })),
        ),
      ),
  },
  {
    name: "ringcache_operation_duration_seconds",
    type: "histogram",
    help: `From when a door handed the operation over until it had the answer: local (carried out here at once; one in ${sampleShare} is timed and counts ${sampleShare} times), replicated (here, and waited for its backups), routed (on another node, or waited for its partition).`,
    labels: ["door", "path"],
    advice:
      "`local` grows when this process has too much to do: look at the event loop. `replicated` is the slowest backup: look at that node. `routed` is the owner and the network, and the wait while partitions move.",
    read: ({ operations }) =>
      doors.flatMap((door, i) =>
        paths.map((path, j) => ({ labels: { door, path }, value: operations.latency[i]![j]! })),
      ),
  },
  {
    name: "ringcache_peer_operations_total",
    type: "counter",
    help: "Operations of other nodes' clients that were carried out here, as the owner of their partition.",
    labels: ["operation"],
    advice: "With a load balancer in front, most operations. One node far above the others owns a hot key.",
    read: ({ operations }) =>
      operationKinds.flatMap((operation, kind) =>
        kind === 0 ? [] : [{ labels: { operation }, value: operations.forPeers[kind]! }],
      ),
  },
  {
    name: "ringcache_hits_total",
    type: "counter",
    help: "Keys that were looked up in the partitions that this node owns, and were there.",
    labels: [],
    advice:
      "`hits / (hits + misses)` is the hit ratio. If it falls while evictions rise, the cache is too small for what is asked for.",
    read: ({ hits }) => one(hits),
  },
  {
    name: "ringcache_misses_total",
    type: "counter",
    help: "Keys that were looked up in the partitions that this node owns, and were not there.",
    labels: [],
    advice: "As above. After a loss of partitions it is high until they have filled again.",
    read: ({ misses }) => one(misses),
  },
  {
    name: "ringcache_waiting_operations",
    type: "gauge",
    help: "Operations that wait on this node for a partition that moves, opens or has no owner that may serve.",
    labels: [],
    advice:
      "For moments during a move. If it stays, look at `ringcache_cluster_unowned_partitions`, the lease and the connection to NATS.",
    read: ({ waiting }) => one(waiting),
  },
];

export const storageMetrics: readonly Metric[] = [
  {
    name: "ringcache_entries",
    type: "gauge",
    help: "Entries on this node: of partitions that it owns, and in copies for other owners.",
    labels: ["role"],
    advice: "The sum of `owner` over all nodes is what the cache holds.",
    read: ({ owned, backup }) => each("role", { owner: owned.entries, backup: backup.entries }),
  },
  {
    name: "ringcache_entry_memory_bytes",
    type: "gauge",
    help: "Memory that the entries take, with what is needed to find them.",
    labels: ["role"],
    advice:
      "Should be much alike on all nodes. A node that holds more `backup` than others has fewer partitions of its own.",
    read: ({ owned, backup }) => each("role", { owner: owned.sizeBytes, backup: backup.sizeBytes }),
  },
  {
    name: "ringcache_memory_used_bytes",
    type: "gauge",
    help: "Memory in use for entries, of what --max-memory allows.",
    labels: [],
    advice:
      "A full cache is a cache at work. With `--eviction none` writes are refused when it reaches the limit.",
    read: ({ memoryBytes }) => one(memoryBytes),
  },
  {
    name: "ringcache_memory_limit_bytes",
    type: "gauge",
    help: "What entries may take on this node: --max-memory.",
    labels: [],
    advice:
      "A node with less than the others is full earlier, and what it holds is then evicted on all of them.",
    read: ({ memoryMaxBytes }) => one(memoryMaxBytes),
  },
  {
    name: "ringcache_evictions_total",
    type: "counter",
    help: "Entries of partitions that this node owns that went for want of memory, here or on a backup.",
    labels: [],
    advice: "Give more memory or add nodes if the hit ratio suffers; else nothing.",
    read: ({ evicted }) => one(evicted),
  },
  {
    name: "ringcache_expirations_total",
    type: "counter",
    help: "Entries of partitions that this node owns that were removed after their time to live.",
    labels: [],
    advice: "Nothing: it says how much of the load is written again and again.",
    read: ({ expired }) => one(expired),
  },
];
