import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { a, b, c, d, member, Owner } from "../../tests/support/owner.ts";
import { until } from "../../tests/support/recorder.ts";

let node: Owner;

beforeEach(async () => {
  node = await Owner.start();
});

afterEach(() => node.stop());

describe("a partition that comes", () => {
  test("is served when its backups have everything, and only if this incarnation lives and is the owner", async () => {
    await node.publish({ 0: { owner: "a", backups: ["b", "c"], wanted: ["b", "c"] }, 1: { owner: "b" } });
    expect(node.taken()).toEqual(["keep 0 empty", "backups 0 b1,c1", "ready 0", "activate 0"]);
    expect([0, 1].map((partition) => node.ownership.isActive(partition))).toEqual([true, false]);
    await node.publish({ 2: { owner: "a" } }, [member("a", "a2"), b, c]);
    expect(node.taken()).toEqual(["drop 0"]);
    await node.publish({}, [{ ...a, dead: "silent" }, b, c]);
    expect(node.taken()).toEqual([]);
    expect(node.ownership.active()).toEqual([]);
  });

  test("is served in the very turn in which that is known, if there is neither hook nor data", async () => {
    node.stop();
    node = await Owner.start({ keeps: false });
    let served: boolean | undefined;
    node.tables.subscribe(() => {
      served = node.ownership.isActive(0);
    });
    await node.publish({ 0: { owner: "a" } });
    expect(served).toBe(true);
  });

  test("is served after onOwn has finished, also if it throws, with what it came by", async () => {
    const finish = node.slowHook("own");
    node.own.push(() => {
      throw new Error("a hook's own trouble");
    });
    node.own.push((of) => void node.events.push(`second ${of.join()}`));
    await node.publish({ 0: { owner: "a", came: "promotion" }, 1: { owner: "a", came: "handover" } });
    expect(node.taken()).toEqual([
      "keep 0 promotion",
      "backups 0 -",
      "keep 1 handover",
      "backups 1 -",
      "own 0,1",
    ]);
    expect(node.ownership.isActive(0)).toBe(false);
    expect(node.ownership.holds(0)).toBe(true);
    // Meanwhile it is planned to go on: nothing is copied before it is served.
    await node.publish({ 0: { incoming: "b" } });
    expect(node.taken()).toEqual([]);
    node.keeper.manual.add("fill");
    finish();
    await node.runtime.settle();
    expect(node.taken()).toEqual([
      ...["own 0,1 done", "second 0,1", "ready 0", "ready 1", "activate 0", "fill 0 b", "activate 1"],
    ]);
  });

  test("whose backups change while it waits for them waits for the present ones", async () => {
    node.keeper.manual.add("ready");
    await node.publish({ 0: { owner: "a", backups: ["b"], wanted: ["b"] } });
    await node.publish({ 0: { backups: ["b", "c"] } });
    expect(node.taken()).toEqual(["keep 0 empty", "backups 0 b1", "ready 0", "backups 0 b1,c1"]);
    await node.keeper.end("ready 0");
    await node.runtime.settle();
    expect(node.taken()).toEqual(["ready 0"]);
    await node.keeper.end("ready 0");
    await until(() => node.ownership.isActive(0), "active");
  });

  test("whose backups can't be brought up to date is tried again", async () => {
    node.keeper.manual.add("ready");
    await node.publish({ 0: { owner: "a", backups: ["b"], wanted: ["b"] } });
    await node.keeper.end("ready 0", new Error("a defect"));
    await node.runtime.advance(200);
    await node.keeper.end("ready 0");
    await until(() => node.ownership.isActive(0), "active");
  });

  test("an onOwn that ends after the partition went and came again doesn't open it for the later one", async () => {
    const gates: (() => void)[] = [];
    node.own.push(
      (of) =>
        new Promise<void>((resolve) => {
          node.events.push(`own ${of.join()}`);
          gates.push(resolve);
        }),
    );
    node.release.push((of) => void node.events.push(`release ${of.join()}`));
    await node.publish({ 0: { owner: "a" } });
    await node.publish({ 0: { owner: "b" } });
    await node.publish({ 0: { owner: "a" } });
    expect(node.taken()).toEqual([
      "keep 0 empty",
      "backups 0 -",
      "own 0",
      "drop 0",
      "keep 0 empty",
      "backups 0 -",
    ]);
    gates[0]!();
    await node.runtime.settle();
    expect(node.taken()).toEqual(["release 0", "own 0"]);
    expect(node.ownership.isActive(0)).toBe(false);
    gates[1]!();
    await node.runtime.settle();
    expect(node.taken()).toEqual(["ready 0", "activate 0"]);
  });
});

