/**
 * What this node owns, and the steps by which a partition comes and goes:
 *
 *   comes:  the table names this node as owner → who served it before can't any more → `onOwn` → every backup has what
 *           this node has → the keeper serves it
 *   stays:  members that are to have a copy are filled and become backups; those that died or are too many are dropped
 *   goes:   the table names a backup as incoming → the keeper seals → `onRelease` → the table names it as owner
 *
 * The table is judged anew whenever a newer one is known, and only this node changes what it says of the partitions
 * owned here. What a change that was sent has come to is known from the next table alone, never from its answer.
 */
import type { Log } from "../log.ts";
import { MoveCounters } from "../metrics/moves.ts";
import type { OwnedStates } from "../metrics/snapshot.ts";
import type { PeerIdentity } from "../peers/messages.ts";
import { planted } from "../planted.ts";
import type { Runtime } from "../runtime.ts";
import { Fills } from "./fills.ts";
import { Handovers } from "./handovers.ts";
import { Hooks, type PartitionsHook } from "./hooks.ts";
import type { PartitionKeeper } from "./keeper.ts";
import { Openings } from "./openings.ts";
import { OwnerChanges } from "./owner-changes.ts";
import { type Change, reconfigure } from "./reconfigure.ts";
import { newReign, type Reign, View } from "./reign.ts";
import type { Member, Row, Table } from "./table.ts";
import type { TableStore } from "./table-store.ts";

export type { PartitionsHook } from "./hooks.ts";

export interface OwnershipOptions {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly tables: TableStore;
  /** Undefined: there is no data, and every step succeeds at once. */
  readonly keeper: PartitionKeeper | undefined;
  onOwn(): readonly PartitionsHook[];
  onRelease(): readonly PartitionsHook[];
  /** Partitions this node serves have changed. */
  changed(): void;
  /** Its process is known not to run any more. */
  isDead(member: PeerIdentity): boolean;
  /** It has been out of reach for so long that it is to be no backup, and this node is the one that is to stay. */
  isUnreachable(member: PeerIdentity): boolean;
  /** The backup says that it has no copy of the partition. */
  isBroken(partition: number, member: PeerIdentity): boolean;
  /** This node's lease holds: without it, it may be declared dead at any time. */
  isLeased(): boolean;
  /** How long the owner of a row with `wait` must still wait before it serves, 0 if no more. Asked again after that. */
  waitMs(row: Row): number;
}

export class Ownership {
  readonly counters = new MoveCounters();
  readonly #options: OwnershipOptions;
  readonly #reigns: (Reign | undefined)[];
  readonly #hooks: Hooks;
  readonly #openings: Openings;
  readonly #fills: Fills;
  readonly #handovers: Handovers;
  readonly #changes: OwnerChanges;
  #self: Member;
  #view: View;
  #telling = false;
  #stopped = false;

