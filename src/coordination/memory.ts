/** Coordination inside one process: the embedded cluster's store, and the one that the simulator builds on. */
import { RingcacheError } from "../errors.ts";
import type { Runtime, Timer } from "../runtime.ts";
import type {
  Bucket,
  BucketOptions,
  Change,
  Channel,
  Coordination,
  CoordinationStatus,
  Entry,
  Watch,
  WatchHandlers,
  WriteResult,
} from "./coordination.ts";
import { requireBucketName, requireKey, requireMessage, requireRevision } from "./names.ts";

/** `value` undefined: a delete marker. It is kept, as NATS keeps it, because it carries the key's latest revision. */
interface Stored {
  readonly value: Uint8Array | undefined;
  readonly revision: number;
  readonly expiresAtMs: number;
}

/** A timer is never armed further ahead than this, whatever the TTL. */
const sweepDelayMsMax = 60_000;

const notWritten: WriteResult = { written: false };

class MemoryBucketState {
  readonly name: string;
  readonly watches = new Set<MemoryWatch>();
  /** Whoever opened the bucket, until told of a loss of its data. */
  readonly handles = new Set<MemoryBucket>();
  generation = 1;
  /** In the order of the writes, so the first entry is the first to expire. */
  readonly #stored = new Map<string, Stored>();
  readonly #runtime: Runtime;
  readonly #ttlMs: number;
  #revision = 0;
  #sweep: Timer | undefined;

  constructor(name: string, runtime: Runtime, ttlMs: number) {
    this.name = name;
    this.#runtime = runtime;
    this.#ttlMs = ttlMs;
  }

  latest(key: string): Stored | undefined {
    const stored = this.#stored.get(key);
    return stored !== undefined && stored.expiresAtMs > this.#runtime.monotonicMs() ? stored : undefined;
  }

  write(key: string, value: Uint8Array | undefined): WriteResult {
    this.#revision += 1;
    const revision = this.#revision;
    const expiresAtMs = this.#runtime.monotonicMs() + this.#ttlMs;
    this.#stored.delete(key);
    this.#stored.set(key, { value, revision, expiresAtMs });
    this.#armSweep();
    for (const watch of this.watches) watch.push({ key, value, revision });
    return { written: true, revision };
  }

  changes(): Change[] {
    const nowMs = this.#runtime.monotonicMs();
    const changes: Change[] = [];
    for (const [key, stored] of this.#stored) {
      if (stored.expiresAtMs > nowMs) changes.push({ key, value: stored.value, revision: stored.revision });
    }
    return changes;
  }

  wipe(): void {
    this.#stored.clear();
    this.#revision = 0;
    this.generation += 1;
    this.#sweep?.cancel();
    this.#sweep = undefined;
    for (const watch of this.watches) watch.suspend();
    // Whoever waits for an answer of before has it by then.
    for (const handle of this.handles) this.#runtime.soon(() => handle.lost());
  }

  /** Watchers aren't told of an expiry: NATS doesn't tell either, so nothing may come to rely on it. */
  #armSweep(): void {
    if (this.#sweep !== undefined || this.#ttlMs === Number.POSITIVE_INFINITY) return;
    const first = this.#stored.values().next().value;
    if (first === undefined) return;
    const delayMs = Math.max(first.expiresAtMs - this.#runtime.monotonicMs(), 1);
    this.#sweep = this.#runtime.after(Math.min(delayMs, sweepDelayMsMax), () => {
      this.#sweep = undefined;
      const nowMs = this.#runtime.monotonicMs();
      for (const [key, stored] of this.#stored) {
        if (stored.expiresAtMs > nowMs) break;
        this.#stored.delete(key);
      }
      this.#armSweep();
    });
  }
}

