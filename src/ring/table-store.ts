/** This node's view of the published table, and the one way to change it: compare-and-set on its revision. */
import type { Bucket, Watch } from "../coordination/coordination.ts";
import { messageOf, RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import { type Runtime, sleep } from "../runtime.ts";
import { decodeTable, emptyTable, encodeTable, type Table } from "./table.ts";

const tableKey = "table";
/** Between two looks at a store that doesn't answer or answers with what is known to be old. */
const retryDelayMs = 20;
const retryDelayMsMax = 500;

export interface TableStoreOptions {
  readonly bucket: Bucket;
  readonly partitions: number;
  readonly runtime: Runtime;
  readonly log: Log;
  /** Names this process among the writers. */
  readonly writer: string;
}

export class TableStore {
  readonly #bucket: Bucket;
  readonly #runtime: Runtime;
  readonly #log: Log;
  readonly #writer: string;
  readonly #listeners = new Set<(table: Table, previous: Table) => void>();
  #table: Table;
  #revision = 0;
  #attempts = 0;
  #watch: Watch | undefined;
  #closed = false;
  /** Publications of this node run one after the other: they would only conflict with each other. */
  #queue: Promise<void> = Promise.resolve();

  constructor(options: TableStoreOptions) {
    this.#bucket = options.bucket;
    this.#runtime = options.runtime;
    this.#log = options.log;
    this.#writer = options.writer;
    this.#table = emptyTable(options.partitions);
  }

  get table(): Table {
    return this.#table;
  }

  /** Called in the turn in which a newer table becomes known here. */
  subscribe(listener: (table: Table, previous: Table) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when the table that was there has been seen. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#watch = this.#bucket.watch({
        change: (change) => {
          if (change.key === tableKey && change.value !== undefined)
            this.#adopt(change.value, change.revision);
        },
        current: resolve,
        ended: (error) => {
          this.#log.error(
            { event: "table-watch-ended", error: error.message },
            "the watch on the table ended",
          );
          reject(error);
        },
      });
    });
  }

  close(): void {
    this.#closed = true;
    this.#watch?.stop();
    this.#listeners.clear();
  }

  /**
   * Publishes `change(current table)` unless that is undefined. When this resolves the outcome is decided and
   * {@link table} is at least as new as it: look there. A conflict or a lost answer runs `change` again on the
   * newer table, so it must be a pure function that returns undefined once its work is done. Rejects with CLOSED.
   */
  publish(change: (table: Table) => Table | undefined): Promise<void> {
    const run = this.#queue.then(() => this.#publish(change));
    this.#queue = run.catch(() => undefined);
    return run;
  }

  async #publish(change: (table: Table) => Table | undefined): Promise<void> {
    let delayMs = retryDelayMs;
    for (;;) {
      if (this.#closed) throw new RingcacheError("CLOSED", "the ring was closed");
      const base = this.#revision;
      const next = change(this.#table);
      if (next === undefined) return;
      const value = encodeTable({ ...next, writer: `${this.#writer}/${++this.#attempts}` });
      try {
        const result =
          base === 0
            ? await this.#bucket.create(tableKey, value)
            : await this.#bucket.update(tableKey, value, base);
        if (result.written) {
          this.#adopt(value, result.revision);
          return;
        }
      } catch (error) {
        // No answer is not an answer: the write may be stored, or still be. Only a newer revision decides, either
        // this one's or that of the same change tried again on the same base.
        this.#log.debug(
          { event: "table-write-unanswered", error: messageOf(error) },
          "no answer to a table write",
        );
      }
      if (!(await this.#catchUp(base))) {
        await sleep(this.#runtime, delayMs * (0.5 + this.#runtime.random()));
        delayMs = Math.min(delayMs * 2, retryDelayMsMax);
      } else {
        delayMs = retryDelayMs;
      }
    }
  }

  /** Looks for a revision newer than `base`; false if none could be had. */
  async #catchUp(base: number): Promise<boolean> {
    if (this.#revision > base) return true;
    try {
      const entry = await this.#bucket.get(tableKey);
      if (entry !== undefined) this.#adopt(entry.value, entry.revision);
    } catch (error) {
      this.#log.debug({ event: "table-read-failed", error: messageOf(error) }, "the table can't be read now");
    }
    return this.#revision > base;
  }

  #adopt(value: Uint8Array, revision: number): void {
    if (revision <= this.#revision || this.#closed) return;
    let table: Table;
    try {
      table = decodeTable(value);
    } catch (error) {
      this.#log.error(
        { event: "table-unreadable", revision, error: messageOf(error) },
        "ignored an unreadable table",
      );
      return;
    }
    const previous = this.#table;
    if (table.epoch <= previous.epoch || table.rows.length !== previous.rows.length) {
      this.#log.error(
        { event: "table-refused", epoch: table.epoch, known: previous.epoch, revision },
        "refused a table that is older than the known one or has another number of partitions",
      );
      return;
    }
    this.#revision = revision;
    this.#table = table;
    for (const listener of [...this.#listeners]) listener(table, previous);
  }
}
