/** How a partition goes to its next owner, and what happens when something comes in between. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { a, b, c, d, member, Owner } from "../../tests/support/owner.ts";
import { until } from "../../tests/support/recorder.ts";
import { planted } from "../planted.ts";

let node: Owner;

beforeEach(async () => {
  node = await Owner.start({ partitions: 12 });
});

afterEach(() => {
  planted.unsealByTimer = false;
  node.stop();
});

/** Partition 0 is served here, `b` has a copy and is to own it. */
const goes = { owner: "a", backups: ["b"], incoming: "b" };

async function sealed(partition = 0): Promise<void> {
  await until(() => node.events.includes(`seal ${partition}`), "it is being sealed");
}

describe("a partition that goes", () => {
  test("is copied to who is to own it, sealed, released and handed over; whoever owns it drops the rest", async () => {
    for (const step of ["fill", "seal"] as const) node.keeper.manual.add(step);
    await node.publish({ 0: { owner: "a" } });
    const finish = node.slowHook("release");
    node.taken();
    // No backups are wanted: there are two copies for a while all the same.
    await node.publish({ 0: { incoming: "b" } });
    expect(node.taken()).toEqual(["fill 0 b"]);
    expect(node.ownership.movesUnderWay).toBe(1);
    await node.keeper.end("fill 0 b");
    await sealed();
    expect(node.row(0)).toMatchObject({ owner: "a", backups: ["b"], incoming: "b" });
    expect(node.taken()).toEqual(["backups 0 b1", "seal 0"]);
    expect(node.ownership.isActive(0)).toBe(false);
    expect(node.ownership.holds(0)).toBe(true);
    await node.keeper.end("seal 0");
    await node.runtime.settle();
    expect(node.taken()).toEqual(["release 0"]);
    expect(node.row(0).owner).toBe("a");
    finish();
    await until(() => node.row(0).owner === "b", "handed over");
    const { epoch } = node.tables.table;
    expect(node.row(0)).toMatchObject({ backups: ["a"], came: "handover", since: epoch, term: epoch });
    expect(node.row(0)).toMatchObject({ incoming: "", wait: false });
    expect(node.taken()).toEqual(["release 0 done", "hand 0"]);
    expect(node.ownership.holds(0)).toBe(false);
    expect(node.ownership.movesUnderWay).toBe(0);
    // It comes back the same way, and what is too many then leaves.
    await node.publish({ 0: { owner: "a", backups: ["b"], came: "handover" } });
    await until(() => node.row(0).backups.length === 0, "b is dropped");
    expect(node.taken()).toEqual(["keep 0 handover", "backups 0 b1", "ready 0", "activate 0", "backups 0 -"]);
  });

  test("goes with others to the same node in one table, eight at most, one node after the other", async () => {
    node.keeper.manual.add("seal");
    const rows = Array.from({ length: 10 }, () => goes);
    await node.publish({ ...rows, 10: { owner: "a", backups: ["c"], incoming: "c" } });
    await sealed(7);
    await node.runtime.settle();
    expect(node.ownership.active()).toEqual([8, 9, 10]);
    for (const i of [0, 1, 2, 3, 4, 5, 6, 7]) await node.keeper.end(`seal ${i}`);
    await sealed(9);
    expect(node.bucket.writes).toBe(1);
    expect(node.ownership.active()).toEqual([10]);
    await Promise.all([node.keeper.end("seal 8"), node.keeper.end("seal 9")]);
    await node.keeper.end("seal 10");
    await until(() => node.row(10).owner === "c", "handed over");
    expect(node.bucket.writes).toBe(3);
  });

  test("needs no keeper", async () => {
    node.stop();
    node = await Owner.start({ keeps: false });
    await node.publish({ 0: { owner: "a", incoming: "b" } });
    await until(() => node.row(0).owner === "b", "handed over");
    expect(node.row(0).backups).toEqual(["a"]);
  });

  test("goes though a hook throws", async () => {
    node.release.push(() => Promise.reject(new Error("a hook's own trouble")));
    await node.publish({ 0: goes });
    await until(() => node.row(0).owner === "b", "handed over");
  });

  test("isn't sealed before backups that are dead have left", async () => {
    node.dead.add("c1");
    await node.publish({ 0: { ...goes, backups: ["b", "c"] } });
    await until(() => node.row(0).owner === "b", "handed over");
    expect(node.taken().slice(-4)).toEqual(["activate 0", "backups 0 b1", "seal 0", "hand 0"]);
  });

  test.each([
    ["dead", () => node.dead.add("b1")],
    ["out of reach", () => node.unreachable.add("b1")],
    ["without a copy", () => node.keeper.broken.add("b")],
  ])("stays for as long as its next owner is %s", async (_how, change) => {
    node.keeper.manual.add("fill");
    change();
    await node.publish({ 0: { ...goes, wanted: ["b"] } });
    await until(() => node.row(0).backups.length === 0, "b is dropped");
    await node.runtime.advance(1_000);
    expect(node.row(0).owner).toBe("a");
    expect(node.ownership.isActive(0)).toBe(true);
    expect(node.taken()).not.toContain("seal 0");
  });
});

