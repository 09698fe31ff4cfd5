/** The partitions whose data lies on this node, and the commands on them. Whether it may run them is not asked here. */
import type { Runtime, Timer } from "../runtime.ts";
import type { PartitionStore } from "../storage/partition-store.ts";
import { type Command, noBytes, Op, type Reply } from "./command.ts";

/** Told of every change of a partition while it is copied to its next owner. */
export interface Tap {
  set(key: Buffer, value: Uint8Array, expiresAtMs: number): void;
  delete(key: Buffer): void;
}

const sweepEveryMs = 50;
/** Entries looked at in one turn: well under a millisecond. */
const sweepEntriesMax = 2_000;

export class Partitions {
  readonly #runtime: Runtime;
  readonly #node: string;
  readonly #stores: (PartitionStore | undefined)[];
  readonly #taps: (Tap | undefined)[];
  #sweepTimer: Timer;
  #sweepAt = 0;
  #expired = 0;
  #cleaned = 0;
  #lost = 0;

  constructor(runtime: Runtime, node: string, partitions: number) {
    this.#runtime = runtime;
    this.#node = node;
    this.#stores = new Array<PartitionStore | undefined>(partitions).fill(undefined);
    this.#taps = new Array<Tap | undefined>(partitions).fill(undefined);
    this.#sweepTimer = runtime.after(sweepEveryMs, () => this.#sweep());
  }

  close(): void {
    this.#sweepTimer.cancel();
  }

  /** The store of a partition that this node owns. */
  store(partition: number): PartitionStore {
    const store = this.#stores[partition];
    if (store === undefined) throw new Error(`partition ${partition} has no store here`);
    return store;
  }

  has(partition: number): boolean {
    return this.#stores[partition] !== undefined;
  }

  open(partition: number, store: PartitionStore): void {
    this.#stores[partition] = store;
  }

  /** Counts partitions that came here without the entries that they had. */
  lost(partitions: readonly number[]): void {
    this.#lost += partitions.length;
  }

  /** Takes the store out. */
  remove(partition: number): PartitionStore | undefined {
    const store = this.#stores[partition];
    if (store === undefined) return undefined;
    this.#cleaned += store.size;
    this.#stores[partition] = undefined;
    this.#taps[partition] = undefined;
    return store;
  }

  tap(partition: number, tap: Tap | undefined): void {
    this.#taps[partition] = tap;
  }

  apply(partition: number, command: Command): Reply {
    const store = this.store(partition);
    const { key } = command;
    switch (command.op) {
      case Op.get: {
        const entry = store.get(key, this.#runtime.wallMs());
        return entry === undefined ? this.#reply(false) : this.#reply(true, entry.value, entry.expiresAtMs);
      }
      case Op.has:
        return this.#reply(store.get(key, this.#runtime.wallMs()) !== undefined);
      case Op.set:
        store.set(key, command.value, command.expiresAtMs);
        this.#taps[partition]?.set(key, command.value, command.expiresAtMs);
        return this.#reply(true);
      case Op.delete: {
        const found = store.delete(key, this.#runtime.wallMs());
        this.#taps[partition]?.delete(key);
        return this.#reply(found);
      }
    }
  }

  totals(): { entries: number; entriesWithTtl: number; expired: number; cleaned: number; lost: number } {
    let entries = 0;
    let entriesWithTtl = 0;
    for (const store of this.#stores) {
      entries += store?.size ?? 0;
      entriesWithTtl += store?.sizeWithTtl ?? 0;
    }
    return { entries, entriesWithTtl, expired: this.#expired, cleaned: this.#cleaned, lost: this.#lost };
  }

  #reply(found: boolean, value: Buffer = noBytes, expiresAtMs = 0): Reply {
    return { found, value, expiresAtMs, node: this.#node };
  }

  /** Goes round the partitions, a bounded number of entries a turn. */
  #sweep(): void {
    const nowMs = this.#runtime.wallMs();
    let left = sweepEntriesMax;
    for (let i = 0; i < this.#stores.length && left > 0; i++) {
      const partition = this.#sweepAt;
      const seen = this.#stores[partition]?.sweep(nowMs, left, (key) => {
        this.#expired++;
        this.#taps[partition]?.delete(key);
      });
      left -= seen ?? 0;
      if (left > 0) this.#sweepAt = (this.#sweepAt + 1) % this.#stores.length;
    }
    this.#sweepTimer = this.#runtime.after(sweepEveryMs, () => this.#sweep());
  }
}
