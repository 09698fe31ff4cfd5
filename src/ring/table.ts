/**
 * The agreed state of a platform, as it is published under one key of the ring bucket by compare-and-set: who the
 * members are and, per partition, who serves it. Values here are immutable: a change makes a new table.
 */
import type { PeerAddress, PeerIdentity } from "../peers/messages.ts";

export interface Member extends PeerAddress {
  /** Where the HTTP door listens, `host:port`; empty if there is none. */
  readonly http: string;
  /** Failure zone; empty if none is named. */
  readonly zone: string;
  /** A leaving member keeps what it owns until it has been handed over, and gets nothing new. */
  readonly leaving: boolean;
}

export interface Row {
  /** The id of the member that serves the partition; empty before the first assignment. */
  readonly owner: string;
  /** Ids of the members that hold a synchronous copy; never the owner's. */
  readonly backups: readonly string[];
  /** The epoch at which owner or backups last changed. */
  readonly term: number;
  /** The member that the owner is to hand the partition to; empty if it stays. */
  readonly incoming: string;
  /** The epoch at which `incoming` was planned: names the move, so that no late message is taken for another's. */
  readonly move: number;
  /** The move by which the owner came to the partition, whose copy it serves; 0 if it got none. */
  readonly source: number;
}

export interface Table {
  /** Grows by one with every published table; 0 is the table before the first. */
  readonly epoch: number;
  /** In the order in which they joined. Ids are unique. */
  readonly members: readonly Member[];
  readonly rows: readonly Row[];
  /** Who published this table and which of its attempts it was: tells one's own ambiguous write from another's. */
  readonly writer: string;
}

const emptyRow: Row = { owner: "", backups: [], term: 0, incoming: "", move: 0, source: 0 };

export function emptyTable(partitions: number): Table {
  return { epoch: 0, members: [], rows: new Array<Row>(partitions).fill(emptyRow), writer: "" };
}

export function memberOf(table: Table, id: string): Member | undefined {
  return table.members.find((member) => member.id === id);
}

/** Every partition has an owner and none is on the move. */
export function isSettled(table: Table): boolean {
  return table.rows.every((row) => row.owner !== "" && row.incoming === "");
}

/**
 * The table knows that the member leaves, so that no later one gives it anything, and the member has no part in any
 * partition. Without the first, a table that isn't the latest could seem to say the second.
 */
export function isDrained(table: Table, { id, incarnation }: PeerIdentity): boolean {
  const member = memberOf(table, id);
  if (member?.incarnation !== incarnation || !member.leaving) return false;
  return !table.rows.some((row) => row.owner === id || row.incoming === id || row.backups.includes(id));
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

/** The partitions whose owner changed from `previous` to `table` without having handed over what it held. */
export function lostPartitions(table: Table, previous: Table): number[] {
  return table.rows.flatMap((row, partition) => {
    const was = previous.rows[partition]!;
    return was.owner !== "" && row.term !== was.term && row.source === 0 ? [partition] : [];
  });
}

/** Whether `a` and `b` say the same, apart from epoch and writer. */
export function sameContent(a: Table, b: Table): boolean {
  return JSON.stringify([a.members, a.rows]) === JSON.stringify([b.members, b.rows]);
}

type WireRow = [
  owner: number,
  term: number,
  backups: number[],
  incoming: number,
  move: number,
  source: number,
];

/** JSON, with members named by their index: readable with `nats kv get`, 16,384 rows fit in one NATS message. */
export function encodeTable(table: Table): Uint8Array {
  const index = new Map(table.members.map((member, i) => [member.id, i]));
  const at = (id: string): number => (id === "" ? -1 : (index.get(id) ?? -1));
  const rows: WireRow[] = table.rows.map((row) => [
    at(row.owner),
    row.term,
    row.backups.map(at),
    at(row.incoming),
    row.move,
    row.source,
  ]);
  return Buffer.from(
    JSON.stringify({ epoch: table.epoch, writer: table.writer, members: table.members, rows }),
  );
}

/** Throws if the bytes aren't a table that {@link encodeTable} wrote. */
export function decodeTable(bytes: Uint8Array): Table {
  const wire = JSON.parse(Buffer.from(bytes).toString("utf8")) as {
    epoch: number;
    writer: string;
    members: Member[];
    rows: WireRow[];
  };
  if (!Number.isSafeInteger(wire.epoch) || !Array.isArray(wire.members) || !Array.isArray(wire.rows)) {
    throw new Error("not a ring table");
  }
  const id = (i: number): string => (i < 0 ? "" : wire.members[i]!.id);
  const rows = wire.rows.map(
    ([owner, term, backups, incoming, move, source]): Row => ({
      owner: id(owner),
      term,
      backups: backups.map(id),
      incoming: id(incoming),
      move,
      source,
    }),
  );
  return { epoch: wire.epoch, writer: wire.writer, members: wire.members, rows };
}
