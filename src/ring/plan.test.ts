import { describe, expect, test } from "vitest";
import { plan } from "./plan.ts";
import { emptyTable, type Member, type Row, type Table } from "./table.ts";

const noBackups = { backups: 0 };

function member(id: string, extra: Partial<Member> = {}): Member {
  return { id, incarnation: "1", host: "h", port: 1, http: "", zone: "", leaving: false, dead: "", ...extra };
}

function members(...ids: string[]): Member[] {
  return ids.map((id) => member(id));
}

function row(owner: string, extra: Partial<Row> = {}): Row {
  return {
    owner,
    backups: [],
    term: 1,
    since: 1,
    came: "empty",
    wait: false,
    incoming: "",
    wanted: [],
    ...extra,
  };
}

/** What a row that changed its owner in the table after {@link tableOf} has. */
const begun = { term: 6, since: 6 };

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

const moves = (table: Table): number => table.rows.filter((r) => r.incoming !== "").length;

function settled(of: readonly Member[], partitions: number): Table {
  return plan(emptyTable(partitions), of, noBackups) ?? emptyTable(partitions);
}

describe("owners", () => {
  test("the first members get everything directly", () => {
    const table = settled(members("a", "b", "c"), 7);
    expect(table.epoch).toBe(1);
    expect(table.writer).toBe("");
    for (const r of table.rows) expect(r).toEqual(row(r.owner));
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
    expect(moves(after)).toBe(21);
    after.rows.forEach((r, i) => {
      expect(["", "c"]).toContain(r.incoming);
      expect(r).toEqual({ ...before.rows[i], incoming: r.incoming });
    });
  });

  test("a leaving member's rows are to move, and stay its own until then", () => {
    const before = settled(members("a", "b", "c"), 9);
    const after = plan(before, [member("a"), member("b", { leaving: true }), member("c")], noBackups)!;
    expect(moves(after)).toBe(3);
    expect(after.rows.filter((r) => r.owner === "b" && r.incoming !== "")).toHaveLength(3);
  });

  test("when everyone leaves, all keep what they own", () => {
    const before = settled(members("a", "b"), 5);
    const of = members("a", "b").map((m) => ({ ...m, leaving: true }));
    expect(plan(before, of, noBackups)!.rows).toEqual(before.rows);
  });

  test("a move towards a dead, replaced or leaving member is taken back", () => {
    const before = tableOf(members("a", "b"), [row("a"), row("a", { incoming: "b" })]);
    const takenBack = [row("a"), row("a")];
    expect(plan(before, members("a"), noBackups)!.rows).toEqual(takenBack);
    const silent = [member("a"), member("b", { dead: "silent" })];
    expect(plan(before, silent, noBackups)!.rows).toEqual(takenBack);
    const leaving = [member("a"), member("b", { leaving: true })];
    expect(plan(before, leaving, noBackups)!.rows).toEqual(takenBack);
  });

  test("a move under way goes on", () => {
    const of = members("a", "b");
    const before = tableOf(of, [row("a"), row("a", { incoming: "b" }), row("a"), row("a")]);
    const after = plan(before, of, noBackups)!;
    expect(after.rows[1]).toEqual(before.rows[1]);
    expect(moves(after)).toBe(2);
  });

  test("what is given up again is what hasn't moved yet, best of all back to its owner", () => {
    const of = members("a", "b", "c", "d");
    const moving = [row("a", { incoming: "b" }), row("c", { incoming: "b" }), row("c"), row("d")];
    expect(plan(tableOf(of, moving), of, noBackups)!.rows).toEqual([row("a"), ...moving.slice(1)]);
    const atRest = [row("b"), row("c", { incoming: "b" }), row("c"), row("d")];
    expect(plan(tableOf(of, atRest), of, noBackups)!.rows.map((r) => r.incoming)).toEqual(["", "a", "", ""]);
  });

  test("of equal moves those are made that need no transfer", () => {
    const of = members("a", "b", "c");
    const rows = ["c", "b", "b", "b", "b"].map((id) => row("a", { backups: [id], wanted: [id] }));
    const toC = plan(tableOf(of, [...rows, row("b", { backups: ["c"] })]), of, { backups: 1 })!;
    expect(toC.rows[0]!.incoming).toBe("c");
    const leaving = [member("a", { leaving: true }), member("b"), member("c")];
    const given = tableOf(
      leaving,
      ["c", "c", "b", "b"].map((id) => row("a", { backups: [id] })),
    );
    expect(plan(given, leaving, { backups: 1 })!.rows.map((r) => r.incoming)).toEqual(["c", "c", "b", "b"]);
  });

  test("an incoming that is the owner is cleared", () => {
    const of = members("a");
    expect(plan(tableOf(of, [row("a", { incoming: "a" })]), of, noBackups)!.rows).toEqual([row("a")]);
  });

  test("a changed address is published without touching a row", () => {
    const before = settled(members("a", "b"), 4);
    const after = plan(before, [member("a"), member("b", { http: "h:8080" })], noBackups)!;
    expect(after.rows).toEqual(before.rows);
    expect(after.members[1]!.http).toBe("h:8080");
  });
});

