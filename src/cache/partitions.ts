/** The partitions whose data lies on this node, and the commands on them. Whether it may run them is not asked here. */
import type { Runtime, Timer } from "../runtime.ts";
import type { PartitionStore } from "../storage/partition-store.ts";
import { type Command, noBytes, Op, type Reply } from "./command.ts";
import type { Receipts } from "./receipts.ts";
import type { WireCommand } from "./wire.ts";

/** Told of every change of a partition while it is copied to its next owner. */
export interface Tap {
  set(key: Buffer, value: Uint8Array, expiresAtMs: number): void;
  delete(key: Buffer): void;
}

/** All that a partition is, and that moves when it moves. */
export interface Partition {
  readonly store: PartitionStore;
  readonly receipts: Receipts;
}

const sweepEveryMs = 50;
/** Entries looked at in one turn: well under a millisecond. */
const sweepEntriesMax = 2_000;

export class Partitions {
  readonly #runtime: Runtime;
  readonly #node: string;
  readonly #partitions: (Partition | undefined)[];
  readonly #taps: (Tap | undefined)[];
  #sweepTimer: Timer;
  #sweepAt = 0;
  #expired = 0;
  #cleaned = 0;
  #lost = 0;

  constructor(runtime: Runtime, node: string, partitions: number) {
    this.#runtime = runtime;
    this.#node = node;
    this.#partitions = new Array<Partition | undefined>(partitions).fill(undefined);
    this.#taps = new Array<Tap | undefined>(partitions).fill(undefined);
    this.#sweepTimer = runtime.after(sweepEveryMs, () => this.#sweep());
  }

  close(): void {
    this.#sweepTimer.cancel();
  }

  /** A partition that this node owns. */
  get(partition: number): Partition {
    const found = this.#partitions[partition];
    if (found === undefined) throw new Error(`partition ${partition} has no data here`);
    return found;
  }

  has(partition: number): boolean {
    return this.#partitions[partition] !== undefined;
  }

  open(partition: number, data: Partition): void {
    this.#partitions[partition] = data;
  }

  /** Counts partitions that came here without the entries that they had. */
  lost(partitions: readonly number[]): void {
    this.#lost += partitions.length;
  }

  /** Takes the partition out. */
  remove(partition: number): Partition | undefined {
    const removed = this.#partitions[partition];
    if (removed === undefined) return undefined;
    this.#cleaned += removed.store.size;
    this.#partitions[partition] = undefined;
    this.#taps[partition] = undefined;
    return removed;
  }

  tap(partition: number, tap: Tap | undefined): void {
    this.#taps[partition] = tap;
  }

  /**
   * As {@link apply}, but a write that was carried out before is only answered again. Undefined: its sender has given
   * it up, and it is not carried out.
   */
  applyOnce(partition: number, command: WireCommand, origin: string): Reply | undefined {
    const { sequence, oldest } = command;
    if (sequence === 0) return this.apply(partition, command);
    const { receipts } = this.get(partition);
    const before = receipts.find(origin, sequence);
    if (before === "over") return undefined;
    if (before !== "new") return this.#reply(before);
    const reply = this.apply(partition, command);
    receipts.record(origin, sequence, oldest, reply.found);
    return reply;
  }

  /** A router that is gone sends nothing again. */
  forget(origin: string): void {
    for (const partition of this.#partitions) partition?.receipts.forget(origin);
  }

  apply(partition: number, command: Command): Reply {
    const { store } = this.get(partition);
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
    for (const partition of this.#partitions) {
      entries += partition?.store.size ?? 0;
      entriesWithTtl += partition?.store.sizeWithTtl ?? 0;
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
    for (let i = 0; i < this.#partitions.length && left > 0; i++) {
      const partition = this.#sweepAt;
      const seen = this.#partitions[partition]?.store.sweep(nowMs, left, (key) => {
        this.#expired++;
        this.#taps[partition]?.delete(key);
      });
      left -= seen ?? 0;
      if (left > 0) this.#sweepAt = (this.#sweepAt + 1) % this.#partitions.length;
    }
    this.#sweepTimer = this.#runtime.after(sweepEveryMs, () => this.#sweep());
  }
}
