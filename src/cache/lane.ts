/**
 * The short way for many requests of one turn: reads and writes of keys that are this node's own and concern no other node, without
 * a command, a reply or a view for each. All keys of a turn are named first; then the memory of their entries is asked for, all at
 * once instead of one after the other; then each is carried out. What can't be, for whatever reason, is said to be `elsewhere`
 * and has to go through `Door.execute`.
 */
import type { OperationCounters, Via } from "../metrics/operations.ts";
import type { Ring } from "../ring/ring.ts";
import { partitionOf, slotOf } from "../ring/slots.ts";
import { type Member, memberOf, type Table } from "../ring/table.ts";
import type { Runtime } from "../runtime.ts";
import { Span } from "../storage/span.ts";
import { WarmUp } from "../storage/warm-up.ts";
import { keySizeBytesMax, Op } from "./command.ts";
import type { OwnedPartition } from "./owned-partition.ts";
import type { Partitions } from "./partitions.ts";
import { type Reader, RoutedReads, routedKeyBytesMax } from "./routed-reads.ts";

/** Keys of one turn: as many as the processor's caches can hold the entries of. */
export const laneKeysMax = 256;

/** What became of a read. */
export const Found = { elsewhere: 0, absent: 1, present: 2 } as const;
export type Found = (typeof Found)[keyof typeof Found];

export interface LaneOptions {
  readonly ring: Ring;
  readonly runtime: Runtime;
  readonly partitions: Partitions;
  readonly counters: OperationCounters | undefined;
}

export class Lane {
  /** How many keys are named. */
  count = 0;
  /** What {@link get} has found. */
  readonly value = new Span();
  readonly #options: LaneOptions;
  readonly #via: Via | undefined;
  readonly #routed: RoutedReads;
  /** By number of the key: where it is, and what its look-up begins with. */
  readonly #bytes: Uint8Array[] = new Array<Uint8Array>(laneKeysMax).fill(new Uint8Array(0));
  readonly #from = new Int32Array(laneKeysMax);
  readonly #to = new Int32Array(laneKeysMax);
  readonly #hash = new Int32Array(laneKeysMax);
  readonly #partition = new Int32Array(laneKeysMax);
  readonly #owned: (OwnedPartition | undefined)[] = new Array<undefined>(laneKeysMax).fill(undefined);
  readonly #warmUp = new WarmUp(laneKeysMax);
  readonly #key = new Span();
  readonly #given = new Span();
  /** Whom {@link ownerOf} has found last, and in which table: the next key is often the same one's. */
  #lastOwner: Member | undefined;
  #lastTable: Table | undefined;
  #nowMs = 0;
  #leased = false;

