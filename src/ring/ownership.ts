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
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerIdentity } from "../peers/messages.ts";
import { type Runtime, sleep, type Timer } from "../runtime.ts";
import { Fills } from "./fills.ts";
import { Handovers } from "./handovers.ts";
import { Hooks, type PartitionsHook } from "./hooks.ts";
import type { PartitionKeeper } from "./keeper.ts";
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
  /** How long the owner of a row with `wait` must still wait before it serves, 0 if no more. Asked again after that. */
  waitMs(row: Row): number;
}

/** What is to be waited for is looked at again at least this often, and at most every millisecond. */
const waitMsMax = 60_000;
const retryDelayMs = 100;

export class Ownership {
  readonly #options: OwnershipOptions;
  readonly #reigns: (Reign | undefined)[];
  readonly #hooks: Hooks;
  readonly #fills: Fills;
  readonly #handovers: Handovers;
  readonly #changes: OwnerChanges;
  #self: Member;
  #view: View;
  /** Those that may not be served yet, because who owned them before may still serve them. */
  readonly #waiting = new Set<Reign>();
  #waitTimer: Timer | undefined;
  #telling = false;
  #stopped = false;

  constructor(options: OwnershipOptions, self: Member, partitions: number) {
    const { keeper, log, runtime, tables } = options;
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
      decided: () => this.check(),
    });
    this.#fills = new Fills({ runtime, log, keeper, filled: () => this.#changes.wake() });
    this.#handovers = new Handovers({
      runtime,
      log,
      keeper,
      hooks: this.#hooks,
      onRelease: () => options.onRelease(),
      isStuck: () => this.#changes.isStuck,
      successorOf: (reign) => {
        const row = this.#view.rowOf(reign);
        return row === undefined ? undefined : this.#view.successorOf(row);
      },
      publish: () => this.#changes.wake(),
      serveOn: (reign) => this.#serveOn(reign),
      reopen: (reign) => {
        reign.state = "opening";
        reign.isKeptSealed = true;
        this.#arrive([reign]);
      },
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
    for (const reign of begun) this.#waiting.add(reign);
    this.#endWaits();
    this.#startWork();
  }

  /** Looks again at everything owned: to be called when a member is found dead, or out of reach, or back. */
  check(): void {
    if (this.#stopped) return;
    for (const { reign } of this.#current()) this.#review(reign);
    this.#endWaits();
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
    this.#waitTimer?.cancel();
    this.#changes.stop();
    this.#fills.stop();
    this.#handovers.stop();
    const owned: number[] = [];
    for (const reign of this.#reigns) {
      if (reign === undefined) continue;
      if (reign.hooks === "owned") owned.push(reign.partition);
      reign.state = "over";
      this.#handovers.endReign(reign);
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

  #endWaits(): void {
    this.#waitTimer?.cancel();
    const arrived: Reign[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const reign of this.#waiting) {
      const row = this.#view.rowOf(reign);
      if (row === undefined) continue;
      const waitMs = row.wait ? this.#options.waitMs(row) : 0;
      if (waitMs > 0) nextMs = Math.min(nextMs, waitMs);
      else arrived.push(reign);
    }
    for (const reign of arrived) this.#waiting.delete(reign);
    if (this.#waiting.size > 0) {
      const delayMs = Math.min(Math.max(nextMs, 1), waitMsMax);
      this.#waitTimer = this.#options.runtime.after(delayMs, () => this.#endWaits());
    }
    if (arrived.length > 0) this.#arrive(arrived);
  }

  /** Nobody else serves the partitions any more: they are served when onOwn has finished. */
  #arrive(reigns: readonly Reign[]): void {
    for (const reign of reigns) reign.hooks = "owned";
    const hooks = this.#options.onOwn();
    const finish = (): void => {
      for (const reign of reigns) if (reign.state === "opening") this.#open(reign);
    };
    // Without hooks and a keeper a partition is served in the very turn in which the table says so.
    if (hooks.length === 0) finish();
    else {
      const partitions = reigns.map(({ partition }) => partition);
      void this.#hooks.run("onOwn", hooks, partitions).then(finish);
    }
  }

  #open(reign: Reign): void {
    const { keeper } = this.#options;
    if (keeper !== undefined && !reign.isKeptSealed) {
      void this.#openWhenReady(reign, keeper);
      return;
    }
    if (reign.isKeptSealed) this.#serveOn(reign);
    else this.#activate(reign);
    this.#review(reign);
    this.#startWork();
  }

  /** What the backups lack could be taken back by a failover: nothing is read before they have it. */
  async #openWhenReady(reign: Reign, keeper: PartitionKeeper): Promise<void> {
    for (;;) {
      const told = reign.timesTold;
      try {
        await keeper.ready(reign.partition);
        if (reign.state !== "opening") return;
        // It is the present backups that count, not those of when it was asked.
        if (reign.timesTold === told) break;
      } catch (error) {
        if (reign.state !== "opening") return;
        this.#options.log.warn(
          { event: "open-retry", partition: reign.partition, error: messageOf(error) },
          `the backups of partition ${reign.partition} can't be brought up to date, trying again`,
        );
        await sleep(this.#options.runtime, retryDelayMs * (1 + this.#options.runtime.random()));
        if (reign.state !== "opening") return;
      }
    }
    this.#activate(reign);
    this.#review(reign);
    this.#startWork();
  }

  #activate(reign: Reign): void {
    reign.state = "active";
    this.#options.keeper?.activate(reign.partition);
    this.#tellChanged();
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
    this.#waiting.delete(reign);
    this.#handovers.endReign(reign);
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
