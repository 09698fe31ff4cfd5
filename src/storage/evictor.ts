/**
 * Decides what goes when memory is short: S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache
 * eviction", SOSP'23). New entries wait in the small queue; those that are asked for again there, or come back soon after they
 * were evicted, get to the main queue, whose oldest entry goes if it wasn't asked for since it was last looked at.
 */
import type { EvictionPolicy } from "../config.ts";
import type { Entries } from "./entries.ts";
import { Ghost } from "./ghost.ts";
import { isExpiredAt, Mark, recordBytesAt } from "./record.ts";
import { type LogQueue, Queue, type Segment } from "./segments.ts";

/** What the small queue may have of all bytes, the paper's figure. */
const smallShare = 0.1;
/** How often an entry must have been asked for in the small queue to get to the main one. */
const promotedFrom = 2;

export class Evictor {
  readonly #entries: Entries;
  readonly #policy: EvictionPolicy;
  /** Since the first eviction. */
  #ghost: Ghost | undefined;
  /** By queue, how far its oldest segment has been looked through. */
  readonly #hands: readonly [Hand, Hand] = [
    { segment: undefined, at: 0 },
    { segment: undefined, at: 0 },
  ];

  constructor(entries: Entries, policy: EvictionPolicy) {
    this.#entries = entries;
    this.#policy = policy;
  }

  get allocatedBytes(): number {
    return this.#ghost?.allocatedBytes ?? 0;
  }

  /** Where a new entry goes. */
  queueFor(hash: number): LogQueue {
    if (this.#policy !== "s3-fifo") return Queue.main;
    return this.#ghost?.take(hash) === true ? Queue.main : Queue.small;
  }

  /** Where an entry goes that gets another record. */
  queueAfter(queue: LogQueue, frequency: number): LogQueue {
    return frequency >= promotedFrom ? Queue.main : queue;
  }

  /** Looks at up to `limit` records and returns at how many; 0 if there are none, or nothing may go. */
  step(limit: number, nowMs: number, evicted: (key: Buffer, hasExpired: boolean) => void): number {
    if (this.#policy === "none") return 0;
    let looked = 0;
    for (; looked < limit; looked++) {
      const queue = this.#next();
      const { oldest } = this.#entries.segments.list(queue);
      if (oldest === undefined) break;
      const hand = this.#hands[queue];
      if (hand.segment !== oldest) {
        hand.segment = oldest;
        hand.at = 0;
      }
      const { at } = hand;
      hand.at += recordBytesAt(oldest.bytes, at);
      if ((oldest.bytes[at]! & Mark.dead) === 0) this.#judge(oldest, at, queue, nowMs, evicted);
    }
    return looked;
  }

  clear(): void {
    if (this.#ghost !== undefined) this.#entries.memory.count(-this.#ghost.allocatedBytes);
    this.#ghost = undefined;
  }

  #next(): LogQueue {
    const { segments } = this.#entries;
    const smallBytes = segments.liveBytes(Queue.small);
    const mainBytes = segments.liveBytes(Queue.main);
    if (mainBytes === 0) return Queue.small;
    return smallBytes > 0 && smallBytes >= smallShare * (smallBytes + mainBytes) ? Queue.small : Queue.main;
  }

  #judge(
    { bytes, number }: Segment,
    at: number,
    queue: LogQueue,
    nowMs: number,
    evicted: (key: Buffer, hasExpired: boolean) => void,
  ): void {
    const { segments, index } = this.#entries;
    const ref = segments.refAt(number, at);
    const frequency = bytes[at]! & Mark.frequency;
    const hasExpired = isExpiredAt(bytes, at, nowMs);
    if (!hasExpired && queue === Queue.small && frequency >= promotedFrom) {
      this.#entries.move(ref, Queue.main, 0);
    } else if (!hasExpired && queue === Queue.main && frequency > 0) {
      this.#entries.move(ref, Queue.main, this.#policy === "lru" ? 0 : frequency - 1);
    } else {
      const hash = this.#entries.hashAt(ref);
      if (queue === Queue.small && !hasExpired) this.#remember(hash, index.size);
      evicted(segments.keyOf(ref), hasExpired);
      this.#entries.remove(ref, hash);
    }
  }

  #remember(hash: number, entries: number): void {
    const before = this.allocatedBytes;
    this.#ghost ??= new Ghost(entries);
    this.#ghost.fit(entries);
    this.#ghost.add(hash);
    this.#entries.memory.count(this.allocatedBytes - before);
  }
}

interface Hand {
  segment: Segment | undefined;
  at: number;
}
