/**
 * The Ring pattern without the cache: partitions owned by the members of a cluster, hooks when they come and go, and
 * calls to whoever owns a key.
 */
import { type MemberOptions, openMembership } from "./join.ts";
import type { PartitionsHook } from "./ownership.ts";
import { Ring } from "./ring.ts";

export { type ErrorCode, errorTable, type Outcome, RingcacheError } from "../errors.ts";
export type { BroadcastResult } from "./calls.ts";
export { Embedded, type MemberOptions } from "./join.ts";
export type { PartitionsHook } from "./ownership.ts";
export type { Ring } from "./ring.ts";
export type { RingEvents, RingStats } from "./ring-options.ts";
export type { CallContext, Handler } from "./rpc.ts";
export { partitionOf, slotOf } from "./slots.ts";
export type { Member, Row, Table } from "./table.ts";

export interface JoinRingOptions extends MemberOptions {
  /**
   * Called with partitions that this process now owns, before `ownsKey` says so. Hooks run one call at a time; one
   * that throws is logged and counts as finished.
   */
  readonly onOwn?: PartitionsHook;
  /**
   * Called with partitions that this process gives up; their new owner's `onOwn` starts only after it has finished.
   * After this node was declared dead it comes late: the new owners serve already.
   */
  readonly onRelease?: PartitionsHook;
}

/**
 * Joins; resolves when this process is a member. `close` hands every partition over first. Throws OPTION_INVALID,
 * COORDINATION_UNAVAILABLE, COORDINATION_TIMEOUT, NODE_ID_IN_USE, PARTITIONS_MISMATCH, PORT_UNUSABLE, and
 * DEADLINE_EXCEEDED if the cluster hasn't taken it in after 60 s.
 */
export async function joinRing(options: JoinRingOptions = {}): Promise<Ring> {
  const membership = await openMembership(options);
  try {
    const { onOwn, onRelease } = options;
    return await Ring.join({
      ...membership,
      ...(onOwn && { onOwn }),
      ...(onRelease && { onRelease }),
      closed: membership.release,
    });
  } catch (error) {
    await membership.release();
    throw error;
  }
}
