/** A partition's entries during one run: what the steps change is applied at once, and noted, so that the backups get it too. */
import type { PartitionStore, StoredEntry } from "../../storage/partition-store.ts";
import { noBytes } from "../command.ts";
import { WriteKind } from "../write-wire.ts";

/** A change of one entry, with what it results in. */
export interface Effect {
  /** Of {@link WriteKind}: set, delete or touch. */
  readonly kind: number;
  readonly key: Buffer;
  readonly value: Uint8Array;
  readonly expiresAtMs: number;
}

export class Keyspace {
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  readonly effects: Effect[] = [];
  readonly store: PartitionStore;
  /** Keys that were asked for and there, or not there. */
  hits = 0;
  misses = 0;
  /** Of the write that this run becomes. */
  readonly #version: number;

  constructor(store: PartitionStore, nowMs: number, version: number) {
    this.store = store;
    this.nowMs = nowMs;
    this.#version = version;
  }

  /** A lookup, counted as one. The value is a view that is valid until something is changed. */
  get(key: Buffer): StoredEntry | undefined {
    const entry = this.store.get(key, this.nowMs);
    if (entry === undefined) this.misses++;
    else this.hits++;
    return entry;
  }

  /** Like {@link get}, but counts neither as a lookup nor as a use of the entry. */
  peek(key: Buffer): StoredEntry | undefined {
    return this.store.peek(key, this.nowMs);
  }

  /** `expiresAtMs` that is over deletes. `value` must not change before the run ends. */
  set(key: Buffer, value: Uint8Array, expiresAtMs: number): void {
    if (expiresAtMs !== 0 && expiresAtMs <= this.nowMs) {
      this.delete(key);
      return;
    }
    this.store.set(key, value, expiresAtMs, this.#version);
    this.effects.push({ kind: WriteKind.set, key, value, expiresAtMs });
  }

  /** Puts bytes behind the value; none is empty. Returns the length of the value then. */
  append(key: Buffer, tail: Buffer): number {
    const length = this.store.append(key, tail, this.nowMs, this.#version);
    this.#stored(key);
    return length;
  }

  /** See `PartitionStore.add`. */
  add(key: Buffer, delta: bigint): ReturnType<PartitionStore["add"]> {
    const sum = this.store.add(key, delta, this.nowMs, this.#version);
    if (typeof sum === "bigint") this.#stored(key);
    return sum;
  }

  /** Whether there was one. */
  delete(key: Buffer): boolean {
    const { size } = this.store;
    const found = this.store.delete(key, this.nowMs);
    if (this.store.size !== size) {
      this.effects.push({ kind: WriteKind.delete, key, value: noBytes, expiresAtMs: 0 });
    }
    return found;
  }

  /** Gives the entry another expiry (0: none); whether there was one. One that is over deletes. */
  touch(key: Buffer, expiresAtMs: number): boolean {
    if (expiresAtMs !== 0 && expiresAtMs <= this.nowMs) return this.delete(key);
    const found = this.store.touch(key, expiresAtMs, this.nowMs, this.#version);
    if (found) this.effects.push({ kind: WriteKind.touch, key, value: noBytes, expiresAtMs });
    return found;
  }

  /**
   * Notes what the entry has become, whole: a copy that is being made may have it already, and what is done twice to it must come
   * to the same.
   */
  #stored(key: Buffer): void {
    const { value, expiresAtMs } = this.peek(key)!;
    this.effects.push({ kind: WriteKind.set, key, value: Buffer.from(value), expiresAtMs });
  }
}
