/** The table for those who watch: as columns, and as what has changed since the one before. Pure. */
import type { Row, Table } from "../../ring/table.ts";
import type { MemberReport, RowReport, TableChange, TableReport } from "./report.ts";

export function tableReport(table: Table, coordinator: string): TableReport {
  const at = placesOf(table);
  const incoming: Record<string, number> = {};
  const wanted: Record<string, number[]> = {};
  table.rows.forEach((row, partition) => {
    if (row.incoming !== "") incoming[partition] = at(row.incoming);
    if (!sameIds(row.wanted, row.backups)) wanted[partition] = row.wanted.map(at);
  });
  return {
    epoch: table.epoch,
    coordinator,
    members: membersReport(table),
    owners: table.rows.map((row) => at(row.owner)),
    backups: table.rows.map((row) => row.backups.map(at)),
    terms: table.rows.map((row) => row.term),
    incoming,
    wanted,
  };
}

/** Rows whose nodes are the same are left out, also if these have another place by now: whoever applies it keeps ids, not places. */
export function tableChange(table: Table, previous: Table, coordinator: string): TableChange {
  const at = placesOf(table);
  const rows: RowReport[] = [];
  for (let partition = 0; partition < table.rows.length; partition++) {
    const row = table.rows[partition]!;
    if (sameRow(row, previous.rows[partition])) continue;
    rows.push([
      partition,
      at(row.owner),
      row.backups.map(at),
      row.term,
      at(row.incoming),
      row.wanted.map(at),
    ]);
  }
  const { epoch } = table;
  return { epoch, previous: previous.epoch, coordinator, members: membersReport(table), rows };
}

function membersReport(table: Table): MemberReport[] {
  return table.members.map(({ id, host, port, http, zone, leaving, dead }) => ({
    id,
    peer: `${host}:${port}`,
    http,
    zone,
    leaving,
    dead,
  }));
}

function placesOf(table: Table): (id: string) => number {
  const places = new Map(table.members.map(({ id }, i) => [id, i]));
  return (id) => places.get(id) ?? -1;
}

function sameRow(row: Row, was: Row | undefined): boolean {
  return (
    was !== undefined &&
    row.owner === was.owner &&
    row.term === was.term &&
    row.incoming === was.incoming &&
    sameIds(row.backups, was.backups) &&
    sameIds(row.wanted, was.wanted)
  );
}

function sameIds(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
