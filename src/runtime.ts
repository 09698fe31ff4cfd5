/**
 * Time and randomness. Everything else in `src/` gets them from here, so that the production classes run
 * unchanged on the virtual clock of the simulator. No other file touches `Date`, timers or `Math.random`.
 */
import { randomBytes } from "node:crypto";
import { totalmem } from "node:os";

/** A pending callback. `cancel` after it ran, or twice, does nothing. */
export interface Timer {
  cancel(): void;
}

export interface Runtime {
  /** Milliseconds, with a fraction, on a clock that never goes back. Leases and deadlines are measured on it. */
  monotonicMs(): number;
  /** Milliseconds since 1970-01-01 UTC. Only what outlives a process is measured on it: expiry times; and what people read. */
  wallMs(): number;
  /** Runs `fn` once after `delayMs` (at least 0). A pending timer doesn't keep the process alive. */
  after(delayMs: number, fn: () => void): Timer;
  /** Runs `fn` after the input that is ready in this event-loop turn has been read. */
  soon(fn: () => void): void;
  randomBytes(size: number): Buffer;
  /** Uniform in [0, 1). For jitter, never for secrets. */
  random(): number;
  /** The most by which the event loop was late in the last second, up to two; absent where there is none of its own. */
  loopDelayMs?(): number;
}

class SystemTimer implements Timer {
  readonly #handle: NodeJS.Timeout;

  constructor(delayMs: number, fn: () => void) {
    // setTimeout fires at once for anything past 2^31-1 ms; a timer that long may as well fire then and be re-armed.
    this.#handle = setTimeout(fn, Math.min(Math.max(delayMs, 0), 2 ** 31 - 1));
    this.#handle.unref();
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }
}

const probeEveryMs = 50;
const probesPerWindow = 20;

/** Sees how late a timer is. Node's own histogram loses the interval in which it is reset: a stall right then goes unseen. */
class LoopProbe {
  #dueMs = 0;
  #probes = 0;
  #windowMs = 0;
  #lastWindowMs = 0;

  constructor() {
    this.#arm();
  }

  get worstMs(): number {
    return Math.max(this.#windowMs, this.#lastWindowMs);
  }

  #arm(): void {
    this.#dueMs = performance.now() + probeEveryMs;
    setTimeout(() => this.#look(), probeEveryMs).unref();
  }

  #look(): void {
    this.#windowMs = Math.max(this.#windowMs, performance.now() - this.#dueMs, 0);
    if (++this.#probes % probesPerWindow === 0) {
      this.#lastWindowMs = this.#windowMs;
      this.#windowMs = 0;
    }
    this.#arm();
  }
}

/** One per process, from when it is first asked. */
let loopProbe: LoopProbe | undefined;

export const systemRuntime: Runtime = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, fn) => new SystemTimer(delayMs, fn),
  soon: (fn) => void setImmediate(fn),
  randomBytes: (size) => randomBytes(size),
  random: () => Math.random(),
  loopDelayMs: () => {
    loopProbe ??= new LoopProbe();
    return loopProbe.worstMs;
  },
};

/** What this process may use, in bytes: what the machine has, or its container, if that has less. */
export function machineMemoryBytes(): number {
  // Without a limit the kernel names none, or one beyond all memory.
  const limitBytes = process.constrainedMemory() ?? 0;
  return limitBytes > 0 ? Math.min(limitBytes, totalmem()) : totalmem();
}

/** Keeps this process alive until the returned function is called: pending timers don't. */
export function keepAlive(): () => void {
  const handle = setInterval(() => {}, 2 ** 31 - 1);
  return () => clearInterval(handle);
}

/** Resolves after `delayMs` on the runtime's clock. */
export function sleep(runtime: Runtime, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    runtime.after(delayMs, resolve);
  });
}
