import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { commitMove, type Move, plan } from "./plan.ts";
import { emptyTable, type Member, type Row, sameContent, type Table } from "./table.ts";

const noBackups = { backups: 0 };

function member(id: string, extra: Partial<Member> = {}): Member {
  return { id, incarnation: "1", host: "h", port: 1, http: "", zone: "", leaving: false, ...extra };
}

function members(...ids: string[]): Member[] {
  return ids.map((id) => member(id));
}

function row(owner: string, extra: Partial<Row> = {}): Row {
  return { owner, backups: [], term: 1, incoming: "", move: 0, ...extra };
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
    expect(after.rows).toEqual([{ owner: "c", backups: [], term: 6, incoming: "d", move: 6 }]);
  });

  test("a dead backup leaves the row at a new term, a live one stays", () => {
    const before = tableOf(members("a", "b", "c"), [row("a", { backups: ["b", "c"] })]);
    const after = plan(before, members("a", "c"), { backups: 2 })!;
    expect(after.rows).toEqual([row("a", { backups: ["c"], term: 6 })]);
  });

  test("a move towards a dead, replaced or leaving member is taken back or planned anew", () => {
    const of = members("a", "b");
    const before = tableOf(of, [row("a"), row("a", { incoming: "b", move: 4 })]);
    expect(plan(before, members("a"), noBackups)!.rows).toEqual([row("a"), row("a")]);
    const leaving = [member("a"), member("b", { leaving: true })];
    expect(plan(before, leaving, noBackups)!.rows).toEqual([row("a"), row("a")]);
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
    expect(after.rows).toEqual([row("b", { term: 6, backups: ["c"] }), before.rows[1], before.rows[2]]);
  });

  test("several at once, of which the stale ones don't count", () => {
    const after = commitMove(before, [
      { partition: 0, move: 2 },
      { partition: 1, move: 4 },
      { partition: 2, move: 0 },
      { partition: 9, move: 1 },
    ])!;
    expect(after.rows).toEqual([before.rows[0], row("c", { term: 6 }), before.rows[2]]);
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

/** One thing that happens to a cluster; `pick` chooses whom it happens to. */
type Happening =
  | { kind: "join"; count: number; zone: number }
  | { kind: "leave" | "die" | "restart"; picks: number[] }
  | { kind: "commit"; picks: number[] }
  | { kind: "addBackups"; picks: number[] };

const picks = (max: number) => fc.array(fc.nat(1_000_000), { minLength: 1, maxLength: max });
const happening: fc.Arbitrary<Happening> = fc.oneof(
  fc.record({ kind: fc.constant("join" as const), count: fc.integer({ min: 1, max: 6 }), zone: fc.nat(2) }),
  fc.record({ kind: fc.constantFrom("leave" as const, "die" as const, "restart" as const), picks: picks(4) }),
  fc.record({ kind: fc.constant("commit" as const), picks: picks(30) }),
  fc.record({ kind: fc.constant("addBackups" as const), picks: picks(30) }),
);

interface World {
  table: Table;
  members: Member[];
  born: number;
}

/** Changes who is there, or commits moves the way that owners do, in random order. */
function happen(world: World, what: Happening): void {
  const { members: of, table } = world;
  const at = <T>(from: readonly T[], pick: number): T | undefined => from[pick % Math.max(from.length, 1)];
  switch (what.kind) {
    case "join":
      for (let i = 0; i < what.count && of.length < 20; i++) of.push(member(`n${world.born++}`));
      return;
    case "commit": {
      const open = openMoves(table);
      const chosen = what.picks.flatMap((pick) => at(open, pick) ?? []);
      const next = commitMove(table, chosen);
      expect(next === undefined).toBe(open.length === 0);
      if (next !== undefined) world.table = next;
      return;
    }
    case "addBackups": {
      const rows = table.rows.slice();
      for (const pick of what.picks) {
        const r = at(rows, pick);
        const other = at(table.members, pick >> 4);
        if (r === undefined || other === undefined || r.owner === "" || r.owner === other.id) continue;
        if (r.backups.includes(other.id) || r.backups.length >= 2) continue;
        rows[pick % rows.length] = { ...r, backups: [...r.backups, other.id], term: table.epoch + 1 };
      }
      world.table = { ...table, epoch: table.epoch + 1, rows };
      return;
    }
    default:
      for (const pick of what.picks) {
        const victim = at(of, pick);
        if (victim === undefined) return;
        const i = of.indexOf(victim);
        if (what.kind === "leave") of[i] = { ...victim, leaving: true };
        else of.splice(i, 1);
        if (what.kind === "restart") of.push({ ...victim, leaving: false, incarnation: `r${world.born++}` });
      }
  }
}

/**
 * The fewest changes of target that balance needs, worked out without the planner: whatever has no valid target changes,
 * and of the rest a member may keep `floor` rows, as many of them as the remainder allows `floor + 1`.
 */
function fewestChanges(valid: readonly (string | undefined)[], staying: readonly string[]): number {
  if (staying.length === 0) return 0;
  const counts = new Map(staying.map((id) => [id, 0]));
  for (const id of valid) if (id !== undefined) counts.set(id, counts.get(id)! + 1);
  const floor = Math.floor(valid.length / staying.length);
  const larger = valid.length % staying.length;
  let kept = 0;
  let above = 0;
  for (const count of counts.values()) {
    kept += Math.min(count, floor);
    if (count > floor) above++;
  }
  return valid.length - kept - Math.min(above, larger);
}

function checkStep(before: Table, of: readonly Member[], backups: number): Table {
  const after = plan(before, of, { backups });
  expect(plan(before, of, { backups })).toEqual(after);
  if (after === undefined) return before;
  expect(after.epoch).toBe(before.epoch + 1);
  expect(sameContent(before, after)).toBe(false);
  expect(plan(after, of, { backups })).toBeUndefined();

  const was = new Map(before.members.map((m) => [m.id, m.incarnation]));
  const lives = (id: string): boolean => of.some((m) => m.id === id && was.get(id) === m.incarnation);
  const staying = of.filter((m) => !m.leaving).map((m) => m.id);
  const ids = new Set(of.map((m) => m.id));
  const valid: (string | undefined)[] = [];
  let free = 0;
  let changes = 0;
  after.rows.forEach((r, i) => {
    const old = before.rows[i]!;
    const promoted = old.backups.find(lives);
    const served = lives(old.owner) ? old.owner : promoted;
    // One owner: a live one stays, a dead one is followed by its first surviving backup.
    if (served !== undefined) expect(r.owner).toBe(served);
    else expect(staying.includes(r.owner) || (r.owner === "" && staying.length === 0)).toBe(true);
    const sameBackups = r.backups.join() === old.backups.join();
    const sameOwner = lives(old.owner) || (old.owner === "" && r.owner === "");
    expect(r.term).toBe(sameOwner && sameBackups ? old.term : after.epoch);
    expect(r.backups.length).toBeLessThanOrEqual(backups);
    for (const id of r.backups) expect(ids.has(id) && lives(id) && id !== r.owner).toBe(true);
    // A move is towards a member that stays, and named by the epoch that planned it.
    if (r.incoming === "") expect(r.move).toBe(0);
    else {
      expect(staying.includes(r.incoming) && r.incoming !== r.owner).toBe(true);
      const goesOn = lives(old.owner) && lives(r.incoming) && r.incoming === old.incoming;
      expect(r.move).toBe(goesOn ? old.move : after.epoch);
    }
    if (served === undefined) {
      free++;
      expect(r.incoming).toBe("");
      valid.push(undefined);
      return;
    }
    const stays = (id: string): boolean => lives(id) && staying.includes(id);
    const target = stays(old.incoming) ? old.incoming : stays(served) ? served : undefined;
    valid.push(target);
    if (staying.length > 0 && (r.incoming || r.owner) !== target) changes++;
  });
  expect(changes + (staying.length > 0 ? free : 0)).toBe(fewestChanges(valid, staying));
  checkBalance(after, of);
  return after;
}

function checkBalance(table: Table, of: readonly Member[]): void {
  const staying = of.filter((m) => !m.leaving);
  if (staying.length === 0) return;
  const counts = targets(table);
  const loads = staying.map((m) => counts.get(m.id) ?? 0);
  expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
  expect(loads.reduce((a, b) => a + b, 0)).toBe(table.rows.length);
}

describe("over any history", () => {
  test("the plan keeps its promises and converges", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 0, max: 2 }),
        fc.array(happening, { maxLength: 25 }),
        (partitions, backups, history) => {
          const world: World = { table: emptyTable(partitions), members: [], born: 0 };
          for (const what of history) {
            const { table: old } = world;
            happen(world, what);
            world.table = checkStep(world.table, world.members.slice(), backups);
            world.table.rows.forEach((r, i) => {
              expect(r.term >= old.rows[i]!.term && r.term <= world.table.epoch).toBe(true);
            });
          }
          const done = commitMove(world.table, openMoves(world.table)) ?? world.table;
          expect(plan(done, world.members, { backups })).toBeUndefined();
          if (!world.members.some((m) => !m.leaving)) return;
          checkBalance(done, world.members);
          const leaving = new Set(world.members.filter((m) => m.leaving).map((m) => m.id));
          expect(done.rows.some((r) => leaving.has(r.owner) || r.incoming !== "")).toBe(false);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("a single join or leave in a settled ring moves no row more than its share", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 19 }),
        fc.nat(),
        (partitions, n, who) => {
          const of = Array.from({ length: n }, (_, i) => member(`n${i}`));
          const before = settled(of, partitions);
          const joined = plan(before, [...of, member("new")], noBackups)!;
          expect(openMoves(joined)).toHaveLength(Math.floor(partitions / (n + 1)));
          if (n === 1) return;
          const leaver = who % n;
          const left = of.map((m, i) => (i === leaver ? { ...m, leaving: true } : m));
          const owned = before.rows.filter((r) => r.owner === `n${leaver}`).length;
          expect(openMoves(plan(before, left, noBackups)!)).toHaveLength(owned);
        },
      ),
    );
  });
});
