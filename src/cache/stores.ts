/** Makes the stores of one node: they share its memory, and each has a hash seed of its own unless it is a copy of another. */
import type { EvictionPolicy } from "../config.ts";
import { machineMemoryBytes, type Runtime } from "../runtime.ts";
import { type HashSeed, seedBytes, seedOf } from "../storage/hash.ts";
import { StoreMemory } from "../storage/memory.ts";
import { PartitionStore } from "../storage/partition-store.ts";

export interface StoresOptions {
  readonly runtime: Runtime;
  /** For all stores together; 0: half of what the machine or its container has. */
  readonly maxMemoryBytes: number;
  readonly eviction: EvictionPolicy;
}

export class Stores {
  readonly memory: StoreMemory;
  readonly eviction: EvictionPolicy;
  readonly #runtime: Runtime;

  constructor({ runtime, maxMemoryBytes, eviction }: StoresOptions) {
    this.#runtime = runtime;
    this.memory = new StoreMemory(maxMemoryBytes || Math.floor(machineMemoryBytes() / 2));
    this.eviction = eviction;
  }

  /** A copy is given the seed of what it is a copy of: then a scan can go on in it. */
  create(seed: HashSeed = seedOf(this.#runtime.randomBytes(seedBytes))): PartitionStore {
    return new PartitionStore({ memory: this.memory, seed, eviction: this.eviction });
  }
}