describe("a dead owner", () => {
  const silentA = member("a", { dead: "silent" });
  const goneA = member("a", { dead: "gone" });

  test("of rows without copies is followed at once by others, without data", () => {
    const before = settled(members("a", "b", "c"), 9);
    const after = plan(before, [member("a"), member("b", { dead: "gone" }), member("c")], noBackups)!;
    after.rows.forEach((r, i) => {
      const old = before.rows[i]!;
      expect(r).toEqual(old.owner === "b" ? { ...old, owner: r.owner, term: 2, since: 2 } : old);
    });
    expect(after.members).toEqual(members("a", "c"));
    expect(plan(before, members("a", "c"), noBackups)).toEqual(after);
  });

  test("is followed by a backup that stays, the other copies kept", () => {
    const before = tableOf(members("a", "b", "c", "d"), [
      row("a", { backups: ["b", "c"], wanted: ["b", "c"] }),
    ]);
    const of = [goneA, member("b", { leaving: true }), member("c"), member("d")];
    expect(plan(before, of, { backups: 1 })!.rows).toEqual([
      row("c", { ...begun, came: "promotion", backups: ["b"], wanted: ["d"] }),
    ]);
  });

  test("is followed by the backup that was to own the row anyway", () => {
    const before = tableOf(members("a", "b", "c"), [row("a", { backups: ["b", "c"], incoming: "c" })]);
    const after = plan(before, [goneA, member("b"), member("c")], { backups: 1 })!;
    expect(after.rows).toEqual([row("c", { ...begun, came: "promotion", backups: ["b"], wanted: ["b"] })]);
  });

  test("is followed by a leaving backup if there is no other; it hands over", () => {
    const before = tableOf(members("a", "b", "c"), [row("a", { backups: ["b"] })]);
    const after = plan(before, [goneA, member("b", { leaving: true }), member("c")], { backups: 1 })!;
    expect(after.rows).toEqual([row("b", { ...begun, came: "promotion", incoming: "c" })]);
  });

  test("is followed so that the rows are spread", () => {
    const rows = Array.from({ length: 6 }, () => row("a", { backups: ["b", "c", "d"] }));
    const after = plan(tableOf(members("a", "b", "c", "d"), rows), members("b", "c", "d"), { backups: 2 })!;
    expect([...targets(after).values()]).toEqual([2, 2, 2]);
    expect(moves(after)).toBe(0);
  });

  test("that was only silent makes its follower wait, and stays a member only if a row names it", () => {
    const before = tableOf(members("a", "b", "c"), [
      row("a", { backups: ["b"], wanted: ["b"] }),
      row("c", { backups: ["a"], wanted: ["a"] }),
    ]);
    const after = plan(before, [silentA, member("b"), member("c")], { backups: 1 })!;
    expect(after.members).toEqual([silentA, member("b"), member("c")]);
    expect(after.rows).toEqual([
      row("b", { ...begun, came: "promotion", wait: true, wanted: ["c"] }),
      row("c", { backups: ["a"], wanted: ["b"] }),
    ]);
    const without = tableOf(members("a", "b", "c"), [before.rows[0]!]);
    expect(plan(without, [silentA, member("b"), member("c")], { backups: 1 })!.members).toEqual(
      members("b", "c"),
    );
  });

  test("whose follower dies before its wait is over still makes the next one wait", () => {
    const promoted = row("a", { came: "promotion", wait: true, backups: ["b"], term: 4, since: 4 });
    const of = [goneA, member("b")];
    const after = plan(tableOf(members("a", "b"), [promoted, { ...promoted, backups: [] }]), of, noBackups)!;
    expect(after.rows).toEqual([
      row("b", { ...begun, came: "promotion", wait: true }),
      row("b", { ...begun, wait: true }),
    ]);
  });

  test("silent and without a backup: no grants can keep it serving", () => {
    const before = tableOf(members("a", "b"), [row("a", { term: 4, since: 3 })]);
    expect(plan(before, [silentA, member("b")], { backups: 1 })!.rows).toEqual([row("b", begun)]);
  });

  test("silent together with all backups is waited for: they may serve, cut off from the rest", () => {
    const of = members("a", "b", "c", "d");
    const before = tableOf(of, [row("a", { backups: ["b", "c"], wanted: ["b", "c"] }), row("d")]);
    const silent = [silentA, member("b", { dead: "silent" }), member("c", { dead: "silent" }), member("d")];
    const after = plan(before, silent, { backups: 2 })!;
    expect(after.rows).toEqual([row("a", { backups: ["b", "c"] }), row("d")]);
    expect(after.members).toEqual(silent);
    expect(plan(after, silent, { backups: 2 })).toBeUndefined();

    const proven = silent.map((m) => (m.id === "c" ? { ...m, dead: "gone" as const } : m));
    const emptied = row("d", { term: 7, since: 7, wait: true });
    expect(plan(after, proven, { backups: 2 })!.rows).toEqual([emptied, row("d")]);
    const ownerProven = silent.map((m) => (m.id === "a" ? { ...m, dead: "gone" as const } : m));
    expect(plan(after, ownerProven, { backups: 2 })!.rows[0]).toEqual({ ...emptied, wait: false });
  });

  test("that is dead in the table doesn't come back to life, nor from gone to silent", () => {
    const before = tableOf([member("a", { dead: "gone" }), member("b")], [row("b", { backups: ["a"] })]);
    for (const dead of ["", "silent"] as const) {
      const after = plan(before, [member("a", { dead }), member("b")], { backups: 1 });
      expect(after).toBeUndefined();
    }
  });

  test("the last member dies: its rows have no owner, at a new term", () => {
    const after = plan(settled(members("a"), 2), [], noBackups)!;
    expect(after.rows).toEqual([row("", { term: 2, since: 2 }), row("", { term: 2, since: 2 })]);
    expect(after.members).toEqual([]);
    expect(plan(after, [], noBackups)).toBeUndefined();
  });
});

