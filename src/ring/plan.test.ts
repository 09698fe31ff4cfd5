import { describe, expect, test } from "vitest";
import { commitMove, type Move, plan } from "./plan.ts";
import { emptyTable, type Member, type Row, type Table } from "./table.ts";

const noBackups = { backups: 0 };

function member(id: string, extra: Partial<Member> = {}): Member {
  return { id, incarnation: "1", host: "h", port: 1, http: "", zone: "", leaving: false, ...extra };
}

function members(...ids: string[]): Member[] {
  return ids.map((id) => member(id));
}

function row(owner: string, extra: Partial<Row> = {}): Row {
  return { owner, backups: [], term: 1, incoming: "", move: 0, source: 0, ...extra };
}

/** A table at epoch 5 with these rows. */
function tableOf(of: readonly Member[], rows: readonly Row[]): Table {
  return { epoch: 5, members: of, rows, writer: "w" };
}

function targets(table: Table): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { owner, incoming } of table.rows) {
    const id = incoming === "" ? owner : incoming;
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

function openMoves(table: Table): Move[] {
  return table.rows.flatMap(({ incoming, move }, partition) =>
    incoming === "" ? [] : [{ partition, move }],
  );
}

function settled(of: readonly Member[], partitions: number): Table {
  return plan(emptyTable(partitions), of, noBackups) ?? emptyTable(partitions);
}

describe("plan", () => {
  test("the first members get everything directly", () => {
    const table = settled(members("a", "b", "c"), 7);
    expect(table.epoch).toBe(1);
    expect(table.writer).toBe("");
    expect(table.rows.every((r) => r.term === 1 && r.incoming === "" && r.move === 0)).toBe(true);
    expect([...targets(table).values()].sort()).toEqual([2, 2, 3]);
  });

  test("no member, no owner, and nothing to publish", () => {
    expect(plan(emptyTable(4), [], noBackups)).toBeUndefined();
    expect(plan(emptyTable(4), [member("a", { leaving: true })], noBackups)?.rows).toEqual(
      emptyTable(4).rows,
    );
  });

  test("a join moves its share and touches neither owner nor term", () => {
    const before = settled(members("a", "b"), 64);
    const after = plan(before, members("a", "b", "c"), noBackups)!;
    expect(openMoves(after)).toHaveLength(21);
    after.rows.forEach((r, i) => {
      expect([r.owner, r.term]).toEqual([before.rows[i]!.owner, before.rows[i]!.term]);
      expect([r.incoming, r.move]).toEqual(r.incoming === "" ? ["", 0] : ["c", 2]);
    });
  });

  test("a leaving member's rows are to move, and stay its own until then", () => {
    const before = settled(members("a", "b", "c"), 9);
    const after = plan(before, [member("a"), member("b", { leaving: true }), member("c")], noBackups)!;
    expect(after.rows.filter((r) => r.owner === "b" && r.incoming !== "")).toHaveLength(3);
    expect(openMoves(after)).toHaveLength(3);
    const done = commitMove(after, openMoves(after))!;
    expect(targets(done).has("b")).toBe(false);
  });

  test("when everyone leaves, all keep what they own", () => {
    const before = settled(members("a", "b"), 5);
    const of = members("a", "b").map((m) => ({ ...m, leaving: true }));
    expect(plan(before, of, noBackups)!.rows).toEqual(before.rows);
  });

  test("a dead owner's rows go to the others at once", () => {
    const before = settled(members("a", "b", "c"), 9);
    const after = plan(before, members("a", "c"), noBackups)!;
    expect(openMoves(after)).toEqual([]);
    after.rows.forEach((r, i) => {
      const lost = before.rows[i]!.owner === "b";
      expect(r.term).toBe(lost ? 2 : 1);
      if (!lost) expect(r.owner).toBe(before.rows[i]!.owner);
    });
  });

  test("the same id in another incarnation has lost what it owned", () => {
    const before = settled(members("a", "b"), 4);
    const after = plan(before, [member("a"), member("b", { incarnation: "2" })], noBackups)!;
    expect(after.rows.filter((r) => r.owner === "b").map((r) => r.term)).toEqual([2, 2]);
    expect(openMoves(after)).toEqual([]);
  });

  test("the last member dies: its rows have no owner, at a new term", () => {
    const after = plan(settled(members("a"), 2), [], noBackups)!;
    expect(after.rows).toEqual([row("", { term: 2 }), row("", { term: 2 })]);
    expect(plan(after, [], noBackups)).toBeUndefined();
  });

  test("the first surviving backup takes over, even one that is leaving", () => {
    const of = members("a", "b", "c");
    const before = tableOf(of, [row("a", { backups: ["b", "c"] })]);
    const after = plan(before, [member("c", { leaving: true }), member("d")], { backups: 2 })!;
    expect(after.rows).toEqual([{ owner: "c", backups: [], term: 6, incoming: "d", move: 6, source: 0 }]);
  });

  test("a dead backup leaves the row at a new term, a live one stays", () => {
    const before = tableOf(members("a", "b", "c"), [row("a", { backups: ["b", "c"] })]);
    const after = plan(before, members("a", "c"), { backups: 2 })!;
    expect(after.rows).toEqual([row("a", { backups: ["c"], term: 6 })]);
  });

  test("a move towards a dead, replaced or leaving member is taken back or planned anew", () => {
    const of = members("a", "b");
    const before = tableOf(of, [row("a"), row("a", { incoming: "b", move: 4 })]);
    const takenBack = [row("a"), row("a")];
    expect(plan(before, members("a"), noBackups)!.rows).toEqual(takenBack);
    const leaving = [member("a"), member("b", { leaving: true })];
    expect(plan(before, leaving, noBackups)!.rows).toEqual(takenBack);
    const replaced = [member("a"), member("b", { incarnation: "2" })];
    const moved = plan(before, replaced, noBackups)!.rows.filter((r) => r.incoming === "b");
    expect(moved.map((r) => r.move)).toEqual([6]);
  });

  test("a move under way goes on under its own name", () => {
    const of = members("a", "b");
    const before = tableOf(of, [row("a"), row("a", { incoming: "b", move: 4 }), row("a"), row("a")]);
    const after = plan(before, of, noBackups)!;
    expect(after.rows[1]).toEqual(before.rows[1]);
    expect(targets(after)).toEqual(
      new Map([
        ["a", 2],
        ["b", 2],
      ]),
    );
  });

  test("a move from an owner that died is named anew: its data comes from elsewhere", () => {
    const before = tableOf(members("a", "b", "c"), [
      row("a", { backups: ["b"], incoming: "c", move: 4 }),
      row("b"),
    ]);
    const after = plan(before, members("b", "c"), { backups: 1 })!;
    expect(after.rows[0]).toEqual(row("b", { term: 6, incoming: "c", move: 6 }));
  });

  test("what is given up again is what hasn't moved yet, best of all back to its owner", () => {
    const before = tableOf(members("a", "b", "c"), [
      row("b"),
      row("b"),
      row("a", { incoming: "b", move: 4 }),
      row("c"),
    ]);
    const after = plan(before, members("a", "b", "c"), noBackups)!;
    expect(after.rows).toEqual([row("b"), row("b"), row("a"), row("c")]);
  });

  test("an incoming that is the owner is cleared", () => {
    const of = members("a");
    expect(plan(tableOf(of, [row("a", { incoming: "a", move: 4 })]), of, noBackups)!.rows).toEqual([
      row("a"),
    ]);
  });

  test("a changed address is published without touching a row", () => {
    const before = settled(members("a", "b"), 4);
    const after = plan(before, [member("a"), member("b", { http: "h:8080" })], noBackups)!;
    expect(after.rows).toEqual(before.rows);
    expect(after.members[1]!.http).toBe("h:8080");
  });

  test("16,384 partitions and 50 members are planned in a moment", () => {
    const of = Array.from({ length: 50 }, (_, i) => member(`n${i}`));
    const before = settled(of, 16_384);
    const from = performance.now();
    const after = plan(before, [...of.slice(1), member("x"), member("y")], noBackups)!;
    const tookMs = performance.now() - from;
    expect(after.rows.some((r) => r.incoming !== "")).toBe(true);
    // Some 10 ms on a quiet machine; anything quadratic takes seconds.
    expect(tookMs).toBeLessThan(1_000);
  });
});

describe("commitMove", () => {
  const of = members("a", "b", "c");
  const before = tableOf(of, [
    row("a", { incoming: "b", move: 3, backups: ["b", "c"] }),
    row("a", { incoming: "c", move: 4 }),
    row("a"),
  ]);

  test("switches the owner at a new term; the new owner stops being a backup", () => {
    const after = commitMove(before, [{ partition: 0, move: 3 }])!;
    expect(after.epoch).toBe(6);
    expect(after.rows).toEqual([
      row("b", { term: 6, backups: ["c"], source: 3 }),
      before.rows[1],
      before.rows[2],
    ]);
  });

  test("several at once, of which the stale ones don't count", () => {
    const after = commitMove(before, [
      { partition: 0, move: 2 },
      { partition: 1, move: 4 },
      { partition: 2, move: 0 },
      { partition: 9, move: 1 },
    ])!;
    expect(after.rows).toEqual([before.rows[0], row("c", { term: 6, source: 4 }), before.rows[2]]);
  });

  test("nothing to do is no table", () => {
    expect(
      commitMove(before, [
        { partition: 0, move: 4 },
        { partition: 2, move: 0 },
      ]),
    ).toBeUndefined();
    expect(commitMove(before, [])).toBeUndefined();
  });
});
