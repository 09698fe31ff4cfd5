/**
 * Every event that is logged, in one table: its stable name, its level, its fields and what it means. The compiler
 * holds every call of a {@link Log} to it, and a test `docs/logs.md`. A field whose name ends in `?` may be absent.
 */
export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LogEventEntry {
  readonly level: LogLevel;
  readonly fields: Readonly<Record<string, string>>;
  readonly meaning: string;
}

const error = "what was thrown";
const err = "the error with its stack";
const epoch = "the table's number";
const partition = "its number";
const peer = "the other node's id";
const location = "the NATS servers, without passwords";

export const logEvents = {
  // The life of a process.
  serving: {
    level: "info",
    fields: {
      http: "`host:port` of the HTTP API",
      "redis?": "`host:port` of the Redis door",
      platform: "its name",
      nats: location,
    },
    meaning: "This node is a member and answers.",
  },
  stopping: {
    level: "info",
    fields: { by: "the signal, or `drain`" },
    meaning: "This node was asked to leave: it hands over what it has.",
  },
  stopped: { level: "info", fields: {}, meaning: "This node has left. The process ends with exit code 0." },
  "drain-incomplete": {
    level: "error",
    fields: { partitions: "how many it still has", err },
    meaning:
      "`--drain-timeout` was over before everything had been handed over. Copies take over what it had; what had none is gone.",
  },
  "stop-timeout": {
    level: "error",
    fields: { withinMs: "how long it was given" },
    meaning: "Stopping took too long: the process ends with exit code 1.",
  },
  killed: {
    level: "warn",
    fields: { signal: "its name" },
    meaning: "A second signal ended the process at once, with what it had.",
  },
  defect: {
    level: "error",
    fields: { err },
    meaning: "A defect of ringcache ended the process. Please report it.",
  },
  "defect-survived": {
    level: "error",
    fields: { where: "`http`, `redis` or `peers`", "peer?": peer, err },
    meaning: "A defect of ringcache cost one request or one link. Please report it.",
  },
  // Members.
  "member-joined": {
    level: "info",
    fields: { member: "its id", members: "how many live now" },
    meaning: "A node is a member now.",
  },
  "member-left": {
    level: "info",
    fields: { member: "its id", members: "how many live now" },
    meaning: "A node is no member any more: it left, or died and has been replaced everywhere.",
  },
  "node-died": {
    level: "warn",
    fields: {
      member: "its id",
      proof: "`process`: its port refuses connections; `lease`: it was silent for too long",
    },
    meaning: "This node, which coordinates, has declared another one dead.",
  },
  "peer-process-gone": {
    level: "warn",
    fields: {
      peer,
      proof: "`refused`: nobody listens there; `replaced`: another process does",
    },
    meaning: "The process of a peer is gone.",
  },
  unreachable: {
    level: "warn",
    fields: { members: "whom this node can't reach now", before: "whom it couldn't reach before" },
    meaning: "Which members this node can't reach has changed; an empty list: it reaches all.",
  },
  isolated: {
    level: "error",
    fields: { members: "those who go on" },
    meaning:
      "This node is cut off from those that go on, and has no copy that they lack: it drops what it has, and joins again when it reaches them.",
  },
  fenced: {
    level: "error",
    fields: {},
    meaning: "The others declared this node dead: it drops what it held and joins anew.",
  },
  "rejoin-failed": { level: "warn", fields: { error }, meaning: "Joining anew failed; it is tried again." },
  "advertised-silent": {
    level: "warn",
    fields: { address: "`host:port`" },
    meaning: "Nothing answers at the address that this node tells the others, as seen from itself.",
  },
  coordinator: { level: "info", fields: {}, meaning: "This node coordinates now: it plans the tables." },
  "member-unreadable": {
    level: "error",
    fields: { key: "in the members bucket", error },
    meaning: "A member's record isn't one; it is passed over.",
  },
  "members-watch-ended": {
    level: "error",
    fields: { error },
    meaning: "This node isn't told of members any more.",
  },
  "heartbeat-unanswered": {
    level: "warn",
    fields: { error },
    meaning: "NATS didn't answer a heartbeat. The lease runs on until the next one.",
  },
  "leave-unanswered": {
    level: "warn",
    fields: { error },
    meaning: "NATS didn't confirm that this node has left; the others notice it by its lease.",
  },
  "resign-unanswered": {
    level: "warn",
    fields: { error },
    meaning: "NATS didn't confirm that another node may coordinate; one takes over after a lease.",
  },
  "declare-dead-unanswered": {
    level: "warn",
    fields: { member: "its id", error },
    meaning: "NATS didn't confirm a node's death; it is tried again.",
  },
  "coordinator-claim-unanswered": {
    level: "debug",
    fields: { error },
    meaning: "NATS didn't answer a claim to coordinate.",
  },
  // Tables and partitions.
  "table-published": {
    level: "info",
    fields: {
      epoch,
      members: "how many live",
      before: "how many lived before",
      moves: "partitions that are to get another owner",
    },
    meaning: "This node, which coordinates, has published a plan.",
  },
  "plan-failed": { level: "error", fields: { error }, meaning: "Planning failed; it is tried again." },
  "publish-failed": {
    level: "error",
    fields: { error },
    meaning: "This node could not publish what it changed about its own partitions; it is tried again.",
  },
  "partitions-lost": {
    level: "error",
    fields: {
      partitions: "their numbers",
      here: "those that begin anew on this node",
      epoch,
    },
    meaning:
      "No copy of these partitions was left: they begin anew, empty. More nodes died at once than there are backups.",
  },
  "partitions-orphaned": {
    level: "error",
    fields: { partitions: "how many", silent: "the members that fell silent" },
    meaning:
      "Partitions wait: all that had them fell silent, and may be serving them still, cut off. Their operations fail until one is back or known to be dead.",
  },
  "copy-missing": {
    level: "error",
    fields: { partition, came: "`handover` or `promotion`" },
    meaning: "This node is to have a copy of the partition and hasn't: it begins anew, empty.",
  },
  "partition-taken": {
    level: "debug",
    fields: { partition, state: "where it was in its reign" },
    meaning: "A partition was taken from this node without a handover.",
  },
  "partitions-handed-over": {
    level: "info",
    fields: { partitions: "how many", from: "who owned them", to: "who owns them now" },
    meaning: "Partitions have another owner, with all they hold. Both nodes say so.",
  },
  "partitions-promoted": {
    level: "warn",
    fields: { partitions: "how many", from: "the node that died" },
    meaning: "This node had copies of a dead node's partitions and serves them now.",
  },
  "copies-missing": {
    level: "info",
    fields: { partitions: "how many" },
    meaning:
      "Partitions have fewer copies than they are to have, where none had before: a node died, or there are nodes enough only now. Said by the node that coordinates; the copies are being made.",
  },
  "copies-complete": {
    level: "info",
    fields: {},
    meaning: "No partition lacks a copy any more. Said by the node that coordinates.",
  },
  evicting: { level: "info", fields: {}, meaning: "This node's memory is short: it evicts." },
  "evicting-ended": { level: "info", fields: {}, meaning: "This node hasn't evicted anything for 10 s." },
  "handover-retry": {
    level: "warn",
    fields: { partition, to: "the node that is to own it", phase: "how far it was", error },
    meaning: "Handing a partition over failed; it is tried again.",
  },
  "fill-retry": {
    level: "warn",
    fields: { partition, to: "the node that is to hold a copy", error },
    meaning: "Copying a partition failed; it is tried again.",
  },
  "open-retry": {
    level: "warn",
    fields: { partition, error },
    meaning:
      "The backups of a partition that is new here can't be brought up to date; it is tried again, and the partition waits.",
  },
  "transfer-invalid": {
    level: "error",
    fields: { from: "the node that sent it", error },
    meaning: "A message about a copy was refused.",
  },
  "hook-slow": {
    level: "warn",
    fields: { hook: "`onOwn` or `onRelease`", partitions: "their numbers" },
    meaning: "A hook of the application has been running for 10 s; its partitions wait for it.",
  },
  "hook-failed": {
    level: "error",
    fields: { hook: "`onOwn` or `onRelease`", partitions: "their numbers", error },
    meaning: "A hook of the application threw; the partitions move on.",
  },
  "listener-failed": {
    level: "error",
    fields: { of: "the event of the ring", error },
    meaning: "A listener of the application threw; the others were called.",
  },
  "table-refused": {
    level: "error",
    fields: {
      epoch,
      known: "the known table's number",
      revision: "in NATS",
    },
    meaning: "A table that is older than the known one came out of NATS; it is passed over.",
  },
  "table-unreadable": {
    level: "error",
    fields: { revision: "in NATS", error },
    meaning: "What lies in NATS as the table isn't one; it is passed over.",
  },
  "table-watch-ended": {
    level: "error",
    fields: { error },
    meaning: "This node isn't told of tables any more.",
  },
  "table-write-unanswered": {
    level: "debug",
    fields: { error },
    meaning: "NATS didn't answer the write of a table; it is read again before anything is judged.",
  },
  "table-read-failed": { level: "debug", fields: { error }, meaning: "The table can't be read just now." },
  // NATS and what it holds.
  "nats-disconnected": {
    level: "warn",
    fields: { location },
    meaning:
      "The connection to NATS is lost, and is being made again. Partitions with backups are served meanwhile.",
  },
  "nats-reconnected": { level: "info", fields: { location }, meaning: "The connection to NATS is back." },
  "nats-error": { level: "warn", fields: { location, error }, meaning: "NATS reported an error." },
  "nats-closed": {
    level: "error",
    fields: { location, error },
    meaning: "The connection to NATS was closed for good.",
  },
  "nats-old": {
    level: "warn",
    fields: { location, version: "the server's", cluster: "its name" },
    meaning: "The clustered nats-server is one in which two concurrent writes can both succeed: upgrade it.",
  },
  "watch-retry": {
    level: "debug",
    fields: { bucket: "its name", error },
    meaning: "A watch couldn't be resumed; it is tried again.",
  },
  "bucket-lost": {
    level: "error",
    fields: { bucket: "its name" },
    meaning: "A bucket has lost its data in NATS; it begins anew.",
  },
  "table-lost": {
    level: "error",
    fields: { epoch },
    meaning: "NATS has lost the table. It stays in force here, and is written back.",
  },
  "table-overheard": {
    level: "info",
    fields: { epoch, from: "the member that told it" },
    meaning: "NATS can't be reached, and this node has learned a newer table from another one.",
  },
  "table-restored": { level: "warn", fields: { epoch }, meaning: "This node has written the table back." },
  "restore-waits": {
    level: "error",
    fields: { missing: "the members that are waited for" },
    meaning: "The table isn't written back yet: members that don't answer may know a newer one.",
  },
  "restore-unanswered": {
    level: "debug",
    fields: { error },
    meaning: "NATS didn't answer when something was written back; it is tried again.",
  },
  "table-undone": {
    level: "error",
    fields: {},
    meaning:
      "The table that was written back undoes what this node acted on: it gives itself up and joins anew.",
  },
  "settings-overwritten": {
    level: "error",
    fields: {},
    meaning:
      "A node that was started on the empty store had made a platform of its own: this cluster's settings are put back.",
  },
  "settings-refused": {
    level: "error",
    fields: { error },
    meaning: "The platform has other settings than this node: stop it and start it again.",
  },
  "secret-replaced": {
    level: "error",
    fields: {},
    meaning: "This node was started on the empty store: it takes the secret of the cluster that is back.",
  },
  "platform-replaced": {
    level: "error",
    fields: { epoch },
    meaning:
      "This node was started on the empty store, and follows the cluster that is back. What was written to it meanwhile is gone.",
  },
  "traces-unavailable": {
    level: "warn",
    fields: { error },
    meaning:
      "OpenTelemetry is set up in this process, but `@opentelemetry/api` can't be imported by ringcache: operations aren't traced.",
  },
  // Doors and links.
  "door-failed": {
    level: "error",
    fields: { door: "`http` or `redis`", err },
    meaning: "A port can't accept a connection, for want of file descriptors for instance.",
  },
  "redis-http": {
    level: "warn",
    fields: { client: "its number" },
    meaning: "An HTTP request came in at the Redis port, perhaps from a browser: the connection was closed.",
  },
  "redis-output": {
    level: "warn",
    fields: { client: "its number", unsent: "bytes that it didn't read" },
    meaning: "A Redis client that doesn't read was closed.",
  },
  "link-closed": {
    level: "warn",
    fields: { peer, remote: "`host:port`", code: "of the error" },
    meaning: "A link to another node was closed for what came over it, or didn't; it is made again.",
  },
  stranger: {
    level: "debug",
    fields: { remote: "`host:port`", code: "of the error" },
    meaning: "Somebody who doesn't know the platform's secret was turned away at the peer port.",
  },
} as const satisfies Record<string, LogEventEntry>;

export type LogEvent = keyof typeof logEvents;
