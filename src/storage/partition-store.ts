/**
 * The entries of one partition: an index over segments of raw bytes. Knows nothing of nodes; keys and values are bytes, and no
 * object is kept per entry. Every step is short: growing, sweeping, compacting and evicting are done in pieces.
 */
import { crc32 } from "node:zlib";
import type { EvictionPolicy } from "../config.ts";
import { Access, compactPerWrite } from "./access.ts";
import { Compactor } from "./compactor.ts";
import { Entries } from "./entries.ts";
import { Evictor } from "./evictor.ts";
import type { HashSeed } from "./hash.ts";
import { applyImage, imageOf } from "./image.ts";
import { integerMax, integerMin, integerOf } from "./integer.ts";
import { cursorEnd } from "./key-index.ts";
import { blockBytesMax, StoreMemory } from "./memory.ts";
import {
  expiresAtMsAt,
  flagsAt,
  Mark,
  recordBytesAt,
  valueLengthAt,
  versionAt,
  writeExpiry,
  writeVersion,
} from "./record.ts";
import { Queue } from "./segments.ts";
import { Span } from "./span.ts";
import { Sweeper } from "./sweeper.ts";

export interface StoreOptions {
  /** Of all stores of a node; default: this store's own, without a limit. */
  readonly memory?: StoreMemory;
  /** Stores with the same seed have their entries in the same order. */
  readonly seed: HashSeed;
  /** What {@link PartitionStore.evict} takes; default `s3-fifo`. */
  readonly eviction?: EvictionPolicy;
  /** Of one segment, in bytes: 1,024 to 65,536 (the default), a power of 4. An entry larger than an eighth gets its own. */
  readonly segmentBytesMax?: number;
}

/** `value` is a view that is valid until the store is changed. */
export interface StoredEntry {
  readonly value: Buffer;
  /** Milliseconds since 1970; 0 for never. */
  readonly expiresAtMs: number;
  /** The number of the write that stored it; 0 to 2^48 - 1. */
  readonly version: number;
  /** 32 bits for whoever stored it. */
  readonly flags: number;
}

/** When {@link PartitionStore.setIf} stores; all that are given must hold. */
export interface SetCondition {
  /** Only if there is no entry, or only if there is one. */
  readonly if?: "absent" | "present";
  /** Only if there is one with this value. */
  readonly value?: Uint8Array;
  /** Only if there is one of this version. */
  readonly version?: number;
  /** An entry that there is keeps its expiry. */
  readonly keepExpiry?: boolean;
}

export class PartitionStore {
  readonly seed: HashSeed;
  /** For whoever knows a key's hash already, or has many keys. */
  readonly access: Access;
  readonly #entries: Entries;
  readonly #compactor: Compactor;
  readonly #evictor: Evictor;
  readonly #sweeper: Sweeper;
  readonly #key = new Span();
  readonly #value = new Span();

