import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FaultyBucket } from "../../tests/support/faulty-bucket.ts";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { until } from "../../tests/support/recorder.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { silentLog } from "../log.ts";
import { Ownership, type PartitionKeeper, type PartitionsHook } from "./ownership.ts";
import { commitMove } from "./plan.ts";
import type { Member, Row } from "./table.ts";
import { TableStore } from "./table-store.ts";

const partitions = 4;

function member(id: string, incarnation = `${id}1`): Member {
  return { id, incarnation, host: "h", port: 1, http: "", zone: "", leaving: false };
}

const a = member("a");
const b = member("b");
const c = member("c");

/** A keeper whose every step waits for the test, and which writes down what it is told. */
class Keeper implements PartitionKeeper {
  readonly #events: string[];
  readonly #ends = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();

  constructor(events: string[]) {
    this.#events = events;
  }

  copy(partition: number, to: Member, move: number): Promise<void> {
    return this.#step(`copy ${partition} ${to.id} ${move}`);
  }

  seal(partition: number): Promise<void> {
    return this.#step(`seal ${partition}`);
  }

  abort(partition: number): void {
    this.#events.push(`abort ${partition}`);
  }

  activate(partition: number, move: number): void {
    this.#events.push(`activate ${partition} ${move}`);
  }

  release(partition: number, to: Member | undefined): void {
    this.#events.push(`release ${partition} ${to?.id ?? "-"}`);
  }