describe("another incarnation", () => {
  const before = tableOf(members("a", "b", "c"), [
    row("b", { backups: ["c"], wanted: ["c"] }),
    row("c", { backups: ["b"], wanted: ["b"] }),
    row("a", { backups: ["b"], wanted: ["b"], incoming: "b" }),
  ]);
  const b2 = member("b", { incarnation: "2" });

  test.each([
    ["alone", [member("a"), member("c"), b2]],
    ["beside the dead one", [member("a"), member("b", { dead: "silent" }), member("c"), b2]],
  ])("%s: has none of what the earlier one had", (_, of) => {
    const after = plan(before, of, { backups: 1 })!;
    expect(after.members).toEqual([member("a"), member("c"), b2]);
    // The id names the new one from now on: no row may call it a backup.
    expect(after.rows.map(({ owner, backups, term, since }) => ({ owner, backups, term, since }))).toEqual([
      { owner: "c", backups: [], term: 6, since: 6 },
      { owner: "c", backups: [], term: 6, since: 1 },
      { owner: "a", backups: [], term: 6, since: 1 },
    ]);
    expect([...targets(after).values()]).toEqual([1, 1, 1]);
  });

  test("of the last backup: the owner may not know, and rely on grants; who follows it has to wait", () => {
    const after = plan(before, [member("a"), member("c"), b2], { backups: 1 })!;
    expect(after.rows.map((r) => r.wait)).toEqual([false, true, true]);
    const silentC = plan(after, [member("a"), member("c", { dead: "silent" }), b2], { backups: 1 })!;
    expect(silentC.rows[1]).toMatchObject({ came: "empty", since: 7, wait: true });
    const more = tableOf(members("a", "b", "c"), [row("a", { backups: ["b", "c"] })]);
    expect(plan(more, [member("a"), member("c"), b2], { backups: 1 })!.rows[0]).toMatchObject({
      backups: ["c"],
      term: 6,
      wait: false,
    });
  });
});

