/** Random operations on several stores that share a memory with a limit, each beside its model: see {@link CheckedStore}. */
import { ok, strictEqual } from "node:assert/strict";
import { type EvictionPolicy, evictionPolicies } from "../../src/config.ts";
import { StoreMemory } from "../../src/storage/memory.ts";
import { Random } from "../simulation/random.ts";
import { type CheckedOptions, CheckedStore, checkMemory } from "./checked-store.ts";
import type { ModelEntry } from "./model.ts";

const storeCount = 6;
/** At first the smallest, which is reached after some 40,000 operations; then it changes now and then. */
const limitsBytes = [1, 2, 4, 16].map((megabytes) => megabytes * 1024 * 1024);
/** Values are parts of it, so that making them costs nothing. */
const poolBytes = 1024 * 1024;
/** Records to look at, at a time, while memory is short; as a node does it. */
const evictPerStep = 16;
const valueBytesMax = 200_000;

interface Place {
  checked: CheckedStore;
  /** Keys are drawn from so many. */
  readonly keyCount: number;
  /** Most values have at most so many bytes. */
  readonly valueBytes: number;
  /** Chance that an entry is set to expire. */
  readonly ttlChance: number;
}

export interface SoakCounts {
  operations: number;
  evicted: number;
  expired: number;
  moves: number;
  clears: number;
  audits: number;
}

