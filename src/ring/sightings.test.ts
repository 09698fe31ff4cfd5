import { beforeEach, describe, expect, test } from "vitest";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { silentLog } from "../log.ts";
import { deathOf, encodeRecord } from "./member-record.ts";
import { Sightings } from "./sightings.ts";
import type { Member } from "./table.ts";

const b1: Member = {
  id: "b",
  incarnation: "b1",
  host: "h",
  port: 1,
  http: "",
  zone: "",
  leaving: false,
  dead: "",
};

let sightings: Sightings;
let revision: number;

beforeEach(() => {
  revision = 0;
  sightings = new Sightings({ runtime: new ManualRuntime(), log: silentLog, changed: () => {} });
});

function see(incarnation: string, isDead = false): void {
  const member = { ...b1, incarnation };
  const record = isDead ? deathOf(member) : { ...member, dead: false, beat: 1 };
  sightings.sight({ key: "b", value: encodeRecord(record), revision: ++revision });
}

function seeNothing(): void {
  sightings.sight({ key: "b", value: undefined, revision: ++revision });
}

describe("hasEnded", () => {
  const isGone = (): boolean => sightings.isGone(b1);
  const hasEnded = (): boolean => sightings.hasEnded(b1);

  test("not of one that lives, nor of one that was never seen", () => {
    expect([isGone(), hasEnded()]).toEqual([false, false]);
    see("b1");
    expect([isGone(), hasEnded()]).toEqual([false, false]);
  });

  test("one that removed its record, or is followed by another", () => {
    see("b1");
    seeNothing();
    expect([isGone(), hasEnded()]).toEqual([true, true]);
    see("b2");
    expect([isGone(), hasEnded()]).toEqual([true, true]);
  });

  test("a mark of death is no proof, also when it has been collected, until another follows", () => {
    see("b1");
    see("b1", true);
    expect([isGone(), hasEnded()]).toEqual([true, false]);
    seeNothing();
    expect([isGone(), hasEnded()]).toEqual([true, false]);
    seeNothing();
    expect([isGone(), hasEnded()]).toEqual([true, false]);
    see("b2");
    expect([isGone(), hasEnded()]).toEqual([true, true]);
  });
});
