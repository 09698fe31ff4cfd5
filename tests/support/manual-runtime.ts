/** A clock that stands still until a test moves it; `soon` keeps its real meaning. */
import { createHash } from "node:crypto";
import type { Runtime, Timer } from "../../src/runtime.ts";

interface Pending {
  readonly atMs: number;
  readonly fn: () => void;
}

/** Event-loop turns after which promises and `soon` callbacks that follow from one another have run. */
const settleTurns = 12;

export class ManualRuntime implements Runtime {
  nowMs = 1_000;
  /** Added to the monotonic clock for the time of day. */
  wallOffsetMs = 1_700_000_000_000;
  readonly #timers = new Set<Pending>();
  #drawn = 0;

  monotonicMs(): number {
    return this.nowMs;
  }

  wallMs(): number {
    return this.wallOffsetMs + this.nowMs;
  }

  after(delayMs: number, fn: () => void): Timer {
    const pending = { atMs: this.nowMs + Math.max(delayMs, 0), fn };
    this.#timers.add(pending);
    return { cancel: () => void this.#timers.delete(pending) };
  }

  soon(fn: () => void): void {
    setImmediate(fn);
  }

  randomBytes(size: number): Buffer {
    const bytes = createHash("sha256")
      .update(`${++this.#drawn}`)
      .digest();
    return Buffer.alloc(size, bytes);
  }

  random(): number {
    return 0.5;
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Lets everything run that doesn't wait for the clock. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < settleTurns; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Moves the clock on, stopping at each timer on the way. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    await this.settle();
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.nowMs = Math.max(this.nowMs, next.atMs);
      this.#timers.delete(next);
      next.fn();
      await this.settle();
    }
    this.nowMs = untilMs;
  }

  /** Moves the clock on without running what is due: an event loop that stalls. */
  stall(ms: number): void {
    this.nowMs += ms;
  }

  #next(untilMs: number): Pending | undefined {
    let first: Pending | undefined;
    for (const pending of this.#timers) {
      if (pending.atMs <= untilMs && (first === undefined || pending.atMs < first.atMs)) first = pending;
    }
    return first;
  }
}
