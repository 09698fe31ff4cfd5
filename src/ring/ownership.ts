/**
 * What this node owns, and the steps by which a partition comes and goes:
 *
 *   comes:  the table names this node as owner → `onOwn` → the keeper serves it
 *   goes:   the table names another as incoming → the keeper copies → the keeper seals (operations queue) and the
 *           new owner confirms → `onRelease` → one compare-and-set makes it the owner → the keeper hands over
 *
 * Only the owner commits a move, so until it has sent its compare-and-set it may take the partition back. After
 * that, the partition stays sealed until a table says who owns it.
 */
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { type Runtime, sleep } from "../runtime.ts";
import { commitMove } from "./plan.ts";
import { type Member, memberOf, type Table } from "./table.ts";
import type { TableStore } from "./table-store.ts";

/** What holds the data of partitions. The ring alone has none; the cache brings one. */
export interface PartitionKeeper {
  /** Copies the partition to `to`; resolves when only a small lag is left. Rejects if `to` can't be reached. */
  copy(partition: number, to: Member, move: number): Promise<void>;
  /** Lets operations queue from this turn on; resolves when `to` has confirmed to hold everything. */
  seal(partition: number): Promise<void>;
  /** The move is off: forget the copy and, if sealed, carry out what was queued. */
  abort(partition: number): void;
  /**
   * This node owns the partition and its hooks have finished: serve what it has of it, else the copy that came with
   * `move`, else nothing.
   */
  activate(partition: number, move: number): void;
  /** This node no longer owns it: hand what was queued to `to`, or drop all if it was lost rather than moved. */
  release(partition: number, to: Member | undefined): void;
}

export type PartitionsHook = (partitions: number[]) => void | Promise<void>;

export interface OwnershipOptions {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly tables: TableStore;
  readonly keeper: PartitionKeeper | undefined;
  onOwn(): readonly PartitionsHook[];
  onRelease(): readonly PartitionsHook[];
  /** Partitions this node serves have changed. */
  changed(): void;
}

/** `none` → `opening` → `active` → `sealed` → `none`. */
type State = "none" | "opening" | "active" | "sealed";

interface Move {
  readonly partition: number;
  readonly id: number;
  readonly to: Member;
  /** onRelease has run: the partition may be served again only after another onOwn. */
  released: boolean;
}

/** Partitions copied at the same time, and sealed and committed together. */
const copiesMax = 8;
const retryDelayMs = 100;
const slowHookMs = 10_000;

