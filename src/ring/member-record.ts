/** What a node writes into the members bucket: itself, and whether it has been declared dead. */
import type { Member } from "./table.ts";

export interface MemberRecord extends Omit<Member, "dead"> {
  /** Written in place of a member's record when it is declared dead. */
  readonly dead?: boolean;
  /** Ids of the members that this one can't reach; absent in a mark of death and in records of older versions. */
  readonly unreachable?: readonly string[];
  /** While the store's table is lost: in which life of the store, and the epoch of the last table that this member knows. */
  readonly lastTable?: LastTable;
  /** For how long the member trusts its last renewal: who judges it waits that long, whatever its own lease is. */
  readonly leaseMs?: number;
  /** Makes every renewal a different value. */
  readonly beat: number;
}

export interface LastTable {
  readonly generation: string;
  readonly epoch: number;
}

export function memberOfRecord(record: MemberRecord): Member {
  const { id, incarnation, host, port, http, zone, leaving } = record;
  return { id, incarnation, host, port, http, zone, leaving, dead: "" };
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
