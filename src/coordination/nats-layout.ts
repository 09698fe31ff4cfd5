/**
 * A bucket as NATS lays it out (ADR-8), so that the `nats kv` tool can read it: one stream `KV_<bucket>`, one subject
 * per key, a removal as a message with a `KV-Operation` header.
 */
import type { MsgHdrs } from "@nats-io/transport-node";

export const operationHeader = "KV-Operation";
/** Set by nats-server 2.11 and later on the marker that it leaves for an expired message. */
const markerReasonHeader = "Nats-Marker-Reason";

export function streamOf(bucket: string): string {
  return `KV_${bucket}`;
}

/** Dots separate subject tokens, which may not be empty; a key may hold them anywhere. A slash occurs in no key. */
export function subjectOf(bucket: string, key: string): string {
  return `$KV.${bucket}.${key.replaceAll(".", "/")}`;
}

export function keyOf(bucket: string, subject: string): string {
  return subject.slice(`$KV.${bucket}.`.length).replaceAll("/", ".");
}

/** Whether the message says that the key has no value any more. */
export function isMarker(headers: MsgHdrs | undefined): boolean {
  if (headers === undefined) return false;
  const operation = headers.get(operationHeader);
  return operation === "DEL" || operation === "PURGE" || headers.has(markerReasonHeader);
}
