/**
 * Keeps what a node stores within its memory. What is too much is evicted by the owners, whose copies lose it by the same writes:
 * a node evicts from the partitions that it owns, and asks the owners of the copies that it holds to evict from theirs. The largest
 * partition gives first, so that all together are one cache.
 */
import type { PeerIdentity } from "../peers/messages.ts";
import type { Peers } from "../peers/peers.ts";
import { PeerKind } from "../ring/calls.ts";
import type { Runtime, Timer } from "../runtime.ts";
import type { PartitionStore } from "../storage/partition-store.ts";
import { noBytes } from "./command.ts";
import type { OwnedPartition } from "./owned-partition.ts";
import type { Partitions } from "./partitions.ts";
import type { Stores } from "./stores.ts";

/** While there is too much, a node looks this often what it and others can do about it. */
const reliefEveryMs = 20;
/** In one turn: about a millisecond. */
const looksPerTurn = 2_000;
/** For one write: a few, and more for a large one or if the limit itself is passed. */
const looksPerWrite = 4;
const bytesPerLook = 64;
const looksPerWriteMax = 512;
/** About what an entry takes beside its key and its value. */
const entryBytes = 32;
/** After so many, or once it has given this part of what it had, the largest partition is chosen anew. */
const looksPerChoice = 256;
const sharePerChoice = 1 / 8;
/** A node's own partitions, and those of each other node, give from this part of an even share on. */
const evenShare = 0.8;
/** For how long a node counts as full after it said so; while it is, it says so every {@link reliefEveryMs}. */
const fullForMs = 1_000;
const requestBytes = 7;

export interface PressureOptions {
  readonly peers: Peers;
  readonly runtime: Runtime;
  readonly stores: Stores;
  readonly partitions: Partitions;
  /** The copies that this node holds for others, each with its owner; undefined if that can't be reached. */
  copies(): Iterable<{ readonly store: PartitionStore; readonly owner: PeerIdentity | undefined }>;
  /** How a member is reached; undefined if it isn't one any more. */
  member(incarnation: string): Parameters<Peers["requestPromise"]>[0] | undefined;
}

export class MemoryPressure {
  readonly #options: PressureOptions;
  #timer: Timer | undefined;
  /** The one that gave last, for this node itself. */
  #choice: Choice | undefined;
  /** This node's own partitions have their share of its memory. */
  #gives = true;
  /** By incarnation: what a node has asked this one to evict, in bytes, and until when it counts as full. */
  readonly #asked = new Map<string, number>();
  readonly #fullUntilMs = new Map<string, number>();
  #working = false;
  #closed = false;

