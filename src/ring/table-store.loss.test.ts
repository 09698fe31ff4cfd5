/** What becomes of the table when the store loses its data. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { FaultyBucket } from "../../tests/support/faulty-bucket.ts";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { bytes } from "../../tests/support/recorder.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { silentLog } from "../log.ts";
import { encodeTable, type Table } from "./table.ts";
import { TableStore } from "./table-store.ts";

interface Node {
  readonly tables: TableStore;
  readonly bucket: FaultyBucket;
  /** What was told, in order. */
  readonly told: string[];
}

let runtime: ManualRuntime;
let store: MemoryStore;
const made: TableStore[] = [];

beforeEach(() => {
  runtime = new ManualRuntime();
  store = new MemoryStore(runtime);
});

afterEach(() => {
  for (const tables of made.splice(0)) tables.close();
});

async function node(writer: string, history = "ours"): Promise<Node> {
  const bucket = new FaultyBucket(await new MemoryCoordination(store).openBucket("ring"));
  const tables = new TableStore({ bucket, partitions: 2, runtime, log: silentLog, writer, history });
  made.push(tables);
  const told: string[] = [];
  tables.onLoss({ lost: () => void told.push("lost"), undone: () => void told.push("undone") });
  tables.subscribe((table) => void told.push(String(table.epoch)));
  await tables.start();
  return { tables, bucket, told };
}

/** Publishes one more table, in which the first row's term grows: it counts how many were applied. */
function bump(): (table: Table) => Table | undefined {
  let wanted = 0;
  return (table) => {
    const term = table.rows[0]!.term;
    if (wanted === 0) wanted = term + 1;
    if (term >= wanted) return undefined;
    const rows = table.rows.map((row) => ({ ...row, term: wanted }));
    return { ...table, epoch: table.epoch + 1, rows };
  };
}

const term = ({ tables }: Node): number => tables.table.rows[0]!.term;

async function publish({ tables }: Node, times = 1): Promise<void> {
  for (let i = 0; i < times; i++) await tables.publish(bump());
  await runtime.settle();
}

async function wipe(): Promise<void> {
  store.wipe();
  await runtime.settle();
}

test("stays in force where it is known, and is published by nobody until it is written back", async () => {
  const a = await node("a");
  const b = await node("b");
  await publish(a, 3);
  await wipe();
  expect([a, b].map(({ tables }) => [tables.isRestoring, tables.table.epoch])).toEqual([
    [true, 3],
    [true, 3],
  ]);
  const published = a.tables.publish(bump());
  await runtime.advance(10_000);
  expect(await a.bucket.get("table")).toBeUndefined();

  await b.tables.writeBack();
  await runtime.advance(1_000);
  await published;
  await runtime.settle();
  for (const each of [a, b]) {
    expect(term(each)).toBe(4);
    expect(each.tables.table).toMatchObject({ epoch: 1_004, history: { id: "ours", restoredFrom: 3 } });
    expect(each.tables.isRestoring).toBe(false);
    expect(each.told.slice(-4)).toEqual(["3", "lost", "1003", "1004"]);
  }
});

test("is written back once by any number of nodes, again after another loss, and rows keep their terms", async () => {
  const nodes = [await node("a"), await node("b"), await node("c")];
  await publish(nodes[0]!, 2);
  for (const [from, epoch] of [
    [2, 1_002],
    [1_002, 2_002],
  ] as const) {
    await wipe();
    await Promise.all(nodes.map(({ tables }) => tables.writeBack()));
    await runtime.settle();
    for (const { tables } of nodes) {
      expect(tables.table).toMatchObject({ epoch, history: { restoredFrom: from } });
      expect(tables.table.writer).toBe(nodes[0]!.tables.table.writer);
    }
    expect(nodes.map(term)).toEqual([2, 2, 2]);
  }
  expect(nodes.flatMap(({ told }) => told)).not.toContain("undone");
});

test.each(["lost", "stored-unanswered", "conflict"] as const)(
  "a write back that is %s is found out or tried again",
  async (fault) => {
    const a = await node("a");
    await publish(a, 2);
    await wipe();
    a.bucket.faults.push(fault);
    await a.tables.writeBack();
    if (a.tables.isRestoring) await a.tables.writeBack();
    await runtime.settle();
    expect(a.tables.table.epoch).toBe(1_002);
    await publish(a);
    expect(term(a)).toBe(3);
  },
);

test("a write of before the loss that is still under way changes nothing after it, at the same revision too", async () => {
  const a = await node("a");
  const b = await node("b");
  await publish(a);
  a.bucket.faults.push("held");
  const held = a.tables.publish(bump());
  await runtime.settle();
  await wipe();
  await b.tables.writeBack();
  await runtime.settle();
  expect(a.tables.table.epoch).toBe(1_001);
  a.bucket.release();
  await runtime.advance(1_000);
  await held;
  await runtime.settle();
  // Carried out once, on the table that is in force now.
  expect([term(a), term(b)]).toEqual([2, 2]);
  expect(b.tables.table.epoch).toBe(1_002);
});