  async end(step: string, error?: Error): Promise<void> {
    await until(() => this.#ends.has(step), step);
    const { resolve, reject } = this.#ends.get(step)!;
    this.#ends.delete(step);
    if (error === undefined) resolve();
    else reject(error);
  }

  #step(step: string): Promise<void> {
    this.#events.push(step);
    return new Promise((resolve, reject) => this.#ends.set(step, { resolve, reject }));
  }
}

let runtime: ManualRuntime;
let bucket: FaultyBucket;
let tables: TableStore;
let planner: TableStore;
let events: string[];
let keeper: Keeper;
let own: PartitionsHook[];
let release: PartitionsHook[];
let ownership: Ownership;

beforeEach(async () => {
  runtime = new ManualRuntime();
  const store = new MemoryStore(runtime);
  const open = async () => new FaultyBucket(await new MemoryCoordination(store).openBucket("ring"));
  bucket = await open();
  const options = { partitions, runtime, log: silentLog };
  tables = new TableStore({ ...options, bucket, writer: "a" });
  planner = new TableStore({ ...options, bucket: await open(), writer: "planner" });
  await Promise.all([tables.start(), planner.start()]);
  events = [];
  keeper = new Keeper(events);
  own = [];
  release = [];
  ownership = new Ownership(
    {
      runtime,
      log: silentLog,
      tables,
      keeper,
      onOwn: () => own,
      onRelease: () => release,
      changed: () => {},
    },
    a,
    partitions,
  );
  tables.subscribe((table) => ownership.reconcile(table));
});

afterEach(() => {
  tables.close();
  planner.close();
});

/** Publishes a table in which the named rows are changed, and waits until this node has it. */
async function publish(
  rows: Record<number, Partial<Row>>,
  members: readonly Member[] = [a, b, c],
): Promise<number> {
  let epoch = -1;
  await planner.publish((table) => {
    if (table.epoch === epoch) return undefined;
    epoch = table.epoch + 1;
    return {
      ...table,
      epoch,
      members,
      rows: table.rows.map((row, partition) => ({ ...row, ...rows[partition] })),
    };
  });
  await until(() => tables.table.epoch >= planner.table.epoch, "the table is known");
  await runtime.settle();
  return planner.table.epoch;
}

function hook(name: string, list: PartitionsHook[]): { finish: () => void } {
  let finish = (): void => {};
  const gate = new Promise<void>((resolve) => {
    finish = resolve;
  });
  list.push(async (of) => {
    events.push(`${name} ${of.join()}`);
    await gate;
    events.push(`${name} ${of.join()} done`);
  });
  return { finish: () => finish() };
}

const log = (name: string, list: PartitionsHook[]): void => {
  list.push((of) => void events.push(`${name} ${of.join()}`));
};

describe("a partition that comes", () => {
  test("is served at once when there is no hook, and only if this incarnation is the owner", async () => {
    await publish({ 0: { owner: "a" }, 1: { owner: "b" } });
    expect(events).toEqual(["activate 0 0"]);
    expect([0, 1].map((partition) => ownership.isActive(partition))).toEqual([true, false]);
    await publish({ 2: { owner: "a" } }, [member("a", "a2"), b]);
    expect(events.slice(1)).toEqual(["release 0 -"]);
    expect(ownership.active()).toEqual([]);
  });

  test("is served after onOwn has finished, also if it throws, with the copy of the move it came by", async () => {
    const slow = hook("own", own);
    own.push(() => {
      throw new Error("a hook's own trouble");
    });
    log("own2", own);
    await publish({ 0: { owner: "a", source: 3 }, 1: { owner: "a" } });
    expect(events).toEqual(["own 0,1"]);
    expect(ownership.isActive(0)).toBe(false);
    expect(ownership.holds(0)).toBe(true);
    // Meanwhile it is planned to go on: that neither starts the copy yet nor changes what came.
    await publish({ 0: { incoming: "b", move: 9 } });
    slow.finish();
    await runtime.settle();
    expect(events.slice(1)).toEqual([
      "own 0,1 done",
      "own2 0,1",
      "activate 0 3",
      "activate 1 0",
      "copy 0 b 9",
    ]);
  });

  test("an onOwn that ends after the partition went and came again doesn't open it for the later one", async () => {
    const gates: (() => void)[] = [];
    own.push(
      (of) =>
        new Promise<void>((resolve) => {
          events.push(`own ${of.join()}`);
          gates.push(resolve);
        }),
    );
    log("release", release);
    await publish({ 0: { owner: "a" } });
    await publish({ 0: { owner: "b" } });
    await publish({ 0: { owner: "a" } });
    expect(events).toEqual(["own 0", "release 0 -"]);
    gates[0]!();
    await runtime.settle();
    expect(events.slice(2)).toEqual(["release 0", "own 0"]);
    expect(ownership.isActive(0)).toBe(false);
    gates[1]!();
    await runtime.settle();
    expect(events.slice(4)).toEqual(["activate 0 0"]);
  });
});

describe("a partition that goes", () => {
  test("is copied, sealed, released, committed and handed over, in this order", async () => {
    await publish({ 0: { owner: "a" } });
    const slow = hook("release", release);
    const move = await publish({ 0: { incoming: "b", move: 2 } });
    await keeper.end(`copy 0 b ${move}`);
    await until(() => events.includes("seal 0"), "sealed");
    expect(ownership.isActive(0)).toBe(false);
    expect(ownership.holds(0)).toBe(true);
    await keeper.end("seal 0");
    await runtime.settle();
    expect(tables.table.rows[0]!.owner).toBe("a");
    expect(events.slice(1)).toEqual(["copy 0 b 2", "seal 0", "release 0"]);
    slow.finish();
    await until(() => tables.table.rows[0]!.owner === "b", "committed");
    expect(events.slice(4)).toEqual(["release 0 done", "release 0 b"]);
    expect(ownership.movesUnderWay).toBe(0);
    expect(ownership.holds(0)).toBe(false);
  });

  test("a hook that throws doesn't keep it here", async () => {
    await publish({ 0: { owner: "a" } });
    release.push(() => Promise.reject(new Error("a hook's own trouble")));
    await publish({ 0: { incoming: "b", move: 2 } });
    await keeper.end("copy 0 b 2");
    await keeper.end("seal 0");
    await until(() => tables.table.rows[0]!.owner === "b", "committed");
  });

  test("called off while it is copied, it is served on and may go elsewhere", async () => {
    log("release", release);
    await publish({ 0: { owner: "a" } });
    await publish({ 0: { incoming: "b", move: 2 } });
    await publish({ 0: { incoming: "c", move: 3 } });
    expect(events.slice(1)).toEqual(["copy 0 b 2", "abort 0", "copy 0 c 3"]);
    await keeper.end("copy 0 b 2", new Error("aborted"));
    await runtime.advance(1_000);
    expect(ownership.isActive(0)).toBe(true);
    await publish({ 0: { incoming: "", move: 0 } });
    await keeper.end("copy 0 c 3");
    await runtime.settle();
    expect(events.slice(4)).toEqual(["abort 0"]);
    expect(ownership.isActive(0)).toBe(true);
    expect(ownership.movesUnderWay).toBe(0);
  });

  test("called off while it is sealed, it is served again without any hook", async () => {
    log("own", own);
    log("release", release);
    await publish({ 0: { owner: "a" } });
    await publish({ 0: { incoming: "b", move: 2 } });
    await keeper.end("copy 0 b 2");
    await until(() => events.includes("seal 0"), "sealed");
    await publish({ 0: { incoming: "", move: 0 } });
    expect(ownership.isActive(0)).toBe(true);
    await keeper.end("seal 0");
    await runtime.settle();
    expect(events).toEqual(["own 0", "activate 0 0", "copy 0 b 2", "seal 0", "abort 0"]);
    expect(tables.table.rows[0]!.owner).toBe("a");
  });

  test("called off while another of its batch is being sealed, it runs no onRelease", async () => {
    log("release", release);
    await publish({ 0: { owner: "a" }, 1: { owner: "a" } });
    await publish({ 0: { incoming: "b", move: 2 }, 1: { incoming: "b", move: 2 } });
    await Promise.all([keeper.end("copy 0 b 2"), keeper.end("copy 1 b 2")]);
    await until(() => events.includes("seal 1"), "sealed");
    await keeper.end("seal 0");
    await runtime.settle();
    await publish({ 0: { incoming: "", move: 0 } });
    await keeper.end("seal 1");
    await until(() => tables.table.rows[1]!.owner === "b", "the other is committed");
    expect(events.filter((event) => event.startsWith("release"))).toEqual(["release 1", "release 1 b"]);
    expect(ownership.isActive(0)).toBe(true);
  });

  test("called off after onRelease has run, onOwn runs again before it is served", async () => {
    log("own", own);
    log("release", release);
    await publish({ 0: { owner: "a" } });
    await publish({ 0: { incoming: "b", move: 2 } });
    // The commit doesn't reach the store; another table does.
    bucket.faults.push("lost");
    await keeper.end("copy 0 b 2");
    await keeper.end("seal 0");
    await until(() => bucket.writes === 1, "the commit was tried");
    await publish({ 0: { incoming: "", move: 0 } });
    await runtime.advance(1_000);
    expect(events.slice(2)).toEqual([
      "copy 0 b 2",
      "seal 0",
      "release 0",
      "abort 0",
      "own 0",
      "activate 0 0",
    ]);
    expect(ownership.isActive(0)).toBe(true);
    expect(tables.table.rows[0]!.owner).toBe("a");
  });

  test("stays sealed while its commit has no answer, until a table says who owns it", async () => {
    await publish({ 0: { owner: "a" } });
    await publish({ 0: { incoming: "b", move: 2 } });
    bucket.faults.push("late", "lost", "lost");
    await keeper.end("copy 0 b 2");
    await keeper.end("seal 0");
    await until(() => bucket.writes === 1, "the commit was tried");
    await runtime.advance(60);
    expect(ownership.isActive(0)).toBe(false);
    expect(events.at(-1)).toBe("seal 0");
    await bucket.deliverLate();
    await until(() => tables.table.rows[0]!.owner === "b", "the commit is known");
    expect(events.at(-1)).toBe("release 0 b");
    await runtime.advance(1_000);
    expect(tables.table.epoch).toBe(3);
  });

  test("that can't be copied or sealed is tried again, and served meanwhile", async () => {
    await publish({ 0: { owner: "a" } });
    await publish({ 0: { incoming: "b", move: 2 } });
    await keeper.end("copy 0 b 2", new Error("unreachable"));
    await runtime.advance(300);
    await keeper.end("copy 0 b 2");
    await keeper.end("seal 0", new Error("unreachable"));
    await runtime.settle();
    expect(ownership.isActive(0)).toBe(true);
    await runtime.advance(300);
    await keeper.end("copy 0 b 2");
    await keeper.end("seal 0");
    await until(() => tables.table.rows[0]!.owner === "b", "committed");
    expect(events.slice(1)).toEqual([
      ...["copy 0 b 2", "copy 0 b 2", "seal 0", "abort 0", "copy 0 b 2", "seal 0", "release 0 b"],
    ]);
  });

  test("doesn't stay sealed for a partition that goes to a node which doesn't answer", async () => {
    await publish({ 0: { owner: "a" }, 1: { owner: "a" } });
    await publish({ 0: { incoming: "b", move: 2 }, 1: { incoming: "c", move: 2 } });
    await Promise.all([keeper.end("copy 0 b 2"), keeper.end("copy 1 c 2")]);
    await until(() => events.includes("seal 0"), "sealed");
    await runtime.settle();
    expect([0, 1].map((partition) => ownership.isActive(partition))).toEqual([false, true]);
    await keeper.end("seal 0");
    await until(() => tables.table.rows[0]!.owner === "b", "committed");
    await keeper.end("seal 1");
    await until(() => tables.table.rows[1]!.owner === "c", "committed");
  });
});

describe("a partition that is taken", () => {
  test("is dropped, and its onRelease runs once", async () => {
    log("release", release);
    await publish({ 0: { owner: "a" }, 1: { owner: "a" } });
    await publish({ 0: { owner: "b" } });
    expect(events.slice(2)).toEqual(["release 0 -", "release 0"]);
    ownership.loseAll(member("a", "a2"));
    await runtime.settle();
    expect(events.slice(4)).toEqual(["release 1 -", "release 1"]);
    expect(ownership.active()).toEqual([]);
  });

  test("though it had moved on already when that became known here, runs no second onRelease", async () => {
    log("release", release);
    await publish({ 0: { owner: "a" } });
    await publish({ 0: { incoming: "b", move: 2 } });
    bucket.faults.push("late");
    await keeper.end("copy 0 b 2");
    await keeper.end("seal 0");
    await until(() => bucket.writes === 1, "the commit was tried");
    await publish({ 0: { owner: "c", incoming: "", move: 0, source: 9 } });
    expect(events.filter((event) => event.startsWith("release"))).toEqual(["release 0", "release 0 -"]);
  });

  test("stop runs onRelease for what is still here, and not twice for what had been released", async () => {
    log("release", release);
    await publish({ 0: { owner: "a" }, 1: { owner: "a" } });
    await publish({ 0: { incoming: "b", move: 2 } });
    bucket.cutOff = true;
    await keeper.end("copy 0 b 2");
    await keeper.end("seal 0");
    await until(() => bucket.writes === 1, "the commit was tried");
    await ownership.stop();
    expect(events.filter((event) => event.startsWith("release"))).toEqual(["release 0", "release 1"]);
    expect(commitMove(tables.table, [{ partition: 0, move: 2 }])).toBeDefined();
  });
});