describe("a partition whose owner before may still serve", () => {
  test("waits, and its hooks with it, for as long as it must, or until there is nothing to wait for", async () => {
    node.noteHooks();
    node.waitMs = 500;
    await node.publish({ 0: { owner: "a", wait: true }, 1: { owner: "a" } });
    expect(node.taken().slice(-3)).toEqual(["own 1", "ready 1", "activate 1"]);
    node.waitMs = 300;
    await node.runtime.advance(501);
    expect(node.taken()).toEqual([]);
    node.waitMs = 0;
    await node.runtime.advance(301);
    expect(node.taken()).toEqual(["own 0", "ready 0", "activate 0"]);

    node.waitMs = Number.POSITIVE_INFINITY;
    await node.publish({ 2: { owner: "a", wait: true }, 3: { owner: "a", wait: true } });
    await node.runtime.advance(100_000);
    expect([2, 3].map((partition) => node.ownership.isActive(partition))).toEqual([false, false]);
    node.waitMs = 0;
    node.ownership.check();
    await node.runtime.settle();
    expect(node.taken().slice(-5)).toEqual(["own 2,3", "ready 2", "ready 3", "activate 2", "activate 3"]);
  });

  test("runs no onRelease if it goes before its onOwn was to run", async () => {
    node.noteHooks();
    node.waitMs = 500;
    await node.publish({ 0: { owner: "a", wait: true } });
    await node.publish({ 0: { owner: "b", wait: false } });
    node.waitMs = 0;
    await node.runtime.advance(1_000);
    expect(node.taken()).toEqual(["keep 0 empty", "backups 0 -", "drop 0"]);
  });
});

describe("a partition that is taken", () => {
  test("is dropped, and its onRelease runs once", async () => {
    node.noteHooks();
    await node.publish({ 0: { owner: "a" }, 1: { owner: "a" } });
    node.taken();
    await node.publish({ 0: { owner: "b" } });
    expect(node.taken()).toEqual(["drop 0", "release 0"]);
    node.ownership.loseAll(member("a", "a2"));
    await node.runtime.settle();
    expect(node.taken()).toEqual(["drop 1", "release 1"]);
    expect(node.ownership.active()).toEqual([]);
    // The table of before doesn't bring anything back; one with the new incarnation does.
    await node.publish({ 2: { owner: "a" } });
    expect(node.taken()).toEqual([]);
    await node.publish({ 1: { owner: "a", since: 99 } }, [member("a", "a2"), b, c, d]);
    expect(node.taken().slice(0, 1)).toEqual(["keep 1 empty"]);
  });

  test("and given back in tables that weren't seen here opens anew", async () => {
    node.noteHooks();
    await node.publish({ 0: { owner: "a" } });
    node.taken();
    await node.publish({ 0: { owner: "a", since: 50, term: 50 } });
    expect(node.taken()).toEqual([
      ...["drop 0", "keep 0 empty", "backups 0 -", "release 0", "own 0", "ready 0", "activate 0"],
    ]);
  });

  test("with a copy under way has it forgotten, unless the table counts on it", async () => {
    node.keeper.manual.add("fill");
    const row = { owner: "a", wanted: ["b", "c"] };
    await node.publish({ 0: row, 1: row, 2: row });
    node.taken();
    // The answer to both additions of partition 1 is out when the partition is taken.
    node.bucket.faults.push("late");
    await Promise.all([node.keeper.end("fill 1 b"), node.keeper.end("fill 1 c")]);
    await until(() => node.bucket.writes === 1, "the addition was sent");
    node.bucket.cutOff = true;
    await node.publish({ 0: { owner: "d" }, 1: { owner: "b", came: "promotion" } });
    expect(node.taken()).toEqual(["forget 0 b", "forget 0 c", "drop 0", "forget 1 c", "drop 1"]);
    node.ownership.loseAll(member("a", "a2"));
    expect(node.taken()).toEqual(["forget 2 b", "forget 2 c", "drop 2"]);
  });

  test("by the death of this incarnation isn't changed any more, and what may have been added isn't forgotten", async () => {
    node.keeper.manual.add("fill");
    await node.publish({ 0: { owner: "a", backups: ["c"], wanted: ["b", "c"] } });
    node.bucket.faults.push("late");
    await node.keeper.end("fill 0 b");
    await until(() => node.bucket.writes === 1, "the addition was sent");
    node.taken();
    node.ownership.loseAll(member("a", "a2"));
    node.dead.add("c1");
    node.ownership.check();
    expect(node.taken()).toEqual(["drop 0"]);
    await node.runtime.advance(5_000);
    expect(node.bucket.writes).toBe(1);
    await node.bucket.deliverLate();
    await until(() => node.row(0).backups.join() === "c,b", "the addition is known");
    expect(node.taken()).toEqual([]);
  });
});

describe("a node that stops", () => {
  test("runs onRelease for what has arrived here, and changes nothing any more", async () => {
    node.noteHooks();
    node.waitMs = 500;
    node.keeper.manual.add("fill");
    await node.publish({
      0: { owner: "a", wanted: ["b"] },
      1: { owner: "a" },
      2: { owner: "a", wait: true },
    });
    node.taken();
    const stopped = node.ownership.stop();
    await node.keeper.end("fill 0 b");
    await stopped;
    node.dead.add("b1");
    node.ownership.check();
    await node.publish({ 3: { owner: "a" } });
    await node.runtime.advance(10_000);
    expect(node.taken()).toEqual(["release 0,1"]);
    expect(node.bucket.writes).toBe(0);
    expect(node.ownership.holds(0)).toBe(false);
  });

  test("waits for the hooks that are under way", async () => {
    const finish = node.slowHook("own");
    node.release.push((of) => void node.events.push(`release ${of.join()}`));
    await node.publish({ 0: { owner: "a" } });
    node.taken();
    const stopped = node.ownership.stop();
    finish();
    await stopped;
    expect(node.taken()).toEqual(["own 0 done", "release 0"]);
  });
});
