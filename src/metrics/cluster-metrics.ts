/** The metrics of partitions and how they move, of the node's standing in the cluster, and of its links. */
import { each, flag, type Metric, ofPeers, one } from "./metric.ts";

export const partitionMetrics: readonly Metric[] = [
  {
    name: "ringcache_partitions",
    type: "gauge",
    help: "Partitions on this node: owner opening (not served yet), active, sealed (just handed over); backup complete (could be promoted), filling.",
    labels: ["role", "state"],
    advice:
      "`opening` and `sealed` are states of moments. An `opening` that stays waits for a lease or a hook of yours (`onOwn`), a `filling` that stays for its owner: see the log of both.",
    read: ({ ownedStates, copyStates }) => [
      ...Object.entries(ownedStates).map(([state, value]) => ({ labels: { role: "owner", state }, value })),
      ...Object.entries(copyStates).map(([state, value]) => ({ labels: { role: "backup", state }, value })),
    ],
  },
  {
    name: "ringcache_partitions_lost_total",
    type: "counter",
    help: "Partitions that came to this node without the entries that they had, because no copy was left.",
    labels: [],
    advice:
      "Entries are gone: more nodes died at once than there are backups. Whatever filled the cache fills it again; find out why they died, and think of `--backups` and `--zone`.",
    read: ({ partitionsLost }) => one(partitionsLost),
  },
  {
    name: "ringcache_failovers_total",
    type: "counter",
    help: "Partitions that this node took over, as a backup, from an owner that had died.",
    labels: [],
    advice: "Nothing is lost, but a node died or was cut off: see why.",
    read: ({ moves }) => one(moves.failovers),
  },
  {
    name: "ringcache_handoffs_total",
    type: "counter",
    help: "Partitions that this node handed over to a new owner, and attempts that were called off.",
    labels: ["outcome"],
    advice:
      "`completed` with nodes that join and leave. `called_off` again and again: the next owner is slow or NATS is away; `handover-retry` in the log says which.",
    read: ({ moves }) =>
      each("outcome", { completed: moves.handedOver, called_off: moves.handoffsCalledOff }),
  },
  {
    name: "ringcache_handoff_duration_seconds",
    type: "histogram",
    help: "Of completed handoffs: from when the table named the next owner until that was it, the copying included.",
    labels: [],
    advice: "Grows with the size of partitions. More partitions make each smaller.",
    read: ({ moves }) => one(moves.handoff),
  },
  {
    name: "ringcache_handoff_sealed_seconds",
    type: "histogram",
    help: "Of handoffs, called off or not: for how long operations on the partition waited.",
    labels: [],
    advice:
      "Milliseconds. A drain to the backups, a hook of yours (`onRelease`) and one write to NATS are in it: look at which is slow.",
    read: ({ moves }) => one(moves.sealed),
  },
  {
    name: "ringcache_copies_total",
    type: "counter",
    help: "Copies of its partitions that this node made on other nodes, and attempts that failed or were called off.",
    labels: ["outcome"],
    advice:
      "`failed` again and again: the node that is to have the copy can't be reached or has no time; `fill-retry` in the log names it.",
    read: ({ moves }) => each("outcome", { completed: moves.copied, failed: moves.copiesFailed }),
  },
  {
    name: "ringcache_copy_duration_seconds",
    type: "histogram",
    help: "How long making one copy of a partition took.",
    labels: [],
    advice:
      "Copies are made with half of a node's time at most. While they are missing, one more failure may lose entries.",
    read: ({ moves }) => one(moves.copy),
  },
  {
    name: "ringcache_copy_sent_bytes_total",
    type: "counter",
    help: "Bytes that this node sent to make copies of its partitions on other nodes.",
    labels: [],
    advice:
      "What moves when nodes come and go. Without such a reason, see the log for nodes that leave the table and come back.",
    read: ({ copyBytesSent }) => one(copyBytesSent),
  },
  {
    name: "ringcache_copy_received_bytes_total",
    type: "counter",
    help: "Bytes that other nodes sent to this one to make copies of their partitions.",
    labels: [],
    advice: "As above.",
    read: ({ copyBytesReceived }) => one(copyBytesReceived),
  },
];

