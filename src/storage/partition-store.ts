/** The entries of one partition. Knows nothing of nodes; keys and values are bytes. */
import { crc32 } from "node:zlib";

export interface StoredEntry {
  /** The store's own copy: never written to after it was stored, so a view stays valid. */
  readonly value: Buffer;
  /** Milliseconds since 1970; 0 for never. */
  readonly expiresAtMs: number;
}

export class PartitionStore {
  /** By the key's bytes as latin-1: one character a byte, so equal exactly if the bytes are. */
  readonly #entries = new Map<string, StoredEntry>();
  #withTtl = 0;
  #sweep: IterableIterator<[string, StoredEntry]> | undefined;

  get size(): number {
    return this.#entries.size;
  }

  get sizeWithTtl(): number {
    return this.#withTtl;
  }

  /** Never an entry after its expiry, whether it was swept or not. */
  get(key: Buffer, nowMs: number): StoredEntry | undefined {
    const entry = this.#entries.get(key.toString("latin1"));
    return entry !== undefined && (entry.expiresAtMs === 0 || entry.expiresAtMs > nowMs) ? entry : undefined;
  }

  /** Copies the bytes. */
  set(key: Buffer, value: Uint8Array, expiresAtMs: number): void {
    const name = key.toString("latin1");
    const before = this.#entries.get(name);
    if (before !== undefined && before.expiresAtMs !== 0) this.#withTtl--;
    if (expiresAtMs !== 0) this.#withTtl++;
    this.#entries.set(name, { value: Buffer.from(value), expiresAtMs });
  }

  /** Whether there was an entry that had not expired. */
  delete(key: Buffer, nowMs: number): boolean {
    const name = key.toString("latin1");
    const entry = this.#entries.get(name);
    if (entry === undefined) return false;
    this.#remove(name, entry);
    return entry.expiresAtMs === 0 || entry.expiresAtMs > nowMs;
  }

  /**
   * Looks at up to `limit` entries, going on where the last sweep ended, and calls `expired` with the key of each
   * one that it removes. Returns how many it looked at: 0 once it has seen all, and if nothing can expire.
   */
  sweep(nowMs: number, limit: number, expired: (key: Buffer) => void): number {
    if (this.#withTtl === 0) {
      this.#sweep = undefined;
      return 0;
    }
    this.#sweep ??= this.#entries.entries();
    for (let seen = 0; seen < limit; seen++) {
      const next = this.#sweep.next();
      if (next.done === true) {
        this.#sweep = undefined;
        return seen;
      }
      const [name, entry] = next.value;
      if (entry.expiresAtMs !== 0 && entry.expiresAtMs <= nowMs) {
        this.#remove(name, entry);
        expired(Buffer.from(name, "latin1"));
      }
    }
    return limit;
  }

  /** Live: entries that are set meanwhile may or may not come, those present throughout do, exactly once. */
  *entries(): Generator<[key: Buffer, entry: StoredEntry]> {
    for (const [name, entry] of this.#entries) yield [Buffer.from(name, "latin1"), entry];
  }

  /** A number that two stores share if they hold the same, in whatever order; else only by chance, 1 in 2^32. */
  digest(): number {
    let sum = 0;
    for (const [key, { value, expiresAtMs }] of this.entries()) {
      sum = (sum + crc32(value, crc32(`:${expiresAtMs}:${value.length}:`, crc32(key)))) >>> 0;
    }
    return sum;
  }

  #remove(name: string, entry: StoredEntry): void {
    this.#entries.delete(name);
    if (entry.expiresAtMs !== 0) this.#withTtl--;
  }
}
