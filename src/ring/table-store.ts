/**
 * This node's view of the published table, and the one way to change it: compare-and-set on its revision. If the store
 * loses its data, what this node knows stays in force; nothing is published until a table is back in the store, written by
 * this node ({@link TableStore.writeBack}) or another. Its epoch is far above any that may have been lost, so that
 * epochs go up for every node, whatever it had seen.
 */
import type { Bucket, Watch } from "../coordination/coordination.ts";
import { messageOf, RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import { planted } from "../planted.ts";
import { type Runtime, sleep } from "../runtime.ts";
import { decodeTable, emptyTable, encodeTable, type History, type Table } from "./table.ts";

const tableKey = "table";
/** Between two looks at a store that doesn't answer or answers with what is known to be old. */
const retryDelayMs = 20;
const retryDelayMsMax = 500;
/** More tables than could have been published without any living node having seen one of them. */
const restoredEpochStep = 1_000;

export interface TableStoreOptions {
  readonly bucket: Bucket;
  readonly partitions: number;
  readonly runtime: Runtime;
  readonly log: Log;
  /** Names this process among the writers. */
  readonly writer: string;
  /** Names the history of tables if this node is the one to begin it, see {@link History}: no other node's. */
  readonly history?: string;
}

export interface LossListener {
  /** The store has lost the table; it is to be written back. */
  lost(): void;
  /** A table is in force that knows nothing of tables which this node has seen, and may have acted on. */
  undone(): void;
}

export class TableStore {
  readonly #options: TableStoreOptions;
  readonly #listeners = new Set<(table: Table, previous: Table) => void>();
  #lossListener: LossListener | undefined;
  #table: Table;
  #revision = 0;
  #attempts = 0;
  #watch: Watch | undefined;
  #closed = false;
  /** Publications of this node run one after the other: they would only conflict with each other. */
  #queue: Promise<void> = Promise.resolve();
  /** Ends when a table is back in a store that lost it. */
  #restoration: { readonly ended: Promise<void>; readonly end: () => void } | undefined;
  #restorations = 0;
  /** A table in the store that isn't the one to be restored: of a node that was started on the empty store. */
  #intruder = { revision: 0, epoch: 0 };

  constructor(options: TableStoreOptions) {
    this.#options = options;
    this.#table = emptyTable(options.partitions);
  }

  get table(): Table {
    return this.#table;
  }

  /** The store has lost the table, and none is back yet as far as this node knows: it knows the last of those before. */
  get isRestoring(): boolean {
    return this.#restoration !== undefined;
  }

  /** Of the store. */
  get generation(): string {
    return this.#options.bucket.generation;
  }

  /** Called in the turn in which a newer table becomes known here. */
  subscribe(listener: (table: Table, previous: Table) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Who sees to it that a lost table comes back. */
  onLoss(listener: LossListener): void {
    this.#lossListener = listener;
  }

  /** Resolves when the table that was there has been seen. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#watch = this.#options.bucket.watch({
        change: (change) => {
          if (change.key === tableKey && change.value !== undefined)
            this.#adopt(change.value, change.revision);
        },
        current: resolve,
        lost: () => this.#lost(),
        ended: (error) => {
          this.#options.log.error(
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
    this.#restoration?.end();
  }

  /**
   * Publishes `change(current table)` unless that is undefined. When this resolves the outcome is decided and
   * {@link table} is at least as new as it: look there. A conflict or a lost answer runs `change` again on the
   * newer table, so it must be a pure function that returns undefined once its work is done. While the store is
   * without a table it waits. Rejects with CLOSED.
   */
  publish(change: (table: Table) => Table | undefined): Promise<void> {
    const run = this.#queue.then(() => this.#publish(change));
    this.#queue = run.catch(() => undefined);
    return run;
  }

  /** Resolves when the table that is known then was the latest at some time after the call. */
  confirm(): Promise<void> {
    const restorations = this.#restorations;
    return this.publish((table) =>
      this.#restorations > restorations ? undefined : { ...table, epoch: table.epoch + 1 },
    );
  }

  /** Reads the store: whether another node has written the table back, which the watch may show later. */
  async look(): Promise<void> {
    if (this.isRestoring && !this.#closed) await this.#catchUp(0);
  }

  /**
   * Writes the table that this node knows into a store that has lost it, unless another has. Only for who knows that no
   * living node knows a newer one. Resolves after one attempt; {@link isRestoring} says whether there is to be another.
   */
  async writeBack(): Promise<void> {
    if (!this.isRestoring || this.#closed) return;
    const { bucket, history, log } = this.#options;
    const { revision, epoch } = this.#intruder;
    const table = {
      ...this.#table,
      epoch: Math.max(this.#table.epoch, epoch) + restoredEpochStep,
      writer: this.#nextWriter(),
      ...withHistory({ id: this.#table.history?.id ?? history, restoredFrom: this.#table.epoch }),
    };
    const value = encodeTable(table);
    try {
      const result =
        revision === 0
          ? await bucket.create(tableKey, value)
          : await bucket.update(tableKey, value, revision);
      if (result.written) {
        const message = `wrote table ${this.#table.epoch} back into the store as ${table.epoch}`;
        log.warn({ event: "table-restored", epoch: table.epoch }, message);
        this.#adopt(value, result.revision);
      }
    } catch (error) {
      log.debug(
        { event: "restore-unanswered", error: messageOf(error) },
        "no answer to writing the table back",
      );
    }
    await this.look();
  }

  /** A newer table than the known one that another node has seen before the store lost it. */
  learn(value: Uint8Array): void {
    const table = this.#decode(value, 0);
    if (table === undefined || !this.isRestoring || !this.#follows(table)) return;
    this.#replace(table);
  }

  /** What the store holds as far as this node knows, to tell who knows only `epoch`; undefined if that isn't newer. */
  published(epoch: number): { value: Uint8Array; revision: number; generation: string } | undefined {
    const { generation } = this;
    if (this.isRestoring || this.#revision === 0 || generation === "") return undefined;
    if (this.#table.epoch <= epoch) return undefined;
    return { value: encodeTable(this.#table), revision: this.#revision, generation };
  }

  /** What another node has seen {@link published} in this life of the store, as if the watch had shown it. True if it was new. */
  overhear(value: Uint8Array, revision: number): boolean {
    const { epoch } = this.#table;
    if (!this.isRestoring && epoch > 0) this.#adopt(value, revision);
    return this.#table.epoch > epoch;
  }

  async #publish(change: (table: Table) => Table | undefined): Promise<void> {
    let delayMs = retryDelayMs;
    for (;;) {
      while (this.#restoration !== undefined && !this.#closed) await this.#restoration.ended;
      if (this.#closed) throw new RingcacheError("CLOSED", "the ring was closed");
      const base = this.#revision;
      const next = change(this.#table);
      if (next === undefined) return;
      const history = this.#table.epoch > 0 ? this.#table.history : undefined;
      const { id = this.#options.history, restoredFrom = 0 } = history ?? {};
      const writer = this.#nextWriter();
      const value = encodeTable({ ...next, writer, ...withHistory({ id, restoredFrom }) });
      try {
        const result =
          base === 0
            ? await this.#options.bucket.create(tableKey, value)
            : await this.#options.bucket.update(tableKey, value, base);
        if (result.written) {
          this.#adopt(value, result.revision);
          return;
        }
      } catch (error) {
        // No answer is not an answer: the write may be stored, or still be. Only a newer revision decides, either
        // this one's or that of the same change tried again on the same base.
        this.#options.log.debug(
          { event: "table-write-unanswered", error: messageOf(error) },
          "no answer to a table write",
        );
        if (planted.timeoutIsFailure) return;
      }
      if (!(await this.#catchUp(base))) {
        await sleep(this.#options.runtime, delayMs * (0.5 + this.#options.runtime.random()));
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
      const entry = await this.#options.bucket.get(tableKey);
      if (entry !== undefined) this.#adopt(entry.value, entry.revision);
    } catch (error) {
      this.#options.log.debug(
        { event: "table-read-failed", error: messageOf(error) },
        "the table can't be read now",
      );
    }
    return this.#revision > base;
  }

  #lost(): void {
    this.#revision = 0;
    this.#intruder = { revision: 0, epoch: 0 };
    // A node that has seen no table has nothing to restore.
    if (this.#closed || this.#table.epoch === 0) return;
    if (this.#restoration === undefined) {
      let end = (): void => {};
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      this.#restoration = { ended, end };
    }
    this.#lossListener?.lost();
  }

  #adopt(value: Uint8Array, revision: number): void {
    if (revision <= Math.max(this.#revision, this.#intruder.revision) || this.#closed) return;
    const table = this.#decode(value, revision);
    const known = this.#table;
    if (this.#restoration !== undefined) {
      if (table === undefined || !this.#isRestored(table)) {
        this.#intruder = { revision, epoch: table?.epoch ?? 0 };
        return;
      }
      this.#restorations++;
      this.#restoration.end();
      this.#restoration = undefined;
    }
    if (table === undefined) return;
    if (table.epoch <= known.epoch) {
      this.#options.log.error(
        { event: "table-refused", epoch: table.epoch, known: known.epoch, revision },
        "refused a table that is older than the known one",
      );
      return;
    }
    if (isAnother(table.history, known.history)) {
      this.#options.log.error(
        { event: "platform-replaced", epoch: table.epoch },
        "this node was started while the store was empty, and the cluster from before is back: following that",
      );
    }
    this.#revision = revision;
    this.#replace(table);
  }

  #replace(table: Table): void {
    const previous = this.#table;
    this.#table = table;
    const from = table.history?.restoredFrom ?? 0;
    const isUndone =
      isAnother(table.history, previous.history) ||
      (from !== (previous.history?.restoredFrom ?? 0) && previous.epoch > from);
    // Before anyone acts on the table.
    if (isUndone) this.#lossListener?.undone();
    for (const listener of [...this.#listeners]) listener(table, previous);
  }

  /** The same history, going on. */
  #follows(table: Table): boolean {
    return table.epoch > this.#table.epoch && !isAnother(table.history, this.#table.history);
  }

  /** Written back after the loss, and not by a node that knew nothing of what was lost. */
  #isRestored(table: Table): boolean {
    const from = table.history?.restoredFrom ?? 0;
    return this.#follows(table) && from > (this.#table.history?.restoredFrom ?? 0);
  }

  #decode(value: Uint8Array, revision: number): Table | undefined {
    const { log, partitions } = this.#options;
    try {
      const table = decodeTable(value);
      if (table.rows.length === partitions) return table;
      throw new Error(`it has ${table.rows.length} partitions`);
    } catch (error) {
      log.error(
        { event: "table-unreadable", revision, error: messageOf(error) },
        "ignored an unreadable table",
      );
      return undefined;
    }
  }

  #nextWriter(): string {
    return `${this.#options.writer}/${++this.#attempts}`;
  }
}

function withHistory({ id = "", restoredFrom }: { id: string | undefined; restoredFrom: number }): {
  history?: History;
} {
  return id === "" && restoredFrom === 0 ? {} : { history: { id, restoredFrom } };
}

function isAnother(a: History | undefined, b: History | undefined): boolean {
  return a !== undefined && b !== undefined && a.id !== b.id;
}
