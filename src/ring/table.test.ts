import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  copiesOf,
  decodeTable,
  encodeTable,
  isAtRest,
  isDrained,
  isSettled,
  lostPartitions,
  type Member,
  type Row,
  type Table,
  underReplicated,
} from "./table.ts";

const member = fc.record({
  id: fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/),
  incarnation: fc.string(),
  host: fc.string(),
  port: fc.nat(65_535),
  http: fc.string(),
  zone: fc.string(),
  leaving: fc.boolean(),
  dead: fc.constantFrom("" as const, "gone" as const, "silent" as const),
});

const table: fc.Arbitrary<Table> = fc
  .uniqueArray(member, { selector: (m: Member) => m.id, maxLength: 5 })
  .chain((members) => {
    const ids = members.map((m) => m.id);
    const number = fc.nat(2 ** 40);
    const row = fc.record({
      owner: fc.constantFrom("", ...ids),
      backups: fc.subarray(ids),
      term: number,
      since: number,
      came: fc.constantFrom("empty" as const, "handover" as const, "promotion" as const),
      wait: fc.boolean(),
      incoming: fc.constantFrom("", ...ids),
      wanted: fc.subarray(ids),
    });
    return fc.record({
      epoch: number,
      members: fc.constant(members),
      rows: fc.array(row, { maxLength: 20 }),
      writer: fc.string(),
    });
  });

test("a table comes back as it was written", () => {
  fc.assert(
    fc.property(table, (written) => {
      expect(decodeTable(encodeTable(written))).toEqual(written);
    }),
  );
});

test("what isn't a table throws", () => {
  for (const text of ["", "null", "{}", '{"epoch":1}', '{"epoch":"1","members":[],"rows":[]}'])
    expect(() => decodeTable(Buffer.from(text)), text).toThrow();
});

describe("what a table says of itself", () => {
  const of = (...ids: string[]): Member[] =>
    ids.map((id) => {
      const dead = id.startsWith("dead") ? "gone" : "";
      return { id, incarnation: "1", host: "h", port: 1, http: "", zone: "", leaving: false, dead };
    });
  const members = of("a", "b", "c", "dead");
  const base: Row = {
    owner: "a",
    backups: [],
    term: 1,
    since: 1,
    came: "empty",
    wait: false,
    incoming: "",
    wanted: [],
  };
  const tableOf = (...rows: Partial<Row>[]): Table => {
    return { epoch: 1, members, rows: rows.map((row) => ({ ...base, ...row })), writer: "" };
  };

  test.each<[Partial<Row>, { copies: number; settled: boolean; under: boolean; atRest: boolean }]>([
    [{}, { copies: 1, settled: true, under: false, atRest: true }],
    [
      { backups: ["b"], wanted: ["b"] },
      { copies: 2, settled: true, under: false, atRest: true },
    ],
    [
      { backups: ["c"], wanted: ["b"] },
      { copies: 2, settled: true, under: true, atRest: false },
    ],
    [
      { backups: ["b", "c"], wanted: ["b"] },
      { copies: 3, settled: true, under: false, atRest: false },
    ],
    [
      { backups: ["b", "dead"], wanted: ["b"] },
      { copies: 2, settled: true, under: false, atRest: false },
    ],
    [
      { backups: ["b"], wanted: ["b"], incoming: "c" },
      { copies: 2, settled: false, under: false, atRest: false },
    ],
    [
      { owner: "dead", backups: ["b"], wanted: ["b"] },
      { copies: 1, settled: false, under: true, atRest: false },
    ],
    [{ owner: "" }, { copies: 0, settled: false, under: true, atRest: false }],
  ])("%o", (row, { copies, settled, under, atRest }) => {
    const it = tableOf(row);
    expect(copiesOf(it, 0)).toBe(copies);
    expect(isSettled(it)).toBe(settled);
    expect(underReplicated(it)).toEqual(under ? [0] : []);
    expect(isAtRest(it)).toBe(atRest);
  });

  test("drained: known to be leaving, and no row names it in any part", () => {
    const leaving = { ...tableOf({}), members: members.map((m) => ({ ...m, leaving: m.id === "b" })) };
    const b = members[1]!;
    expect(isDrained(leaving, b)).toBe(true);
    expect(isDrained(tableOf({}), b)).toBe(false);
    expect(isDrained(leaving, { ...b, incarnation: "2" })).toBe(false);
    for (const part of [{ owner: "b" }, { backups: ["b"] }, { incoming: "b" }, { wanted: ["b"] }]) {
      expect(isDrained({ ...leaving, rows: [{ ...base, ...part }] }, b)).toBe(false);
    }
  });

  test("lost: begun anew without data after there was an owner", () => {
    const before = tableOf({}, {}, {}, { owner: "" }, {});
    const after = tableOf(
      { owner: "b", since: 2 },
      { owner: "b", since: 2, came: "promotion" },
      { owner: "b", since: 2, came: "handover" },
      { owner: "b", since: 2 },
      { term: 2, backups: ["c"] },
    );
    expect(lostPartitions(after, before)).toEqual([0]);
  });
});
