import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import type { NodeSample } from "../cache/cluster/report.ts";
import type { StatusReport } from "../cache/command.ts";
import { keysIn } from "./screen.ts";
import { formatBytes, formatSeconds, formatStatus, isHealthy, viewOf } from "./status-view.ts";
import { noticeLine, screenLines } from "./status-watch.ts";

const member = {
  ...{ id: "node-1", peer: "127.0.0.1:7001", http: "127.0.0.1:8081", zone: "", leaving: false },
  ...{ dead: "" as const, partitions: 33, backups: 31 },
};

const report: StatusReport = {
  platform: "cache-platform",
  epoch: 12,
  coordinator: "node-1",
  coordination: "connected",
  backups: 1,
  members: [
    member,
    { ...member, id: "node-2", peer: "127.0.0.1:7002", http: "", zone: "rack-b", leaving: true },
    { ...member, id: "node-3", partitions: 0, backups: 1, dead: "silent" },
    { ...member, id: "node-10", partitions: 0, backups: 0, dead: "gone" },
  ],
  copies: { 2: 63, 1: 1 },
  under_replicated_partitions: 1,
  copying_partitions: 1,
  moving_partitions: 0,
  unowned_partitions: 0,
  unsettled_partitions: 1,
};

const sample: NodeSample = {
  at_ms: 0,
  operations_per_second: 12_345,
  hit_ratio: 0.983,
  latency_p50_seconds: 0.000_2,
  latency_p99_seconds: 0.001_24,
  event_loop_delay_seconds: 0.001,
  memory_bytes: 300 * 1024 ** 2,
  memory_max_bytes: 1024 ** 3,
  entries: 10,
  backup_entries: 9,
  evicted_per_second: 0,
  rss_bytes: 1,
  uptime_seconds: 5,
  coordination: "connected",
};
const samples = {
  "node-1": sample,
  "node-2": {
    ...sample,
    operations_per_second: null,
    hit_ratio: null,
    latency_p99_seconds: null,
    memory_bytes: 0,
  },
};

test("those that something is the matter with come first; the fewest copies come first", () => {
  expect(formatStatus({ report, samples }, { colours: false })).toBe(
    `state           DEGRADED: 1 partition with too few copies
platform        cache-platform
coordination    connected
coordinator     node-1
epoch           12
copies          1 of 2: 1 partition, 2 of 2: 63 partitions
too few copies  1 partition
being copied    1 partition
moving          0 partitions
unowned         0 partitions
load            12,345 operations/s, p99 of the slowest node 1.2 ms
memory          300 MB of 2.0 GB

NODE     PARTITIONS  BACKUPS   OPS/S   HITS     P99      MEMORY  ZONE    HTTP            PEER
node-3            0        1       -      -       -           -  -       127.0.0.1:8081  127.0.0.1:7001  silent
node-10           0        0       -      -       -           -  -       127.0.0.1:8081  127.0.0.1:7001  dead
node-2           33       31       -      -       -      0 B 0%  rack-b  -               127.0.0.1:7002  leaving
node-1           33       31  12,345  98.3%  1.2 ms  300 MB 29%  -       127.0.0.1:8081  127.0.0.1:7001
`,
  );
});

test.each([
  [{}, "DEGRADED: 1 partition with too few copies", false],
  [{ unowned_partitions: 2 }, "UNAVAILABLE: 2 partitions without an owner", false],
  [{ under_replicated_partitions: 0 }, "healthy, partitions or copies are moving", true],
  [{ under_replicated_partitions: 0, unsettled_partitions: 0 }, "healthy", true],
])("the state of %j is %s", (change, state, healthy) => {
  const changed = { ...report, ...change };
  expect(isHealthy(changed)).toBe(healthy);
  const [first] = viewOf({ report: changed, samples: {} }, { colours: false }).facts;
  expect(first).toBe(`state           ${state}`);
});

test("nobody who tells what it measures: the report all the same, without load", () => {
  const { facts, rows } = viewOf({ report, samples: {} }, { colours: false });
  expect(facts.some((fact) => /^(load|memory)/.test(fact))).toBe(false);
  expect(rows).toHaveLength(4);
});

