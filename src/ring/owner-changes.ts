/**
 * Publishes what this node changes about the partitions that it owns, one table at a time: what comes up while one is
 * being published goes together into the next.
 */
import { messageOf, RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import { type Runtime, sleep } from "../runtime.ts";
import type { Table } from "./table.ts";
import type { TableStore } from "./table-store.ts";

const retryDelayMs = 100;
/** A publication that takes longer than this says that the store doesn't answer. */
const stuckMs = 250;

export interface OwnerChangesOptions {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly tables: TableStore;
  /**
   * The table after all that is to be changed of `base` now; undefined if nothing is. What has been `sent` once, and may
   * have been stored, must stay part of it for as long as `base` is the newest: else its outcome would go unknown.
   */
  next(base: Table): Table | undefined;
  /** `table` may become the one after `base` from this turn on. */
  sent(table: Table, base: Table): void;
  /** A publication is over. */
  decided(): void;
}

export class OwnerChanges {
  readonly #options: OwnerChangesOptions;
  #awake = false;
  #sinceMs: number | undefined;
  #stopped = false;

  constructor(options: OwnerChangesOptions) {
    this.#options = options;
  }

  /** The store hasn't answered for a while: what needs a new table now waits long. */
  get isStuck(): boolean {
    return this.#sinceMs !== undefined && this.#options.runtime.monotonicMs() - this.#sinceMs > stuckMs;
  }

  /** To be called when there may be something to publish; what comes up in the same turn goes with it. */
  wake(): void {
    if (this.#awake || this.#stopped) return;
    this.#awake = true;
    this.#options.runtime.soon(() => void this.#run());
  }

  stop(): void {
    this.#stopped = true;
  }

  async #run(): Promise<void> {
    const { decided, log, next, runtime, tables } = this.#options;
    while (!this.#stopped && next(tables.table) !== undefined) {
      this.#sinceMs = runtime.monotonicMs();
      try {
        await tables.publish((base) => this.#change(base));
      } catch (error) {
        if (this.#stopped || (error instanceof RingcacheError && error.code === "CLOSED")) break;
        log.error({ event: "publish-failed", error: messageOf(error) }, "publishing a table failed");
        await sleep(runtime, retryDelayMs * (1 + runtime.random()));
      }
      this.#sinceMs = undefined;
      if (!this.#stopped) decided();
    }
    this.#sinceMs = undefined;
    this.#awake = false;
  }

  #change(base: Table): Table | undefined {
    if (this.#stopped) return undefined;
    const table = this.#options.next(base);
    if (table !== undefined) this.#options.sent(table, base);
    return table;
  }
}
