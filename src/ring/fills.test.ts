/** What an owner does so that its partitions have the copies that they are to have. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { a, b, c, d, member, Owner } from "../../tests/support/owner.ts";
import { until } from "../../tests/support/recorder.ts";

let node: Owner;

beforeEach(async () => {
  node = await Owner.start({ partitions: 24 });
});

afterEach(() => node.stop());

const fills = (): string[] => node.taken().filter((event) => event.startsWith("fill"));

describe("a member that lacks its copy", () => {
  test("is filled, becomes a backup, and only then what is too many is dropped", async () => {
    node.keeper.manual.add("fill");
    await node.publish({ 0: { owner: "a", backups: ["d"], wanted: ["b", "c"] } });
    expect(node.taken().slice(-3)).toEqual(["activate 0", "fill 0 b", "fill 0 c"]);
    await node.keeper.end("fill 0 b");
    await until(() => node.row(0).backups.join() === "d,b", "b is added");
    expect(node.taken()).toEqual(["backups 0 d1,b1"]);
    await node.keeper.end("fill 0 c");
    await until(() => node.row(0).backups.join() === "b,c", "c is added, d is dropped");
    await node.runtime.settle();
    expect(node.taken()).toEqual(["backups 0 d1,b1,c1", "backups 0 b1,c1"]);
    const { term } = node.row(0);
    expect(term).toBe(node.tables.table.epoch);
    expect(node.row(0).since).toBe(1);
  });

  test("is tried again when that fails, for as long as it is wanted", async () => {
    node.keeper.manual.add("fill");
    await node.publish({ 0: { owner: "a", wanted: ["b"] } });
    await node.keeper.end("fill 0 b", new Error("unreachable"));
    await node.runtime.advance(300);
    expect(fills()).toEqual(["fill 0 b", "fill 0 b"]);
    await node.keeper.end("fill 0 b", new Error("unreachable"));
    await node.publish({ 0: { wanted: ["c"] } });
    await node.runtime.advance(1_000);
    expect(fills()).toEqual(["fill 0 c"]);
    await node.keeper.end("fill 0 c");
    await until(() => node.row(0).backups.join() === "c", "c is added");
  });

  test.each([
    ["it isn't wanted any more", () => node.publish({ 0: { wanted: [] } })],
    ["it is dead in the table", () => node.publish({}, [a, { ...b, dead: "silent" }, c, d])],
    ["another process has its id", () => node.publish({}, [a, member("b", "b2"), c, d])],
    ["its process is known to be dead", () => node.dead.add("b1")],
    ["it is out of reach", () => node.unreachable.add("b1")],
  ])("is forgotten, while it is filled, when %s", async (_why, change) => {
    node.keeper.manual.add("fill");
    await node.publish({ 0: { owner: "a", wanted: ["b"] } });
    node.taken();
    await change();
    node.ownership.check();
    await node.runtime.settle();
    expect(node.taken().slice(0, 1)).toEqual(["forget 0 b"]);
    await node.runtime.advance(1_000);
    expect(node.row(0).backups).toEqual([]);
    expect(node.ownership.isActive(0)).toBe(true);
  });

  test("that came back is filled", async () => {
    node.unreachable.add("b1");
    await node.publish({ 0: { owner: "a", wanted: ["b"] } });
    expect(fills()).toEqual([]);
    node.unreachable.clear();
    node.ownership.check();
    await until(() => node.row(0).backups.join() === "b", "b is added");
  });

  test("isn't forgotten between its last byte and the table, even if it isn't wanted any more", async () => {
    node.keeper.manual.add("fill");
    await node.publish({ 0: { owner: "a", wanted: ["b"] }, 1: { owner: "a", wanted: ["b"] } });
    node.taken();
    node.bucket.faults.push("late", "lost");
    await node.keeper.end("fill 0 b");
    await until(() => node.bucket.writes === 1, "the addition was sent");
    // It is found dead. The table may name it all the same: only the next table tells whether it is to be dropped.
    node.dead.add("b1");
    node.ownership.check();
    await node.runtime.settle();
    expect(node.taken()).toEqual(["forget 1 b"]);
    await node.bucket.deliverLate();
    await until(() => node.taken().includes("backups 0 b1"), "the addition is known");
    await node.runtime.advance(1_000);
    await until(() => node.row(0).backups.length === 0, "it is dropped");
    expect(node.taken().filter((event) => event.startsWith("forget"))).toEqual([]);
  });

  test("is forgotten when another table wins that doesn't want it", async () => {
    node.keeper.manual.add("fill");
    await node.publish({ 0: { owner: "a", wanted: ["b"] } });
    node.bucket.faults.push("lost");
    await node.keeper.end("fill 0 b");
    await until(() => node.bucket.writes === 1, "the addition was tried");
    node.taken();
    await node.publish({ 0: { wanted: ["c"] } });
    expect(node.taken()).toEqual(["forget 0 b", "fill 0 c"]);
    await node.runtime.advance(1_000);
    expect(node.row(0).backups).toEqual([]);
  });

  test("whose copy ends well though it was forgotten doesn't become a backup", async () => {
    node.keeper.manual.add("fill");
    node.keeper.forgetsLate = true;
    await node.publish({ 0: { owner: "a", wanted: ["b"] } });
    await node.publish({ 0: { wanted: [] } });
    await node.publish({ 0: { wanted: ["b"] } });
    expect(node.taken().slice(-3)).toEqual(["fill 0 b", "forget 0 b", "fill 0 b"]);
    await node.keeper.endFirst("fill 0 b");
    await node.runtime.advance(1_000);
    expect(node.row(0).backups).toEqual([]);
    await node.keeper.end("fill 0 b");
    await until(() => node.row(0).backups.join() === "b", "b is added");
  });

  test("isn't filled while the partition is sealed", async () => {
    node.keeper.manual.add("fill").add("seal");
    await node.publish({ 0: { owner: "a", backups: ["b"], wanted: ["c"] } });
    await node.keeper.end("fill 0 c", new Error("unreachable"));
    await node.publish({ 0: { incoming: "b" } });
    expect(node.taken().slice(-1)).toEqual(["seal 0"]);
    await node.runtime.advance(500);
    expect(node.taken()).toEqual([]);
    await node.publish({ 0: { incoming: "" } });
    expect(node.taken()).toEqual(["unseal 0", "fill 0 c"]);
  });

  test("waits for its turn: eight at a time, those of moves and of partitions without any backup first", async () => {
    node.keeper.manual.add("fill");
    const rows = Array.from({ length: 12 }, () => ({ owner: "a", backups: ["b"], wanted: ["b", "c"] }));
    await node.publish({
      ...rows,
      10: { owner: "a", wanted: ["d"] },
      11: { owner: "a", backups: ["b"], wanted: ["b"], incoming: "d" },
    });
    expect(fills()).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((i) => `fill ${i} c`));
    await node.publish({ 12: { owner: "a", wanted: ["d"] } });
    for (const i of [0, 1, 2, 3, 4]) await node.keeper.end(`fill ${i} c`);
    await node.runtime.settle();
    expect(fills()).toEqual(["fill 10 d", "fill 11 d", "fill 12 d", "fill 8 c", "fill 9 c"]);
  });

  test("of a partition that moves is filled by the next owner, if that can have it now", async () => {
    node.keeper.manual.add("fill").add("seal");
    await node.publish({ 0: { owner: "a", backups: ["b"], wanted: ["c"], incoming: "b" } });
    expect(fills()).toEqual([]);
    await node.keeper.end("seal 0", new Error("a backup doesn't answer"));
    await node.runtime.settle();
    expect(fills()).toEqual(["fill 0 c"]);
  });
});

describe("a backup that is dead", () => {
  test("leaves the table while the partition waits for it, before that is served", async () => {
    node.keeper.manual.add("ready");
    node.dead.add("b1");
    await node.publish({ 0: { owner: "a", backups: ["b", "c"], wanted: ["b", "c"] } });
    await until(() => node.row(0).backups.join() === "c", "b is dropped");
    await node.runtime.settle();
    expect(node.taken()).toEqual(["keep 0 empty", "backups 0 b1,c1", "ready 0", "backups 0 c1"]);
    await node.keeper.end("ready 0");
    await node.keeper.end("ready 0");
    await until(() => node.ownership.isActive(0), "active");
    // It is still wanted, but not filled.
    expect(fills()).toEqual([]);
  });

  test.each([
    ["says the table", () => node.publish({}, [a, { ...b, dead: "gone" }, c, d])],
    ["is known here", () => node.dead.add("b1")],
    ["is out of reach", () => node.unreachable.add("b1")],
    ["has no copy", () => node.keeper.broken.add("b")],
  ])("is dropped while the partition is served: it %s", async (_how, change) => {
    const row = { owner: "a", backups: ["b"], wanted: ["b"] };
    await node.publish({ 0: row, 1: row, 2: { owner: "c", backups: ["b"] } });
    const writes = node.bucket.writes;
    node.taken();
    node.keeper.manual.add("fill");
    await change();
    node.ownership.check();
    await until(() => node.row(0).backups.length === 0, "b is dropped");
    await node.runtime.settle();
    expect(node.row(2).backups).toEqual(["b"]);
    expect(node.bucket.writes).toBe(writes + 1);
    expect(node.taken().slice(0, 2)).toEqual(["backups 0 -", "backups 1 -"]);
    expect(node.ownership.isActive(0)).toBe(true);
  });

  test("is dropped while the partition is sealed, and the handover goes on without it", async () => {
    node.keeper.manual.add("seal");
    await node.publish({ 0: { owner: "a", backups: ["b", "c"], wanted: ["b"], incoming: "c" } });
    await until(() => node.events.includes("seal 0"), "sealed");
    node.taken();
    node.dead.add("b1");
    node.ownership.check();
    await until(() => node.row(0).backups.join() === "c", "b is dropped");
    expect(node.ownership.isActive(0)).toBe(false);
    await node.keeper.end("seal 0");
    await until(() => node.row(0).owner === "c", "handed over");
    expect(node.taken()).toEqual(["backups 0 c1", "hand 0"]);
  });

  test("though its id has another process already, is the one that is waited for until it has left", async () => {
    await node.publish({ 0: { owner: "a", backups: ["b"], wanted: ["b"] } });
    node.taken();
    node.bucket.faults.push("late");
    await node.publish({ 0: { backups: ["b", "c"] } }, [a, member("b", "b2"), c, d]);
    expect(node.taken()).toEqual(["backups 0 b1,c1"]);
    await node.bucket.deliverLate();
    await until(() => node.taken().includes("fill 0 b"), "the new one is filled");
  });

  test("is known by its process even if it was added in a table that wasn't seen here", async () => {
    node.keeper.manual.add("fill");
    await node.publish({ 0: { owner: "a", wanted: ["b"] } });
    node.bucket.faults.push("late", ...new Array<"lost">(20).fill("lost"));
    await node.keeper.end("fill 0 b");
    await until(() => node.bucket.writes === 1, "the addition was sent");
    node.bucket.deaf = true;
    await node.bucket.deliverLate();
    await until(() => node.planner.table.rows[0]!.backups.length === 1, "the others know");
    node.bucket.deaf = false;
    node.taken();
    await node.publish({}, [a, member("b", "b2"), c, d]);
    expect(node.taken()).toEqual(["backups 0 b1"]);
    await node.runtime.advance(20_000);
    expect(node.taken().slice(0, 2)).toEqual(["backups 0 -", "fill 0 b"]);
  });

  test("is dropped once: what comes up while a table is published goes together into the next", async () => {
    const row = { owner: "a", backups: ["b", "c"], wanted: ["b", "c"] };
    await node.publish({ 0: row, 1: row, 2: row });
    node.bucket.faults.push("held");
    node.dead.add("b1");
    node.ownership.check();
    await until(() => node.bucket.writes === 1, "a table is published");
    node.dead.add("c1");
    node.ownership.check();
    await node.runtime.settle();
    node.bucket.release();
    await until(() => [0, 1, 2].every((i) => node.row(i).backups.length === 0), "both are dropped");
    expect(node.bucket.writes).toBe(2);
  });
});

describe("a backup too many", () => {
  test("stays for as long as one of those that are to be there is missing, or the partition moves", async () => {
    node.keeper.manual.add("fill").add("seal");
    node.dead.add("c1");
    await node.publish({
      0: { owner: "a", backups: ["b"], wanted: ["c"] },
      1: { owner: "a", backups: ["b", "d"], wanted: ["b"], incoming: "d" },
      2: { owner: "a", backups: ["b", "d"], wanted: ["b"] },
    });
    await until(() => node.row(2).backups.join() === "b", "d is dropped");
    await node.runtime.advance(500);
    expect([0, 1].map((i) => node.row(i).backups.join())).toEqual(["b", "b,d"]);
  });
});

describe("the members whose grants tell that nobody else owns a partition", () => {
  test("are the backups, if there are any", async () => {
    await node.publish({
      0: { owner: "a", backups: ["b"], wanted: ["b"] },
      1: { owner: "a" },
      2: { owner: "b" },
    });
    expect([0, 1, 2].map((i) => node.ownership.grantors(i))).toEqual([[b], [], []]);
  });

  test("are none while the table may have lost the last backup, and again all when it hasn't", async () => {
    await node.publish({ 0: { owner: "a", backups: ["b"], wanted: ["b"] } });
    node.bucket.faults.push("lost");
    node.unreachable.add("b1");
    node.ownership.check();
    await until(() => node.bucket.writes === 1, "it was tried to drop b");
    expect(node.ownership.grantors(0)).toEqual([]);
    node.unreachable.clear();
    await node.publish({ 1: { owner: "c" } });
    expect(node.ownership.grantors(0)).toEqual([b]);
  });

  test("include the one that may have become a backup", async () => {
    node.keeper.manual.add("fill");
    await node.publish({ 0: { owner: "a", backups: ["b"], wanted: ["b", "c"] } });
    node.bucket.faults.push("lost");
    await node.keeper.end("fill 0 c");
    expect(node.ownership.grantors(0)).toEqual([b]);
    await until(() => node.bucket.writes === 1, "it was tried to add c");
    expect(node.ownership.grantors(0)).toEqual([b, c]);
    await node.publish({ 0: { wanted: ["b"] } });
    expect(node.ownership.grantors(0)).toEqual([b]);
  });
});
