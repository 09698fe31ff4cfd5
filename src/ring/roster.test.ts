import { beforeEach, expect, test } from "vitest";
import type { PeerIdentity } from "../peers/messages.ts";
import { Roster } from "./roster.ts";
import type { Member, Table } from "./table.ts";

const a1 = member("a", "a1");
const b1 = member("b", "b1");
const b2 = member("b", "b2");

/** What the records say. */
let living: Member[];
let gone: string[];
let ended: string[];
let roster: Roster;

beforeEach(() => {
  living = [];
  gone = [];
  ended = [];
  roster = new Roster({
    living: () => living,
    isGone: ({ incarnation }: PeerIdentity) => gone.includes(incarnation),
    hasEnded: ({ incarnation }: PeerIdentity) => ended.includes(incarnation),
  });
});

function member(id: string, incarnation: string, dead: Member["dead"] = ""): Member {
  return { id, incarnation, host: "h", port: 1, http: "", zone: "", leaving: false, dead };
}

function tableOf(members: readonly Member[], restoredFrom = 0): Table {
  return { epoch: 1, members, rows: [], writer: "", history: { id: "h", restoredFrom } };
}

test("those of the table first, in their order, with what their records say now; then the new ones", () => {
  const moved = { ...a1, http: "h:8080" };
  living = [member("c", "c1"), b1, moved];
  expect(roster.expected(tableOf([a1, b1]))).toEqual([moved, b1, member("c", "c1")]);
});

test("who isn't known to be gone stays as it is", () => {
  living = [b2];
  expect(roster.expected(tableOf([a1, b1]))).toEqual([a1, b1]);
});

test("who leaves leaves, whatever an older record says", () => {
  living = [a1];
  const leaving = { ...a1, leaving: true };
  expect(roster.expected(tableOf([leaving]))).toEqual([leaving]);
});

test("declared dead is silent; with proof, or once its record shows its end, it is gone", () => {
  gone = ["a1", "b1"];
  const silent = [member("a", "a1", "silent"), member("b", "b1", "silent")];
  expect(roster.expected(tableOf([a1, b1]))).toEqual(silent);
  expect(roster.prove(a1)).toBe(true);
  expect(roster.prove(a1)).toBe(false);
  ended = ["b1"];
  const proven = [member("a", "a1", "gone"), member("b", "b1", "gone")];
  expect(roster.expected(tableOf([a1, b1]))).toEqual(proven);
  expect(roster.expected(tableOf(silent))).toEqual(proven);
});

test("a proof alone takes nobody out: its record must be marked first", () => {
  living = [a1];
  roster.prove(a1);
  expect(roster.expected(tableOf([a1]))).toEqual([a1]);
});

test("one that is back stands beside its earlier life once that is certain", () => {
  living = [b2];
  const silent = member("b", "b1", "silent");
  expect(roster.expected(tableOf([silent]))).toEqual([silent]);
  gone = ["b1"];
  ended = ["b1"];
  expect(roster.expected(tableOf([silent]))).toEqual([member("b", "b1", "gone"), b2]);
});

test("one that is back is the youngest, whatever its place was: it holds nothing", () => {
  const a2 = member("a", "a2");
  living = [a2, b1, member("c", "c1")];
  gone = ["a1"];
  const expected = [member("a", "a1", "silent"), b1, a2, member("c", "c1")];
  expect(roster.expected(tableOf([a1, b1]))).toEqual(expected);
});

test("an incarnation that has departed doesn't come back by an old record", () => {
  living = [a1, b1];
  roster.tableChanged(tableOf([a1]), tableOf([a1, b1]));
  expect(roster.expected(tableOf([a1]))).toEqual([a1]);
  living = [a1, b2];
  expect(roster.expected(tableOf([a1]))).toEqual([a1, b2]);
  roster.tableChanged(tableOf([a1, member("b", "b2", "silent")]), tableOf([a1, b2]));
  expect(roster.expected(tableOf([a1]))).toEqual([a1]);
});

test("one that is missing in a table that was restored from an older one may live", () => {
  living = [a1, b1];
  roster.tableChanged(tableOf([a1], 1), tableOf([a1, b1]));
  expect(roster.expected(tableOf([a1], 1))).toEqual([a1, b1]);
});