/** The state that the nodes of one embedded cluster share. */
export class MemoryStore {
  readonly runtime: Runtime;
  readonly #buckets = new Map<string, MemoryBucketState>();
  readonly #channels = new Map<string, Set<(message: Uint8Array) => void>>();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  open(name: string, options: BucketOptions): MemoryBucketState {
    requireBucketName(name);
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      bucket = new MemoryBucketState(name, this.runtime, options.ttlMs ?? Number.POSITIVE_INFINITY);
      this.#buckets.set(name, bucket);
    }
    return bucket;
  }

  /** Who has the channel open. */
  channel(name: string): Set<(message: Uint8Array) => void> {
    requireBucketName(name);
    const receivers = this.#channels.get(name) ?? new Set();
    this.#channels.set(name, receivers);
    return receivers;
  }

  /** What an operator does by deleting the bucket: its data is gone, and it begins anew. */
  destroyBucket(name: string): void {
    this.#buckets.get(name)?.wipe();
  }

  /** What a store does that comes back with an empty disk. */
  wipe(): void {
    for (const bucket of this.#buckets.values()) bucket.wipe();
  }
}

class MemoryWatch implements Watch {
  readonly #runtime: Runtime;
  readonly #handlers: WatchHandlers;
  readonly #onEnd: (watch: MemoryWatch) => void;
  /** The latest undelivered change of each key: bounded by the number of keys. */
  #pending = new Map<string, Change>();
  #scheduled = false;
  #current = false;
  #stopped = false;
  /** The data is gone, and {@link lost} hasn't been told yet. */
  #suspended = false;

  constructor(
    runtime: Runtime,
    handlers: WatchHandlers,
    initial: Change[],
    onEnd: (watch: MemoryWatch) => void,
  ) {
    this.#runtime = runtime;
    this.#handlers = handlers;
    this.#onEnd = onEnd;
    for (const change of initial) this.#pending.set(change.key, change);
    this.#schedule();
  }

  push(change: Change): void {
    // Deleted first, so that the order of delivery over all keys stays that of the revisions.
    this.#pending.delete(change.key);
    this.#pending.set(change.key, change);
    this.#schedule();
  }

  suspend(): void {
    this.#pending.clear();
    this.#suspended = true;
  }

