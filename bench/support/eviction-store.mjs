/** The real store under the benchmark's requests: the same budget as the references, kept by its own eviction. */
import { seedOf } from "../../dist/storage/hash.js";
import { PartitionStore } from "../../dist/storage/partition-store.js";

/** Fixed, so that a figure is the same in each run. */
const seed = seedOf(Buffer.from("eviction"));
/** Of an entry where the trace names no sizes. */
const valueBytes = 100;
const noTtl = 0;
const nowMs = 1;

export class Store {
  #store;
  #capacity;
  #sized;
  #sizes;
  #total = 0;
  #key = Buffer.from("object-0000");
  #value;

  constructor(policy, capacity, { distinct, sized, largest }) {
    this.#store = new PartitionStore({ seed, eviction: policy });
    this.#capacity = capacity;
    this.#sized = sized;
    this.#sizes = new Float64Array(distinct);
    this.#value = Buffer.alloc(sized ? largest : valueBytes);
  }

  get(key) {
    return this.#store.get(this.#keyOf(key), nowMs) !== undefined;
  }

  set(key, size) {
    if (size > this.#capacity) return;
    while (this.#total + size > this.#capacity) this.#evict();
    const value = this.#sized ? this.#value.subarray(0, Math.max(size - this.#key.length, 0)) : this.#value;
    this.#store.set(this.#keyOf(key), value, noTtl);
    this.#sizes[key] = size;
    this.#total += size;
  }

  #evict() {
    const looked = this.#store.evict(1, nowMs, (key) => {
      this.#total -= this.#sizes[numberOf(key)];
    });
    if (looked === 0) throw new Error(`the store has nothing to evict, but should hold ${this.#total}.`);
  }

  /** The same buffer each time: the store copies what it keeps. */
  #keyOf(number) {
    this.#key.writeUInt32BE(number, numberAt);
    return this.#key;
  }
}

const numberAt = "object-".length;

function numberOf(key) {
  return key.readUInt32BE(numberAt);
}
