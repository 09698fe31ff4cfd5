/** The ring as a cluster of Redis sees itself: masters with ranges of slots. Backups are no replicas: a node is both. */
import { createHash } from "node:crypto";
import { slotRange } from "../ring/slots.ts";
import { type Member, memberOf, type Table } from "../ring/table.ts";
import { redisAddress } from "./cluster-refusal.ts";

/** Redis names its nodes by 40 hexadecimal digits. */
export function nodeIdOf(id: string): string {
  return createHash("sha1").update(id).digest("hex");
}

export interface SlotRange {
  readonly first: number;
  readonly last: number;
}

/** Slots of partitions that follow each other and have one owner are one range. In ascending order. */
export interface OwnedRange extends SlotRange {
  readonly owner: Member;
}

/** Only what a living member with a Redis door owns. */
export function ownedRanges(table: Table): OwnedRange[] {
  const ranges: OwnedRange[] = [];
  const partitions = table.rows.length;
  for (let partition = 0; partition < partitions; partition++) {
    const owner = memberOf(table, table.rows[partition]!.owner);
    if (owner === undefined || owner.dead !== "" || redisAddress(owner) === "") continue;
    const [first, last] = slotRange(partition, partitions);
    const before = ranges.at(-1);
    if (before?.owner === owner && before.last + 1 === first) ranges[ranges.length - 1] = { ...before, last };
    else ranges.push({ first, last, owner });
  }
  return ranges;
}

export function rangesOf(ranges: readonly OwnedRange[], member: Member): SlotRange[] {
  return ranges.filter(({ owner }) => owner === member);
}

/** Members with a Redis door; the dead ones are on their way out. */
export function redisMembers(table: Table): Member[] {
  return table.members.filter((member) => member.dead === "" && redisAddress(member) !== "");
}

/** Of `host:port`. */
export function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at).replace(/^\[(.*)\]$/, "$1"), port: Number(address.slice(at + 1)) };
}