  constructor(options: PressureOptions) {
    this.#options = options;
    options.peers.handle(PeerKind.pressure, (request) => {
      const { from, payload } = request;
      if (payload.length === requestBytes) this.#relieve(from, payload.readUIntBE(1, 6), payload[0] === 1);
      request.reply(noBytes);
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** A write of this node's own partitions has added about so many bytes: as much goes. */
  written(sizeBytes: number): void {
    const { memory, eviction } = this.#options.stores;
    if (!memory.isShort) return;
    if (eviction !== "none" && this.#gives) {
      const factor = memory.excessBytes > 0 ? 4 : 1;
      const looks = (looksPerWrite + Math.ceil(sizeBytes / bytesPerLook)) * factor;
      this.#evict(Math.min(looks, looksPerWriteMax), (sizeBytes + entryBytes) * factor, undefined);
    }
    this.noticed();
  }

  /** Something was stored here that this node doesn't answer for: if it is too much, its owner is told. */
  noticed(): void {
    if (this.#timer !== undefined || this.#closed || !this.#options.stores.memory.isShort) return;
    this.#timer = this.#options.runtime.after(reliefEveryMs, () => {
      this.#timer = undefined;
      this.#work();
      this.noticed();
    });
  }

  /** Nothing may be evicted, and this node or one of the partition's backups has no room. */
  isFull(owned: OwnedPartition): boolean {
    const { stores, runtime } = this.#options;
    if (stores.eviction !== "none") return false;
    if (stores.memory.excessBytes > 0) return true;
    if (this.#fullUntilMs.size === 0) return false;
    const nowMs = runtime.monotonicMs();
    return owned.streams.some(
      ({ required, to }) => required && (this.#fullUntilMs.get(to.incarnation) ?? 0) > nowMs,
    );
  }

  /** Evicts here, and asks the owners of the copies for their share. */
  #work(): void {
    const { stores, partitions, copies } = this.#options;
    const { memory } = stores;
    const tooMuchBytes = memory.costBytes - memory.shortFromBytes;
    if (tooMuchBytes <= 0) return;
    const held = new Map<string, Held>();
    for (const { data } of partitions.all()) add(held, "", data.store);
    for (const { store, owner } of copies()) {
      add(held, owner?.incarnation ?? "unknown", store);
      // What its owner has evicted already may only wait to be compacted.
      store.compact(looksPerTurn >> 3);
    }
    let count = 0;
    for (const one of held.values()) count += one.count;
    // Who has more of this node's memory than others gives more of it back.
    let allOver = 0;
    for (const one of held.values()) {
      one.overBytes = Math.max(one.bytes - (evenShare * memory.costBytes * one.count) / count, 0);
      allOver += one.overBytes;
    }
    this.#gives = (held.get("")?.overBytes ?? 0) > 0;
    const isFull = memory.excessBytes > 0;
    const evicts = stores.eviction !== "none";
    for (const [incarnation, { overBytes }] of held) {
      const askedBytes = evicts && allOver > 0 ? Math.ceil((tooMuchBytes * overBytes) / allOver) : 0;
      if (incarnation === "") this.#evict(looksPerTurn, askedBytes, undefined);
      else if (askedBytes > 0 || (isFull && !evicts)) this.#ask(incarnation, askedBytes, isFull);
    }
  }

  #ask(incarnation: string, sizeBytes: number, isFull: boolean): void {
    const { peers, member } = this.#options;
    const to = member(incarnation);
    if (to === undefined) return;
    const request = Buffer.allocUnsafe(requestBytes);
    request[0] = isFull ? 1 : 0;
    request.writeUIntBE(sizeBytes, 1, 6);
    // It is asked again if there is need.
    peers.requestPromise(to, PeerKind.pressure, request, fullForMs).catch(() => {});
  }

  #relieve(from: PeerIdentity, sizeBytes: number, isFull: boolean): void {
    const { stores, runtime } = this.#options;
    if (stores.eviction === "none") {
      const nowMs = runtime.monotonicMs();
      for (const [incarnation, untilMs] of this.#fullUntilMs) {
        if (untilMs <= nowMs) this.#fullUntilMs.delete(incarnation);
      }
      if (isFull) this.#fullUntilMs.set(from.incarnation, nowMs + fullForMs);
      return;
    }
    // Not more than it has asked for last: it counts what is still on its way to it.
    this.#asked.set(from.incarnation, sizeBytes);
    if (this.#working) return;
    this.#working = true;
    this.#goOn();
  }

  /** A turn's worth for each who has asked, until all have been served. */
  #goOn(): void {
    for (const [incarnation, sizeBytes] of this.#asked) {
      const freedBytes = this.#evict(looksPerTurn, sizeBytes, incarnation);
      if (freedBytes === 0 || freedBytes >= sizeBytes) this.#asked.delete(incarnation);
      else this.#asked.set(incarnation, sizeBytes - freedBytes);
    }
    if (this.#asked.size === 0 || this.#closed) this.#working = false;
    else this.#options.runtime.after(1, () => this.#goOn());
  }

  /**
   * Looks at up to so many entries of the largest partitions, of those with a backup on that node if one is named, until so many
   * bytes of entries are gone. Returns how many are.
   */
  #evict(looks: number, sizeBytes: number, incarnation: string | undefined): number {
    const nowMs = this.#options.runtime.wallMs();
    let freedBytes = 0;
    let choice = incarnation === undefined ? this.#choice : undefined;
    for (let left = looks; left > 0 && freedBytes < sizeBytes; left--) {
      if (choice === undefined || isOver(choice)) choice = this.#choose(incarnation);
      if (choice === undefined) break;
      const { store } = choice.owned.data;
      const before = store.liveBytes;
      // One by one: entries may be large, and more than was wanted would be gone.
      if (choice.owned.evict(1, nowMs) === 0) break;
      freedBytes += before - store.liveBytes;
      choice.looksLeft--;
    }
    if (incarnation === undefined) this.#choice = choice;
    return freedBytes;
  }

  #choose(incarnation: string | undefined): Choice | undefined {
    const owned = this.#largest(incarnation);
    if (owned === undefined) return undefined;
    const { liveBytes } = owned.data.store;
    return { owned, looksLeft: looksPerChoice, untilBytes: liveBytes * (1 - sharePerChoice) };
  }

  #largest(incarnation: string | undefined): OwnedPartition | undefined {
    let largest: OwnedPartition | undefined;
    let most = 0;
    for (const owned of this.#options.partitions.all()) {
      const { liveBytes } = owned.data.store;
      if (liveBytes <= most || !mayGive(owned)) continue;
      const isThere =
        incarnation === undefined || owned.streams.some(({ to }) => to.incarnation === incarnation);
      if (!isThere) continue;
      largest = owned;
      most = liveBytes;
    }
    return largest;
  }
}

/** A partition that gives, until its entries have so many bytes or so many were looked at. */
interface Choice {
  readonly owned: OwnedPartition;
  readonly untilBytes: number;
  looksLeft: number;
}

function isOver({ owned, looksLeft, untilBytes }: Choice): boolean {
  return looksLeft <= 0 || owned.data.store.liveBytes <= untilBytes || !mayGive(owned);
}

/** What a node holds of one owner. */
interface Held {
  bytes: number;
  count: number;
  overBytes: number;
}

function add(held: Map<string, Held>, owner: string, store: PartitionStore): void {
  const one = held.get(owner) ?? { bytes: 0, count: 0, overBytes: 0 };
  one.bytes += store.allocatedBytes;
  one.count++;
  held.set(owner, one);
}

/** While a partition is sealed, opening or behind with its backups, nothing is written that nobody asked for. */
function mayGive(owned: OwnedPartition): boolean {
  return owned.serving && !owned.isCongested && owned.data.store.size > 0;
}
