/**
 * The server side of a hostile key-value store. Its compare-and-sets are linearizable, as those of a sound JetStream
 * are; everything between it and a client may fail: see `sim-coordination.ts`.
 */
import type { BucketOptions, Change, WriteResult } from "../../src/coordination/coordination.ts";
import { Random } from "./random.ts";
import type { Simulation } from "./sim-runtime.ts";

/** What goes wrong, as probabilities per request, and how far; times in milliseconds. */
export interface StoreFaults {
  /** One way. */
  readonly delayMs: readonly [min: number, max: number];
  /** The request never arrives. */
  readonly lostRequest: number;
  /** It is carried out, the answer never arrives. */
  readonly lostAnswer: number;
  /** It is carried out at some time within `lateMsMax`, for the most part after its client gave up. */
  readonly late: number;
  readonly lateMsMax: number;
  /** A `get`, or the begin of a watch, shows what was there up to `staleMsMax` ago. */
  readonly stale: number;
  readonly staleMsMax: number;
  /** A watch learns of a change up to this much later. */
  readonly watchLagMsMax: number;
  /** At a reconnection a watch is told again what it knows. */
  readonly redelivery: number;
}

export const calmStore: StoreFaults = {
  delayMs: [0.1, 0.3],
  lostRequest: 0,
  lostAnswer: 0,
  late: 0,
  lateMsMax: 0,
  stale: 0,
  staleMsMax: 0,
  watchLagMsMax: 0.5,
  redelivery: 0,
};

export const hostileStore: StoreFaults = {
  delayMs: [0.1, 5],
  lostRequest: 0.02,
  lostAnswer: 0.02,
  late: 0.01,
  lateMsMax: 8_000,
  stale: 0.2,
  staleMsMax: 1_500,
  watchLagMsMax: 60,
  redelivery: 0.5,
};

interface Stored {
  /** Undefined: removed. */
  readonly value: Uint8Array | undefined;
  readonly revision: number;
  readonly atMs: number;
}

export interface StoreListener {
  push(change: Change): void;
  /** The bucket has lost all its data and begins another life. */
  wiped(): void;
}

/** Within which an expiry becomes known to a node, whatever else the store does to it. */
const expiryLagMsMax = 1_000;

const notWritten: WriteResult = { written: false };

export class SimBucketState {
  readonly name: string;
  readonly listeners = new Set<StoreListener>();
  readonly #sim: Simulation;
  readonly #random: Random;
  readonly #ttlMs: number;
  readonly #staleMsMax: () => number;
  /** Per key the last value, and before it what a stale read may still see. */
  readonly #history = new Map<string, Stored[]>();
  #revision = 0;
  #generation = 1;

  constructor(sim: Simulation, name: string, ttlMs: number, staleMsMax: () => number) {
    this.#sim = sim;
    this.#random = new Random(sim.seed);
    this.name = name;
    this.#ttlMs = ttlMs;
    this.#staleMsMax = staleMsMax;
  }

  /** Which life of the bucket this is. */
  get generation(): number {
    return this.#generation;
  }

  /** What was there at that time; an expired entry isn't, and nobody is told. */
  at(key: string, atMs: number): Stored | undefined {
    const stored = this.#history.get(key)?.findLast((each) => each.atMs <= atMs);
    return stored !== undefined && stored.atMs + this.#ttlMs > atMs ? stored : undefined;
  }

  /** Every key's value, or removal, at that time, in the order of the revisions. */
  allAt(atMs: number): Change[] {
    const changes: Change[] = [];
    for (const key of this.#history.keys()) {
      const stored = this.at(key, atMs);
      if (stored !== undefined) changes.push({ key, value: stored.value, revision: stored.revision });
    }
    return changes.sort((a, b) => a.revision - b.revision);
  }

  create(key: string, value: Uint8Array): WriteResult {
    return this.#latest(key)?.value === undefined ? this.#write(key, value) : notWritten;
  }

  /** With no value: remove. */
  replace(key: string, value: Uint8Array | undefined, revision: number): WriteResult {
    return this.#latest(key)?.revision === revision ? this.#write(key, value) : notWritten;
  }

  wipe(): void {
    this.#history.clear();
    this.#revision = 0;
    this.#generation++;
    for (const listener of [...this.listeners]) listener.wiped();
  }

  #latest(key: string): Stored | undefined {
    return this.at(key, this.#sim.nowMs);
  }