describe("a move that is called off", () => {
  test("while the partition is sealed: it is served again, without any hook", async () => {
    node.noteHooks();
    node.keeper.manual.add("seal");
    await node.publish({ 0: { ...goes, wanted: ["b"] } });
    await sealed();
    node.taken();
    await node.publish({ 0: { incoming: "" } });
    expect(node.taken()).toEqual(["unseal 0"]);
    expect(node.ownership.isActive(0)).toBe(true);
    await node.keeper.end("seal 0");
    await node.runtime.advance(2_000);
    expect(node.taken()).toEqual([]);
    expect(node.row(0).owner).toBe("a");
  });

  test("in favour of another node: that gets it", async () => {
    node.keeper.manual.add("seal");
    await node.publish({ 0: { ...goes, backups: ["b", "c"] } });
    await sealed();
    node.taken();
    await node.publish({ 0: { incoming: "c" } });
    await until(() => node.events.filter((event) => event === "seal 0").length === 1, "sealed again");
    await node.keeper.end("seal 0");
    await until(() => node.row(0).owner === "c", "handed over");
    expect(node.taken()).toEqual(["unseal 0", "seal 0", "hand 0"]);
  });

  test("while another of its batch is being sealed: it runs no onRelease", async () => {
    node.noteHooks();
    node.keeper.manual.add("seal");
    await node.publish({ 0: { ...goes, wanted: ["b"] }, 1: goes });
    await sealed(1);
    await node.keeper.end("seal 0");
    node.taken();
    await node.publish({ 0: { incoming: "" } });
    await node.keeper.end("seal 1");
    await until(() => node.row(1).owner === "b", "the other is handed over");
    expect(node.taken()).toEqual(["unseal 0", "release 1", "hand 1"]);
    expect(node.ownership.isActive(0)).toBe(true);
  });

  test.each(["while onRelease runs", "after onRelease has run"])(
    "%s: it is served again after another onOwn",
    async (when) => {
      node.own.push((of) => void node.events.push(`own ${of.join()}`));
      const finish = node.slowHook("release");
      await node.publish({ 0: { ...goes, wanted: ["b"] } });
      await until(() => node.events.includes("release 0"), "onRelease runs");
      // The change, if it is sent, doesn't reach the store; another table does.
      node.bucket.faults.push("lost");
      if (when === "after onRelease has run") {
        finish();
        await until(() => node.bucket.writes === 1, "the handover was tried");
      }
      node.taken();
      await node.publish({ 0: { incoming: "" } });
      expect(node.ownership.holds(0)).toBe(true);
      finish();
      await node.runtime.advance(1_000);
      expect(node.taken().slice(-2)).toEqual(["own 0", "unseal 0"]);
      expect(node.ownership.isActive(0)).toBe(true);
      expect(node.row(0).owner).toBe("a");
      // Its onRelease runs again when it goes for good.
      await node.publish({ 0: { owner: "c" } });
      await node.runtime.settle();
      expect(node.taken().slice(0, 2)).toEqual(["drop 0", "release 0"]);
    },
  );

  test("by the death of the next owner, known here only: it is served again", async () => {
    node.keeper.manual.add("seal");
    await node.publish({ 0: { ...goes, wanted: ["c"] } });
    await sealed();
    node.taken();
    node.dead.add("b1");
    node.ownership.check();
    expect(node.taken()).toEqual(["unseal 0", "fill 0 c"]);
    await until(() => node.row(0).backups.join() === "c", "b is dropped, c is added");
    expect(node.ownership.isActive(0)).toBe(true);
  });
});