  constructor(options: OwnershipOptions, self: Member, partitions: number) {
    const { keeper, log, runtime, tables } = options;
    const { counters } = this;
    this.#options = options;
    this.#self = self;
    this.#reigns = new Array<Reign | undefined>(partitions).fill(undefined);
    this.#view = new View(tables.table, self, options);
    this.#hooks = new Hooks(runtime, log);
    this.#changes = new OwnerChanges({
      runtime,
      log,
      tables,
      next: (base) => this.#nextTable(base),
      sent: (table, base) => this.#noteSent(table, base),
      decided: () => {
        if (planted.timeoutIsFailure)
          for (const { reign } of this.#current()) this.#handovers.unanswered(reign);
        this.check();
      },
    });
    this.#openings = new Openings({
      runtime,
      log,
      keeper,
      hooks: this.#hooks,
      onOwn: () => options.onOwn(),
      waitMs: (row) => options.waitMs(row),
      view: () => this.#view,
      opened: (reign) => this.#opened(reign),
    });
    this.#fills = new Fills({ runtime, log, keeper, counters, filled: () => this.#changes.wake() });
    this.#handovers = new Handovers({
      runtime,
      log,
      keeper,
      hooks: this.#hooks,
      counters,
      onRelease: () => options.onRelease(),
      isStuck: () => this.#changes.isStuck,
      successorOf: (reign) => {
        const row = this.#view.rowOf(reign);
        return row === undefined ? undefined : this.#view.successorOf(row);
      },
      publish: () => this.#changes.wake(),
      serveOn: (reign) => this.#serveOn(reign),
      reopen: (reign) => this.#openings.reopen(reign),
      review: (reign) => {
        this.#review(reign);
        this.#startWork();
      },
    });
  }

  /** Whether this node may serve the partition now, as far as the table goes; the lease is another question. */
  isActive(partition: number): boolean {
    return this.#reigns[partition]?.state === "active";
  }

  /** Active, or about to be, or sealed: operations belong here, though perhaps not yet or no longer. */
  holds(partition: number): boolean {
    return this.#reigns[partition] !== undefined;
  }

  active(): number[] {
    return this.#reigns.flatMap((reign, partition) => (reign?.state === "active" ? [partition] : []));
  }

  /** How many partitions are in each state. */
  states(): OwnedStates {
    const states = { opening: 0, active: 0, sealed: 0 };
    for (const reign of this.#reigns) {
      if (reign !== undefined && reign.state !== "over") states[reign.state]++;
    }
    return states;
  }

  get movesUnderWay(): number {
    return this.#current().filter(({ row }) => row.incoming !== "").length;
  }

  /**
   * The members one of whom would have to own an active partition before anybody else could: while all of their grants
   * hold, this node is its only owner, though no lease tells it so. None: grants prove nothing. It is what the table
   * names, with what a change that was sent and has no answer yet may have made of it.
   */
  grantors(partition: number): readonly Member[] {
    const reign = this.#reigns[partition];
    if (reign?.state !== "active") return [];
    if (reign.backups.every(({ id }) => reign.dropsSent.has(id))) return [];
    const added = [...reign.fills.values()].filter((fill) => fill.sentOn !== undefined);
    return added.length === 0 ? reign.backups : [...reign.backups, ...added.map((fill) => fill.to)];
  }

  /** Brings this node's part in line with `table`; to be called with every newer one, in the turn it becomes known. */
  reconcile(table: Table): void {
    if (this.#stopped) return;
    this.#view = new View(table, this.#self, this.#options);
    const { isMember } = this.#view;
    const begun: Reign[] = [];
    table.rows.forEach((row, partition) => {
      const isOwner = isMember && row.owner === this.#self.id;
      const reign = this.#reigns[partition];
      // With another `since` it went and came back in tables that weren't seen here.
      const goesOn = isOwner && reign?.since === row.since;
      if (reign !== undefined && !goesOn) this.#lose(reign, isMember, table);
      if (goesOn) this.#review(reign!);
      else if (isOwner) begun.push(this.#begin(partition, row));
    });
    for (const reign of begun) this.#openings.add(reign);
    this.#openings.review();
    this.#startWork();
  }

  /** Looks again at everything owned: to be called when a member is found dead, or out of reach, or back. */
  check(): void {
    if (this.#stopped) return;
    for (const { reign } of this.#current()) this.#review(reign);
    this.#openings.review();
    this.#startWork();
  }

  /** Everything is lost at once: this incarnation has been declared dead. It goes on as `self`. */
  loseAll(self: Member): void {
    this.#self = self;
    for (const reign of this.#reigns) if (reign !== undefined) this.#lose(reign, false, undefined);
    this.#view = new View(this.#options.tables.table, self, this.#options);
    this.#tellChanged();
  }

  /** Runs onRelease for what this node still owns and stops; the hooks that were under way finish first. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#openings.stop();
    this.#changes.stop();
    this.#fills.stop();
    this.#handovers.stop();
    const owned: number[] = [];
    for (const reign of this.#reigns) {
      if (reign === undefined) continue;
      if (reign.hooks === "owned") owned.push(reign.partition);
      reign.state = "over";
      this.#handovers.endReign(reign, false);
    }
    this.#reigns.fill(undefined);
    if (owned.length > 0) void this.#hooks.run("onRelease", this.#options.onRelease(), owned);
    await this.#hooks.idle;
  }

  #current(): { reign: Reign; row: Row }[] {
    return this.#reigns.flatMap((reign) => {
      const row = reign === undefined ? undefined : this.#view.rowOf(reign);
      return reign === undefined || row === undefined ? [] : [{ reign, row }];
    });
  }

  #begin(partition: number, row: Row): Reign {
    const reign = newReign(partition, row.since);
    if (row.came === "promotion") this.counters.failovers++;
    this.#reigns[partition] = reign;
    this.#options.keeper?.own(partition, row);
    this.#review(reign);
    return reign;
  }

  /** Brings what is done about the partition in line with its row in the newest table. */
  #review(reign: Reign): void {
    const row = this.#view.rowOf(reign);
    if (row === undefined) return;
    if (reign.dropsSentOn < this.#view.table.epoch) reign.dropsSent.clear();
    if (row.term !== reign.term) {
      reign.backups = this.#view.backupsOf(reign, row);
      reign.term = row.term;
      reign.timesTold++;
      this.#options.keeper?.setBackups(reign.partition, row.term, reign.backups);
    }
    this.#handovers.review(reign, row, this.#view);
    this.#fills.review(reign, row, this.#view);
  }

  /** Starts what the reviews have found to be done. */
  #startWork(): void {
    this.#changes.wake();
    this.#fills.start();
    this.#handovers.start();
  }

  #opened(reign: Reign): void {
    if (reign.isKeptSealed) this.#serveOn(reign);
    else {
      reign.state = "active";
      this.#options.keeper?.activate(reign.partition);
      this.#tellChanged();
    }
    this.#review(reign);
    this.#startWork();
  }

  #serveOn(reign: Reign): void {
    reign.state = "active";
    reign.isKeptSealed = false;
    this.#options.keeper?.unseal(reign.partition);
    this.#tellChanged();
  }

  /**
   * Owned no more, in a table that has this node as a living member (`isMember`) or by its death. Nobody but a living
   * owner itself gives its partition away, so if it was sent the handover has taken place, whoever owns it by now: the
   * table may count on the copy here. Otherwise what is here is void.
   */
  #lose(reign: Reign, isMember: boolean, table: Table | undefined): void {
    const { partition, state } = reign;
    const handed = isMember && reign.handover?.sentOn !== undefined;
    reign.state = "over";
    this.#reigns[partition] = undefined;
    this.#openings.endReign(reign);
    this.#handovers.endReign(reign, handed);
    this.#fills.endReign(reign, table);
    this.#options.keeper?.release(partition, handed);
    this.#tellChanged();
    if (!handed) {
      this.#options.log.debug(
        { event: "partition-taken", partition, state },
        `partition ${partition} was taken from this node`,
      );
      if (reign.hooks === "owned") void this.#hooks.run("onRelease", this.#options.onRelease(), [partition]);
    }
  }

  /** Once in a turn, however many have changed in it. */
  #tellChanged(): void {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      if (!this.#stopped) this.#options.changed();
    });
  }

  #changesOf(table: Table): Change[] {
    // A table that this node hasn't looked at yet isn't changed: it may say that the reign is over.
    if (table !== this.#view.table || !this.#view.isMember) return [];
    return this.#current().flatMap(({ reign, row }) => {
      const { partition, since, handover } = reign;
      const changes: Change[] = [];
      for (const member of this.#view.dropsOf(reign, row))
        changes.push({ partition, since, kind: "drop", member });
      for (const { state, to } of reign.fills.values())
        if (state === "filled") changes.push({ partition, since, kind: "add", member: to });
      // Last, and whatever is known of the new owner by now: once sent, it stays part of the change until it is decided.
      if (handover?.phase === "handing")
        changes.push({ partition, since, kind: "hand", member: handover.to });
      return changes;
    });
  }

  #nextTable(base: Table): Table | undefined {
    const changes = this.#changesOf(base);
    return changes.length === 0 ? undefined : reconfigure(base, this.#self, changes);
  }

  #noteSent(table: Table, base: Table): void {
    for (const { reign, row: was } of this.#current()) {
      const row = table.rows[reign.partition]!;
      if (row === was) continue;
      for (const id of was.backups) if (!namesCopy(row, id)) reign.dropsSent.add(id);
      reign.dropsSentOn = base.epoch;
      for (const fill of reign.fills.values())
        if (fill.state === "filled" && row.backups.includes(fill.to.id)) fill.sentOn = base.epoch;
      if (row.owner !== was.owner && reign.handover !== undefined) {
        reign.handover.sentOn = base.epoch;
        this.#handovers.sent(reign);
      }
    }
  }
}

function namesCopy(row: Row, id: string): boolean {
  return row.owner === id || row.backups.includes(id);
}
