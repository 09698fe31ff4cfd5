/** What cluster-aware clients ask for to find the owners of keys by themselves. */
import { slotCount, slotOf } from "../../ring/slots.ts";
import type { Member } from "../../ring/table.ts";
import type { Call } from "../call.ts";
import { redisAddress } from "../cluster-refusal.ts";
import { nodeIdOf, ownedRanges, rangesOf, redisMembers, splitAddress } from "../cluster-view.ts";
import type { Handler, Handlers } from "../command-table.ts";
import type { RingView } from "../context.ts";
import { numberOf } from "../numbers.ts";
import { keysInSlot } from "../slot-scan.ts";

/** How Redis knows the bus of a node whose port for clients is that. There is none; some clients want to see the number. */
const busPortOffset = 10_000;

const disabled = "ERR This instance has cluster support disabled";

/** Answers as a node that isn't one of a cluster unless it is; `shows`: only a client that knows clusters asks for this. */
function clustered(shows: boolean, answer: (call: Call, ring: RingView) => void): Handler {
  return (call) => {
    const { ring, cluster } = call.context;
    if (cluster === "never") {
      call.error(disabled);
      return;
    }
    if (shows) call.connection.showClusterAware();
    if (ring === undefined) {
      call.error("CLUSTERDOWN The cluster is down");
      return;
    }
    answer(call, ring);
  };
}

/** READONLY and the like: there are no replicas to read from, and no slot migrates from one node's Redis to another's. */
const accepted: Handler = (call) => {
  if (call.context.cluster === "never") {
    call.error(disabled);
    return;
  }
  call.connection.showClusterAware();
  call.ok();
};

export const clusterCommands: Handlers = {
  "cluster|slots": clustered(true, slots),
  "cluster|shards": clustered(true, shards),
  "cluster|nodes": clustered(true, nodes),
  "cluster|info": clustered(false, info),

  "cluster|myid": clustered(false, (call, ring) => call.text(nodeIdOf(ring.nodeId))),

  "cluster|keyslot": clustered(false, (call) => call.integer(slotOf(call.args[2]!))),

  "cluster|countkeysinslot": clustered(false, (call) => {
    const slot = numberOf(call.args[2]!);
    if (slot === undefined) {
      call.error("ERR value is not an integer or out of range");
      return;
    }
    if (slot < 0 || slot >= slotCount) {
      call.error("ERR Invalid slot");
      return;
    }
    keysInSlot(call.context, slot, Number.MAX_SAFE_INTEGER, false, (error, found) => {
      if (error !== undefined) call.fail(error);
      else call.integer(found.count);
    });
  }),

  "cluster|getkeysinslot": clustered(false, (call) => {
    const slot = numberOf(call.args[2]!);
    const count = numberOf(call.args[3]!);
    if (slot === undefined || count === undefined) {
      call.error("ERR value is not an integer or out of range");
      return;
    }
    if (slot < 0 || slot >= slotCount || count < 0) {
      call.error("ERR Invalid slot or number of keys");
      return;
    }
    keysInSlot(call.context, slot, count, true, (error, { keys }) => {
      if (error !== undefined) {
        call.fail(error);
        return;
      }
      call.out.array(keys.length);
      for (const key of keys) call.out.bulk(key);
      call.end();
    });
  }),

  readonly: accepted,
  readwrite: accepted,
  asking: accepted,
};

function slots(call: Call, ring: RingView): void {
  const { out } = call;
  const ranges = ownedRanges(ring.table);
  out.array(ranges.length);
  for (const { first, last, owner } of ranges) {
    const { host, port } = splitAddress(redisAddress(owner));
    out.array(3);
    out.integer(first);
    out.integer(last);
    out.array(4);
    out.text(host);
    out.integer(port);
    out.text(nodeIdOf(owner.id));
    out.map(0);
  }
  call.end();
}

function shards(call: Call, ring: RingView): void {
  const { out } = call;
  const ranges = ownedRanges(ring.table);
  const members = redisMembers(ring.table);
  out.array(members.length);
  for (const member of members) {
    const owned = rangesOf(ranges, member);
    out.map(2);
    out.text("slots");
    out.array(2 * owned.length);
    for (const { first, last } of owned) {
      out.integer(first);
      out.integer(last);
    }
    out.text("nodes");
    out.array(1);
    out.map(7);
    const { host, port } = splitAddress(redisAddress(member));
    for (const [name, value] of Object.entries({
      ...{ id: nodeIdOf(member.id), port, ip: host, endpoint: host, role: "master" },
      ...{ "replication-offset": 0, health: "online" },
    })) {
      out.text(name);
      if (typeof value === "number") out.integer(value);
      else out.text(value);
    }
  }
  call.end();
}

function nodes(call: Call, ring: RingView): void {
  const ranges = ownedRanges(ring.table);
  const line = (member: Member): string => {
    const { host, port } = splitAddress(redisAddress(member));
    const flags = member.id === ring.nodeId ? "myself,master" : "master";
    const owned = rangesOf(ranges, member).map(({ first, last }) =>
      first === last ? first : `${first}-${last}`,
    );
    const { epoch } = ring.table;
    const fields = [
      nodeIdOf(member.id),
      `${host}:${port}@${port + busPortOffset}`,
      flags,
      "-",
      0,
      0,
      epoch,
      "connected",
    ];
    return `${[...fields, ...owned].join(" ")}\n`;
  };
  call.out.verbatim(redisMembers(ring.table).map(line).join(""));
  call.end();
}

function info(call: Call, { table }: RingView): void {
  const ranges = ownedRanges(table);
  const assigned = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  const fields = {
    cluster_state: assigned === slotCount ? "ok" : "fail",
    cluster_slots_assigned: assigned,
    cluster_slots_ok: assigned,
    cluster_slots_pfail: 0,
    cluster_slots_fail: 0,
    cluster_known_nodes: redisMembers(table).length,
    cluster_size: new Set(ranges.map(({ owner }) => owner)).size,
    cluster_current_epoch: table.epoch,
    cluster_my_epoch: table.epoch,
    cluster_stats_messages_sent: 0,
    cluster_stats_messages_received: 0,
    total_cluster_links_buffer_limit_exceeded: 0,
  };
  call.out.verbatim(
    Object.entries(fields)
      .map(([name, value]) => `${name}:${value}\r\n`)
      .join(""),
  );
  call.end();
}
