/**
 * The member that plans tables. It holds the `coordinator` key of the ring bucket by compare-and-set; the key only
 * keeps several members from doing the same work at once. Two that both believe to hold it do no harm: tables are
 * published by compare-and-set too, and nobody is declared dead but by one on the member's own record.
 */
import type { Bucket, Watch } from "../coordination/coordination.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerIdentity } from "../peers/messages.ts";
import type { Runtime, Timer } from "../runtime.ts";
import { clockDriftMax, type Membership } from "./membership.ts";
import { plan } from "./plan.ts";
import { Roster } from "./roster.ts";
import type { Member, Table } from "./table.ts";
import type { TableStore } from "./table-store.ts";

const coordinatorKey = "coordinator";
/** How long a plan waits for further changes, so that nodes which join together are planned together. */
const planDelayMs = 100;
/** Until somebody whose process is known dead is declared dead again, after a renewal of the last moment was in the way. */
const buryAgainMs = 20;

export interface CoordinatorOptions {
  readonly bucket: Bucket;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly leaseMs: number;
  readonly backups: number;
  readonly membership: Membership;
  readonly tables: TableStore;
}

/** By which any member asks the one that coordinates for {@link Coordinator.replan}. */
export const planMethod = "ring.plan";

export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #roster: Roster;
  #holder: PeerIdentity | undefined;
  #holderSeenAtMs = 0;
  #revision = 0;
  #renewedAtMs = Number.NEGATIVE_INFINITY;
  #beats = 0;
  #watch: Watch | undefined;
  #planTimer: Timer | undefined;
  #claiming = false;
  #planning = false;
  #planAgain = false;
  /** Something has changed since the last plan that may call for another. */
  #dirty = true;
  #stopped = false;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.#roster = new Roster(options.membership);
  }

  /** The id of the member that coordinates as far as is known here; empty if none. */
  get holder(): string {
    return this.#holder?.id ?? "";
  }

  get isCoordinator(): boolean {
    return (
      !this.#stopped &&
      this.#holder?.incarnation === this.#options.membership.self.incarnation &&
      this.#options.runtime.monotonicMs() - this.#renewedAtMs < this.#options.leaseMs
    );
  }

  start(): Promise<void> {
    this.#options.tables.subscribe((table, previous) => {
      this.#dirty = true;
      this.#roster.tableChanged(table, previous);
      if (this.isCoordinator) this.#schedulePlan(planDelayMs);
    });
    return new Promise((resolve, reject) => {
      this.#watch = this.#options.bucket.watch({
        change: (change) => {
          if (change.key === coordinatorKey) this.#sight(change.value, change.revision);
        },
        current: () => {
          resolve();
          this.tick();
        },
        lost: () => this.#lost(),
        ended: reject,
      });
    });
  }

  /** Gives the office up, so that another member takes it at once. */
  async resign(): Promise<void> {
    const held = this.isCoordinator;
    this.stop();
    if (!held || this.#revision === 0) return;
    try {
      await this.#options.bucket.remove(coordinatorKey, this.#revision);
    } catch (error) {
      this.#options.log.warn(
        { event: "resign-unanswered", error: messageOf(error) },
        "no answer to resigning as coordinator",
      );
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#watch?.stop();
    this.#planTimer?.cancel();
  }

  /** The address of this incarnation refuses connections or answers as another one: its process is dead. */
  processIsDead(peer: PeerIdentity): void {
    if (this.#stopped) return;
    // Told again for every attempt to connect: only the first time is news.
    if (this.#roster.prove(peer)) this.#dirty = true;
    if (this.isCoordinator) this.#schedulePlan(0, true);
    else this.tick();
  }

  /** Members changed: a table may have to be planned. */
  membersChanged(): void {
    this.#dirty = true;
    if (!this.isCoordinator) {
      this.tick();
      return;
    }
    const { membership, tables } = this.#options;
    const someoneDied = tables.table.members.some(
      (member) => member.dead === "" && membership.isGone(member),
    );
    this.#schedulePlan(someoneDied ? 0 : planDelayMs, someoneDied);
  }

  /** Looks at the whole ring again, as if everything had changed. */
  planNow(): void {
    this.#dirty = true;
    this.tick();
  }

  /** As {@link planNow}; resolves when that has been done, at once if another member coordinates. */
  async replan(): Promise<void> {
    this.#dirty = true;
    if (this.#stopped || !this.#options.membership.leaseHolds) return;
    await this.#claim();
    if (this.isCoordinator) await this.#plan();
  }

  /** Called at every heartbeat, and whenever something suggests that there is work. */
  tick(): void {
    if (this.#stopped || !this.#options.membership.leaseHolds) return;
    void this.#claim().then(() => {
      if (this.isCoordinator) this.#schedulePlan(0);
    });
  }

  /** The office is vacant in the store; who holds it takes it again, and the others give it the time for that. */
  #lost(): void {
    this.#revision = 0;
    this.#holderSeenAtMs = this.#options.runtime.monotonicMs();
    this.#renewedAtMs = Math.min(
      this.#renewedAtMs,
      this.#options.runtime.monotonicMs() - this.#options.leaseMs / 4,
    );
    this.#dirty = true;
    this.tick();
  }

  #sight(value: Uint8Array | undefined, revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    this.#holderSeenAtMs = this.#options.runtime.monotonicMs();
    this.#holder = value === undefined ? undefined : decodeHolder(value);
    if (this.#holder === undefined) this.tick();
  }

  /** Renews the office, or takes it if nobody holds it any more. */
  async #claim(): Promise<void> {
    const { bucket, leaseMs, log, membership, runtime } = this.#options;
    if (this.#claiming) return;
    const { id, incarnation, leaving } = membership.self;
    const nowMs = runtime.monotonicMs();
    const holder = this.#holder;
    const mine = holder?.incarnation === incarnation;
    if (mine && nowMs - this.#renewedAtMs < leaseMs / 4) return;
    if (!mine) {
      const silent = nowMs - this.#holderSeenAtMs >= leaseMs * (1 + clockDriftMax);
      const free =
        holder === undefined ||
        silent ||
        this.#roster.isProven(holder) ||
        membership.isGone(holder) ||
        membership.seemsGone(holder);
      // A leaving member takes the office only if nobody else could: not who is dead, though nobody has said so yet.
      const could = (member: Member): boolean =>
        !member.leaving && !this.#roster.isProven(member) && !membership.leaseRanOut(member);
      if (!free || (leaving && membership.living().some(could))) return;
    }
    this.#claiming = true;
    try {
      const value = Buffer.from(JSON.stringify({ id, incarnation, beat: ++this.#beats }));
      const base = this.#revision;
      const result =
        base === 0
          ? await bucket.create(coordinatorKey, value)
          : await this.#take(value, base, holder === undefined);
      if (result.written) {
        this.#renewedAtMs = nowMs;
        this.#sight(value, result.revision);
        this.#dirty ||= !mine;
        if (!mine) log.info({ event: "coordinator" }, "this node coordinates now");
      }
    } catch (error) {
      log.debug({ event: "coordinator-claim-unanswered", error: messageOf(error) }, "no answer to a claim");
    } finally {
      this.#claiming = false;
    }
  }

  #take(value: Uint8Array, revision: number, removed: boolean) {
    const { bucket } = this.#options;
    return removed ? bucket.create(coordinatorKey, value) : bucket.update(coordinatorKey, value, revision);
  }

  /** A death is urgent: operations wait. A heartbeat isn't, or nodes that join together would be planned one by one. */
  #schedulePlan(delayMs: number, isUrgent = false): void {
    if (this.#planTimer !== undefined && !isUrgent) return;
    this.#planTimer?.cancel();
    this.#planTimer = this.#options.runtime.after(delayMs, () => {
      this.#planTimer = undefined;
      void this.#plan();
    });
  }

  async #plan(): Promise<void> {
    if (this.#planning) {
      this.#planAgain = true;
      return;
    }
    this.#planning = true;
    try {
      do {
        this.#planAgain = false;
        await this.#buryTheDead();
        if (!this.isCoordinator) return;
        if (!this.#dirty || this.#isTableLost()) continue;
        this.#dirty = false;
        const { backups, tables } = this.#options;
        const wasTable = tables.table;
        await tables.publish((table) => plan(table, this.#roster.expected(table), { backups }));
        if (tables.table !== wasTable) this.#report(wasTable, tables.table);
      } while (this.#planAgain && !this.#stopped);
    } catch (error) {
      this.#dirty = true;
      if (!this.#stopped)
        this.#options.log.error({ event: "plan-failed", error: messageOf(error) }, "planning failed");
    } finally {
      this.#planning = false;
    }
  }

  /** Somebody who lives knows a table, though there is none: it was lost, and is not to be made up but written back. */
  #isTableLost(): boolean {
    const { membership, tables } = this.#options;
    return tables.table.epoch === 0 && membership.reports().some(({ lastTable }) => lastTable !== undefined);
  }

  async #buryTheDead(): Promise<void> {
    const { membership, tables } = this.#options;
    const living = membership.living();
    const candidates = new Map<string, Member>();
    for (const member of [...tables.table.members, ...living]) {
      // A dead one is looked at again only when another incarnation seems to have taken its id.
      const isTaken = living.some(
        ({ id, incarnation }) => id === member.id && incarnation !== member.incarnation,
      );
      if (member.dead === "" || isTaken) candidates.set(member.incarnation, member);
    }
    await Promise.all([...candidates.values()].map((member) => this.#buryIfDead(member)));
  }

  async #buryIfDead(member: Member): Promise<void> {
    const { log, membership } = this.#options;
    if (member.incarnation === membership.self.incarnation || membership.isGone(member)) return;
    const isProven = this.#roster.isProven(member);
    const seemsGone = membership.seemsGone(member);
    if (!isProven && !seemsGone && !membership.leaseRanOut(member)) return;
    if (!(await membership.declareDead(member))) {
      if (isProven && this.isCoordinator) this.#schedulePlan(buryAgainMs);
    } else if (!seemsGone) {
      log.warn(
        { event: "node-died", member: member.id, proof: isProven ? "process" : "lease" },
        `${member.id} is dead: ${isProven ? "its process is gone" : "its lease ran out"}`,
      );
    }
  }

  #report(before: Table, after: Table): void {
    const { log } = this.#options;
    const moves = after.rows.filter((row) => row.incoming !== "").length;
    const members = after.members.filter((member) => member.dead === "").length;
    log.info(
      {
        event: "table-published",
        epoch: after.epoch,
        members,
        before: before.members.filter((member) => member.dead === "").length,
        moves,
      },
      `table ${after.epoch}: ${members} members, ${moves} partitions to move`,
    );
    const orphans = orphansOf(after);
    if (orphans === 0 || orphans === orphansOf(before)) return;
    const silent = after.members.filter((member) => member.dead === "silent").map((member) => member.id);
    const message = `${orphans} partitions wait: their owners and all backups fell silent and may still serve, cut off`;
    log.error({ event: "partitions-orphaned", partitions: orphans, silent }, message);
  }
}

/** How many partitions have an owner that is dead, and nobody yet to follow it. */
function orphansOf(table: Table): number {
  const dead = new Set(table.members.filter((member) => member.dead !== "").map((member) => member.id));
  return dead.size === 0 ? 0 : table.rows.filter((row) => dead.has(row.owner)).length;
}

/** What can't be read is held by nobody that is known: it is overwritten when it isn't renewed. */
function decodeHolder(value: Uint8Array): PeerIdentity {
  try {
    const { id, incarnation } = JSON.parse(Buffer.from(value).toString("utf8")) as Partial<PeerIdentity>;
    return { id: String(id), incarnation: String(incarnation) };
  } catch {
    return { id: "", incarnation: "" };
  }
}