describe("a partition that can't be sealed", () => {
  test.each([
    ["fails", () => node.keeper.end("seal 0", new Error("unreachable"))],
    ["takes too long", () => node.runtime.advance(1_001)],
  ])("because that %s is served meanwhile and tried again, ever less often", async (_how, fail) => {
    node.keeper.manual.add("seal");
    await node.publish({ 0: goes });
    await sealed();
    node.taken();
    await fail();
    await node.runtime.settle();
    expect(node.taken()).toEqual(["unseal 0"]);
    expect(node.ownership.isActive(0)).toBe(true);
    await node.runtime.advance(160);
    await sealed();
    node.taken();
    await fail();
    await node.runtime.settle();
    expect(node.taken()).toEqual(["unseal 0"]);
    await node.runtime.advance(160);
    expect(node.taken()).toEqual([]);
    await node.runtime.advance(200);
    await sealed();
    await node.keeper.end("seal 0");
    await until(() => node.row(0).owner === "b", "handed over");
    expect(node.taken()).toEqual(["seal 0", "hand 0"]);
  });
});

describe("a handover without an answer", () => {
  test("keeps the partition sealed until a table says who owns it", async () => {
    node.bucket.faults.push("late", ...new Array<"lost">(20).fill("lost"));
    await node.publish({ 0: goes });
    await until(() => node.bucket.writes >= 1, "it was sent");
    node.taken();
    node.dead.add("b1");
    node.ownership.check();
    await node.runtime.advance(5_000);
    expect(node.bucket.writes).toBeGreaterThan(3);
    expect(node.ownership.isActive(0)).toBe(false);
    expect(node.taken()).toEqual([]);
    await node.bucket.deliverLate();
    await until(() => node.row(0).owner === "b", "it is known");
    expect(node.taken()).toEqual(["hand 0"]);
  });

  test("that was stored is found out", async () => {
    node.bucket.faults.push("stored-unanswered");
    await node.publish({ 0: goes });
    await until(() => node.row(0).owner === "b", "handed over");
    await node.runtime.advance(1_000);
    expect(node.bucket.writes).toBe(1);
    expect(node.taken().at(-1)).toBe("hand 0");
  });

  test("that lost against another table is sent again on that one, without a gap in the seal", async () => {
    node.bucket.faults.push("conflict", "lost");
    await node.publish({ 0: goes });
    await until(() => node.bucket.writes === 1, "it was sent");
    node.taken();
    await node.publish({ 1: { owner: "c" } });
    await node.runtime.advance(1_000);
    expect(node.row(0).owner).toBe("b");
    expect(node.taken()).toEqual(["hand 0"]);
  });

  test("serves again a partition whose change was never sent, because another publication hangs", async () => {
    node.keeper.manual.add("seal");
    await node.publish({ 0: { ...goes, wanted: ["b"] }, 1: goes });
    await sealed(1);
    node.bucket.cutOff = true;
    // Not by the owner: by whatever else this node publishes.
    const other = node.tables.publish((table) => ({ ...table, epoch: table.epoch + 1 }));
    await until(() => node.bucket.writes === 1, "it hangs");
    await Promise.all([node.keeper.end("seal 0"), node.keeper.end("seal 1")]);
    await node.runtime.settle();
    expect(node.ownership.active()).toEqual([]);
    await node.runtime.advance(1_001);
    expect(node.ownership.active()).toEqual([0, 1]);
    await node.runtime.advance(5_000);
    // Once it is known that nothing can be published, nothing is sealed any more.
    expect(node.taken().filter((event) => event === "seal 0")).toHaveLength(1);
    node.bucket.cutOff = false;
    node.keeper.manual.clear();
    await node.runtime.advance(2_000);
    await other;
    await until(() => node.row(0).owner === "b", "handed over");
  });

  test("planted: unseals by timer", async () => {
    planted.unsealByTimer = true;
    node.bucket.faults.push("late", ...new Array<"lost">(20).fill("lost"));
    await node.publish({ 0: goes });
    await until(() => node.bucket.writes === 1, "it was sent");
    await node.runtime.advance(301);
    expect(node.ownership.isActive(0)).toBe(true);
    await node.bucket.deliverLate();
    await until(() => !node.ownership.holds(0), "it is known");
  });
});

