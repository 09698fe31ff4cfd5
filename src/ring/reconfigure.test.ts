import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Change, reconfigure } from "./reconfigure.ts";
import { decodeTable, emptyTable, encodeTable, type Member, type Row, type Table } from "./table.ts";

function member(id: string, dead: Member["dead"] = ""): Member {
  return { id, incarnation: `${id}1`, host: "h", port: 1, http: "", zone: "", leaving: false, dead };
}

const [a, b, c, d] = ["a", "b", "c", "d"].map((id) => member(id)) as [Member, Member, Member, Member];
const another = { id: "b", incarnation: "b2" };

const row: Row = {
  owner: "a",
  backups: ["b", "c"],
  term: 4,
  since: 3,
  came: "empty",
  wait: true,
  incoming: "b",
  wanted: ["b", "d"],
};

function tableOf(changes: Partial<Row> = {}, members: readonly Member[] = [a, b, c, d]): Table {
  const base = emptyTable(2);
  return { ...base, epoch: 7, members, rows: [{ ...row, ...changes }, { ...row }], writer: "someone" };
}

const change = (kind: Change["kind"], of: Change["member"], since = 3): Change => ({
  partition: 0,
  since,
  kind,
  member: of,
});

describe("an owner", () => {
  test("adds who is wanted, or is to be the owner", () => {
    const added = reconfigure(tableOf(), a, [change("add", d)]);
    expect(added).toEqual({
      epoch: 8,
      members: [a, b, c, d],
      // Who adds serves, so it waits for nobody any more.
      rows: [{ ...row, backups: ["b", "c", "d"], term: 8, wait: false }, row],
      writer: "",
    });
    const incoming = { backups: [], wanted: [] };
    expect(reconfigure(tableOf(incoming), a, [change("add", b)])?.rows[0]).toEqual({
      ...row,
      ...incoming,
      backups: ["b"],
      term: 8,
      wait: false,
    });
  });

  test("drops any backup, dead or alive", () => {
    const dead = tableOf({}, [a, { ...b, dead: "silent" }, c, d]);
    for (const table of [dead, tableOf()]) {
      expect(reconfigure(table, a, [change("drop", b)])?.rows[0]).toEqual({
        ...row,
        backups: ["c"],
        term: 8,
      });
    }
  });

  test("hands over to the backup that is to be the owner, and becomes a backup", () => {
    expect(reconfigure(tableOf(), a, [change("hand", b)])?.rows[0]).toEqual({
      ...row,
      owner: "b",
      backups: ["a", "c"],
      term: 8,
      since: 8,
      came: "handover",
      wait: false,
      incoming: "",
    });
  });

  test("may do several things to one row at once, in their order", () => {
    const changes = [change("drop", c), change("add", d), change("hand", b)];
    expect(reconfigure(tableOf(), a, changes)?.rows[0]).toMatchObject({ owner: "b", backups: ["a", "d"] });
    // Who is no backup any more doesn't get it, and who isn't the owner any more changes nothing.
    expect(reconfigure(tableOf(), a, [change("drop", b), change("hand", b)])?.rows[0]).toMatchObject({
      owner: "a",
      backups: ["c"],
    });
    expect(reconfigure(tableOf(), a, [change("hand", b), change("drop", c)])?.rows[0]).toMatchObject({
      backups: ["a", "c"],
    });
  });
});