export class Ownership {
  readonly #options: OwnershipOptions;
  readonly #states: State[];
  /** The move by which the partition came, from the table that first named this node as its owner. */
  readonly #cameBy: Float64Array;
  /** Counts how often the partition was to open here: an onOwn that ends late doesn't open it for a later one. */
  readonly #openings: Uint32Array;
  readonly #moves = new Map<number, Move>();
  readonly #waiting: Move[] = [];
  #copying = 0;
  #copied: Move[] = [];
  #committing = false;
  #self: Member;
  /** Hooks run one call at a time, in the order in which the partitions came and went. */
  #hooks: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: OwnershipOptions, self: Member, partitions: number) {
    this.#options = options;
    this.#self = self;
    this.#states = new Array<State>(partitions).fill("none");
    this.#cameBy = new Float64Array(partitions);
    this.#openings = new Uint32Array(partitions);
  }

  /** Whether this node may serve the partition now, as far as the table goes; the lease is another question. */
  isActive(partition: number): boolean {
    return this.#states[partition] === "active";
  }

  /** Active, or about to be, or sealed: operations belong here, though perhaps not yet or no longer. */
  holds(partition: number): boolean {
    return this.#states[partition] !== "none";
  }

  active(): number[] {
    return this.#states.flatMap((state, partition) => (state === "active" ? [partition] : []));
  }

  get movesUnderWay(): number {
    return this.#moves.size;
  }

  /** Brings this node's part in line with `table`; to be called with every newer one. */
  reconcile(table: Table): void {
    if (this.#stopped) return;
    const member = memberOf(table, this.#self.id)?.incarnation === this.#self.incarnation;
    const opening: number[] = [];
    let changed = false;
    table.rows.forEach((row, partition) => {
      if (member && row.owner === this.#self.id) {
        // It went and came back in tables that weren't seen here: what is here is of the time before.
        if (this.#states[partition] !== "none" && row.source !== this.#cameBy[partition]) {
          this.#lose(partition, undefined);
        }
        const state = this.#states[partition]!;
        if (state === "none") {
          this.#states[partition] = "opening";
          this.#cameBy[partition] = row.source;
          opening.push(partition);
        }
        const to = row.incoming === "" ? undefined : memberOf(table, row.incoming);
        const move = this.#moves.get(partition);
        if (move !== undefined && (to === undefined || move.id !== row.move)) this.#cancel(move);
        if (to !== undefined && !this.#moves.has(partition))
          this.#enqueue({ partition, id: row.move, to, released: false });
      } else if (this.#states[partition] !== "none") {
        this.#lose(partition, memberOf(table, row.owner));
        changed = true;
      }
    });
    if (opening.length > 0) this.#open(opening);
    if (changed) this.#options.changed();
    this.#startCopies();
  }

  /** Everything is lost at once: this incarnation has been declared dead. It goes on as `self`. */
  loseAll(self: Member): void {
    this.#self = self;
    for (let partition = 0; partition < this.#states.length; partition++) {
      if (this.#states[partition] !== "none") this.#lose(partition, undefined);
    }
    this.#options.changed();
  }

  /** Runs onRelease for what this node still owns and stops; the hooks that were under way finish first. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const owned = this.#states.flatMap((state, partition) =>
      state === "none" || this.#moves.get(partition)?.released === true ? [] : [partition],
    );
    for (const move of [...this.#moves.values()]) this.#forget(move);
    this.#states.fill("none");
    if (owned.length > 0) this.#run("onRelease", this.#options.onRelease(), owned);
    await this.#hooks;
  }

  #open(partitions: number[]): void {
    const openings = partitions.map((partition) => ++this.#openings[partition]!);
    const finish = (): void => {
      const opened = partitions.filter(
        (partition, i) => this.#states[partition] === "opening" && this.#openings[partition] === openings[i],
      );
      for (const partition of opened) {
        this.#states[partition] = "active";
        this.#options.keeper?.activate(partition, this.#cameBy[partition]!);
      }
      if (opened.length > 0) this.#options.changed();
      this.#startCopies();
    };
    const hooks = this.#options.onOwn();
    // Without hooks a partition is served in the very turn in which the table says so.
    if (hooks.length === 0) finish();
    else void this.#run("onOwn", hooks, partitions).then(finish);
  }

  /** Owned no more. `to` is the new owner if this node handed the partition over, else its data is void. */
  #lose(partition: number, to: Member | undefined): void {
    const state = this.#states[partition]!;
    const move = this.#moves.get(partition);
    const handedOver =
      state === "sealed" && move?.released === true && to !== undefined && move.to.id === to.id;
    this.#states[partition] = "none";
    if (move !== undefined) this.#forget(move);
    this.#options.keeper?.release(partition, handedOver ? to : undefined);
    if (handedOver) return;
    this.#options.log.debug(
      { event: "partition-taken", partition, state },
      `partition ${partition} was taken from this node`,
    );
    if (move?.released === true) return;
    this.#run("onRelease", this.#options.onRelease(), [partition]);
  }

  #enqueue(move: Move): void {
    this.#moves.set(move.partition, move);
    this.#waiting.push(move);
  }

  #forget(move: Move): void {
    this.#moves.delete(move.partition);
    const at = this.#waiting.indexOf(move);
    if (at >= 0) this.#waiting.splice(at, 1);
    this.#copied = this.#copied.filter((copied) => copied !== move);
  }

  /** The move is off and the partition stays here. */
  #cancel(move: Move): void {
    this.#forget(move);
    const { partition } = move;
    if (move.released) {
      this.#states[partition] = "opening";
      this.#options.keeper?.abort(partition);
      this.#open([partition]);
      return;
    }
    if (this.#states[partition] === "sealed") this.#states[partition] = "active";
    this.#options.keeper?.abort(partition);
    this.#options.changed();
  }

  #startCopies(): void {
    for (let i = 0; i < this.#waiting.length && this.#copying < copiesMax && !this.#stopped; ) {
      const move = this.#waiting[i]!;
      if (this.#states[move.partition] !== "active") {
        i++; // Still opening: its turn comes when it is active.
        continue;
      }
      this.#waiting.splice(i, 1);
      this.#copying++;
      void this.#copy(move).finally(() => {
        this.#copying--;
        this.#startCopies();
      });
    }
  }

  async #copy(move: Move): Promise<void> {
    try {
      await this.#options.keeper?.copy(move.partition, move.to, move.id);
      if (this.#isCurrent(move)) {
        this.#copied.push(move);
        // Those that are ready in the same turn go together, in one compare-and-set.
        this.#options.runtime.soon(() => void this.#commitCopied());
      }
    } catch (error) {
      await this.#retry(move, error);
    }
  }

  #isCurrent(move: Move): boolean {
    return !this.#stopped && this.#moves.get(move.partition) === move;
  }

  async #retry(move: Move, error: unknown): Promise<void> {
    if (!this.#isCurrent(move)) return;
    const { log, runtime } = this.#options;
    log.warn(
      { event: "handoff-retry", partition: move.partition, to: move.to.id, error: messageOf(error) },
      `copying partition ${move.partition} to ${move.to.id} failed, trying again`,
    );
    await sleep(runtime, retryDelayMs * (1 + runtime.random()));
    if (!this.#isCurrent(move)) return;
    this.#waiting.push(move);
    this.#startCopies();
  }

  async #commitCopied(): Promise<void> {
    if (this.#committing) return;
    this.#committing = true;
    try {
      while (this.#copied.length > 0 && !this.#stopped) {
        // To one node at a time: the partitions for one that answers don't stay sealed for one that doesn't.
        const to = this.#copied[0]!.to.id;
        const batch = this.#copied.filter((move) => move.to.id === to).slice(0, copiesMax);
        this.#copied = this.#copied.filter((move) => !batch.includes(move));
        const sealed = (await Promise.all(batch.map((move) => this.#seal(move)))).filter(
          (move) => move !== undefined,
        );
        if (sealed.length > 0) await this.#commit(sealed);
      }
    } catch (error) {
      if (!this.#stopped)
        this.#options.log.error(
          { event: "commit-failed", error: messageOf(error) },
          "a handoff's commit failed",
        );
    } finally {
      this.#committing = false;
    }
  }

  async #seal(move: Move): Promise<Move | undefined> {
    this.#states[move.partition] = "sealed";
    try {
      await this.#options.keeper?.seal(move.partition);
      return this.#isCurrent(move) ? move : undefined;
    } catch (error) {
      // Nothing was committed and only this node could: it may take the partition back.
      if (this.#isCurrent(move) && this.#states[move.partition] === "sealed") {
        this.#states[move.partition] = "active";
        this.#options.keeper?.abort(move.partition);
        void this.#retry(move, error);
      }
      return undefined;
    }
  }

  async #commit(sealed: readonly Move[]): Promise<void> {
    const hooks = this.#options.onRelease();
    // While one of them was being sealed, another may have been called off: that partition stays and is served.
    const batch = sealed.filter((move) => this.#isCurrent(move));
    if (batch.length === 0) return;
    for (const move of batch) move.released = true;
    if (hooks.length > 0)
      await this.#run(
        "onRelease",
        hooks,
        batch.map((move) => move.partition),
      );
    const current = batch.filter((move) => this.#isCurrent(move));
    if (current.length === 0) return;
    const wanted = current.map((move) => ({ partition: move.partition, move: move.id }));
    // Reconciling with the table that this makes known ends the moves; so does any other table that wins.
    await this.#options.tables.publish((table) => commitMove(table, wanted));
  }

  #run(name: "onOwn" | "onRelease", hooks: readonly PartitionsHook[], partitions: number[]): Promise<void> {
    if (hooks.length === 0) return this.#hooks;
    this.#hooks = this.#hooks.then(async () => {
      const { log, runtime } = this.#options;
      const slow = runtime.after(slowHookMs, () =>
        log.warn(
          { event: "hook-slow", hook: name, partitions },
          `${name} has been running for ${slowHookMs} ms; its partitions wait`,
        ),
      );
      for (const hook of hooks) {
        try {
          await hook(partitions);
        } catch (error) {
          log.error(
            { event: "hook-failed", hook: name, partitions, error: messageOf(error) },
            `${name} threw; the partitions move on`,
          );
        }
      }
      slow.cancel();
    });
    return this.#hooks;
  }
}