describe("a handover that was sent, and tables that weren't seen here", () => {
  /** The change is stored, but the node learns of it only with the table after it. */
  async function unseen(row: Parameters<Owner["publish"]>[0][0]): Promise<string[]> {
    node.noteHooks();
    node.bucket.faults.push("late", ...new Array<"lost">(20).fill("lost"));
    await node.publish({ 0: { ...goes, backups: ["b", "c"] } });
    await until(() => node.bucket.writes === 1, "it was sent");
    node.bucket.deaf = true;
    await node.bucket.deliverLate();
    await until(() => node.planner.table.rows[0]!.owner === "b", "the others know");
    node.taken();
    node.bucket.deaf = false;
    await node.publish({ 0: row! }, [a, { ...b, dead: "gone" }, c, d]);
    return node.taken();
  }

  test("this node is promoted: it takes its copy up again", async () => {
    const events = await unseen({ owner: "a", backups: ["c"], came: "promotion" });
    expect(events).toEqual([
      ...["hand 0", "keep 0 promotion", "backups 0 c1", "own 0", "ready 0", "activate 0"],
    ]);
  });

  test("another backup is promoted: the copy here counts on", async () => {
    const events = await unseen({ owner: "c", backups: ["a"], came: "promotion" });
    expect(events).toEqual(["hand 0"]);
  });
});

describe("a handover during which this node", () => {
  test("is declared dead: nothing of it is kept, nor sent again", async () => {
    node.noteHooks();
    node.bucket.faults.push("lost");
    await node.publish({ 0: goes, 1: { owner: "a" } });
    await until(() => node.bucket.writes === 1, "it was sent");
    node.taken();
    node.ownership.loseAll(member("a", "a2"));
    await node.runtime.advance(5_000);
    expect(node.taken()).toEqual(["drop 0", "drop 1", "release 1"]);
    expect(node.bucket.writes).toBe(1);
    expect(node.row(0).owner).toBe("a");
  });

  test("is dead in the table: nothing of it is kept", async () => {
    node.bucket.faults.push("lost", "lost");
    await node.publish({ 0: goes });
    await until(() => node.bucket.writes === 1, "it was sent");
    node.taken();
    const promoted = { owner: "b", backups: [], came: "promotion" } as const;
    await node.publish({ 0: promoted }, [{ ...a, dead: "silent" }, b, c, d]);
    expect(node.taken()).toEqual(["drop 0"]);
  });

  test("stops: onRelease doesn't run twice", async () => {
    node.noteHooks();
    await node.publish({ 1: { owner: "a" } });
    node.bucket.cutOff = true;
    await node.publish({ 0: goes });
    await until(() => node.bucket.writes === 1, "it was sent");
    await node.ownership.stop();
    expect(node.taken().filter((event) => event.startsWith("release"))).toEqual(["release 0", "release 1"]);
    await node.runtime.advance(5_000);
    expect(node.taken()).toEqual([]);
  });

  test("stops while it is sealed: nothing is handed over", async () => {
    node.noteHooks();
    node.keeper.manual.add("seal");
    await node.publish({ 0: goes });
    await sealed();
    await node.ownership.stop();
    await node.keeper.end("seal 0");
    await node.runtime.advance(5_000);
    expect(node.taken().filter((event) => event.startsWith("release"))).toEqual(["release 0"]);
    expect(node.bucket.writes).toBe(0);
  });
});