  /** `via`: as whose operations are counted; undefined: as other nodes'. */
  constructor(options: LaneOptions, via: Via | undefined) {
    this.#options = options;
    this.#via = via;
    const { ring, runtime, counters } = options;
    this.#routed = new RoutedReads(
      ring,
      () => runtime.monotonicMs(),
      (fromMs, count) => via !== undefined && counters?.routed(via, Op.get, fromMs, count),
    );
  }

  /** Names the next key; there are at most {@link laneKeysMax}. Its number is {@link count} before. */
  add(bytes: Uint8Array, from: number, to: number): void {
    const i = this.count++;
    this.#bytes[i] = bytes;
    this.#from[i] = from;
    this.#to[i] = to;
  }

  /** All keys are named: what follows up to {@link end} is in this turn. */
  begin(): void {
    const { ring, runtime, partitions } = this.#options;
    this.#nowMs = runtime.wallMs();
    // Looked at once for all: what follows takes a fraction of a millisecond, and is looked at again at its end.
    this.#leased = ring.isLeased;
    const { count } = this;
    for (let i = 0; i < count; i++) {
      const bytes = this.#bytes[i]!;
      const from = this.#from[i]!;
      const to = this.#to[i]!;
      const partition = partitionOf(slotOf(bytes, from, to), ring.config.partitions);
      this.#partition[i] = partition;
      const isHere = to - from <= keySizeBytesMax && to > from && ring.serves(partition, this.#leased);
      const owned = isHere ? partitions.find(partition) : undefined;
      this.#owned[i] = owned;
      if (owned === undefined) continue;
      const { access } = owned.data.store;
      const hash = access.hash(bytes, from, to);
      this.#hash[i] = hash;
      this.#warmUp.add(access, hash);
    }
    this.#warmUp.run();
  }

  /** Sends what other nodes are asked, and forgets the keys. False: this node was held up meanwhile and may serve no more, so nobody may see what was carried out. */
  end(): boolean {
    this.#routed.send();
    for (let i = 0; i < this.count; i++) this.#owned[i] = undefined;
    this.count = 0;
    return !this.#leased || this.#options.ring.isLeased;
  }

  /** Whether the key can be read here. */
  mayRead(i: number): boolean {
    return this.#owned[i]?.isClean === true;
  }

  /** Whether the key can be written here. */
  mayWrite(i: number): boolean {
    const owned = this.#owned[i];
    return owned?.isAlone === true && !owned.isFull();
  }

  /** The key's value, in {@link value} until the next write. */
  get(i: number): Found {
    const owned = this.#owned[i];
    if (owned === undefined || !owned.isClean) return Found.elsewhere;
    const fromMs = this.#start();
    const found = owned.data.store.access.get(this.#hash[i]!, this.#keyOf(i), this.#nowMs, this.value);
    if (found) owned.hits++;
    else owned.misses++;
    this.#done(Op.get, fromMs);
    return found ? Found.present : Found.absent;
  }

  /** Another node, which owns the key and can be asked for it; else undefined. */
  ownerOf(i: number): Member | undefined {
    const { ring } = this.#options;
    const sizeBytes = this.#to[i]! - this.#from[i]!;
    if (this.#owned[i] !== undefined || sizeBytes === 0 || sizeBytes > routedKeyBytesMax) return undefined;
    const owner = ring.nodeForPartition(this.#partition[i]!);
    if (owner === ring.nodeId) return undefined;
    const { table } = ring;
    if (owner !== this.#lastOwner?.id || table !== this.#lastTable) {
      this.#lastOwner = memberOf(table, owner);
      this.#lastTable = table;
    }
    return this.#lastOwner;
  }

  /** Asks the key's {@link ownerOf} for its value: the reader is told in a later turn. */
  ask(i: number, owner: Member, reader: Reader, number: number): void {
    this.#routed.ask(owner, this.#bytes[i]!, this.#from[i]!, this.#to[i]!, reader, number);
  }

  /** The partition of the key. */
  partitionOf(i: number): number {
    return this.#partition[i]!;
  }

  /** False: elsewhere. `expiresAtMs`: milliseconds since 1970, not yet over; 0 for never. */
  set(i: number, bytes: Uint8Array, from: number, to: number, expiresAtMs: number): boolean {
    if (!this.mayWrite(i)) return false;
    const fromMs = this.#start();
    const owned = this.#owned[i]!;
    const { lsn, store } = owned.data;
    const key = this.#keyOf(i);
    const value = this.#given.of(bytes, from, to);
    store.access.set(this.#hash[i]!, key, value, expiresAtMs, lsn + 1);
    owned.wrote(key.length + value.length);
    this.#done(Op.set, fromMs);
    return true;
  }

  /** The sum of what the key has and `delta`, an integer of up to 15 digits; NaN: elsewhere. */
  increment(i: number, delta: number): number {
    if (!this.mayWrite(i)) return Number.NaN;
    const fromMs = this.#start();
    const owned = this.#owned[i]!;
    const { lsn, store } = owned.data;
    const sum = store.access.add(this.#hash[i]!, this.#keyOf(i), delta, this.#nowMs, lsn + 1);
    if (Number.isNaN(sum)) return sum;
    owned.wrote(this.#key.length);
    this.#done(Op.run, fromMs);
    return sum;
  }

  #keyOf(i: number): Span {
    return this.#key.of(this.#bytes[i]!, this.#from[i]!, this.#to[i]!);
  }

  #start(): number {
    const { counters, runtime } = this.#options;
    return this.#via !== undefined && counters?.takesSample() === true ? runtime.monotonicMs() : -1;
  }

  #done(op: Op, fromMs: number): void {
    const { counters } = this.#options;
    const via = this.#via;
    if (via === undefined) {
      counters?.carriedOut(op);
      return;
    }
    counters?.answered(via, op);
    if (fromMs >= 0) counters!.sampled(via, fromMs);
  }
}
