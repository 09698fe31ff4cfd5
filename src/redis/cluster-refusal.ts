/** What a node of Redis Cluster answers instead of carrying a request out. Source: `getNodeByQuery` of Redis. */
import { slotOf } from "../ring/slots.ts";
import { type Member, memberOf } from "../ring/table.ts";
import type { Connection } from "./connection.ts";

/** Undefined: it is carried out here. Requests of partitions that are on their way to this node wait for them. */
export function clusterRefusal(connection: Connection, keys: readonly Buffer[]): string | undefined {
  const [first] = keys;
  if (first === undefined) return undefined;
  const slot = slotOf(first);
  for (let i = 1; i < keys.length; i++) {
    if (slotOf(keys[i]!) !== slot) return "CROSSSLOT Keys in request don't hash to the same slot";
  }
  const { ring } = connection.context;
  if (ring === undefined) return "CLUSTERDOWN The cluster is down";
  const partition = ring.partitionFor(first);
  if (ring.serves(partition)) return undefined;
  const { owner } = ring.table.rows[partition]!;
  if (owner === ring.nodeId) return undefined;
  const member = memberOf(ring.table, owner);
  if (member === undefined) return "CLUSTERDOWN Hash slot not served";
  const address = redisAddress(member);
  // It is dead and its partition is about to have another owner, or it has no such door: the request is routed.
  return member.dead !== "" || address === "" ? undefined : `MOVED ${slot} ${unbracketed(address)}`;
}

/** Redis writes an IPv6 address without brackets, and clients compare it with what CLUSTER SLOTS said. */
function unbracketed(address: string): string {
  return address.replace(/^\[(.*)\]:/, "$1:");
}

/** Where the member's Redis door listens, `host:port`; empty if there is none. */
export function redisAddress(member: Member): string {
  return member.redis ?? "";
}
