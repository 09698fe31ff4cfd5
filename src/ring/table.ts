/**
 * The agreed state of a platform, as it is published under one key of the ring bucket by compare-and-set: who the
 * members are and, per partition, who serves it. Values here are immutable: a change makes a new table.
 */
import type { PeerAddress, PeerIdentity } from "../peers/messages.ts";

export interface Member extends PeerAddress {
  /** Where the HTTP door listens, `host:port`; empty if there is none. */
  readonly http: string;
  /** Where its Redis door is reached, `host:port`; absent if it has none. */
  readonly redis?: string;
  /** Failure zone; empty if none is named. */
  readonly zone: string;
  /** A leaving member keeps what it owns until it has been handed over, and gets nothing new. */
  readonly leaving: boolean;
  /**
   * Empty while it lives. A dead one stays in the table for as long as a row names it: `gone` if its process is known
   * not to serve any more, `silent` if only its lease ran out, so that grants of its backups may still keep it serving.
   */
  readonly dead: "" | "gone" | "silent";
}

export interface Row {
  /** The id of the member that serves the partition; empty before the first assignment. */
  readonly owner: string;
  /** Ids of the members that hold everything that the owner has acknowledged; never the owner's. */
  readonly backups: readonly string[];
  /** The epoch at which owner or backups last changed. */
  readonly term: number;
  /** The epoch at which the owner became the owner; what an owner of an earlier one still sends is void. */
  readonly since: number;
  /** How the owner came to the partition: without data, by a handover, or as a backup of an owner that died. */
  readonly came: "empty" | "handover" | "promotion";
  /** The owner before may still be kept serving by grants: the owner serves only when they have run out. */
  readonly wait: boolean;
  /** The member that is to be the owner; empty if the present one stays. */
  readonly incoming: string;
  /** Ids of the members that are to be the backups, once the owner is the one that is to be; the owner sees to it. */
  readonly wanted: readonly string[];
}

export interface Table {
  /** Grows by one with every published table; 0 is the table before the first. */
  readonly epoch: number;
  /** In the order in which they joined. Ids are unique. */
  readonly members: readonly Member[];
  readonly rows: readonly Row[];
  /** Who published this table and which of its attempts it was: tells one's own ambiguous write from another's. */
  readonly writer: string;
  /** Absent in a platform's first tables, those made by hand, and those that a plan or a change makes: {@link TableStore} adds it. */
  readonly history?: History;
}

/** Which tables are the ones before this one. */
export interface History {
  /**
   * The same in all tables from the first on, and in no others: not in those of another platform of the same name, nor in those
   * that a node began with, started on a store that had lost its data, under the same settings.
   */
  readonly id: string;
  /** The epoch of the table from which the store was last restored after it had lost its data; 0: it never was. */
  readonly restoredFrom: number;
}

const emptyRow: Row = {
  owner: "",
  backups: [],
  term: 0,
  since: 0,
  came: "empty",
  wait: false,
  incoming: "",
  wanted: [],
};

export function emptyTable(partitions: number): Table {
  return { epoch: 0, members: [], rows: new Array<Row>(partitions).fill(emptyRow), writer: "" };
}

export function memberOf(table: Table, id: string): Member | undefined {
  return table.members.find((member) => member.id === id);
}

/** Who holds a part of the row, or is to. */
export function namedIn(row: Row, id: string): boolean {
  return row.owner === id || row.incoming === id || row.backups.includes(id) || row.wanted.includes(id);
}

/** Every partition has a living owner and none is on the move. */
export function isSettled(table: Table): boolean {
  const living = livingIds(table);
  return table.rows.every((row) => living.has(row.owner) && row.incoming === "");
}

/** How many copies of the partition, the owner's included, live members hold. */
export function copiesOf(table: Table, partition: number): number {
  const { owner, backups } = table.rows[partition]!;
  const living = livingIds(table);
  return [owner, ...backups].filter((id) => living.has(id)).length;
}

/** The partitions that lack an owner or one of the backups that they are to have. */
export function underReplicated(table: Table): number[] {
  const living = livingIds(table);
  return table.rows.flatMap((row, partition) => {
    const full = living.has(row.owner) && row.wanted.every((id) => holds(row, id) && living.has(id));
    return full ? [] : [partition];
  });
}

/** Settled, and every partition has exactly the backups that it is to have. */
export function isAtRest(table: Table): boolean {
  return (
    isSettled(table) &&
    underReplicated(table).length === 0 &&
    table.rows.every((row) => row.backups.length === row.wanted.length)
  );
}

