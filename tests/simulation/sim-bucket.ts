/** One node's handle of a bucket of a {@link SimStore}. */
import type {
  Bucket,
  Change,
  Entry,
  Watch,
  WatchHandlers,
  WriteResult,
} from "../../src/coordination/coordination.ts";
import { requireRevision } from "../../src/coordination/names.ts";
import { RingcacheError } from "../../src/errors.ts";
import type { SimCoordination } from "./sim-coordination.ts";
import type { SimBucketState, StoreListener } from "./sim-store.ts";
import { SimWatch } from "./sim-watch.ts";

/** How long a node takes at most to find out that the bucket has lost its data. */
const noticeMsMax = 500;

export class SimBucket implements Bucket, StoreListener {
  readonly #client: SimCoordination;
  readonly #state: SimBucketState;
  readonly #watches = new Set<SimWatch>();
  /** Calls under way: how each of them fails. */
  readonly #calls = new Set<(error: RingcacheError) => void>();
  /** The life of the bucket that this node knows of. */
  #generation: number;
  #noticing = false;

  constructor(client: SimCoordination, state: SimBucketState) {
    this.#client = client;
    this.#state = state;
    this.#generation = state.generation;
    state.listeners.add(this);
  }

  get generation(): string {
    return this.#isBetweenLives ? "" : String(this.#generation);
  }

  get name(): string {
    return this.#state.name;
  }

  async get(key: string): Promise<Entry | undefined> {
    this.#client.checkKey(key);
    const { store } = this.#client;
    return this.#request(`get ${key}`, () => {
      const { stale, staleMsMax } = store.faults;
      const ageMs = store.random.chance(stale) ? store.random.between(0, staleMsMax) : 0;
      const stored = this.#state.at(key, store.sim.nowMs - ageMs);
      if (stored?.value === undefined) return undefined;
      return { key, value: stored.value.slice(), revision: stored.revision };
    });
  }

  async create(key: string, value: Uint8Array): Promise<WriteResult> {
    this.#client.checkKey(key);
    const copy = value.slice();
    return this.#request(`create ${key}`, () => this.#state.create(key, copy));
  }

  async update(key: string, value: Uint8Array, revision: number): Promise<WriteResult> {
    this.#client.checkKey(key);
    requireRevision(revision);
    const copy = value.slice();
    return this.#request(`update ${key} ${revision}`, () => this.#state.replace(key, copy, revision));
  }

  async remove(key: string, revision: number): Promise<WriteResult> {
    this.#client.checkKey(key);
    requireRevision(revision);
    return this.#request(`remove ${key} ${revision}`, () => this.#state.replace(key, undefined, revision));
  }

  watch(handlers: WatchHandlers): Watch {
    const watch = new SimWatch(this.#client, this.#state, handlers, () => {
      this.#watches.delete(watch);
      this.#client.removeWatch(watch);
    });
    this.#watches.add(watch);
    this.#client.addWatch(watch);
    if (this.#isBetweenLives) watch.suspend();
    return watch;
  }

  push(change: Change): void {
    for (const watch of this.#watches) watch.push(change);
  }

  wiped(): void {
    for (const watch of this.#watches) watch.suspend();
    this.lookAgain();
  }

  /** Finds out sooner or later that the data is gone, if it is and the store can be reached. */
  lookAgain(): void {
    if (this.#noticing || !this.#isBetweenLives) return;
    this.#noticing = true;
    const { node, store } = this.#client;
    node.after(store.random.between(0, noticeMsMax), () => {
      this.#noticing = false;
      if (this.#isBetweenLives && this.#client.reaches) this.#lost();
    });
  }

  release(): void {
    this.#state.listeners.delete(this);
  }

  get #isBetweenLives(): boolean {
    return this.#generation !== this.#state.generation;
  }

  #lost(): void {
    const { node, store } = this.#client;
    store.sim.trace(node.host, `finds the bucket ${this.name} without its data`);
    for (const fail of [...this.#calls]) fail(lostError(this.name));
    this.#generation = this.#state.generation;
    for (const watch of [...this.#watches]) watch.lost();
  }

  /** A call belongs to the life in which it was made: the store knows which that was, and so does who gets the answer. */
  #request<T>(what: string, carryOut: () => T): Promise<T> {
    if (this.#isBetweenLives) return Promise.reject(lostError(this.name));
    const generation = this.#generation;
    return new Promise<T>((resolve, reject) => {
      const fail = (error: RingcacheError): void => {
        if (this.#calls.delete(fail)) reject(error);
      };
      this.#calls.add(fail);
      const answer = this.#client.request(what, () => {
        if (generation !== this.#state.generation) throw lostError(this.name);
        return carryOut();
      });
      answer.then((result) => {
        if (this.#calls.delete(fail)) resolve(result);
      }, fail);
    });
  }
}

function lostError(name: string): RingcacheError {
  return new RingcacheError("COORDINATION_TIMEOUT", `The bucket ${name} has lost its data.`, {
    outcome: "unknown",
  });
}