  constructor({ memory = new StoreMemory(), seed, eviction, segmentBytesMax = blockBytesMax }: StoreOptions) {
    this.seed = seed;
    this.#entries = new Entries(memory, seed, segmentBytesMax);
    this.#compactor = new Compactor(this.#entries);
    this.#evictor = new Evictor(this.#entries, eviction ?? "s3-fifo");
    this.#sweeper = new Sweeper(this.#entries);
    this.access = new Access(this.#entries, this.#compactor, this.#evictor);
  }

  /** Entries, expired ones that were not removed yet included. */
  get size(): number {
    return this.#entries.index.size;
  }

  get sizeWithTtl(): number {
    return this.#entries.withTtl;
  }

  /** Bytes of memory that it takes, of its {@link StoreMemory}. */
  get allocatedBytes(): number {
    const { index, segments } = this.#entries;
    return index.allocatedBytes + segments.allocatedBytes + this.#evictor.allocatedBytes;
  }

  /** Bytes of its entries, each with its header; what is dead, empty or index is not in it. */
  get liveBytes(): number {
    const { segments } = this.#entries;
    return segments.liveBytes(Queue.small) + segments.liveBytes(Queue.main);
  }

  /** Never an entry after its expiry, whether it was removed or not. Counts as a use of the entry. */
  get(key: Buffer, nowMs: number): StoredEntry | undefined {
    const ref = this.access.find(this.#entries.hash(key), this.#key.of(key), nowMs);
    if (ref === 0) return undefined;
    this.access.use(ref);
    return this.#entry(ref);
  }

  has(key: Buffer, nowMs: number): boolean {
    const ref = this.access.find(this.#entries.hash(key), this.#key.of(key), nowMs);
    if (ref === 0) return false;
    this.access.use(ref);
    return true;
  }

  /** Like {@link get}, but doesn't count as a use. */
  peek(key: Buffer, nowMs: number): StoredEntry | undefined {
    const ref = this.access.find(this.#entries.hash(key), this.#key.of(key), nowMs);
    return ref === 0 ? undefined : this.#entry(ref);
  }

  /** What the entry takes: bytes of its value and of its record, and how often it was used lately, 0 to 3. */
  inspect(
    key: Buffer,
    nowMs: number,
  ): { valueBytes: number; recordBytes: number; frequency: number } | undefined {
    const ref = this.access.find(this.#entries.hash(key), this.#key.of(key), nowMs);
    if (ref === 0) return undefined;
    const { segments } = this.#entries;
    const bytes = segments.bytesOf(ref);
    const at = segments.placeOf(ref);
    const valueBytes = valueLengthAt(bytes, at);
    const contentBytes = segments.isLarge(key.length + valueBytes) ? key.length + valueBytes : 0;
    const recordBytes = recordBytesAt(bytes, at) + contentBytes;
    return { valueBytes, recordBytes, frequency: bytes[at]! & Mark.frequency };
  }

  /**
   * Copies the bytes. `expiresAtMs`: milliseconds since 1970, 0 for never. Throws a RangeError, and changes nothing, if key and
   * value take more than some 16,000 segments: a gigabyte, and 16 million bytes if a segment has 1,024.
   */
  set(key: Buffer, value: Uint8Array, expiresAtMs: number, version = 0, flags = 0): void {
    const hash = this.#entries.hash(key);
    this.#store(hash, this.access.refOf(hash, this.#key.of(key)), key, value, expiresAtMs, version, flags);
  }

  /** Whether it was stored. */
  setIf(
    condition: SetCondition,
    key: Buffer,
    value: Uint8Array,
    expiresAtMs: number,
    nowMs: number,
    version = 0,
    flags = 0,
  ): boolean {
    const hash = this.#entries.hash(key);
    const ref = this.access.refOf(hash, this.#key.of(key));
    const before = ref === 0 || this.access.isExpired(ref, nowMs) ? undefined : this.#entry(ref);
    if (condition.if === "absent" && before !== undefined) return false;
    if (condition.if === "present" && before === undefined) return false;
    if (condition.value !== undefined && before?.value.equals(condition.value) !== true) return false;
    if (condition.version !== undefined && before?.version !== condition.version) return false;
    const kept = condition.keepExpiry === true && before !== undefined ? before.expiresAtMs : expiresAtMs;
    this.#store(hash, ref, key, value, kept, version, flags);
    return true;
  }

  /** Whether there was an entry that had not expired. */
  delete(key: Buffer, nowMs: number): boolean {
    const hash = this.#entries.hash(key);
    const ref = this.access.refOf(hash, this.#key.of(key));
    if (ref === 0) return false;
    const wasAlive = !this.access.isExpired(ref, nowMs);
    this.#entries.remove(ref, hash);
    this.#compactor.step(compactPerWrite);
    return wasAlive;
  }

  /** Gives the entry another expiry; whether there was one. */
  touch(key: Buffer, expiresAtMs: number, nowMs: number, version = 0): boolean {
    const hash = this.#entries.hash(key);
    const ref = this.access.refOf(hash, this.#key.of(key));
    if (ref === 0 || this.access.isExpired(ref, nowMs)) return false;
    const { segments } = this.#entries;
    const segment = segments.segmentOf(ref);
    const at = segments.placeOf(ref);
    const { bytes } = segment;
    if (((bytes[at]! & Mark.expires) !== 0) !== (expiresAtMs !== 0)) {
      // Views of what is there stay valid until its record is dead, which is after the new one was written.
      this.#store(hash, ref, key, segments.valueOf(ref), expiresAtMs, version, flagsAt(bytes, at));
      return true;
    }
    writeVersion(bytes, at, version);
    if (expiresAtMs !== 0) {
      writeExpiry(bytes, at, expiresAtMs);
      segments.due(segment, expiresAtMs);
    }
    this.access.use(ref);
    return true;
  }

  /**
   * Adds to a decimal number of 64 bits, signed; none is 0. The entry keeps its expiry. Returns the sum; changes nothing if the
   * value isn't such a number, or the sum is none.
   */
  add(key: Buffer, delta: bigint, nowMs: number, version = 0): bigint | "not-an-integer" | "out-of-range" {
    const hash = this.#entries.hash(key);
    const ref = this.access.refOf(hash, this.#key.of(key));
    const before = ref === 0 || this.access.isExpired(ref, nowMs) ? undefined : this.#entry(ref);
    const number = before === undefined ? 0n : integerOf(before.value);
    if (number === undefined) return "not-an-integer";
    const sum = number + delta;
    if (sum > integerMax || sum < integerMin) return "out-of-range";
    const value = Buffer.from(String(sum), "latin1");
    this.#store(hash, ref, key, value, before?.expiresAtMs ?? 0, version, before?.flags ?? 0);
    return sum;
  }

  /** Puts bytes behind the value; none is empty. The entry keeps its expiry. Returns the length of the value in bytes. */
  append(key: Buffer, tail: Uint8Array, nowMs: number, version = 0): number {
    const hash = this.#entries.hash(key);
    const ref = this.access.refOf(hash, this.#key.of(key));
    const before = ref === 0 || this.access.isExpired(ref, nowMs) ? undefined : this.#entry(ref);
    const value = before === undefined ? tail : Buffer.concat([before.value, tail]);
    this.#store(hash, ref, key, value, before?.expiresAtMs ?? 0, version, before?.flags ?? 0);
    return value.length;
  }

  /**
   * Removes entries that have expired, and calls `expired` with the key of each (a view, valid during the call). Only segments in
   * which something is due are looked at. Returns how many records it has looked at, up to `limit` and a segment's; 0 if nothing is
   * due. An entry is due at the latest a quarter of a second after its expiry.
   */
  sweep(nowMs: number, limit: number, expired: (key: Buffer) => void): number {
    const looked = this.#sweeper.step(nowMs, limit, expired);
    if (looked > 0) this.#compactor.step(limit);
    return looked;
  }

  /**
   * Looks at up to `limit` of the oldest entries and removes those that are worth least, and calls `evicted` with the key of each (a
   * view, valid during the call). Returns how many it has looked at; 0 if there are none.
   */
  evict(limit: number, nowMs: number, evicted: (key: Buffer, hasExpired: boolean) => void): number {
    return this.#evictor.step(limit, nowMs, evicted);
  }

  /** Takes memory back from what is dead; looks at up to `limit` records. Writes do it too, as far as they cause it. */
  compact(limit: number): number {
    return this.#compactor.step(limit);
  }

  /**
   * Calls `visit` with about `limit` entries from the cursor on (0: the first), expired ones left out, and returns the cursor to go
   * on with; {@link cursorEnd} at the end. Key and value are views, valid during the call. An entry that is there throughout comes
   * exactly once, whatever changes meanwhile, also if it goes on in another store with the same seed.
   */
  scan(
    cursor: number,
    limit: number,
    nowMs: number,
    visit: (key: Buffer, entry: StoredEntry) => void,
  ): number {
    const found = { hash: [], ref: [] as number[] };
    const next = this.#entries.index.range(cursor, limit, found);
    for (const ref of found.ref) {
      if (!this.access.isExpired(ref, nowMs)) visit(this.#entries.segments.keyOf(ref), this.#entry(ref));
    }
    return next;
  }

  /**
   * Records of about `sizeBytes`, and at least one, from the cursor on, in the form of a segment; expired ones too. A large entry
   * comes alone. For {@link apply}; the cursor is as in {@link scan}.
   */
  image(cursor: number, sizeBytes: number): { image: Buffer; next: number } {
    return imageOf(this.#entries, cursor, sizeBytes);
  }

  /** Stores the entries of an image, in place of those with the same keys. Throws a RangeError if it isn't one. */
  apply(image: Buffer): void {
    applyImage(this.#entries, image, (key, value, expiresAtMs, version, flags) => {
      this.set(key, value, expiresAtMs, version, flags);
    });
  }

  /** A number that two stores share if they hold the same, however they came to it; else by chance only, 1 in 2^32. */
  digest(): number {
    const { index, segments } = this.#entries;
    let sum = 0;
    for (let cursor = 0; cursor < cursorEnd; ) {
      const found = { hash: [], ref: [] as number[] };
      cursor = index.range(cursor, 256, found);
      for (const ref of found.ref) {
        const value = segments.valueOf(ref);
        const expiresAtMs = expiresAtMsAt(segments.bytesOf(ref), segments.placeOf(ref));
        sum =
          (sum + crc32(value, crc32(`:${expiresAtMs}:${value.length}:`, crc32(segments.keyOf(ref))))) >>> 0;
      }
    }
    return sum;
  }

  /** Removes everything and gives all memory back at once. */
  clear(): void {
    this.#entries.clear();
    this.#evictor.clear();
  }

  #entry(ref: number): StoredEntry {
    const { segments } = this.#entries;
    const bytes = segments.bytesOf(ref);
    const at = segments.placeOf(ref);
    return {
      value: segments.valueOf(ref),
      expiresAtMs: expiresAtMsAt(bytes, at),
      version: versionAt(bytes, at),
      flags: flagsAt(bytes, at),
    };
  }

  /** `ref`: of the key's record before, which the index has found last; 0 if there was none. */
  #store(
    hash: number,
    ref: number,
    key: Buffer,
    value: Uint8Array,
    expiresAtMs: number,
    version: number,
    flags: number,
  ): void {
    this.access.store(hash, ref, this.#key.of(key), this.#value.of(value), expiresAtMs, version, flags);
  }
}
