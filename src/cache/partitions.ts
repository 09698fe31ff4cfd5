/** The partitions that this node owns, whether it may serve them just now or not. */
import type { RingcacheError } from "../errors.ts";
import { planted } from "../planted.ts";
import type { Runtime, Timer } from "../runtime.ts";
import type { OwnedPartition } from "./owned-partition.ts";

const sweepEveryMs = 50;
/** While more is due than one turn removes. */
const sweepAgainMs = 2;
/** Entries looked at in one turn, and how long that may take. */
const sweepEntriesMax = 10_000;
const sweepMs = 1;
/** What lies in the partitions that a node owns, and what has happened in those that it owned since it started. */
export interface PartitionTotals {
  readonly entries: number;
  /** Those of {@link entries} that expire. */
  readonly entriesWithTtl: number;
  /** Memory that they take. */
  readonly sizeBytes: number;
  readonly expired: number;
  readonly evicted: number;
  /** Keys that were asked for and there, or not there. */
  readonly hits: number;
  readonly misses: number;
  /** Entries that went with partitions that are here no more. */
  readonly cleaned: number;
  /** Partitions that came without the entries that they had. */
  readonly lost: number;
}

/** Of one partition, before the clock is looked at. */
const sweepEntriesAtOnce = 256;

export class Partitions {
  readonly #runtime: Runtime;
  readonly #partitions: (OwnedPartition | undefined)[];
  readonly #stale = new Map<number, OwnedPartition>();
  #sweepTimer: Timer;
  #sweepAt = 0;
  /** Of the partitions that are here no more. */
  #expired = 0;
  #evicted = 0;
  #hits = 0;
  #misses = 0;
  #cleaned = 0;
  #lost = 0;

  constructor(runtime: Runtime, partitions: number) {
    this.#runtime = runtime;
    this.#partitions = new Array<OwnedPartition | undefined>(partitions).fill(undefined);
    this.#sweepTimer = runtime.after(sweepEveryMs, () => this.#sweep());
  }

  close(): void {
    this.#sweepTimer.cancel();
  }

  /** A partition that this node owns. */
  get(partition: number): OwnedPartition {
    const found = this.#partitions[partition];
    if (found === undefined) throw new Error(`partition ${partition} is not owned here`);
    return found;
  }

  *all(): Generator<OwnedPartition> {
    for (const owned of this.#partitions) if (owned !== undefined) yield owned;
  }

  find(partition: number): OwnedPartition | undefined {
    return this.#partitions[partition];
  }

  open(owned: OwnedPartition): void {
    this.#partitions[owned.partition] = owned;
  }

  /** Takes the partition out; see {@link OwnedPartition.close}. */
  remove(partition: number, error: RingcacheError): OwnedPartition | undefined {
    const removed = this.#partitions[partition];
    if (removed === undefined) return undefined;
    this.#cleaned += removed.data.store.size;
    this.#expired += removed.expired;
    this.#evicted += removed.evicted;
    this.#hits += removed.hits;
    this.#misses += removed.misses;
    this.#partitions[partition] = undefined;
    if (planted.serveStaleCopy) this.#stale.set(partition, removed);
    removed.close(error);
    return removed;
  }

  /** Only if that bug is planted. */
  stale(partition: number): OwnedPartition | undefined {
    return planted.serveStaleCopy ? this.#stale.get(partition) : undefined;
  }

  removeAll(error: RingcacheError): void {
    for (let partition = 0; partition < this.#partitions.length; partition++) {
      this.remove(partition, error)?.data.store.clear();
    }
  }

  /** Counts partitions that came here without the entries that they had. */
  lost(partitions: readonly number[]): void {
    this.#lost += partitions.length;
  }

  reviewReceipts(isMember: (origin: string) => boolean, nowMs: number): void {
    for (const owned of this.#partitions) owned?.data.receipts.review(isMember, nowMs);
  }

  totals(): PartitionTotals {
    let entries = 0;
    let entriesWithTtl = 0;
    let expired = this.#expired;
    let evicted = this.#evicted;
    let hits = this.#hits;
    let misses = this.#misses;
    let sizeBytes = 0;
    for (const owned of this.all()) {
      entries += owned.data.store.size;
      entriesWithTtl += owned.data.store.sizeWithTtl;
      expired += owned.expired;
      evicted += owned.evicted;
      hits += owned.hits;
      misses += owned.misses;
      sizeBytes += owned.data.store.allocatedBytes;
    }
    const counted = { expired, evicted, hits, misses, cleaned: this.#cleaned, lost: this.#lost };
    return { entries, entriesWithTtl, sizeBytes, ...counted };
  }

  /** The most answers of one partition that wait for its backups. */
  get waiting(): number {
    let most = 0;
    for (const owned of this.#partitions) if (owned !== undefined) most = Math.max(most, owned.waiting);
    return most;
  }

  /** Goes round the partitions, for a bounded time a turn; and fails the answers that are late. */
  #sweep(): void {
    const nowMs = this.#runtime.wallMs();
    const startMs = this.#runtime.monotonicMs();
    let left = sweepEntriesMax;
    let isBehind = false;
    for (let i = 0; i < this.#partitions.length && !isBehind; i++) {
      const owned = this.#partitions[this.#sweepAt];
      // While a partition is sealed, opening or behind with its backups, nothing is written that nobody asked for.
      while (owned?.serving === true && !owned.isCongested && !isBehind) {
        const looked = owned.sweep(nowMs, sweepEntriesAtOnce);
        if (looked === 0) break;
        left -= looked;
        isBehind = left <= 0 || this.#runtime.monotonicMs() - startMs >= sweepMs;
      }
      if (!isBehind) this.#sweepAt = (this.#sweepAt + 1) % this.#partitions.length;
    }
    const monotonicMs = this.#runtime.monotonicMs();
    for (const owned of this.#partitions)
      if (owned !== undefined && owned.waiting > 0) owned.expire(monotonicMs);
    this.#sweepTimer = this.#runtime.after(isBehind ? sweepAgainMs : sweepEveryMs, () => this.#sweep());
  }
}
