/**
 * Takes back what dead records hold: copies the living ones out of the segments with the most dead bytes, a few at a time. How
 * much may be dead bounds the memory, and with it how often a byte is copied (Rosenblum and Ousterhout, "The design and
 * implementation of a log-structured file system", 1992: the greedy choice at a given use).
 */
import type { Entries } from "./entries.ts";
import { Mark, recordBytesAt } from "./record.ts";
import { type LogQueue, Queue, type Segment } from "./segments.ts";

/** One of so many bytes may be dead before segments are compacted; fewer while memory is short. */
const deadParts = 6;
const deadPartsIfShort = 16;
/** Segments that are compared to choose one. */
const comparedMax = 128;

export class Compactor {
  readonly #entries: Entries;
  #victim: Segment | undefined;
  #at = 0;
  /** By queue, where living records go: next to where they were, so that the queue stays in the order of age. */
  readonly #targets: [Segment | undefined, Segment | undefined] = [undefined, undefined];
  #looked = 0;

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  /** Looks at up to `limit` records, if there is too much that is dead. Returns at how many. */
  step(limit: number): number {
    let looked = 0;
    while (looked < limit) {
      const victim = this.#victim ?? this.#choose();
      if (victim === undefined) break;
      if (victim.queue === Queue.free || this.#at >= victim.usedBytes) {
        this.#victim = undefined;
        continue;
      }
      looked++;
      const { bytes } = victim;
      const at = this.#at;
      const sizeBytes = recordBytesAt(bytes, at);
      this.#at += sizeBytes;
      if ((bytes[at]! & Mark.dead) !== 0) continue;
      const { segments } = this.#entries;
      const queue = victim.queue as LogQueue;
      const target = this.#target(victim, queue, sizeBytes);
      this.#entries.move(segments.refAt(victim.number, at), queue, bytes[at]! & Mark.frequency, target);
    }
    return looked;
  }

  #target(victim: Segment, queue: LogQueue, sizeBytes: number): Segment {
    const { segments } = this.#entries;
    const target = this.#targets[queue];
    if (target?.queue === queue && target.usedBytes + sizeBytes <= target.bytes.length) return target;
    const opened = segments.openBefore(victim, Math.max(sizeBytes, segments.sizeBytesFor(queue)));
    this.#targets[queue] = opened;
    return opened;
  }

  /** The one with the largest dead share of some, if the whole has too much. */
  #choose(): Segment | undefined {
    const { segments, memory } = this.#entries;
    const parts = memory.isShort ? deadPartsIfShort : deadParts;
    const small = segments.list(Queue.small);
    const main = segments.list(Queue.main);
    const deadBytes = small.deadBytes + main.deadBytes;
    if (deadBytes * parts < small.usedBytes + main.usedBytes) return undefined;
    let most = 0;
    let victim: Segment | undefined;
    for (let i = Math.min(comparedMax, segments.count); i > 0; i--) {
      this.#looked = (this.#looked + 1) % segments.count;
      const segment = segments.at(this.#looked);
      if (segment === undefined || segment.queue === Queue.own) continue;
      // The youngest are still being written to.
      if (segment === small.youngest || segment === main.youngest) continue;
      if (segment === this.#targets[0] || segment === this.#targets[1]) continue;
      const share = segment.deadBytes / segment.bytes.length;
      if (share <= most) continue;
      most = share;
      victim = segment;
    }
    this.#victim = victim;
    this.#at = 0;
    return victim;
  }
}