describe("a change is void", () => {
  const cases: [string, Table, Member | typeof another, Change][] = [
    ["by who isn't a member", tableOf(), { id: "x", incarnation: "x1" } as Member, change("drop", b)],
    ["by an earlier incarnation", tableOf(), { ...a, incarnation: "a0" }, change("drop", b)],
    ["by the dead", tableOf({}, [{ ...a, dead: "silent" }, b, c, d]), a, change("drop", b)],
    ["by another than the owner", tableOf(), c, change("drop", b)],
    ["of another reign", tableOf(), a, change("drop", b, 2)],
    ["of a partition that isn't there", tableOf(), a, { ...change("drop", b), partition: 2 }],
    ["add: it is a backup", tableOf(), a, change("add", b)],
    ["add: it is the owner", tableOf({ wanted: ["a"] }), a, change("add", a)],
    ["add: it isn't wanted", tableOf({ backups: [], wanted: ["b"] }), a, change("add", d)],
    ["add: it isn't a member", tableOf({ wanted: ["d"] }, [a, b, c]), a, change("add", d)],
    ["add: it is dead", tableOf({}, [a, b, c, { ...d, dead: "gone" }]), a, change("add", d)],
    ["add: another incarnation has its id", tableOf({ backups: [] }), a, change("add", another)],
    ["drop: it is no backup", tableOf(), a, change("drop", d)],
    ["drop: another incarnation has its id", tableOf(), a, change("drop", another)],
    ["hand: it has no copy", tableOf({ backups: ["c"] }), a, change("hand", b)],
    ["hand: it isn't to be the owner", tableOf({ incoming: "c" }), a, change("hand", b)],
    ["hand: nobody is to be the owner", tableOf({ incoming: "" }), a, change("hand", b)],
    ["hand: it is dead", tableOf({}, [a, { ...b, dead: "silent" }, c, d]), a, change("hand", b)],
    ["hand: another incarnation has its id", tableOf(), a, change("hand", another)],
  ];

  test.each(cases)("%s", (_why, table, owner, of) => {
    expect(reconfigure(table, owner, [of])).toBeUndefined();
  });

  test("on its own: others of the same owner hold", () => {
    const table = reconfigure(tableOf(), a, [change("add", c), { ...change("drop", c), partition: 1 }]);
    expect(table?.rows).toEqual([row, { ...row, backups: ["b"], term: 8 }]);
  });
});

test("whatever is asked for, a row keeps its form, its owner has what it gives away, and a second time does nothing", () => {
  const ids = ["a", "b", "c", "d"];
  const rowOf = fc.record({
    owner: fc.constantFrom(...ids),
    others: fc.subarray(ids),
    wanted: fc.subarray(ids),
    incoming: fc.constantFrom("", ...ids),
    since: fc.integer({ min: 1, max: 3 }),
  });
  const changeOf = fc.record({
    partition: fc.integer({ min: 0, max: 1 }),
    since: fc.integer({ min: 1, max: 3 }),
    kind: fc.constantFrom("add" as const, "drop" as const, "hand" as const),
    member: fc.constantFrom(a, b, c, d, another),
  });
  const membersOf = fc.tuple(
    ...ids.map((id) =>
      fc.constantFrom("", "", "", "gone", "silent").map((dead) => member(id, dead as Member["dead"])),
    ),
  );
  fc.assert(
    fc.property(
      fc.tuple(rowOf, rowOf),
      fc.array(changeOf, { maxLength: 8 }),
      membersOf,
      (drawn, changes, members) => {
        const rows = drawn.map(
          ({ owner, others, wanted, incoming, since }): Row => ({
            ...row,
            owner,
            backups: others.filter((id) => id !== owner),
            wanted,
            incoming: incoming === owner ? "" : incoming,
            since,
            term: 3,
          }),
        );
        const table: Table = { ...emptyTable(2), epoch: 5, members, rows };
        const next = reconfigure(table, a, changes);
        if (next === undefined) return;
        expect(next.epoch).toBe(6);
        expect(next.members).toBe(members);
        expect(decodeTable(encodeTable(next)).rows).toEqual(next.rows);
        next.rows.forEach((after, partition) => {
          const before = rows[partition]!;
          if (after === before) return;
          // Only the living owner's, and only what it may.
          expect([before.owner, members[0]!.dead]).toEqual(["a", ""]);
          expect(after.term).toBe(6);
          expect(after.wanted).toEqual(before.wanted);
          expect(after.backups).not.toContain(after.owner);
          expect(new Set(after.backups).size).toBe(after.backups.length);
          if (after.owner === "a")
            expect([after.since, after.incoming]).toEqual([before.since, before.incoming]);
          else {
            expect(after.owner).toBe(before.incoming);
            expect(after.backups).toContain("a");
            expect([after.since, after.came, after.wait, after.incoming]).toEqual([6, "handover", false, ""]);
          }
          const added = after.backups.filter((id) => id !== "a" && !before.backups.includes(id));
          for (const id of added) {
            expect([before.incoming, ...before.wanted]).toContain(id);
            expect(members.find((one) => one.id === id)?.dead).toBe("");
          }
        });
        expect(
          reconfigure(
            next,
            a,
            changes.filter(({ kind }) => kind === "hand"),
          ),
        ).toBeUndefined();
      },
    ),
  );
});
