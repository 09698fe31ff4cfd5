/** Removes what has expired, segment by segment, and looks only at segments in which something is due. */
import type { Entries } from "./entries.ts";
import { expiresAtMsAt, Mark, recordBytesAt } from "./record.ts";
import { Queue, type Segment } from "./segments.ts";

/** After its first expiry a segment is looked at at most this often: several of its entries are due then. */
export const sweepSlackMs = 250;

export class Sweeper {
  readonly #entries: Entries;
  #number = 0;

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  step(nowMs: number, limit: number, expired: (key: Buffer) => void): number {
    const { segments } = this.#entries;
    if (nowMs < segments.dueMs) return 0;
    let looked = 0;
    for (let left = segments.count; left > 0; left--) {
      if (looked >= limit) return looked;
      this.#number = (this.#number + 1) % segments.count;
      const segment = segments.at(this.#number);
      if (segment !== undefined && segment.dueMs <= nowMs) looked += this.#sweep(segment, nowMs, expired);
    }
    segments.dueMs = Number.POSITIVE_INFINITY;
    for (const segment of segments.all()) segments.due(segment, segment.dueMs);
    return looked;
  }

  #sweep(segment: Segment, nowMs: number, expired: (key: Buffer) => void): number {
    const { segments } = this.#entries;
    const { bytes, usedBytes } = segment;
    let looked = 0;
    let dueMs = Number.POSITIVE_INFINITY;
    let sizeBytes: number;
    for (let at = 0; at < usedBytes; at += sizeBytes) {
      looked++;
      sizeBytes = recordBytesAt(bytes, at);
      const marks = bytes[at]!;
      if ((marks & (Mark.dead | Mark.expires)) !== Mark.expires) continue;
      const expiresAtMs = expiresAtMsAt(bytes, at);
      if (expiresAtMs > nowMs) {
        dueMs = Math.min(dueMs, expiresAtMs);
        continue;
      }
      const ref = segments.refAt(segment.number, at);
      expired(segments.keyOf(ref));
      this.#entries.remove(ref);
      if (segment.queue === Queue.free) return looked;
    }
    segment.dueMs = Math.max(dueMs, nowMs + sweepSlackMs);
    if (dueMs === Number.POSITIVE_INFINITY) segment.dueMs = dueMs;
    return looked;
  }
}
