/**
 * One node's connection to a {@link SimStore}, as hostile as the interface allows: latency, stale reads, lagging
 * watches, compare-and-sets that are carried out without an answer, or after the answer was given up, and
 * connections that break.
 */
import type {
  Bucket,
  BucketOptions,
  Channel,
  Coordination,
  CoordinationStatus,
} from "../../src/coordination/coordination.ts";
import { requireBucketName, requireKey, requireMessage } from "../../src/coordination/names.ts";
import { RingcacheError } from "../../src/errors.ts";
import { SimBucket } from "./sim-bucket.ts";
import type { SimNode } from "./sim-runtime.ts";
import type { SimStore, StoreClient } from "./sim-store.ts";
import type { SimWatch } from "./sim-watch.ts";

const requestTimeoutMsDefault = 1_000;
/** How long a client takes at most to notice that its connection is dead, and to have a new one. */
const noticeMsMax = 1_000;
const reconnectMsMax = 300;
/** So many requests in a row for the same key may get no answer while the store can be reached. */
const unansweredMax = 2;

export class SimCoordination implements Coordination, StoreClient {
  readonly location = "simulation";
  readonly node: SimNode;
  readonly store: SimStore;
  readonly #requestTimeoutMs: number;
  readonly #listeners = new Set<(status: CoordinationStatus) => void>();
  readonly #watches = new Set<SimWatch>();
  readonly #buckets = new Set<SimBucket>();
  /** Calls under way: how each of them fails. */
  readonly #calls = new Set<(error: RingcacheError) => void>();
  /** Per key how many requests in a row got no answer: a hostile store is not a dead one. */
  readonly #unanswered = new Map<string, number>();
  /** What the client keeps to send once it is connected again. */
  #unsent: (() => void)[] = [];
  #status: CoordinationStatus = "connected";
  #cutOff = false;
  /** Bytes pass: neither cut off, nor still busy reconnecting. */
  #passes = true;
  /** Grows with every change of the connection, so that what was planned for an older one is dropped. */
  #connection = 0;