  lost(): void {
    if (!this.#suspended || this.#stopped) return;
    this.#suspended = false;
    this.#handlers.lost();
    this.#schedule();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#pending.clear();
    this.#onEnd(this);
  }

  end(error: Error): void {
    if (this.#stopped) return;
    this.#onEnd(this);
    this.#runtime.soon(() => {
      if (this.#stopped) return;
      this.stop();
      this.#handlers.ended?.(error);
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    this.#runtime.soon(() => this.#deliver());
  }

  #deliver(): void {
    this.#scheduled = false;
    if (this.#suspended) return;
    const changes = this.#pending;
    this.#pending = new Map();
    for (const change of changes.values()) {
      if (this.#stopped) return;
      this.#handlers.change({ ...change, value: change.value?.slice() });
    }
    if (this.#current || this.#stopped) return;
    this.#current = true;
    this.#handlers.current?.();
  }
}

class MemoryBucket implements Bucket {
  readonly #state: MemoryBucketState;
  readonly #runtime: Runtime;
  /** Of all buckets that were opened together with this one. */
  readonly #watches: Set<MemoryWatch>;
  readonly #own = new Set<MemoryWatch>();
  readonly #isClosed: () => boolean;
  /** The life of the bucket that this node knows of. */
  #generation: number;

  constructor(
    state: MemoryBucketState,
    runtime: Runtime,
    watches: Set<MemoryWatch>,
    isClosed: () => boolean,
  ) {
    this.#state = state;
    this.#runtime = runtime;
    this.#watches = watches;
    this.#isClosed = isClosed;
    this.#generation = state.generation;
    state.handles.add(this);
  }

  get name(): string {
    return this.#state.name;
  }

  get generation(): string {
    return this.#isBetweenLives ? "" : String(this.#generation);
  }

  async get(key: string): Promise<Entry | undefined> {
    this.#check(key);
    const stored = this.#state.latest(key);
    if (stored?.value === undefined) return undefined;
    return { key, value: stored.value.slice(), revision: stored.revision };
  }

  async create(key: string, value: Uint8Array): Promise<WriteResult> {
    this.#check(key);
    if (this.#state.latest(key)?.value !== undefined) return notWritten;
    return this.#state.write(key, value.slice());
  }

  async update(key: string, value: Uint8Array, revision: number): Promise<WriteResult> {
    this.#check(key);
    requireRevision(revision);
    if (this.#state.latest(key)?.revision !== revision) return notWritten;
    return this.#state.write(key, value.slice());
  }

  async remove(key: string, revision: number): Promise<WriteResult> {
    this.#check(key);
    requireRevision(revision);
    if (this.#state.latest(key)?.revision !== revision) return notWritten;
    return this.#state.write(key, undefined);
  }

  watch(handlers: WatchHandlers): Watch {
    const initial = this.#isClosed() ? [] : this.#state.changes();
    const watch = new MemoryWatch(this.#runtime, handlers, initial, (ended) => {
      this.#state.watches.delete(ended);
      this.#watches.delete(ended);
      this.#own.delete(ended);
    });
    this.#state.watches.add(watch);
    this.#watches.add(watch);
    this.#own.add(watch);
    if (this.#isClosed()) watch.end(closedError());
    return watch;
  }

  lost(): void {
    this.#generation = this.#state.generation;
    for (const watch of [...this.#own]) watch.lost();
  }

  get #isBetweenLives(): boolean {
    return this.#generation !== this.#state.generation;
  }

  #check(key: string): void {
    if (this.#isClosed()) throw closedError();
    requireKey(key);
    if (this.#isBetweenLives)
      throw new RingcacheError("COORDINATION_TIMEOUT", `The bucket ${this.name} has lost its data.`);
  }
}

function closedError(): RingcacheError {
  return new RingcacheError("CLOSED", "The coordination store was closed.");
}

/** One node's view of a {@link MemoryStore}. */
export class MemoryCoordination implements Coordination {
  readonly location = "memory";
  readonly #store: MemoryStore;
  readonly #watches = new Set<MemoryWatch>();
  readonly #listeners = new Set<(status: CoordinationStatus) => void>();
  readonly #buckets: (() => void)[] = [];
  #status: CoordinationStatus = "connected";

  constructor(store: MemoryStore) {
    this.#store = store;
  }

  get status(): CoordinationStatus {
    return this.#status;
  }

  async openBucket(name: string, options: BucketOptions = {}): Promise<Bucket> {
    if (this.#status === "closed") throw closedError();
    const state = this.#store.open(name, options);
    const isClosed = (): boolean => this.#status === "closed";
    const bucket = new MemoryBucket(state, this.#store.runtime, this.#watches, isClosed);
    this.#buckets.push(() => state.handles.delete(bucket));
    return bucket;
  }

  openChannel(name: string, receive: (message: Uint8Array) => void): Channel {
    const receivers = this.#store.channel(name);
    const own = (message: Uint8Array): void => {
      if (this.#status !== "closed") receive(message);
    };
    receivers.add(own);
    return {
      ready: Promise.resolve(),
      send: (message) => {
        requireMessage(message);
        if (this.#status === "closed") return false;
        const copy = message.slice();
        for (const one of receivers) if (one !== own) this.#store.runtime.soon(() => one(copy));
        return true;
      },
      close: () => void receivers.delete(own),
    };
  }

  onStatus(listener: (status: CoordinationStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    if (this.#status === "closed") return;
    this.#status = "closed";
    for (const watch of [...this.#watches]) watch.end(closedError());
    for (const release of this.#buckets.splice(0)) release();
    for (const listener of [...this.#listeners]) listener("closed");
    // By then every watch has been told, because `soon` keeps its order.
    await new Promise<void>((resolve) => this.#store.runtime.soon(resolve));
  }
}
