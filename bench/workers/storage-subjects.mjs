/**
 * What the storage benchmark compares. Each takes keys as bytes and gives values as bytes: `set(number, key, value, nowMs)` copies,
 * `get(number, key, nowMs)` returns the value or undefined. `number` is the key's, from which a partition follows without a hash.
 */
import { LRUCache } from "lru-cache";
import { seedOf } from "../../dist/storage/hash.js";
import { StoreMemory } from "../../dist/storage/memory.js";
import { PartitionStore } from "../../dist/storage/partition-store.js";

/** Random in a node; here each process does the same. */
const seed = seedOf(Buffer.from("storage!"));

/** As a node has them: a store per partition, the memory shared. */
class Partitions {
  #stores;

  constructor(count) {
    const memory = new StoreMemory();
    this.#stores = Array.from({ length: count }, () => new PartitionStore({ memory, seed }));
  }

  /** Which partition is a node's question, asked before the store is: so it costs next to nothing here. */
  #storeOf(number) {
    return this.#stores[(Math.imul(number, 0x9e3779b1) >>> 16) % this.#stores.length];
  }

  get(number, key, nowMs) {
    return this.#storeOf(number).get(key, nowMs)?.value;
  }

  set(number, key, value) {
    this.#storeOf(number).set(key, value, 0, number);
  }
}

/** `Map` and lru-cache have strings as keys; this is the fastest way from bytes to one. */
class Strings {
  #map;

  constructor(map) {
    this.#map = map;
  }

  get(_number, key) {
    return this.#map.get(key.latin1Slice());
  }

  set(_number, key, value) {
    this.#map.set(key.latin1Slice(), Buffer.from(value));
  }
}

/** What the benchmark itself costs. */
class Nothing {
  #value;

  get(number) {
    return number >= 0 ? this.#value : undefined;
  }

  set(_number, _key, value) {
    this.#value = value;
  }
}

/** By name, what makes one for so many entries. */
export const subjects = {
  ringcache: () => new Partitions(64),
  "ringcache-1": () => new Partitions(1),
  "lru-cache": (entries) => new Strings(new LRUCache({ max: entries })),
  map: () => new Strings(new Map()),
  driver: () => new Nothing(),
};
