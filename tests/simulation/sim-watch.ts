/** A watch that lags, leaves intermediate revisions out and tells some things twice, but never goes back on a key. */
import type { Change, Watch, WatchHandlers } from "../../src/coordination/coordination.ts";
import type { RingcacheError } from "../../src/errors.ts";
import type { SimCoordination } from "./sim-coordination.ts";
import type { SimBucketState } from "./sim-store.ts";

export class SimWatch implements Watch {
  readonly #client: SimCoordination;
  readonly #bucket: SimBucketState;
  readonly #handlers: WatchHandlers;
  readonly #onEnd: () => void;
  /** Per key the newest change that hasn't been sent. */
  readonly #pending = new Map<string, Change>();
  readonly #deliveredRevision = new Map<string, number>();
  /** Keys of the first values, until all of them have been delivered. */
  #initial: Set<string> | undefined;
  #flushing = false;
  #over = false;
  /** The bucket has lost its data, and its user hasn't been told yet. */
  #suspended = false;
  /** Counts the lives of the bucket: what was on its way in an earlier one is void. */
  #life = 0;
  #arrivesAtMs = 0;

  constructor(client: SimCoordination, bucket: SimBucketState, handlers: WatchHandlers, onEnd: () => void) {
    this.#client = client;
    this.#bucket = bucket;
    this.#handlers = handlers;
    this.#onEnd = onEnd;
  }

  start(): void {
    const { random, faults, sim } = this.#client.store;
    const ageMs = random.chance(faults.stale) ? random.between(0, faults.staleMsMax) : 0;
    const initial = this.#bucket.allAt(sim.nowMs - ageMs);
    this.#initial = new Set(initial.map((change) => change.key));
    for (const change of initial) this.#pending.set(change.key, change);
    this.#schedule();
    // What a stale beginning left out comes later, by itself.
    if (ageMs > 0) {
      const life = this.#life;
      this.#client.node.after(faults.staleMsMax, () => {
        if (!this.#over && life === this.#life)
          this.#again((change) => change.revision > (this.#deliveredRevision.get(change.key) ?? 0));
      });
    }
  }

  push(change: Change): void {
    if (this.#suspended) return;
    this.#pending.delete(change.key);
    this.#pending.set(change.key, change);
    this.#schedule();
  }

  /** Nothing more of what was there, until {@link lost}. */
  suspend(): void {
    this.#suspended = true;
    this.#life++;
    this.#pending.clear();
  }

  /** In the turn in which the loss becomes known to this node. */
  lost(): void {
    if (!this.#suspended || this.#over) return;
    this.#suspended = false;
    this.#deliveredRevision.clear();
    this.#handlers.lost();
    if (this.#over) return;
    const present = this.#bucket.allAt(this.#client.store.sim.nowMs);
    if (this.#initial !== undefined) this.#initial = new Set(present.map((change) => change.key));
    for (const change of present) this.push(change);
    this.#schedule();
  }

  /** Whatever held the deliveries back may be over. */
  kick(): void {
    this.#schedule();
  }

  reconnected(): void {
    if (this.#suspended) return;
    const { random, faults } = this.#client.store;
    const redelivers = random.chance(faults.redelivery);
    this.#again((change) => {
      const delivered = this.#deliveredRevision.get(change.key) ?? 0;
      return change.revision > delivered || (redelivers && change.revision === delivered);
    });
    this.#schedule();
  }

  stop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#pending.clear();
    this.#onEnd();
  }

  end(error: RingcacheError): void {
    if (this.#over) return;
    this.#onEnd();
    // Not within the call that ended it, and not if it was stopped before it could be told.
    this.#pending.clear();
    this.#client.node.runtime.soon(() => {
      if (this.#over) return;
      this.#over = true;
      this.#handlers.ended?.(error);
    });
  }

  /** Takes up the present values again, those that `wanted` says. */
  #again(wanted: (change: Change) => boolean): void {
    for (const change of this.#bucket.allAt(this.#client.store.sim.nowMs)) {
      if (wanted(change)) this.push(change);
    }
  }

  #schedule(): void {
    if (this.#flushing || this.#over) return;
    this.#flushing = true;
    const { sim, random, faults } = this.#client.store;
    sim.schedule(random.between(0, faults.watchLagMsMax), () => {
      this.#flushing = false;
      // Nothing is lost: `kick` or `reconnected` comes once the store can be reached.
      if (this.#over || this.#suspended || !this.#client.reaches) return;
      this.#send();
    });
  }

  #send(): void {
    const { store, node } = this.#client;
    const { sim, random } = store;
    const batch = [...this.#pending.values()].slice(0, random.integer(1, Math.max(this.#pending.size, 1)));
    for (const { key } of batch) this.#pending.delete(key);
    const life = this.#life;
    this.#arrivesAtMs = Math.max(this.#arrivesAtMs, sim.nowMs + store.delayMs());
    sim.schedule(this.#arrivesAtMs - sim.nowMs, () => {
      if (life !== this.#life) return;
      if (this.#client.passes) {
        node.run(() => {
          if (life === this.#life) this.#deliver(batch);
        });
        return;
      }
      for (const change of batch) if (!this.#pending.has(change.key)) this.#pending.set(change.key, change);
    });
    if (this.#pending.size > 0) this.#schedule();
  }

  #deliver(batch: readonly Change[]): void {
    for (const change of batch) {
      if (this.#over) return;
      this.#initial?.delete(change.key);
      if (change.revision < (this.#deliveredRevision.get(change.key) ?? 0)) continue;
      this.#deliveredRevision.set(change.key, change.revision);
      this.#handlers.change({ ...change, value: change.value?.slice() });
    }
    if (this.#over || this.#initial === undefined || this.#initial.size > 0) return;
    this.#initial = undefined;
    this.#handlers.current?.();
  }
}
