import { expect, test } from "vitest";
import type { RingStats } from "../ring/ring-options.ts";
import { emptyTable, type Member, type Row, type Table } from "../ring/table.ts";
import { statsReport, statusReport } from "./reports.ts";

function member(id: string, extra: Partial<Member> = {}): Member {
  const address = { id, incarnation: `${id}1`, host: "h", port: 1, http: `${id}:80` };
  return { ...address, zone: "", leaving: false, dead: "", ...extra };
}

const blank = emptyTable(1).rows[0]!;
const row = (owner: string, backups: string[], extra: Partial<Row> = {}): Row => ({
  ...blank,
  ...{ owner, backups, wanted: backups, term: 1, since: 1 },
  ...extra,
});

/** One row of every kind. */
const table: Table = {
  epoch: 9,
  writer: "",
  members: [member("a", { zone: "z" }), member("b", { leaving: true }), member("c", { dead: "silent" })],
  rows: [
    row("a", ["b"]), // 0: as it should be
    row("a", ["c"], { wanted: ["b"] }), // 1: its backup is dead, another is to be filled
    row("b", ["a"], { incoming: "a", wanted: ["b"] }), // 2: about to be handed to its backup
    row("c", ["c2"], { wanted: [] }), // 3: nobody living has it
    row("a", [], { wanted: [] }), // 4: there is nobody for a backup
    row("b", ["a"], { wanted: ["d"] }), // 5: copies enough, one is to lie elsewhere
    blank, // 6: never owned
    row("b", [], { incoming: "a", wanted: [] }), // 7: a move that is being copied
  ],
};
const ring: RingStats = {
  num_partitions: 8,
  num_nodes: 3,
  owned_partitions: 3,
  is_coordinator: true,
  is_rebalancing: false,
  partitions_by_node: { a: 3 },
};

test("status: copies, what lacks one, what is being copied, moved or unowned", () => {
  const config = { platform: "p", backups: 1 };
  expect(statusReport({ config, table, coordinator: "a", coordination: "connected" })).toEqual({
    platform: "p",
    epoch: 9,
    coordinator: "a",
    coordination: "connected",
    backups: 1,
    members: [
      { id: "a", peer: "h:1", http: "a:80", zone: "z", leaving: false, dead: "", partitions: 3, backups: 2 },
      { id: "b", peer: "h:1", http: "b:80", zone: "", leaving: true, dead: "", partitions: 3, backups: 1 },
      {
        ...{ id: "c", peer: "h:1", http: "c:80", zone: "", leaving: false },
        ...{ dead: "silent", partitions: 1, backups: 1 },
      },
    ],
    copies: { 0: 2, 1: 3, 2: 3 },
    under_replicated_partitions: 3,
    copying_partitions: 3,
    moving_partitions: 2,
    unowned_partitions: 2,
    unsettled_partitions: 6,
  });
});

test("stats: the node's own partitions with their copies, and the copies that it holds", () => {
  const totals = {
    entries: 5,
    entriesWithTtl: 2,
    memoryBytes: 7,
    memoryMaxBytes: 9,
    evicted: 6,
    backupEntries: 7,
    expired: 1,
    cleaned: 3,
    lost: 4,
  };
  expect(statsReport({ node: "a", table, owned: [0, 1, 4], totals, ring })).toEqual({
    node_id: "a",
    entries: 5,
    entries_with_ttl: 2,
    partitions: [0, 1, 4],
    partition_count: 3,
    partition_copies: [2, 1, 1],
    backup_partitions: [2, 5],
    backup_partition_count: 2,
    backup_entries: 7,
    under_replicated: [1, 3, 6],
    memory_bytes: 7,
    memory_max_bytes: 9,
    total_expired_by_ttl: 1,
    total_evicted: 6,
    total_cleaned_by_release: 3,
    total_partitions_lost: 4,
    ring,
  });
});

test("a platform of the largest size is reported in a moment", () => {
  const ids = Array.from({ length: 50 }, (_, i) => `n${i}`);
  const rows = Array.from({ length: 16_384 }, (_, i) => row(ids[i % 50]!, [ids[(i + 1) % 50]!]));
  const large = { ...table, members: ids.map((id) => member(id)), rows };
  const report = statusReport({
    config: { platform: "p", backups: 1 },
    table: large,
    coordinator: "",
    coordination: "",
  });
  expect(report.copies).toEqual({ 2: 16_384 });
  expect(report.under_replicated_partitions).toBe(0);
});