describe("backups", () => {
  function copies(table: Table): number[] {
    const counts = new Map(table.members.map((m) => [m.id, 0]));
    for (const r of table.rows) for (const id of r.wanted) counts.set(id, counts.get(id)! + 1);
    return [...counts.values()];
  }

  test("as many as asked for, or as there are others; never the owner", () => {
    for (const [n, backups, wanted] of [
      [1, 1, 0],
      [2, 1, 1],
      [2, 3, 1],
      [4, 2, 2],
    ] as const) {
      const of = Array.from({ length: n }, (_, i) => member(`n${i}`));
      const table = plan(emptyTable(12), of, { backups })!;
      for (const r of table.rows) {
        expect(new Set([...r.wanted, r.owner]).size).toBe(wanted + 1);
        expect(r.backups).toEqual([]);
      }
      expect(Math.max(...copies(table)) - Math.min(...copies(table))).toBeLessThanOrEqual(1);
    }
  });

  test("never in the owner's zone, and in different zones if there are enough", () => {
    const of = ["x", "x", "y", "y", "z", "z"].map((zone, i) => member(`n${i}`, { zone }));
    const zone = new Map(of.map((m) => [m.id, m.zone]));
    const table = plan(emptyTable(60), of, { backups: 2 })!;
    for (const r of table.rows) {
      expect(new Set([r.owner, ...r.wanted].map((id) => zone.get(id))).size).toBe(3);
    }
    expect(copies(table)).toEqual([20, 20, 20, 20, 20, 20]);
    const three = plan(emptyTable(60), of, { backups: 3 })!;
    for (const r of three.rows) {
      expect(r.wanted.every((id) => zone.get(id) !== zone.get(r.owner))).toBe(true);
      expect(new Set(r.wanted).size).toBe(3);
      expect(new Set(r.wanted.map((id) => zone.get(id))).size).toBe(2);
    }
  });

  test("zones that are named later spread what is there, the fewest copies moved", () => {
    const zones = ["x", "y", "y", "z"];
    const of = zones.map((zone, i) => member(`n${i}`, { zone }));
    const pair = { backups: ["n1", "n2"], wanted: ["n1", "n2"] };
    const before = tableOf(members("n0", "n1", "n2", "n3"), [row("n0", pair)]);
    const [only] = plan(before, of, { backups: 2 })!.rows;
    expect(only).toEqual(row("n0", { backups: ["n1", "n2"], wanted: ["n1", "n3"] }));
  });

  test("one zone for all leaves nowhere to put a copy", () => {
    const of = members("a", "b").map((m) => ({ ...m, zone: "x" }));
    expect(plan(emptyTable(2), of, { backups: 1 })!.rows.map((r) => r.wanted)).toEqual([[], []]);
  });

  test("zones of different sizes: as even as they allow", () => {
    const of = ["x", "x", "x", "y", "y"].map((zone, i) => member(`n${i}`, { zone }));
    // Each owns 12: the rows of x need copies in y and the other way round.
    expect(copies(plan(emptyTable(60), of, { backups: 1 })!)).toEqual([8, 8, 8, 18, 18]);
  });

  test("a dead backup isn't wanted any more; leaving the table is its owner's business", () => {
    const before = tableOf(members("a", "b", "c"), [row("a", { backups: ["b"], wanted: ["b"] })]);
    const after = plan(before, [member("a"), member("b", { dead: "gone" }), member("c")], { backups: 1 })!;
    expect(after.rows).toEqual([row("a", { backups: ["b"], wanted: ["c"] })]);
    expect(after.members.map((m) => m.dead)).toEqual(["", "gone", ""]);
  });

  test("once no row names a dead member it leaves the table", () => {
    const of = [member("a"), member("b", { dead: "silent" }), member("c")];
    const before = tableOf(of, [row("a", { wanted: ["c"] })]);
    expect(plan(before, of, { backups: 1 })!.members).toEqual(members("a", "c"));
  });

  test("a leaving member isn't wanted any more", () => {
    const of = members("a", "b", "c");
    const before = tableOf(of, [row("a", { backups: ["b"], wanted: ["b"] }), row("c", { wanted: ["a"] })]);
    const after = plan(before, [member("a"), member("b", { leaving: true }), member("c")], { backups: 1 })!;
    expect(after.rows.map((r) => r.wanted)).toEqual([["c"], ["a"]]);
    expect(after.rows.map((r) => r.backups)).toEqual([["b"], []]);
  });

  test("who has the data is preferred: a backup, then the owner of a row that moves", () => {
    const of = members("a", "b", "c", "d");
    const kept = tableOf(of, [row("a", { backups: ["d"] })]);
    expect(plan(kept, of, { backups: 1 })!.rows[0]!.wanted).toEqual(["d"]);
    const moving = tableOf(of, [row("d", { incoming: "a" }), row("d")]);
    expect(plan(moving, of, { backups: 1 })!.rows[0]!.wanted).toEqual(["d"]);
  });

  test("what is placed well stays, whatever copies there are so far", () => {
    const of = members("a", "b", "c");
    const before = plan(emptyTable(9), of, { backups: 1 })!;
    const third = (r: Row): string => of.find((m) => m.id !== r.owner && !r.wanted.includes(m.id))!.id;
    const rows = before.rows.map((r, i) => ({ ...r, backups: i % 2 === 0 ? r.wanted : [third(r)] }));
    expect(plan({ ...before, rows }, of, { backups: 1 })).toBeUndefined();
  });

  test("fewer backups than before: the rest isn't wanted", () => {
    const of = members("a", "b", "c");
    const before = tableOf(of, [row("a", { backups: ["b", "c"], wanted: ["b", "c"] })]);
    expect(plan(before, of, { backups: 1 })!.rows[0]!.wanted).toEqual(["b"]);
    expect(plan(before, of, noBackups)!.rows[0]!.wanted).toEqual([]);
  });
});

