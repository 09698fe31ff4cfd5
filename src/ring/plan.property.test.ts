import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { commitMove, type Move, plan } from "./plan.ts";
import { emptyTable, type Member, sameContent, type Table } from "./table.ts";

const noBackups = { backups: 0 };

function member(id: string): Member {
  return { id, incarnation: "1", host: "h", port: 1, http: "", zone: "", leaving: false };
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
    expect(r.source).toBe(sameOwner ? old.source : 0);
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
