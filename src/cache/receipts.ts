/**
 * What the writes that came from other nodes' routers were answered, kept for as long as they may be sent again: a
 * link can break after a write was carried out and before its answer arrived. They travel with the partition.
 *
 * A router numbers its writes, and with each one says which is the oldest that it still waits for. So what is older
 * is never asked for again, and a late copy of it, out of the buffers of a lost link, is told from a new write.
 */

/** A router can't have more writes under way: its links and its waiting room are bounded. */
const receiptsMax = 262_144;

/**
 * How long the receipts of a router are kept after it was last a member: longer than any operation may wait. A node that
 * was declared dead may live, and send what had no answer again before it knows.
 */
export const keptAfterLeavingMs = 660_000;

const answerMark = 2;

interface Origin {
  /** No write with a lower number is waited for any more. */
  oldest: number;
  /** By number, in the order in which they were carried out: whether the key was there, or a run's answer. */
  readonly found: Map<number, boolean | Buffer>;
  /** Since when it was seen not to be a member, on this node's monotonic clock; undefined if it is one. */
  goneSinceMs?: number | undefined;
}

export class Receipts {
  readonly #origins = new Map<string, Origin>();

  /** The answer of a write that was carried out, `over` if nobody waits for it any more, `new` if it is unknown. */
  find(origin: string, sequence: number): boolean | Buffer | "over" | "new" {
    const known = this.#origins.get(origin);
    if (known === undefined) return "new";
    return sequence < known.oldest ? "over" : (known.found.get(sequence) ?? "new");
  }

  /** `found` must be the caller's own bytes, if it is bytes. */
  record(origin: string, sequence: number, oldest: number, found: boolean | Buffer): void {
    let known = this.#origins.get(origin);
    if (known === undefined) {
      known = { oldest, found: new Map() };
      this.#origins.set(origin, known);
    }
    known.found.set(sequence, found);
    if (oldest <= known.oldest && known.found.size <= receiptsMax) return;
    known.oldest = Math.max(known.oldest, oldest);
    // Nearly in the order of their numbers: what stays behind is dropped once it comes to the front.
    for (const old of known.found.keys()) {
      if (old >= known.oldest && known.found.size <= receiptsMax) break;
      known.found.delete(old);
    }
  }

  /** Forgets the routers that haven't been members for {@link keptAfterLeavingMs}. To be called now and then. */
  review(isMember: (origin: string) => boolean, nowMs: number): void {
    for (const [origin, known] of this.#origins) {
      if (isMember(origin)) known.goneSinceMs = undefined;
      else known.goneSinceMs ??= nowMs;
      if (nowMs - (known.goneSinceMs ?? nowMs) >= keptAfterLeavingMs) this.#origins.delete(origin);
    }
  }

  /** Forgets all answers. */
  clear(): void {
    this.#origins.clear();
  }

  get size(): number {
    let size = 0;
    for (const { found } of this.#origins.values()) size += found.size;
    return size;
  }

  /**
   * One for each origin: u8 length of its name, name, u48 oldest, u32 count, then per write u48 number and u8: 1 found, 0 not, 2
   * followed by u32 length and bytes of a run's answer.
   */
  encode(): Buffer[] {
    return [...this.#origins].map(([origin, { oldest, found }]) => {
      const name = Buffer.from(origin);
      let sizeBytes = 1 + name.length + 10 + 7 * found.size;
      for (const was of found.values()) if (typeof was !== "boolean") sizeBytes += 4 + was.length;
      const bytes = Buffer.allocUnsafe(sizeBytes);
      bytes[0] = name.length;
      bytes.set(name, 1);
      let at = bytes.writeUIntBE(oldest, 1 + name.length, 6);
      at = bytes.writeUInt32BE(found.size, at);
      for (const [sequence, was] of found) {
        at = bytes.writeUIntBE(sequence, at, 6);
        at = bytes.writeUInt8(typeof was === "boolean" ? Number(was) : answerMark, at);
        if (typeof was === "boolean") continue;
        at = bytes.writeUInt32BE(was.length, at);
        bytes.set(was, at);
        at += was.length;
      }
      return bytes;
    });
  }

  /** Takes over one origin's. Throws a RangeError if the bytes aren't what {@link encode} wrote. */
  add(bytes: Buffer): void {
    const nameEnd = 1 + bytes.readUInt8(0);
    const found = new Map<number, boolean | Buffer>();
    const count = bytes.readUInt32BE(nameEnd + 6);
    for (let i = 0, at = nameEnd + 10; i < count; i++) {
      const sequence = bytes.readUIntBE(at, 6);
      const mark = bytes.readUInt8(at + 6);
      at += 7;
      if (mark !== answerMark) found.set(sequence, mark === 1);
      else {
        const end = at + 4 + bytes.readUInt32BE(at);
        if (end > bytes.length) throw new RangeError("an answer is longer than its receipts");
        found.set(sequence, Buffer.from(bytes.subarray(at + 4, end)));
        at = end;
      }
    }
    this.#origins.set(bytes.toString("utf8", 1, nameEnd), { oldest: bytes.readUIntBE(nameEnd, 6), found });
  }
}