test.each([
  ["no zones", () => ""],
  ["five zones", (i: number) => `z${i % 5}`],
  ["one large zone and two small ones", (i: number) => (i < 40 ? "x" : i < 45 ? "y" : "z")],
])("16,384 partitions and 50 members are planned in a moment; %s", (_, zoneOf) => {
  const of = Array.from({ length: 50 }, (_, i) => member(`n${i}`, { zone: zoneOf(i) }));
  const tookMs: number[] = [];
  const timed = (table: Table, members: readonly Member[]): Table => {
    // This process's own time: what else the machine does says nothing about the plan.
    const from = process.cpuUsage();
    const planned = plan(table, members, { backups: 2 })!;
    const { user, system } = process.cpuUsage(from);
    tookMs.push((user + system) / 1000);
    return planned;
  };
  const placed = timed(emptyTable(16_384), of);
  const before = { ...placed, rows: placed.rows.map((r) => ({ ...r, backups: r.wanted })) };
  const after = timed(before, [...of.slice(1), member("x", { zone: "z1" }), member("y", { zone: "x" })]);
  expect(moves(after)).toBeGreaterThan(0);
  timed(after, [...of.slice(2), member("x", { zone: "z1" })]);
  // Some tens of milliseconds on a quiet machine; anything quadratic takes many seconds.
  expect(Math.max(...tookMs)).toBeLessThan(3_000);
});
