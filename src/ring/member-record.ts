/** What a node writes into the members bucket: itself, and whether it has been declared dead. */
import type { History, Member } from "./table.ts";

/** What a member knows of its links to the others. */
export interface Reach {
  /** Ids of the members that it can't reach. */
  readonly unreachable: readonly string[];
  /** Ids of those that it hasn't reached yet. */
  readonly unknown: readonly string[];
}

/** Without {@link Reach}: a mark of death, or a node that has no links yet. */
export interface MemberRecord extends Omit<Member, "dead">, Partial<Reach> {
  /** Written in place of a member's record when it is declared dead. */
  readonly dead?: boolean;
  /** The epoch of the last table that this member knows, and the life of the store that it knows of; absent if none. */
  readonly lastTable?: LastTable;
  /** For how long the member trusts its last renewal: who judges it waits that long, whatever its own lease is. */
  readonly leaseMs?: number;
  /** Makes every renewal a different value. */
  readonly beat: number;
}

export interface LastTable {
  readonly generation: string;
  readonly epoch: number;
  /** Of which history the table is, {@link History.id}; absent if it has none. */
  readonly history?: string;
}

export function memberOfRecord(record: MemberRecord): Member {
  const { id, incarnation, host, port, http, redis, zone, leaving } = record;
  const door = redis === undefined ? {} : { redis };
  return { id, incarnation, host, port, http, ...door, zone, leaving, dead: "" };
}

/** What marks the member's incarnation dead. */
export function deathOf(member: Member): MemberRecord {
  return { ...member, dead: true, beat: 0 };
}

export function encodeRecord(record: MemberRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

/** Throws if the bytes aren't a record. */
export function decodeRecord(value: Uint8Array): MemberRecord {
  const record = JSON.parse(Buffer.from(value).toString("utf8")) as MemberRecord;
  if (typeof record.id !== "string" || typeof record.incarnation !== "string")
    throw new Error("not a member record");
  return record;
}