  #write(key: string, value: Uint8Array | undefined): WriteResult {
    const revision = ++this.#revision;
    const nowMs = this.#sim.nowMs;
    const history = this.#history.get(key) ?? [];
    this.#history.set(key, history);
    history.push({ value, revision, atMs: nowMs });
    // The newest of those that are too old is what the stalest read sees.
    while (history.length > 1 && history[1]!.atMs <= nowMs - this.#staleMsMax()) history.shift();
    this.#sim.trace(
      "kv",
      `${this.name} ${key} ${value === undefined ? "removed" : "written"} at ${revision}`,
    );
    for (const listener of [...this.listeners]) listener.push({ key, value, revision });
    if (value !== undefined && this.#ttlMs < Number.POSITIVE_INFINITY) {
      this.#sim.schedule(this.#ttlMs, () => this.#expire(key, revision));
    }
    return { written: true, revision };
  }

  /** As current servers do, on buckets that are set so: a marker says that the value is gone, sooner to one than to another. */
  #expire(key: string, revision: number): void {
    if (this.#history.get(key)?.at(-1)?.revision !== revision) return;
    const marker = { key, value: undefined, revision: ++this.#revision };
    this.#history.get(key)!.push({ value: undefined, revision: marker.revision, atMs: this.#sim.nowMs });
    this.#sim.trace("kv", `${this.name} ${key} expired`);
    const generation = this.#generation;
    for (const listener of [...this.listeners]) {
      this.#sim.schedule(this.#random.between(0, expiryLagMsMax), () => {
        if (generation === this.#generation) listener.push(marker);
      });
    }
  }
}

/** What a store tells those who are connected to it. */
export interface StoreClient {
  serverLost(): void;
  serverBack(): void;
  /** The leader answers again. */
  leaderBack(): void;
}

export class SimStore {
  /** Change it at any time. */
  faults: StoreFaults;
  readonly sim: Simulation;
  readonly random: Random;
  readonly clients = new Set<StoreClient>();
  /** Who has each channel open. */
  readonly channels = new Map<string, Set<(message: Uint8Array) => void>>();
  readonly #buckets = new Map<string, SimBucketState>();
  #gapEndsAtMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(sim: Simulation, faults: StoreFaults = calmStore) {
    this.sim = sim;
    this.faults = faults;
    this.random = sim.random.fork();
  }

  /** Nobody answers until then, although every connection stands. */
  get gapEndsAtMs(): number {
    return this.#gapEndsAtMs;
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  get answers(): boolean {
    return !this.#stopped && this.sim.nowMs >= this.#gapEndsAtMs;
  }

  open(name: string, options: BucketOptions): SimBucketState {
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      const ttlMs = options.ttlMs ?? Number.POSITIVE_INFINITY;
      bucket = new SimBucketState(this.sim, name, ttlMs, () => this.faults.staleMsMax);
      this.#buckets.set(name, bucket);
    }
    return bucket;
  }

  /** For checkers: the latest value, as no client can know it. */
  peek(bucket: string, key: string): Uint8Array | undefined {
    return this.#buckets.get(bucket)?.at(key, this.sim.nowMs)?.value;
  }

  /** All data is gone; the buckets are there again, empty, at once. */
  wipe(): void {
    this.sim.trace("kv", "lost all data");
    for (const bucket of this.#buckets.values()) bucket.wipe();
  }

  destroyBucket(name: string): void {
    this.#buckets.get(name)?.wipe();
  }

  /** The cluster elects a leader: 4 to 9 seconds if no time is given. */
  leaderGap(durationMs: number = this.random.between(4_000, 9_000)): void {
    this.#gapEndsAtMs = Math.max(this.#gapEndsAtMs, this.sim.nowMs + durationMs);
    this.sim.trace("kv", `no leader for ${durationMs.toFixed(0)} ms`);
    this.sim.schedule(durationMs, () => {
      if (!this.answers) return;
      this.sim.trace("kv", "a leader again");
      for (const client of this.clients) client.leaderBack();
    });
  }

  /** Every connection breaks, and none can be made. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.sim.trace("kv", "stopped");
    for (const client of this.clients) client.serverLost();
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.sim.trace("kv", "started");
    for (const client of this.clients) client.serverBack();
  }

  /** One way between a client and the store. */
  delayMs(): number {
    return this.random.between(...this.faults.delayMs);
  }
}
