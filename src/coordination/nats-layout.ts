/**
 * A bucket much as NATS lays it out (ADR-8), so that the `nats kv` tool can read it: one stream `KV_<bucket>`, one
 * subject per key, a removal as a message with a `KV-Operation` header. Beyond that the subjects carry a token that is
 * drawn whenever the stream is made: a write that was meant for a stream which is gone finds no stream that takes it,
 * whatever revision it expects. (A first sequence for a new stream would do too, but nats-server has that from 2.10 on.)
 */
import type { StreamInfo } from "@nats-io/jetstream";
import type { MsgHdrs } from "@nats-io/transport-node";

export const operationHeader = "KV-Operation";
/** Set by nats-server 2.11 and later on the marker that it leaves for an expired message. */
const markerReasonHeader = "Nats-Marker-Reason";

export function streamOf(bucket: string): string {
  return `KV_${bucket}`;
}

/** One life of a bucket: from when its stream was made until that is gone. */
export interface StreamLife {
  /** What every subject begins with, the dot included. */
  readonly prefix: string;
  /** The same for all who see this stream, and no other stream's. */
  readonly generation: string;
}

export function lifeOf(bucket: string, info: StreamInfo): StreamLife {
  // A bucket that somebody made with the `nats` tool has no token; the time of its making still tells it from others.
  const subject = info.config.subjects?.[0] ?? `$KV.${bucket}.>`;
  return { prefix: subject.slice(0, -1), generation: `${subject} ${info.created}` };
}

/** The subjects of a stream that is about to be made. */
export function subjectsOf(bucket: string, token: string): string {
  return `$KV.${bucket}.${token}.>`;
}

/** Dots separate subject tokens, which may not be empty; a key may hold them anywhere. A slash occurs in no key. */
export function subjectOf(life: StreamLife, key: string): string {
  return life.prefix + key.replaceAll(".", "/");
}

export function keyOf(life: StreamLife, subject: string): string {
  return subject.slice(life.prefix.length).replaceAll("/", ".");
}

/** Whether the message says that the key has no value any more. */
export function isMarker(headers: MsgHdrs | undefined): boolean {
  if (headers === undefined) return false;
  const operation = headers.get(operationHeader);
  return operation === "DEL" || operation === "PURGE" || headers.has(markerReasonHeader);
}