/** Who has everything of a partition. */
export type Holders = Pick<Row, "owner" | "backups">;

export function holds({ owner, backups }: Holders, id: string): boolean {
  return owner === id || backups.includes(id);
}

/** Whether one of those has everything of the partition. */
export function isHeldBy({ owner, backups }: Holders, ids: ReadonlySet<string>): boolean {
  return ids.has(owner) || backups.some((id) => ids.has(id));
}

export function livingMembers(table: Table): Member[] {
  return table.members.filter((member) => member.dead === "");
}

function livingIds(table: Table): Set<string> {
  return new Set(livingMembers(table).map((member) => member.id));
}

/**
 * The table knows that the member leaves, so that no later one gives it anything, and the member has no part in any
 * partition. Without the first, a table that isn't the latest could seem to say the second.
 */
export function isDrained(table: Table, { id, incarnation }: PeerIdentity): boolean {
  const member = memberOf(table, id);
  if (member?.incarnation !== incarnation || !member.leaving) return false;
  return !table.rows.some((row) => namedIn(row, id));
}

/** How many partitions each member serves, those that serve none included. */
export function partitionsByOwner(table: Table): Record<string, number> {
  const counts: Record<string, number> = Object.fromEntries(table.members.map((member) => [member.id, 0]));
  for (const { owner } of table.rows) if (owner !== "") counts[owner] = (counts[owner] ?? 0) + 1;
  return counts;
}

/** Who came and who went; a new incarnation is both. */
export function memberChanges(table: Table, previous: Table): { joined: Member[]; left: Member[] } {
  const before = new Map(previous.members.map((member) => [member.incarnation, member]));
  const joined = table.members.filter((member) => !before.delete(member.incarnation));
  return { joined, left: [...before.values()] };
}

/** The partitions that had an owner and have begun anew without data from `previous` to `table`. */
export function lostPartitions(table: Table, previous: Table): number[] {
  return table.rows.flatMap((row, partition) => {
    const was = previous.rows[partition]!;
    return was.owner !== "" && row.since !== was.since && row.came === "empty" ? [partition] : [];
  });
}

/** Whether `a` and `b` say the same, apart from epoch and writer. */
export function sameContent(a: Table, b: Table): boolean {
  return JSON.stringify([a.members, a.rows]) === JSON.stringify([b.members, b.rows]);
}

const comings = ["empty", "handover", "promotion"] as const;

type WireRow = [
  owner: number,
  backups: number[],
  term: number,
  since: number,
  came: number,
  wait: number,
  incoming: number,
  wanted: number[],
];

/** JSON, with members named by their index: readable with `nats kv get`, 16,384 rows fit in one NATS message. */
export function encodeTable(table: Table): Uint8Array {
  const index = new Map(table.members.map((member, i) => [member.id, i]));
  const at = (id: string): number => (id === "" ? -1 : (index.get(id) ?? -1));
  const rows: WireRow[] = table.rows.map((row) => [
    at(row.owner),
    row.backups.map(at),
    row.term,
    row.since,
    comings.indexOf(row.came),
    row.wait ? 1 : 0,
    at(row.incoming),
    row.wanted.map(at),
  ]);
  return Buffer.from(
    JSON.stringify({
      epoch: table.epoch,
      writer: table.writer,
      history: table.history,
      members: table.members,
      rows,
    }),
  );
}

/** Throws if the bytes aren't a table that {@link encodeTable} wrote. */
export function decodeTable(bytes: Uint8Array): Table {
  const wire = JSON.parse(Buffer.from(bytes).toString("utf8")) as {
    epoch: number;
    writer: string;
    history?: History;
    members: Member[];
    rows: WireRow[];
  };
  if (!Number.isSafeInteger(wire.epoch) || !Array.isArray(wire.members) || !Array.isArray(wire.rows)) {
    throw new Error("not a ring table");
  }
  const id = (i: number): string => (i < 0 ? "" : wire.members[i]!.id);
  const rows = wire.rows.map(
    ([owner, backups, term, since, came, wait, incoming, wanted]): Row => ({
      owner: id(owner),
      backups: backups.map(id),
      term,
      since,
      came: comings[came]!,
      wait: wait === 1,
      incoming: id(incoming),
      wanted: wanted.map(id),
    }),
  );
  const { epoch, writer, history, members } = wire;
  return { epoch, writer, members, rows, ...(history !== undefined && { history }) };
}
