/**
 * What an owner changes about its own partitions. Only a living owner adds or drops backups or hands a partition over;
 * so it always knows at least the backups that the table could promote. (PacificA's reconfiguration by the primary: Lin
 * et al., "PacificA: Replication in Log-Based Distributed Storage Systems", 2008.)
 */
import type { PeerIdentity } from "../peers/messages.ts";
import { type Member, memberOf, type Row, type Table } from "./table.ts";

/** `since` names the reign in which it was asked for: in a later one it is void. */
export interface Change {
  readonly partition: number;
  readonly since: number;
  /**
   * `add`: the member has a copy and no write is acknowledged without it. `drop`: it is a backup no more.
   * `hand`: the backup becomes the owner, and the owner a backup.
   */
  readonly kind: "add" | "drop" | "hand";
  readonly member: PeerIdentity;
}

/** The table after those of `owner`'s changes that still hold; undefined if none does. The writer is left empty. */
export function reconfigure(
  table: Table,
  owner: PeerIdentity,
  changes: readonly Change[],
): Table | undefined {
  if (living(table, owner) === undefined) return undefined;
  const epoch = table.epoch + 1;
  const rows = table.rows.slice();
  let changed = false;
  for (const change of changes) {
    const row = rows[change.partition];
    if (row === undefined || row.owner !== owner.id || row.since !== change.since) continue;
    const next = changeRow(row, change, table, epoch);
    if (next === undefined) continue;
    rows[change.partition] = next;
    changed = true;
  }
  return changed ? { epoch, members: table.members, rows, writer: "" } : undefined;
}

function changeRow(row: Row, { kind, member }: Change, table: Table, epoch: number): Row | undefined {
  const { id } = member;
  const isBackup = row.backups.includes(id);
  switch (kind) {
    case "add":
      // Who is wanted as a backup of the next owner may be the present one.
      if (isBackup || id === row.owner || living(table, member) === undefined) return undefined;
      if (row.incoming !== id && !row.wanted.includes(id)) return undefined;
      // It serves already: whatever it had to wait for is over.
      return { ...row, backups: [...row.backups, id], term: epoch, wait: false };
    case "drop":
      if (!isBackup || memberOf(table, id)?.incarnation !== member.incarnation) return undefined;
      return { ...row, backups: row.backups.filter((other) => other !== id), term: epoch };
    case "hand":
      if (!isBackup || row.incoming !== id || living(table, member) === undefined) return undefined;
      return {
        ...row,
        owner: id,
        backups: [row.owner, ...row.backups.filter((other) => other !== id)],
        term: epoch,
        since: epoch,
        came: "handover",
        wait: false,
        incoming: "",
      };
  }
}

function living(table: Table, { id, incarnation }: PeerIdentity): Member | undefined {
  const member = memberOf(table, id);
  return member?.incarnation === incarnation && member.dead === "" ? member : undefined;
}
