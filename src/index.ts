/**
 * ringcache in an application's own process.
 *
 * ```ts
 * import { createCache } from "ringcache";
 * const cache = await createCache<User>({ node: "web-1" });
 * await cache.set("user:1", { name: "Alice" }, { ttl: 60 });
 * ```
 */
import { Cache, jsonSerializer, type Serializer } from "./cache/cache.ts";
import { CacheNode } from "./cache/node.ts";
import { type MemberOptions, openMembership } from "./ring/join.ts";
import type { PartitionsHook } from "./ring/ownership.ts";
import { findSpans } from "./tracing.ts";

export { bytesSerializer, Cache, jsonSerializer, type Serializer, type SetOptions } from "./cache/cache.ts";
export type { StatsReport, StatusReport } from "./cache/command.ts";
export { CacheNode } from "./cache/node.ts";
export { type ErrorCode, errorTable, type Outcome, RingcacheError } from "./errors.ts";
export { type NodeSnapshot, type Rates, ratesBetween } from "./metrics/snapshot.ts";
export { Embedded } from "./ring/join.ts";

export interface CreateCacheOptions<V> extends MemberOptions {
  /** JSON by default. */
  readonly serializer?: Serializer<V>;
  /**
   * Called with partitions that this process now owns, before it serves them. Operations on them wait for it, its own
   * too: a hook that awaits one waits for itself. One that throws is logged and counts as finished.
   */
  readonly onOwn?: PartitionsHook;
  /**
   * Called with partitions that this process gives up; their new owner's `onOwn` starts only after it has finished.
   * After this node was declared dead it comes late: the new owners serve already.
   */
  readonly onRelease?: PartitionsHook;
}

/**
 * Joins the ring from inside this process; resolves when it is a member. Call `close` before the process ends: what
 * it holds is lost otherwise. Throws OPTION_INVALID, COORDINATION_UNAVAILABLE, COORDINATION_TIMEOUT, NODE_ID_IN_USE,
 * PARTITIONS_MISMATCH, PORT_UNUSABLE, and DEADLINE_EXCEEDED if the cluster hasn't taken it in after 60 s.
 */
export async function createCache<V = unknown>(options: CreateCacheOptions<V> = {}): Promise<Cache<V>> {
  const membership = await openMembership(options);
  try {
    const { onOwn, onRelease } = options;
    const node = await CacheNode.start({
      ...membership,
      spans: await findSpans(membership.log),
      ...(onOwn && { onOwn }),
      ...(onRelease && { onRelease }),
    });
    const serializer = options.serializer ?? (jsonSerializer as Serializer<V>);
    return new Cache(node, serializer, membership.runtime, membership.release);
  } catch (error) {
    await membership.release();
    throw error;
  }
}