export class SoakWorld {
  readonly #random: Random;
  readonly #pool: Buffer;
  readonly #memory = new StoreMemory(limitsBytes[0]);
  readonly #places: Place[];
  readonly counts: SoakCounts = { operations: 0, evicted: 0, expired: 0, moves: 0, clears: 0, audits: 0 };
  #nowMs = 1_700_000_000_000;
  #version = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.#pool = this.#random.bytes(poolBytes);
    this.#places = Array.from({ length: storeCount }, (_, i) => ({
      checked: new CheckedStore(this.#newOptions()),
      keyCount: [50, 3_000, 20_000, 60_000][i % 4]!,
      valueBytes: [2_000, 100, 400, 30][i % 4]!,
      ttlChance: [0.1, 0.5, 0.9][i % 3]!,
    }));
  }

  get usedBytes(): number {
    return this.#memory.usedBytes;
  }

  get size(): number {
    return this.#places.reduce((sum, { checked }) => sum + checked.store.size, 0);
  }

  /** So many operations, and what a node does beside them. Throws at the first difference. */
  run(operations: number): void {
    for (let i = 0; i < operations; i++) {
      const place = this.#random.pick(this.#places);
      this.#operate(place);
      this.counts.operations++;
      this.#makeRoom();
      if (i % 64 === 0) this.#tick();
    }
    checkMemory(this.#memory, this.#stores());
  }

  /** All of it, entry by entry, and memory to the byte. */
  audit(): void {
    for (const { checked } of this.#places) {
      checked.audit();
      checked.copy?.audit();
    }
    checkMemory(this.#memory, this.#stores());
    this.counts.audits++;
  }

  /** Compacts everything, asserts what may be left then, and gives all memory back. */
  end(): void {
    for (const { checked } of this.#places) {
      checked.drain();
      checked.checkDigest();
      checked.audit();
      checked.clear();
    }
    strictEqual(this.#memory.usedBytes, 0);
  }

  #stores(): CheckedStore[] {
    return this.#places.map(({ checked }) => checked);
  }

  #newOptions(): CheckedOptions {
    const random = this.#random;
    return {
      memory: this.#memory,
      seed: { low: random.uint32() | 0, high: random.uint32() | 0 },
      segmentBytesMax: random.pick([1_024, 4_096, 16_384, 65_536]),
      eviction: random.pick<EvictionPolicy>(evictionPolicies.filter((policy) => policy !== "none")),
    };
  }

  #operate({ checked, keyCount, valueBytes, ttlChance }: Place): void {
    const random = this.#random;
    const key = this.#key(keyCount);
    const nowMs = this.#nowMs;
    const version = ++this.#version;
    const kind = random.next();
    if (kind < 0.35) checked.get(key, nowMs);
    else if (kind < 0.65) checked.set(key, this.#entry(valueBytes, ttlChance));
    else if (kind < 0.75) checked.delete(key, nowMs);
    else if (kind < 0.8) checked.touch(key, this.#expiry(ttlChance), nowMs, version);
    else if (kind < 0.83) checked.append(key, this.#bytes(random.integer(0, 40)), nowMs, version);
    else if (kind < 0.86) checked.add(key, BigInt(random.integer(-1_000, 1_000)), nowMs, version);
    else if (kind < 0.9) checked.setIf({ if: "absent" }, key, this.#entry(valueBytes, ttlChance), nowMs);
    else if (kind < 0.94) {
      const condition = { if: "present", keepExpiry: random.chance(0.5) } as const;
      checked.setIf(condition, key, this.#entry(valueBytes, ttlChance), nowMs);
    } else if (kind < 0.96) {
      const { version = 0, value } = checked.model.alive(key, nowMs) ?? {};
      const condition = random.chance(0.5) || value === undefined ? { version } : { value };
      checked.setIf(condition, key, this.#entry(valueBytes, ttlChance), nowMs);
    } else if (kind < 0.98) checked.has(key, nowMs);
    else checked.peek(key, nowMs);
  }

  /** Few keys are asked for often. */
  #key(keyCount: number): Buffer {
    const random = this.#random;
    const i = Math.floor(keyCount * random.next() ** 3);
    if (i % 1_000 === 999) return Buffer.alloc(300 + i, "long");
    return Buffer.from(i % 50 === 49 ? `key of some length, so that it isn't a short one: ${i}` : `k${i}`);
  }

  #entry(valueBytes: number, ttlChance: number): ModelEntry {
    const random = this.#random;
    const kind = random.next();
    let length = random.integer(0, valueBytes);
    if (kind < 0.01) length = random.integer(0, 20_000);
    else if (kind < 0.0103) length = random.integer(60_000, valueBytesMax);
    else if (kind < 0.4) length = valueBytes;
    return {
      value: kind > 0.97 ? Buffer.from(`${random.integer(-9, 9)}`) : this.#bytes(length),
      expiresAtMs: this.#expiry(ttlChance),
      version: ++this.#version,
      flags: random.chance(0.1) ? random.uint32() : 0,
    };
  }

  #bytes(length: number): Buffer {
    const from = this.#random.integer(0, poolBytes - length);
    return this.#pool.subarray(from, from + length);
  }

  #expiry(ttlChance: number): number {
    const random = this.#random;
    if (!random.chance(ttlChance)) return 0;
    return this.#nowMs + random.integer(1, random.pick([10, 1_000, 60_000]));
  }

  /** Evicts from the store that takes most, until memory is within its limit. */
  #makeRoom(): void {
    for (let steps = 0; this.#memory.excessBytes > 0; steps++) {
      const largest = this.#stores().reduce((one, other) =>
        other.store.allocatedBytes > one.store.allocatedBytes ? other : one,
      );
      const before = largest.store.size;
      largest.evict(this.#nowMs, evictPerStep);
      largest.compact(evictPerStep);
      this.counts.evicted += before - largest.store.size;
      ok(steps < 100_000, "memory stays over its limit, whatever is evicted");
    }
  }

  /** The clock goes on, and with it what a node does from time to time. */
  #tick(): void {
    const random = this.#random;
    this.#nowMs += random.integer(0, 20);
    const place = random.pick(this.#places);
    const before = place.checked.store.size;
    place.checked.sweep(this.#nowMs, 500);
    this.counts.expired += before - place.checked.store.size;
    place.checked.compact(50);
    if (random.chance(0.001)) {
      place.checked.clear();
      place.checked = new CheckedStore(this.#newOptions());
      this.counts.clears++;
    }
    if (random.chance(0.001)) this.#memory.limitBytes = random.pick(limitsBytes);
    if (random.chance(0.01)) place.checked.beginCopy(random.pick([1_024, 4_096, 16_384, 65_536]));
    const copy = place.checked.stepCopy(random.pick([10_000, 65_536, 300_000]));
    if (copy === undefined) return;
    place.checked.clear();
    place.checked = copy;
    this.counts.moves++;
  }
}
