/**
 * One time of owning a partition, and what the table then asks of its owner. Everything here is judged anew from the
 * newest table, never remembered: who is to be filled, dropped, or handed the partition may change with every one.
 */
import type { PeerIdentity } from "../peers/messages.ts";
import type { Timer } from "../runtime.ts";
import { type Member, memberOf, type Row, type Table } from "./table.ts";

/** A copy that is made of an active partition. */
export interface Fill {
  readonly reign: Reign;
  readonly to: Member;
  /** `filled`: it has everything, and no write is acknowledged without it; the table doesn't say so yet. */
  state: "waiting" | "running" | "filled" | "pausing" | "ended";
  /** A move waits for it, or the partition has no backup at all: it goes before others. */
  urgent: boolean;
  /**
   * The epoch of the table on which it was last tried to make it a backup, while that may have succeeded: until a newer
   * table is known.
   */
  sentOn: number | undefined;
  pause: Timer | undefined;
}

/** The steps to a new owner. Only while `handing` may the table change by it. */
export interface Handover {
  readonly to: Member;
  /** On the monotonic clock: operations have waited since then. */
  readonly sealedAtMs: number;
  phase: "sealing" | "releasing" | "handing";
  /** As of {@link Fill.sentOn}. While it is set the partition stays sealed: another may be its owner already. */
  sentOn: number | undefined;
  /** Resolves whoever waits for the end of it. */
  ended(): void;
}

/** `opening` → `active` → `sealed` → `over`; a handover that is called off leads back to `active`. */
export interface Reign {
  readonly partition: number;
  /** As in the row: in a table with another one this reign is over. */
  readonly since: number;
  state: "opening" | "active" | "sealed" | "over";
  /** The term and the backups that the keeper was last told, and how often it was told. */
  term: number;
  backups: readonly Member[];
  timesTold: number;
  /** `owned`: the partition has arrived and onOwn runs or has run. `released`: onRelease does or has. */
  hooks: "none" | "owned" | "released";
  /** By the id of the member that is filled. */
  readonly fills: Map<string, Fill>;
  handover: Handover | undefined;
  /** The keeper is sealed though the handover is off: until another onOwn has finished. */
  isKeptSealed: boolean;
  /** Since when the table has named another owner, on the monotonic clock. */
  movesSinceMs: number | undefined;
  /** Handovers in a row that failed here, and the wait after the last one. */
  failures: number;
  pause: Timer | undefined;
  /** Ids of backups that it was tried to drop on the table of epoch `dropsSentOn`; as of {@link Fill.sentOn}. */
  readonly dropsSent: Set<string>;
  dropsSentOn: number;
}

export function newReign(partition: number, since: number): Reign {
  return {
    partition,
    since,
    state: "opening",
    term: -1,
    backups: [],
    timesTold: 0,
    hooks: "none",
    fills: new Map(),
    handover: undefined,
    isKeptSealed: false,
    movesSinceMs: undefined,
    failures: 0,
    pause: undefined,
    dropsSent: new Set(),
    dropsSentOn: -1,
  };
}

/** What this node knows of other members beyond the table. */
export interface Health {
  isDead(member: PeerIdentity): boolean;
  isUnreachable(member: PeerIdentity): boolean;
  /** The backup says that it has no copy of the partition. */
  isBroken(partition: number, member: PeerIdentity): boolean;
  /** This node's lease holds: without it, it may be declared dead at any time. */
  isLeased(): boolean;
}

/** A table as its member `self` sees it. */
export class View {
  readonly table: Table;
  readonly #self: PeerIdentity;
  readonly #health: Health;
  readonly #members: Map<string, Member>;

  constructor(table: Table, self: PeerIdentity, health: Health) {
    this.table = table;
    this.#self = self;
    this.#health = health;
    this.#members = new Map(table.members.map((member) => [member.id, member]));
  }

  /** This incarnation is in the table and lives as far as it says. */
  get isMember(): boolean {
    const member = memberOf(this.table, this.#self.id);
    return member?.incarnation === this.#self.incarnation && member.dead === "";
  }

  /** The reign's row; undefined if this table is of another reign. */
  rowOf(reign: Reign): Row | undefined {
    const row = this.table.rows[reign.partition];
    return row !== undefined && row.owner === this.#self.id && row.since === reign.since ? row : undefined;
  }

  /**
   * The members that the row names as backups. One whose id has gone to another incarnation meanwhile is the one it was:
   * that the new one has a copy was never said.
   */
  backupsOf(reign: Reign, row: Row): Member[] {
    return row.backups.flatMap((id) => {
      const known = reign.backups.find((member) => member.id === id) ?? reign.fills.get(id)?.to;
      return known ?? this.#members.get(id) ?? [];
    });
  }

  /** The backups that are to leave the row now, as the table knows them. */
  dropsOf(reign: Reign, row: Row): Member[] {
    const named = row.backups.flatMap((id) => this.#members.get(id) ?? []);
    const backups = this.backupsOf(reign, row);
    const gone = named.filter(
      (member) =>
        !this.#isUsable(member) ||
        this.#health.isBroken(reign.partition, member) ||
        !backups.some(({ incarnation }) => incarnation === member.incarnation),
    );
    if (gone.length > 0) return gone;
    if (reign.state !== "active" || row.incoming !== "") return [];
    // One too many goes only when all that are to be there are.
    if (!row.wanted.every((id) => row.backups.includes(id))) return [];
    // And only from a node that stays: with no backup wanted, the one before is the only other copy.
    if (!this.#health.isLeased()) return [];
    return named.filter(({ id }) => !row.wanted.includes(id));
  }

  /** The member may become a backup of the row, or is one that is to stay. */
  isWanted(row: Row, member: Member): boolean {
    if (row.incoming !== member.id && !row.wanted.includes(member.id)) return false;
    const current = this.#members.get(member.id);
    return current?.incarnation === member.incarnation && this.#isUsable(current);
  }

  /** The members that lack a copy, the one that is to be the owner first. */
  missingOf(reign: Reign, row: Row): Member[] {
    if (reign.state !== "active") return [];
    // The next owner sees to the rest. Only if it can't have the partition yet is it done here.
    if (this.successorOf(row) !== undefined && reign.failures === 0) return [];
    return [...new Set([row.incoming, ...row.wanted])].flatMap((id) => {
      if (id === this.#self.id || row.backups.includes(id)) return [];
      const member = this.#members.get(id);
      return member !== undefined && this.#isUsable(member) ? member : [];
    });
  }

  /** The backup that is to be the owner and can be. */
  successorOf(row: Row): Member | undefined {
    if (row.incoming === "" || !row.backups.includes(row.incoming)) return undefined;
    const member = this.#members.get(row.incoming);
    return member !== undefined && this.#isUsable(member) ? member : undefined;
  }

  #isUsable(member: Member): boolean {
    return member.dead === "" && !this.#health.isDead(member) && !this.#health.isUnreachable(member);
  }
}
