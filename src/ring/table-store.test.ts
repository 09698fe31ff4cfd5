import { afterEach, beforeEach, expect, test } from "vitest";
import { FaultyBucket } from "../../tests/support/faulty-bucket.ts";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { bytes } from "../../tests/support/recorder.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { silentLog } from "../log.ts";
import { encodeTable, type Table } from "./table.ts";
import { TableStore } from "./table-store.ts";

const partitions = 2;
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

async function tableStore(writer: string): Promise<{ tables: TableStore; bucket: FaultyBucket }> {
  const bucket = new FaultyBucket(await new MemoryCoordination(store).openBucket("ring"));
  const tables = new TableStore({ bucket, partitions, runtime, log: silentLog, writer });
  made.push(tables);
  await tables.start();
  return { tables, bucket };
}

/** Counts each application in the first row's term, so that one too many shows. */
function addOne(times: { left: number }): (table: Table) => Table | undefined {
  const done = new Set<number>();
  return (table) => {
    // As the real changes do: it finds its own work in the table.
    if (done.has(table.rows[0]!.term) || times.left === 0) return undefined;
    const term = table.rows[0]!.term + 1;
    done.add(term);
    return { ...table, epoch: table.epoch + 1, rows: table.rows.map((row) => ({ ...row, term })) };
  };
}

test.each([
  ["conflict"],
  ["lost"],
  ["stored-unanswered"],
  ["stored-unanswered", "conflict"],
  ["lost", "lost", "stored-unanswered"],
] as const)("a change is applied exactly once, also after %s %s %s", async (...faults) => {
  const a = await tableStore("a");
  const b = await tableStore("b");
  for (let round = 1; round <= 3; round++) {
    a.bucket.faults.push(...(faults.filter((fault) => fault !== undefined) as "lost"[]));
    const published = a.tables.publish(addOne({ left: 1 }));
    await runtime.advance(5_000);
    await published;
    expect(a.tables.table.rows[0]!.term).toBe(round);
    await runtime.settle();
    expect(b.tables.table).toEqual(a.tables.table);
    expect(b.tables.table.epoch).toBe(round);
  }
});

test("a write that is carried out long after it was given up is the one that counts, and only once", async () => {
  const a = await tableStore("a");
  await a.tables.publish(addOne({ left: 1 }));
  a.bucket.faults.push("late", "lost");
  const published = a.tables.publish(addOne({ left: 1 }));
  await runtime.settle();
  expect((await a.bucket.deliverLate())[0]!.written).toBe(true);
  await runtime.advance(5_000);
  await published;
  expect(a.tables.table.epoch).toBe(2);
  expect(a.tables.table.rows[0]!.term).toBe(2);

  // And one that comes after the same change was tried again with success does nothing.
  a.bucket.faults.push("late");
  const again = a.tables.publish(addOne({ left: 1 }));
  await runtime.advance(5_000);
  await again;
  expect((await a.bucket.deliverLate())[0]!.written).toBe(false);
  expect(a.tables.table.rows[0]!.term).toBe(3);
});

test("changes of two nodes at once are both applied", async () => {
  const a = await tableStore("a");
  const b = await tableStore("b");
  const set =
    (partition: number, owner: string) =>
    (table: Table): Table | undefined => {
      if (table.rows[partition]!.owner === owner) return undefined;
      const rows = table.rows.map((row, i) => (i === partition ? { ...row, owner } : row));
      const members = ["x", "y"].map((id) => ({
        ...{ id, incarnation: id, host: "h", port: 1, http: "", zone: "", leaving: false, dead: "" as const },
      }));
      return { ...table, epoch: table.epoch + 1, members, rows };
    };
  await Promise.all([a.tables.publish(set(0, "x")), b.tables.publish(set(1, "y"))]);
  await runtime.settle();
  expect(a.tables.table.rows.map((row) => row.owner)).toEqual(["x", "y"]);
  expect(b.tables.table).toEqual(a.tables.table);
  expect(a.tables.table.epoch).toBe(2);
});

test("a stale read doesn't take the table back, and every table is told once, newest last", async () => {
  const a = await tableStore("a");
  const b = await tableStore("b");
  const epochs: number[] = [];
  b.tables.subscribe((table, previous) => {
    expect(previous.epoch).toBeLessThan(table.epoch);
    epochs.push(table.epoch);
  });
  await a.tables.publish(addOne({ left: 1 }));
  const old = await a.bucket.get("table");
  await a.tables.publish(addOne({ left: 1 }));
  await runtime.settle();
  b.bucket.faults.push("conflict");
  b.bucket.staleGets.push(old, undefined);
  const published = b.tables.publish(addOne({ left: 1 }));
  await runtime.advance(5_000);
  await published;
  expect(b.tables.table.epoch).toBe(3);
  expect(epochs).toEqual([...epochs].sort());
  expect(epochs.at(-1)).toBe(3);
});

test("what can't be read, is older, or has another number of rows is refused", async () => {
  const a = await tableStore("a");
  const b = await tableStore("b");
  await a.tables.publish(addOne({ left: 1 }));
  await runtime.settle();
  const known = b.tables.table;
  const row = known.rows[0]!;
  for (const value of [
    bytes("not json"),
    bytes("{}"),
    encodeTable({ ...known, epoch: 9, rows: [row] }),
    encodeTable({ ...known, epoch: known.epoch }),
  ]) {
    const entry = await a.bucket.get("table");
    await a.bucket.update("table", value, entry!.revision);
    await runtime.settle();
    expect(b.tables.table).toBe(known);
  }
});

test("a closed store publishes nothing more, not even what was waiting for an answer", async () => {
  const { tables, bucket } = await tableStore("a");
  bucket.cutOff = true;
  const first = tables.publish(addOne({ left: 1 }));
  const second = tables.publish(addOne({ left: 1 }));
  await runtime.settle();
  tables.close();
  const refused = [first, second].map((published) =>
    expect(published).rejects.toMatchObject({ code: "CLOSED" }),
  );
  await runtime.advance(5_000);
  await Promise.all(refused);
});