test("who knew more than what was written back is told before anyone acts on it, and goes on from it", async () => {
  const a = await node("a");
  const b = await node("b");
  await publish(a, 2);
  b.bucket.deaf = true;
  await publish(a, 1);
  expect([term(a), term(b)]).toEqual([3, 2]);
  store.wipe();
  b.bucket.deaf = false;
  await runtime.settle();
  await b.tables.writeBack();
  await runtime.settle();
  expect([term(a), term(b)]).toEqual([2, 2]);
  expect(a.told.slice(-3)).toEqual(["lost", "undone", "1002"]);
  expect(b.told).not.toContain("undone");
  await publish(b, 2);
  expect(a.told.filter((each) => each === "undone")).toHaveLength(1);
});

test("what another node has seen before the loss is learnt, what comes from elsewhere isn't", async () => {
  const a = await node("a");
  const b = await node("b");
  await publish(a, 2);
  b.bucket.deaf = true;
  await publish(a, 1);
  const known = encodeTable(a.tables.table);
  b.tables.learn(known); // No loss: it is in the store.
  expect(b.tables.table.epoch).toBe(2);
  store.wipe();
  b.bucket.deaf = false;
  await runtime.settle();
  for (const wrong of [
    bytes("nonsense"),
    encodeTable({ ...a.tables.table, history: { id: "theirs", restoredFrom: 0 } }),
    encodeTable({ ...a.tables.table, epoch: 2 }),
    encodeTable({ ...a.tables.table, rows: [] }),
  ]) {
    b.tables.learn(wrong);
    expect(b.tables.table.epoch).toBe(2);
  }
  b.tables.learn(known);
  expect(b.tables.table.epoch).toBe(3);
  await b.tables.writeBack();
  await runtime.settle();
  expect(a.tables.table).toMatchObject({ epoch: 1_003, history: { restoredFrom: 3 } });
  expect(a.told).not.toContain("undone");
});

test.each([
  ["of its own platform", "theirs", 1],
  ["of its own platform, with more tables than this one had", "theirs", 5],
  ["with this platform's settings", "ours", 1],
  ["with this platform's settings, and more tables than this one had", "ours", 5],
])("a node that started on the empty store %s follows", async (_, history, tables) => {
  const a = await node("a");
  await publish(a, 3);
  a.bucket.deaf = true;
  store.wipe();
  const stranger = await node("s", history);
  await publish(stranger, tables);
  expect(stranger.tables.table.epoch).toBe(tables);
  a.bucket.deaf = false;
  await runtime.settle();
  await publish(stranger); // Unless it is told, the next is seen by a as one of the intruder's.
  expect(a.tables.table.epoch).toBe(3);
  expect(a.tables.isRestoring).toBe(true);
  await a.tables.writeBack();
  await runtime.settle();
  const epoch = Math.max(3, tables + 1) + 1_000;
  for (const each of [a, stranger]) {
    expect(each.tables.table).toMatchObject({ epoch, history: { id: "ours", restoredFrom: 3 } });
  }
  expect(a.told).not.toContain("undone");
  await publish(stranger);
  expect([term(a), term(stranger)]).toEqual([4, 4]);
});

test("what can't be read is overwritten", async () => {
  const a = await node("a");
  await publish(a, 2);
  a.bucket.deaf = true;
  store.wipe();
  await runtime.settle();
  await (await new MemoryCoordination(store).openBucket("ring")).create("table", bytes("nonsense"));
  a.bucket.deaf = false;
  await runtime.settle();
  while (a.tables.isRestoring) await a.tables.writeBack();
  expect(a.tables.table.epoch).toBe(1_002);
  await publish(a);
  expect(term(a)).toBe(3);
});

test("a node that has seen no table has none to restore", async () => {
  const a = await node("a");
  await wipe();
  expect(a.tables.isRestoring).toBe(false);
  expect(a.told).toEqual([]);
  await publish(a);
  expect(a.tables.table.epoch).toBe(1);
});

test("confirming takes a table that was the latest after the call", async () => {
  const a = await node("a");
  const b = await node("b");
  await publish(a, 2);
  a.bucket.deaf = true;
  await publish(b, 1);
  expect(term(a)).toBe(2);
  const confirmed = a.tables.confirm();
  await runtime.advance(1_000);
  await confirmed;
  expect(term(a)).toBe(3);

  a.bucket.deaf = false;
  await wipe();
  const again = a.tables.confirm();
  await runtime.advance(1_000);
  await b.tables.writeBack();
  await runtime.advance(1_000);
  await again;
  expect(a.tables.table.epoch).toBe(b.tables.table.epoch);
  expect(a.tables.table.epoch).toBe(1_004);
});

test("a store that is closed while it waits for the table publishes nothing", async () => {
  const a = await node("a");
  await publish(a);
  await wipe();
  const refused = expect(a.tables.publish(bump())).rejects.toMatchObject({ code: "CLOSED" });
  await runtime.settle();
  a.tables.close();
  await refused;
  await a.tables.writeBack();
  expect(await a.bucket.get("table")).toBeUndefined();
});
