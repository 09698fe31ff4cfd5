import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { plan } from "./plan.ts";
import { type Change, reconfigure } from "./reconfigure.ts";
import { emptyTable, isAtRest, type Member, memberOf, type Row, sameContent, type Table } from "./table.ts";

function member(id: string, zone = ""): Member {
  return { id, incarnation: "1", host: "h", port: 1, http: "", zone, leaving: false, dead: "" };
}

const finalOwner = (row: Row): string => (row.incoming === "" ? row.owner : row.incoming);

/** One thing that happens to a cluster; `pick` chooses whom it happens to. */
type Happening =
  | { kind: "join"; count: number; zone: number }
  | { kind: "leave" | "die" | "vanish" | "fallSilent" | "dieSomehow" | "prove" | "restart"; picks: number[] }
  | { kind: "ownersAct"; picks: number[] };

const picks = (max: number) => fc.array(fc.nat(1_000_000), { minLength: 1, maxLength: max });
const happening: fc.Arbitrary<Happening> = fc.oneof(
  fc.record({ kind: fc.constant("join" as const), count: fc.integer({ min: 1, max: 6 }), zone: fc.nat(3) }),
  fc.record({
    kind: fc.constantFrom(
      ...(["leave", "die", "vanish", "fallSilent", "dieSomehow", "prove", "restart"] as const),
    ),
    picks: picks(4),
  }),
  fc.record({ kind: fc.constant("ownersAct" as const), picks: picks(150) }),
  fc.record({ kind: fc.constant("ownersAct" as const), picks: picks(150) }),
);
/** Now and then, several things happen before the next plan. */
const history = fc.array(fc.record({ what: happening, isPlanned: fc.integer({ min: 0, max: 3 }) }), {
  maxLength: 25,
});

interface World {
  table: Table;
  /** The living and the dead, in the order in which they joined. */
  members: Member[];
  born: number;
  readonly zones: boolean;
}

const at = <T>(from: readonly T[], pick: number): T | undefined => from[pick % Math.max(from.length, 1)];

/** What the owner of the row may do next, as `reconfigure` would be asked to. */
function possible(table: Table, partition: number): Change[] {
  const row = table.rows[partition]!;
  const lives = (id: string): boolean => memberOf(table, id)?.dead === "";
  if (!lives(row.owner)) return [];
  const change = (kind: Change["kind"], id: string): Change => {
    return { partition, since: row.since, kind, member: memberOf(table, id)! };
  };
  const changes: Change[] = [];
  const lacking = [...new Set([row.incoming, ...row.wanted])].filter((id) => id !== "" && !holds(row, id));
  for (const id of lacking) changes.push(change("add", id));
  const isFull = row.incoming === "" && lacking.length === 0;
  for (const id of row.backups) {
    if (!lives(id) || (isFull && !row.wanted.includes(id))) changes.push(change("drop", id));
  }
  if (row.backups.includes(row.incoming)) changes.push(change("hand", row.incoming));
  return changes;
}

const holds = (row: Row, id: string): boolean => row.owner === id || row.backups.includes(id);

function ownersAct(table: Table, chosen: readonly number[]): Table {
  let now = table;
  for (const pick of chosen) {
    const partition = pick % now.rows.length;
    const change = at(possible(now, partition), pick >> 8);
    if (change === undefined) continue;
    const next = reconfigure(now, memberOf(now, now.rows[partition]!.owner)!, [change]);
    expect(next).toBeDefined();
    now = next!;
  }
  return now;
}

