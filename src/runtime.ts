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
  /** Milliseconds since 1970-01-01 UTC. Only expiry times, which outlive a process, are measured on it. */
  wallMs(): number;
  /** Runs `fn` once after `delayMs` (at least 0). A pending timer doesn't keep the process alive. */
  after(delayMs: number, fn: () => void): Timer;
  /** Runs `fn` after the input that is ready in this event-loop turn has been read. */
  soon(fn: () => void): void;
  randomBytes(size: number): Buffer;
  /** Uniform in [0, 1). For jitter, never for secrets. */
  random(): number;
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

export const systemRuntime: Runtime = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, fn) => new SystemTimer(delayMs, fn),
  soon: (fn) => void setImmediate(fn),
  randomBytes: (size) => randomBytes(size),
  random: () => Math.random(),
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
