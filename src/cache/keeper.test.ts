/** What becomes of a partition's data when this node owns it no more. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { testStores } from "../../tests/support/stores.ts";
import { silentLog } from "../log.ts";
import type { Ring } from "../ring/ring.ts";
import { emptyTable, type Row, type Table } from "../ring/table.ts";
import { Op } from "./command.ts";
import { CacheKeeper } from "./keeper.ts";
import { Partitions } from "./partitions.ts";

const key = Buffer.from("k");

let partitions: Partitions;
let keeper: CacheKeeper;
let table: Table;

/** The table's only row. */
function becomes(change: Partial<Row>): Row {
  const epoch = table.epoch + 1;
  const row: Row = { ...table.rows[0]!, term: epoch, since: epoch, ...change };
  table = { ...table, epoch, rows: [row] };
  return row;
}

function entries(): number | undefined {
  return partitions.find(0)?.data.store.size;
}

beforeEach(() => {
  const runtime = new ManualRuntime();
  table = emptyTable(1);
  partitions = new Partitions(runtime, 1);
  const ring = {
    nodeId: "a",
    incarnation: "a1",
    state: "open",
    get table() {
      return table;
    },
    peers: { handle: () => {} },
    holds: () => false,
    backupsChanged: () => {},
  } as unknown as Ring;
  keeper = new CacheKeeper({
    ring,
    runtime,
    log: silentLog,
    partitions,
    stores: testStores(),
    wake: () => {},
    completed: () => {},
  });
  keeper.own(0, becomes({ owner: "a", came: "empty" }));
  keeper.activate(0);
  const set = { op: Op.set, key, value: Buffer.from("v"), expiresAtMs: 0, expected: undefined };
  partitions.get(0).apply(set, 0, undefined);
  expect(entries()).toBe(1);
});

afterEach(() => {
  keeper.close();
  partitions.close();
});

describe("a partition that was handed over", () => {
  test("stays as a copy for as long as the table names it, and is served again after a promotion", () => {
    becomes({ owner: "b", backups: ["a"], came: "handover" });
    keeper.release(0, true);
    expect([entries(), keeper.backups().entries]).toEqual([undefined, 1]);
    keeper.own(0, becomes({ owner: "a", backups: [], came: "promotion" }));
    expect(entries()).toBe(1);
  });

  test("and has come back by a promotion, in tables that this node sees as one, has its data", () => {
    const row = becomes({ owner: "a", backups: [], came: "promotion" });
    keeper.release(0, true);
    keeper.own(0, row);
    expect(entries()).toBe(1);
  });

  test("is dropped if the table doesn't count on it", () => {
    becomes({ owner: "b", backups: ["c"], came: "handover" });
    keeper.release(0, true);
    expect(keeper.backups()).toEqual({ complete: 0, filling: 0, entries: 0, sizeBytes: 0 });
  });
});

test("a partition that was taken is dropped, whatever the table says", () => {
  const row = becomes({ owner: "a", backups: [], came: "promotion" });
  keeper.release(0, false);
  keeper.own(0, row);
  expect(entries()).toBe(0);
});