/** Changes who is there, or lets owners do what they are told, in random order. */
function happen(world: World, what: Happening): void {
  const { members: of } = world;
  if (what.kind === "join") {
    for (let i = 0; i < what.count && of.length < 20; i++) {
      of.push(member(`n${world.born++}`, world.zones && what.zone > 0 ? `z${what.zone}` : ""));
    }
    return;
  }
  if (what.kind === "ownersAct") {
    world.table = ownersAct(world.table, what.picks);
    return;
  }
  for (const pick of what.picks) {
    const isVictim = (m: Member): boolean =>
      what.kind === "prove" ? m.dead === "silent" : what.kind === "restart" || m.dead === "";
    const victim = at(of.filter(isVictim), pick);
    if (victim === undefined) return;
    const i = of.indexOf(victim);
    if (what.kind === "vanish") of.splice(i, 1);
    else if (what.kind === "leave") of[i] = { ...victim, leaving: true };
    else if (what.kind === "fallSilent") of[i] = { ...victim, dead: "silent" };
    else if (what.kind === "restart") {
      const isKept = (pick & 64) === 0;
      of.splice(i, isKept ? 0 : 1);
      if (isKept) of[of.indexOf(victim)] = { ...victim, dead: "gone" };
      for (const m of of.filter((m) => m.id === victim.id && m.dead === "")) of.splice(of.indexOf(m), 1);
      of.push({ ...victim, leaving: false, dead: "", incarnation: `r${world.born++}` });
    } else of[i] = { ...victim, dead: what.kind === "dieSomehow" && (pick & 64) === 0 ? "silent" : "gone" };
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

/** What is true of the members that the planner was told of, seen from the table before. */
class View {
  readonly staying: readonly Member[];
  readonly living: readonly Member[];
  readonly #before: Table;
  readonly #of: readonly Member[];

  constructor(before: Table, of: readonly Member[]) {
    this.#before = before;
    this.#of = of;
    this.living = of.filter((m) => m.dead === "");
    this.staying = this.living.filter((m) => !m.leaving);
  }

  /** What the id stands for in the table before. */
  state(id: string): "living" | "gone" | "silent" {
    const was = memberOf(this.#before, id);
    if (was === undefined || this.isTaken(id)) return "gone";
    const now = this.#of.find((m) => m.id === id && m.incarnation === was.incarnation);
    if (now === undefined || now.dead === "gone" || was.dead === "gone") return "gone";
    return now.dead === "silent" ? "silent" : "living";
  }

  isTaken(id: string): boolean {
    const now = this.living.find((m) => m.id === id);
    return now !== undefined && now.incarnation !== memberOf(this.#before, id)?.incarnation;
  }

  lives(id: string): boolean {
    return this.state(id) === "living";
  }

  stays(id: string): boolean {
    return this.lives(id) && this.staying.some((m) => m.id === id);
  }
}

type Fate = "stays" | "promoted" | "empty" | "orphan" | "nothing";

/** Checks who owns the row and with which backups; the parts that only the owner changes else. */
function checkOwner(old: Row, row: Row, view: View, epoch: number): Fate {
  const began = { term: epoch, since: epoch };
  if (view.lives(old.owner)) {
    const backups = old.backups.filter((id) => !view.isTaken(id));
    const term = backups.length < old.backups.length ? epoch : old.term;
    const wait = old.wait || (term === epoch && backups.length === 0);
    expect(row).toEqual({ ...old, backups, term, wait, incoming: row.incoming, wanted: row.wanted });
    return "stays";
  }
  const heirs = old.backups.filter((id) => view.lives(id));
  const ownerIsSilent = old.owner !== "" && view.state(old.owner) === "silent";
  if (old.owner !== "" && heirs.length > 0) {
    const wait = old.wait || ownerIsSilent;
    const backups = heirs.filter((id) => id !== row.owner);
    expect(row).toMatchObject({ ...began, came: "promotion", wait, backups });
    expect(heirs).toContain(row.owner);
    if (heirs.some((id) => view.stays(id))) expect(view.stays(row.owner)).toBe(true);
    if (heirs.includes(old.incoming) && view.stays(old.incoming)) expect(row.owner).toBe(old.incoming);
    return "promoted";
  }
  const areSilent = old.backups.length > 0 && old.backups.every((id) => view.state(id) === "silent");
  if (ownerIsSilent && areSilent) {
    expect(row).toEqual({ ...old, incoming: "", wanted: [] });
    return "orphan";
  }
  if (view.staying.length === 0 && old.owner === "") {
    expect(row).toEqual({ ...old, incoming: "", wanted: [] });
    return "nothing";
  }
  const wait = old.wait || (ownerIsSilent && old.backups.length > 0);
  expect(row).toMatchObject({ ...began, came: "empty", wait, backups: [], incoming: "" });
  if (view.staying.length === 0) expect(row.owner).toBe("");
  else expect(view.staying.some((m) => m.id === row.owner)).toBe(true);
  return view.staying.length === 0 ? "nothing" : "empty";
}

function checkMembers(after: Table, view: View, of: readonly Member[]): void {
  const named = new Set(after.rows.flatMap((row) => [row.owner, ...row.backups]));
  named.delete("");
  expect(after.members.filter((m) => m.dead === "")).toEqual(view.living);
  for (const id of named) expect(memberOf(after, id), id).toBeDefined();
  for (const m of after.members) {
    if (m.dead === "") continue;
    expect(named.has(m.id), m.id).toBe(true);
    expect(m.dead).toBe(view.state(m.id));
  }
  const order = after.members.flatMap((m) => {
    const i = of.findIndex((x) => x.id === m.id && x.incarnation === m.incarnation);
    return i < 0 ? [] : [i];
  });
  expect(order).toEqual([...order].sort((a, b) => a - b));
}

function checkBalance(table: Table, view: View, rows: readonly Row[]): void {
  if (view.staying.length === 0) return;
  const counts = new Map(view.staying.map((m) => [m.id, 0]));
  for (const row of rows) counts.set(finalOwner(row), counts.get(finalOwner(row))! + 1);
  const loads = [...counts.values()];
  expect(Math.max(...loads) - Math.min(...loads), `epoch ${table.epoch}`).toBeLessThanOrEqual(1);
}

const zonesOf = (of: readonly Member[]): number => new Set(of.map((m) => m.zone || `${m.id}'s own`)).size;

function checkWanted(rows: readonly Row[], view: View, backups: number): void {
  const load = new Map(view.staying.map((m) => [m.id, 0]));
  for (const row of rows) for (const id of row.wanted) load.set(id, load.get(id)! + 1);
  const byId = new Map(view.staying.map((m) => [m.id, m]));
  const eligibleFor = (owner: string): Member[] => {
    const { zone } = byId.get(owner)!;
    return view.staying.filter((m) => m.id !== owner && (zone === "" || m.zone !== zone));
  };
  for (const row of rows) {
    const owner = finalOwner(row);
    if (!byId.has(owner)) {
      expect(row.wanted).toEqual([]);
      continue;
    }
    const eligible = eligibleFor(owner);
    const size = Math.min(backups, eligible.length);
    const wanted = row.wanted.map((id) => byId.get(id)!);
    expect(new Set(wanted).size).toBe(size);
    expect(wanted.every((m) => eligible.includes(m))).toBe(true);
    const spread = Math.min(size, zonesOf(eligible));
    expect(zonesOf(wanted)).toBeGreaterThanOrEqual(spread);
    // Nobody could pass a copy on to one that has two fewer.
    for (const from of wanted) {
      for (const to of eligible) {
        if (wanted.includes(to) || load.get(from.id)! - load.get(to.id)! < 2) continue;
        expect(zonesOf(wanted.map((m) => (m === from ? to : m)))).toBeLessThan(spread);
      }
    }
  }
  if (view.living.every((m) => m.zone === "") && view.staying.length > 0) {
    const loads = [...load.values()];
    expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
  }
}

function checkStep(before: Table, of: readonly Member[], backups: number): Table {
  const after = plan(before, of, { backups });
  expect(plan(before, of, { backups })).toEqual(after);
  if (after === undefined) return before;
  expect(after.epoch).toBe(before.epoch + 1);
  expect(sameContent(before, after)).toBe(false);
  expect(plan(after, of, { backups })).toBeUndefined();

  const view = new View(before, of);
  checkMembers(after, view, of);
  const valid: (string | undefined)[] = [];
  const counted: Row[] = [];
  let changes = 0;
  after.rows.forEach((row, i) => {
    const old = before.rows[i]!;
    const fate = checkOwner(old, row, view, after.epoch);
    expect(row.incoming === "" || view.staying.some((m) => m.id === row.incoming)).toBe(true);
    expect(row.incoming).not.toBe(row.owner === "" ? "-" : row.owner);
    if (fate === "nothing" || fate === "orphan") return;
    counted.push(row);
    const served = fate === "empty" ? "" : row.owner;
    const goesOn = fate === "stays" && view.stays(old.incoming);
    const target = goesOn ? old.incoming : view.stays(served) ? served : undefined;
    valid.push(target);
    if (finalOwner(row) !== target && view.staying.length > 0) changes++;
  });
  const ids = view.staying.map((m) => m.id);
  expect(changes).toBe(fewestChanges(valid, ids));
  checkBalance(after, view, counted);
  checkWanted(after.rows, view, backups);
  return after;
}

describe("over any history", () => {
  test.each([false, true])("the plan keeps its promises and converges; zones: %s", (zones) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 0, max: 3 }),
        history,
        (partitions, backups, steps) => {
          const world: World = { table: emptyTable(partitions), members: [], born: 0, zones };
          for (const { what, isPlanned } of steps) {
            const { table: old } = world;
            happen(world, what);
            if (isPlanned === 0) continue;
            world.table = checkStep(world.table, world.members.slice(), backups);
            world.table.rows.forEach((row, i) => {
              expect(row.term >= old.rows[i]!.term && row.since >= old.rows[i]!.since).toBe(true);
              expect(row.since <= row.term && row.term <= world.table.epoch).toBe(true);
            });
          }
          converge(world, backups);
        },
      ),
      { numRuns: 80 },
    );
  });

  /** Once every death is proven and owners have done all they are told, nothing is left to do. */
  function converge(world: World, backups: number): void {
    const of = world.members.map((m): Member => (m.dead === "silent" ? { ...m, dead: "gone" } : m));
    world.table = checkStep(world.table, of, backups);
    if (!of.some((m) => m.dead === "" && !m.leaving)) return;
    let { table } = world;
    for (let round = 0; round < 20; round++) {
      const before = table;
      for (const [partition] of table.rows.entries()) table = ownersAct(table, [partition]);
      const planned = plan(table, of, { backups });
      if (planned !== undefined) {
        // The owners' own doing calls for no other aims, only for leaving out the dead that nobody names any more.
        expect(planned.rows).toEqual(table.rows);
        table = planned;
      }
      if (table === before) break;
    }
    expect(isAtRest(table)).toBe(true);
    const leaving = new Set(of.filter((m) => m.leaving && m.dead === "").map((m) => m.id));
    expect(table.rows.some((row) => [row.owner, ...row.backups].some((id) => leaving.has(id)))).toBe(false);
    expect(table.members.every((m) => m.dead === "")).toBe(true);
  }

  test("a single join or leave in a settled ring moves no row more than its share", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 19 }),
        fc.nat(),
        (partitions, n, who) => {
          const moves = (table: Table): number => table.rows.filter((row) => row.incoming !== "").length;
          const of = Array.from({ length: n }, (_, i) => member(`n${i}`));
          const before = plan(emptyTable(partitions), of, { backups: 1 })!;
          const joined = plan(before, [...of, member("new")], { backups: 1 })!;
          expect(moves(joined)).toBe(Math.floor(partitions / (n + 1)));
          if (n === 1) return;
          const leaver = who % n;
          const left = of.map((m, i) => (i === leaver ? { ...m, leaving: true } : m));
          const owned = before.rows.filter((row) => row.owner === `n${leaver}`).length;
          expect(moves(plan(before, left, { backups: 1 })!)).toBe(owned);
        },
      ),
    );
  });

  test("a join or a death in a ring at rest changes few backups", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 3, max: 19 }),
        fc.integer({ min: 1, max: 2 }),
        fc.nat(),
        (partitions, n, backups, who) => {
          const of = Array.from({ length: n }, (_, i) => member(`n${i}`));
          const placed = plan(emptyTable(partitions), of, { backups })!;
          const rows = placed.rows.map((row): Row => ({ ...row, backups: row.wanted }));
          const before: Table = { ...placed, rows };
          /** Those that are to get data that they haven't got. */
          const fills = (table: Table): number =>
            table.rows.reduce((sum, row) => {
              const aims = new Set([row.incoming, ...row.wanted].filter((id) => id !== ""));
              return sum + [...aims].filter((id) => !holds(row, id)).length;
            }, 0);
          // The new member's share, as owner and as backup; and as many backups again give way to an owner that they are.
          const copies = partitions * (backups + 1);
          const share = Math.ceil(copies / (n + 1));
          expect(fills(plan(before, [...of, member("new")], { backups })!)).toBeLessThanOrEqual(
            2 * share + 2,
          );
          const dead = who % n;
          const lost = before.rows.filter((row) => holds(row, `n${dead}`)).length;
          const survivors = of.filter((_, i) => i !== dead);
          expect(fills(plan(before, survivors, { backups })!)).toBeLessThanOrEqual(2 * lost + n);
        },
      ),
    );
  });
});