test.each([140, 100, 80, 60, 40])("%d columns: no line is longer, and what matters most stays", (columns) => {
  const view = viewOf({ report, samples }, { colours: false, columns });
  for (const line of [...view.facts, view.head, ...view.rows])
    expect(line.length).toBeLessThanOrEqual(columns);
  expect(view.head).toMatch(/^NODE.*OPS\/S/);
  expect(view.rows[0]).toMatch(/^node-3 .*silent$/);
});

test("colours add no width and mark what is wrong", () => {
  const plain = viewOf({ report, samples }, { colours: false, columns: 80 });
  const coloured = viewOf({ report, samples }, { colours: true, columns: 80 });
  expect(coloured.facts.map((line) => stripVTControlCharacters(line))).toEqual(plain.facts);
  expect(coloured.rows.map((line) => stripVTControlCharacters(line))).toEqual(plain.rows);
  expect(coloured.facts[0]!.startsWith("\x1b[31m")).toBe(true);
  expect(coloured.rows.map((row) => row.startsWith("\x1b[33m"))).toEqual([true, true, true, false]);
});

test("fifty nodes on a small screen: what fits, and where one is", () => {
  const members = Array.from({ length: 50 }, (_, i) => ({ ...member, id: `node-${i}` }));
  const view = viewOf({ report: { ...report, members }, samples }, { colours: false, columns: 79 });
  const { lines } = screenLines("from x", view, 10, 24);
  expect(lines).toHaveLength(24);
  expect(lines.at(-1)).toBe("nodes 11 to 26 of 50; the arrow keys scroll");
  expect(lines.at(-2)).toMatch(/^node-25 /);
  for (let height = 1; height < 80; height++) {
    expect(screenLines("from x", view, 0, height).lines.length).toBeLessThanOrEqual(height);
  }
  expect(screenLines("from x", view, 7, 80)).toMatchObject({ top: 0 });
  expect(screenLines("from x", view, 7, 80).lines.at(-1)).toMatch(/^node-49 /);
  const end = screenLines("from x", view, 1_000, 24);
  expect(end.top).toBe(34);
  expect(end.lines.slice(-2)).toEqual([
    expect.stringMatching(/^node-49 /),
    "nodes 35 to 50 of 50; the arrow keys scroll",
  ]);
});

test("of the facts as many as there is room for, the most important ones always", () => {
  const view = viewOf({ report, samples }, { colours: false });
  const of = (height: number): string[] =>
    screenLines("from x", view, 0, height)
      .lines.filter((line) => /^[a-z].{15}\S/.test(line) && !line.startsWith("node-"))
      .map((line) => line.slice(0, 16).trim());
  expect(of(30)).toHaveLength(12);
  expect(of(14)).toEqual(["state", "platform", "coordination", "coordinator", "copies", "load"]);
});

test("keys that arrive together count each", () => {
  expect(keysIn("\x1b[B\x1b[Bj\x1b[5~xq")).toEqual(["down", "down", "down", "page-up", "quit"]);
});

test.each([
  [{ silentMs: 0, url: "a", askedUrl: "a" }, "from a"],
  [{ silentMs: 0, url: "b", askedUrl: "a" }, "from b, as a doesn't answer"],
  [
    { silentMs: 3_000, url: "b", askedUrl: "a" },
    "NOBODY ANSWERS, since 3.0 s; what follows is older; asking on",
  ],
])("%j: %s", (notice, line) => expect(noticeLine(notice)).toBe(line));

test.each([
  [0, "0 B"],
  [1_023, "1023 B"],
  [1_536, "1.5 kB"],
  [300 * 1024 ** 2, "300 MB"],
  [2.5 * 1024 ** 4, "2.5 TB"],
])("%d bytes are %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  [0.000_05, "50 µs"],
  [0.012_3, "12 ms"],
  [2.34, "2.3 s"],
  [null, "-"],
])("%s seconds are %s", (seconds, text) => expect(formatSeconds(seconds)).toBe(text));