  constructor(node: SimNode, store: SimStore, options: { requestTimeoutMs?: number } = {}) {
    this.node = node;
    this.store = store;
    this.#requestTimeoutMs = options.requestTimeoutMs ?? requestTimeoutMsDefault;
    store.clients.add(this);
    if (store.isStopped) this.serverLost();
    node.onCrash(() => {
      store.clients.delete(this);
      for (const watch of [...this.#watches]) watch.stop();
      for (const bucket of this.#buckets) bucket.release();
    });
  }

  get status(): CoordinationStatus {
    return this.#status;
  }

  /** Whether something that is sent now gets to the other side. */
  get passes(): boolean {
    return this.#passes && this.#status !== "closed";
  }

  get reaches(): boolean {
    return this.passes && this.store.answers;
  }

  async openBucket(name: string, options: BucketOptions = {}): Promise<Bucket> {
    this.#checkOpen();
    requireBucketName(name);
    return this.request(`open ${name}`, () => {
      const bucket = new SimBucket(this, this.store.open(name, options));
      this.#buckets.add(bucket);
      return bucket;
    });
  }

  /** Without faults of its own: nothing that is promised rests on it. */
  openChannel(name: string, receive: (message: Uint8Array) => void): Channel {
    requireBucketName(name);
    const receivers = this.store.channels.get(name) ?? new Set();
    this.store.channels.set(name, receivers);
    const own = (message: Uint8Array): void => {
      if (this.passes) receive(message);
    };
    receivers.add(own);
    return {
      ready: Promise.resolve(),
      send: (message) => {
        requireMessage(message);
        if (!this.passes) return false;
        const copy = message.slice();
        for (const one of receivers) if (one !== own) this.store.sim.schedule(1, () => one(copy));
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
    this.store.clients.delete(this);
    this.#setStatus("closed");
    this.#unsent = [];
    for (const fail of [...this.#calls]) fail(closedError());
    for (const watch of [...this.#watches]) watch.end(closedError());
    for (const bucket of this.#buckets) bucket.release();
    await new Promise<void>((resolve) => this.node.runtime.soon(resolve));
  }

  /** This node alone can't reach the store, until {@link reconnect}. */
  cutOff(): void {
    this.#cutOff = true;
    this.store.sim.trace(this.node.host, "cut off from the store");
    this.serverLost();
  }

  reconnect(): void {
    this.#cutOff = false;
    this.store.sim.trace(this.node.host, "may reach the store again");
    this.serverBack();
  }

  serverLost(): void {
    if (this.#status === "closed") return;
    this.#passes = false;
    // Also an attempt to connect that is under way comes to nothing.
    const connection = ++this.#connection;
    this.node.after(this.store.random.between(0, noticeMsMax), () => {
      if (connection === this.#connection) this.#setStatus("disconnected");
    });
  }

  serverBack(): void {
    if (this.#status === "closed" || this.#cutOff || this.store.isStopped) return;
    const connection = ++this.#connection;
    this.node.after(this.store.random.between(0, reconnectMsMax), () => {
      if (connection !== this.#connection || this.#status === "closed") return;
      this.#passes = true;
      this.#setStatus("connected");
      for (const send of this.#unsent.splice(0)) send();
      for (const bucket of this.#buckets) bucket.lookAgain();
      for (const watch of this.#watches) watch.reconnected();
    });
  }

  leaderBack(): void {
    for (const bucket of this.#buckets) bucket.lookAgain();
    for (const watch of this.#watches) watch.kick();
  }

  checkKey(key: string): void {
    this.#checkOpen();
    requireKey(key);
  }

  /** A watch lives until it is stopped, or the client is closed or crashes. */
  addWatch(watch: SimWatch): void {
    this.#watches.add(watch);
    if (this.#status === "closed") watch.end(closedError());
    else watch.start();
  }

  removeWatch(watch: SimWatch): void {
    this.#watches.delete(watch);
  }

  /** Has `carryOut` done by the store, at most once, and gives its answer unless that is lost or late. */
  request<T>(what: string, carryOut: () => T): Promise<T> {
    const { store, node } = this;
    return new Promise<T>((resolve, reject) => {
      const fail = (error: RingcacheError): void => {
        if (this.#calls.delete(fail)) reject(error);
      };
      this.#calls.add(fail);
      const name = what.split(" ")[1]!;
      const unanswered = this.#unanswered.get(name) ?? 0;
      const spared = unanswered >= unansweredMax;
      node.runtime.after(this.#requestTimeoutMs, () => {
        if (this.#calls.has(fail)) this.#unanswered.set(name, unanswered + 1);
        fail(
          new RingcacheError("COORDINATION_TIMEOUT", `no answer from the store: ${what}`, {
            outcome: "unknown",
          }),
        );
      });
      const answer = (deliver: () => void): void => {
        if (!spared && store.random.chance(store.faults.lostAnswer)) return;
        store.sim.schedule(store.delayMs(), () => {
          if (!this.passes) return;
          node.run(() => {
            this.#unanswered.delete(name);
            deliver();
          });
        });
      };
      this.#send(what, spared, () => {
        try {
          const result = carryOut();
          answer(() => {
            if (this.#calls.delete(fail)) resolve(result);
          });
        } catch (error) {
          if (!(error instanceof RingcacheError)) throw error;
          answer(() => fail(error));
        }
      });
    });
  }

  /** Brings a request to the store, sooner, later or never. */
  #send(what: string, spared: boolean, run: () => void): void {
    const { store } = this;
    const { lostRequest, late, lateMsMax } = store.faults;
    store.sim.schedule(store.delayMs(), () => {
      const isLate = !spared && store.random.chance(late);
      if (!this.passes) {
        // A client keeps what it couldn't send, and sends it when it is connected again.
        if (isLate || store.random.chance(0.5)) this.#unsent.push(run);
        return;
      }
      if (!spared && store.random.chance(lostRequest)) return;
      const gapMs = store.gapEndsAtMs - store.sim.nowMs;
      if (gapMs > 0) {
        // What reached the old leader may come out of the new one's log.
        if (store.random.chance(0.3)) this.#later(what, gapMs + store.random.between(0, 50), run);
        return;
      }
      if (isLate) this.#later(what, store.random.between(0, lateMsMax), run);
      else run();
    });
  }

  #later(what: string, delayMs: number, run: () => void): void {
    this.store.sim.trace("kv", `late by ${delayMs.toFixed(0)} ms: ${what} of ${this.node.host}`);
    this.store.sim.schedule(delayMs, () => {
      if (this.store.answers) run();
    });
  }

  #setStatus(status: CoordinationStatus): void {
    if (this.#status === status || this.#status === "closed") return;
    this.#status = status;
    this.store.sim.trace(this.node.host, `store ${status}`);
    for (const listener of [...this.#listeners]) listener(status);
  }

  #checkOpen(): void {
    if (this.#status === "closed") throw closedError();
  }
}

function closedError(): RingcacheError {
  return new RingcacheError("CLOSED", "The coordination store was closed.");
}
