import { describe, expect, test } from "vitest";
import { emptyTable, type Member, type Row, type Table } from "../../ring/table.ts";
import type { TableReport } from "./report.ts";
import { strengthEvents, tableEvents } from "./table-events.ts";
import { tableChange, tableReport } from "./table-report.ts";

const member = (id: string, more: Partial<Member> = {}): Member => ({
  ...{ id, incarnation: `${id}1`, host: "h", port: 1, http: `${id}:80`, zone: "" },
  ...{ leaving: false, dead: "" as const, ...more },
});

const row = (owner: string, backups: string[], since: number, more: Partial<Row> = {}): Row => ({
  ...{ owner, backups, since, term: since, came: "handover", wait: false, incoming: "", wanted: backups },
  ...more,
});

const table = (epoch: number, members: Member[], rows: Row[]): Table => ({
  ...{ epoch, members, rows, writer: "" },
});

describe("events of a table", () => {
  const [a, b, c] = [member("a"), member("b"), member("c")];

  test("who came, who is leaving, who left and who died", () => {
    const rows = [row("a", [], 1)];
    const before = table(1, [a, b, c], rows);
    const joined = table(2, [a, b, c, member("d")], rows);
    expect(tableEvents(joined, before)).toEqual([{ kind: "joined", node: "d" }]);
    const leaving = table(2, [a, member("b", { leaving: true }), member("c", { dead: "silent" })], rows);
    expect(tableEvents(leaving, before)).toEqual([
      { kind: "leaving", node: "b" },
      { kind: "died", node: "c", reason: "silent" },
    ]);
    // The dead one has been told of; the other one said that it would go.
    expect(tableEvents(table(3, [a], rows), leaving)).toEqual([{ kind: "left", node: "b" }]);
    // Gone without a word; and come back at once.
    expect(tableEvents(table(2, [a, b, member("c", { incarnation: "c2" })], rows), before)).toEqual([
      { kind: "died", node: "c", reason: "gone" },
      { kind: "joined", node: "c" },
    ]);
  });

  test("who got whose partitions, and how", () => {
    const members = [a, b, c];
    const before = table(5, members, [row("a", [], 1), row("a", [], 1), row("b", [], 1), row("b", [], 1)]);
    const after = table(6, members, [
      row("c", [], 6),
      row("c", [], 6),
      row("c", [], 6, { came: "promotion" }),
      row("a", [], 6, { came: "empty" }),
    ]);
    expect(tableEvents(after, before)).toEqual([
      { kind: "handed-over", node: "c", from: "a", partitions: 2 },
      { kind: "promoted", node: "c", from: "b", partitions: 1 },
      { kind: "lost", node: "a", from: "b", partitions: 1 },
    ]);
    const first = table(1, [a], [row("a", [], 1, { came: "empty" })]);
    expect(tableEvents(first, emptyTable(1))).toEqual([
      { kind: "joined", node: "a" },
      { kind: "assigned", node: "a", partitions: 1 },
    ]);
  });

  test("when copies begin to be too few, and when all are there again", () => {
    expect([strengthEvents(3, 0), strengthEvents(2, 3), strengthEvents(0, 2), strengthEvents(0, 0)]).toEqual([
      [{ kind: "degraded", node: "", partitions: 3 }],
      [],
      [{ kind: "restored", node: "" }],
      [],
    ]);
  });
});

test("a change on a reported table makes the newer table's report, also when members have other places", () => {
  const [a, b, c, d] = [member("a"), member("b"), member("c"), member("d")];
  const before = table(
    7,
    [a, b, c],
    [row("a", ["b"], 1), row("b", ["c"], 2), row("c", ["b"], 3, { incoming: "b" })],
  );
  const after = table(
    8,
    [b, c, d],
    [row("b", ["c"], 8, { wanted: ["d"] }), row("b", ["c"], 2), row("c", ["b"], 3, { incoming: "d" })],
  );
  const change = tableChange(after, before, "b");
  expect(change).toMatchObject({ epoch: 8, previous: 7 });
  expect(change.rows.map(([partition]) => partition)).toEqual([0, 2]);
  expect(named(tableReport(after, "b"), tableReport(before, "a"), change)).toEqual(
    named(tableReport(after, "b")),
  );
});

/** The report with ids for places, as whoever watches keeps it. */
function named(report: TableReport, from?: TableReport, change?: ReturnType<typeof tableChange>): unknown[] {
  const start = from ?? report;
  const idIn =
    (members: TableReport["members"]) =>
    (place: number): string =>
      members[place]?.id ?? "";
  const before = idIn(start.members);
  const rows = start.owners.map((owner, p) => [
    before(owner),
    start.backups[p]!.map(before),
    start.terms[p],
    before(start.incoming[p] ?? -1),
    (start.wanted[p] ?? start.backups[p]!).map(before),
  ]);
  const now = idIn(change?.members ?? []);
  for (const [p, owner, backups, term, incoming, wanted] of change?.rows ?? [])
    rows[p] = [now(owner), backups.map(now), term, now(incoming), wanted.map(now)];
  return rows;
}
