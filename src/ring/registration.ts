/** How a node that starts comes to its id: nobody living may have it. */
import type { Bucket } from "../coordination/coordination.ts";
import { RingcacheError } from "../errors.ts";
import type { PeerAddress, PeerIdentity } from "../peers/messages.ts";
import { type Runtime, sleep } from "../runtime.ts";
import { decodeRecord, type MemberRecord } from "./member-record.ts";

export interface Registration {
  readonly bucket: Bucket;
  readonly runtime: Runtime;
  readonly leaseMs: number;
  /** Asks the address of a record that is in the way whether that incarnation lives. */
  probe(peer: PeerAddress): Promise<"alive" | "refused" | "replaced" | "silent">;
  /** Writes the own record over that revision, 0 for none; false if another is there. */
  write(revision: number): Promise<boolean>;
  /** How long a member must be silent before its lease has certainly run out. */
  waitMs(record: MemberRecord): number;
  isStopped(): boolean;
}

/**
 * Resolves with true when the own record is stored; with false if a write without an answer had stored it before and this
 * incarnation has been declared dead since: it can never be a member. Throws NODE_ID_IN_USE, CLOSED, and what the store
 * throws for ten leases.
 */
export async function claimId(
  { id, incarnation }: PeerIdentity,
  registration: Registration,
): Promise<boolean> {
  const { bucket, runtime, leaseMs, probe, write, waitMs, isStopped } = registration;
  let rival: { revision: number; sinceMs: number } | undefined;
  const giveUpAtMs = runtime.monotonicMs() + 10 * leaseMs;
  while (!isStopped()) {
    try {
      const entry = await bucket.get(id);
      const record = entry === undefined ? undefined : decodeRecord(entry.value);
      if (record?.dead === true && record.incarnation === incarnation) return false;
      const inTheWay = record !== undefined && record.dead !== true && record.incarnation !== incarnation;
      let free = !inTheWay;
      if (inTheWay) {
        rival ??= { revision: entry!.revision, sinceMs: runtime.monotonicMs() };
        // It renewed while we watched: no lease to wait out, it lives.
        if (entry!.revision > rival.revision) throw idInUse(record);
        const answer = await probe(record);
        if (answer === "alive") throw idInUse(record);
        const waitedMs = runtime.monotonicMs() - rival.sinceMs;
        free = answer === "refused" || answer === "replaced" || waitedMs >= waitMs(record);
      }
      if (free && (await write(entry?.revision ?? 0))) return true;
    } catch (error) {
      if (error instanceof RingcacheError && error.code === "NODE_ID_IN_USE") throw error;
      if (runtime.monotonicMs() > giveUpAtMs) throw error;
    }
    await sleep(runtime, Math.min(100, leaseMs / 10));
  }
  throw new RingcacheError("CLOSED", "the ring was closed");
}

function idInUse(record: MemberRecord): RingcacheError {
  return new RingcacheError(
    "NODE_ID_IN_USE",
    `node "${record.id}" is already running at ${record.host}:${record.port}: choose another node id or stop that one`,
  );
}
