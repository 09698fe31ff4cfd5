/** The application's hooks: one call at a time, in the order in which the partitions came and went. */
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime.ts";

export type PartitionsHook = (partitions: number[]) => void | Promise<void>;

const slowHookMs = 10_000;

export class Hooks {
  readonly #runtime: Runtime;
  readonly #log: Log;
  #last: Promise<void> = Promise.resolve();

  constructor(runtime: Runtime, log: Log) {
    this.#runtime = runtime;
    this.#log = log;
  }

  /** Resolves when all that were to run so far have finished. */
  get idle(): Promise<void> {
    return this.#last;
  }

  /** Resolves when the hooks, one after the other, have finished for `partitions`; it never rejects. */
  run(name: "onOwn" | "onRelease", hooks: readonly PartitionsHook[], partitions: number[]): Promise<void> {
    if (hooks.length > 0) this.#last = this.#last.then(() => this.#run(name, hooks, partitions));
    return this.#last;
  }

  async #run(name: string, hooks: readonly PartitionsHook[], partitions: number[]): Promise<void> {
    const slow = this.#runtime.after(slowHookMs, () =>
      this.#log.warn(
        { event: "hook-slow", hook: name, partitions },
        `${name} has been running for ${slowHookMs} ms; its partitions wait`,
      ),
    );
    for (const hook of hooks) {
      try {
        await hook(partitions);
      } catch (error) {
        this.#log.error(
          { event: "hook-failed", hook: name, partitions, error: messageOf(error) },
          `${name} threw; the partitions move on`,
        );
      }
    }
    slow.cancel();
  }
}