export const standingMetrics: readonly Metric[] = [
  {
    name: "ringcache_node_info",
    type: "gauge",
    help: "1, with the names of this node and its platform as labels.",
    labels: ["node", "platform"],
    advice: "Joins a node's name to its `instance`.",
    read: ({ node, platform }) => [{ labels: { node, platform }, value: 1 }],
  },
  {
    name: "ringcache_ready",
    type: "gauge",
    help: "Whether this node serves: 1 if GET /ready would answer 200.",
    labels: [],
    advice: "0 while it starts or leaves, or while neither its lease nor its backups' grants hold.",
    read: ({ ready }) => flag(ready),
  },
  {
    name: "ringcache_coordination_connected",
    type: "gauge",
    help: "Whether this node reaches NATS.",
    labels: [],
    advice:
      "Without NATS partitions with a backup are served on, but nothing can move, join or be taken over; those without a backup stop with the lease.",
    read: ({ isConnected }) => flag(isConnected),
  },
  {
    name: "ringcache_lease_age_seconds",
    type: "gauge",
    help: "Since this node's lease was last renewed.",
    labels: [],
    advice:
      "A heartbeat (1 s) at most. Beyond the lease the others may declare the node dead: NATS or this process is too slow.",
    read: ({ leaseAgeMs }) => (leaseAgeMs === null ? [] : one(leaseAgeMs / 1_000)),
  },
  {
    name: "ringcache_lease_duration_seconds",
    type: "gauge",
    help: "How long a lease holds: --lease.",
    labels: [],
    advice: "To compare the age with.",
    read: ({ leaseMs }) => one(leaseMs / 1_000),
  },
  {
    name: "ringcache_table_epoch",
    type: "gauge",
    help: "The epoch of the newest table that this node knows.",
    labels: [],
    advice:
      "The same on all nodes but for moments; one that stays behind doesn't hear from NATS. It grows with every change: if it never rests, something comes and goes.",
    read: ({ epoch }) => one(epoch),
  },
  {
    name: "ringcache_coordinator",
    type: "gauge",
    help: "Whether this node plans the tables.",
    labels: [],
    advice: "One node of the cluster. None for longer than a lease: nobody plans.",
    read: ({ isCoordinator }) => flag(isCoordinator),
  },
  {
    name: "ringcache_cluster_members",
    type: "gauge",
    help: "Living members, as this node knows the table.",
    labels: [],
    advice: "As many as you run.",
    read: ({ cluster }) => one(cluster.members),
  },
  {
    name: "ringcache_cluster_under_replicated_partitions",
    type: "gauge",
    help: "Partitions of the cluster with fewer copies than they are to have, as this node knows the table.",
    labels: [],
    advice:
      "After a failure until the copies are made again. If it stays: `ringcache_copies_total`, and the log of the owners.",
    read: ({ cluster }) => one(cluster.underReplicated),
  },
  {
    name: "ringcache_cluster_unowned_partitions",
    type: "gauge",
    help: "Partitions of the cluster without a living owner, as this node knows the table.",
    labels: [],
    advice:
      "Their operations wait, and fail at their deadline. For up to a lease after a death. If it stays: is NATS there, and is there a coordinator?",
    read: ({ cluster }) => one(cluster.unowned),
  },
  {
    name: "ringcache_cluster_moving_partitions",
    type: "gauge",
    help: "Partitions of the cluster that are to get another owner, as this node knows the table.",
    labels: [],
    advice: "While nodes join and leave. If it stays: `ringcache_handoffs_total`.",
    read: ({ cluster }) => one(cluster.moving),
  },
];

export const linkMetrics: readonly Metric[] = [
  {
    name: "ringcache_peer_up",
    type: "gauge",
    help: "Whether this node's link to the peer is open.",
    labels: ["peer"],
    advice: "0 between two living nodes: the network between them, or a firewall.",
    read: (snapshot) => ofPeers(snapshot, ({ up }) => (up ? 1 : 0)),
  },
  {
    name: "ringcache_peer_calls_in_flight",
    type: "gauge",
    help: "This node's calls to the peer that have not ended.",
    labels: ["peer"],
    advice: "Grows towards a node that is slow; 65,536 are the bound.",
    read: (snapshot) => ofPeers(snapshot, ({ inFlight }) => inFlight),
  },
  {
    name: "ringcache_peer_requests_in_flight",
    type: "gauge",
    help: "The peer's requests that this node has not answered.",
    labels: ["peer"],
    advice: "Grows when this node is slow.",
    read: (snapshot) => ofPeers(snapshot, ({ inFlightIncoming }) => inFlightIncoming),
  },
  {
    name: "ringcache_peer_queued_bytes",
    type: "gauge",
    help: "Bytes that wait to be sent to the peer.",
    labels: ["peer"],
    advice: "Near 0. More: the network, or a peer that doesn't read; calls are refused from 64 MiB on.",
    read: (snapshot) => ofPeers(snapshot, ({ queuedBytes }) => queuedBytes),
  },
  {
    name: "ringcache_peer_sent_bytes_total",
    type: "counter",
    help: "Bytes sent to the peer: operations, answers, writes for backups and copies.",
    labels: ["peer"],
    advice: "The traffic between nodes.",
    read: (snapshot) => ofPeers(snapshot, ({ bytesOut }) => bytesOut),
  },
  {
    name: "ringcache_peer_received_bytes_total",
    type: "counter",
    help: "Bytes received from the peer.",
    labels: ["peer"],
    advice: "As above.",
    read: (snapshot) => ofPeers(snapshot, ({ bytesIn }) => bytesIn),
  },
  {
    name: "ringcache_peer_call_errors_total",
    type: "counter",
    help: "This node's calls to the peer that ended without an answer.",
    labels: ["peer"],
    advice:
      "Operations are tried again elsewhere, so clients need not have seen them. Many at once: that node died, hangs or can't be reached.",
    read: (snapshot) => ofPeers(snapshot, ({ failedCalls }) => failedCalls),
  },
  {
    name: "ringcache_peer_link_losses_total",
    type: "counter",
    help: "Links to the peer that broke after they had been open.",
    labels: ["peer"],
    advice: "With every restart of the peer. Without one: the network.",
    read: (snapshot) => ofPeers(snapshot, ({ lostLinks }) => lostLinks),
  },
];
