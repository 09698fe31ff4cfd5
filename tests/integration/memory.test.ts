/**
 * The promise of `--max-memory` on real nodes: far more is stored than there is room for, while nodes come and go, and nobody sees an
 * error; what nodes take is measured from outside, as their RSS.
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { StatsReport } from "../../src/cache/command.ts";
import { CacheLoad, rssOf } from "../support/cache-load.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, eventually, type NodeProcess, settled } from "../support/node-process.ts";

const mebibyte = 1024 * 1024;
/** Of the limit: how far the store may be beyond it, by its own account. */
const tolerance = 1.1;
/** And by RSS, garbage collected. */
const rssTolerance = 1.1;
const warmUpRequests = 6_000;
const lanes = 16;
const valueBytes = 10_000;
const value = "v".repeat(valueBytes);
/** V8 gives young objects up to three times 16 MiB when it likes: here little, so that it can be told from what the store takes. */
const collector = new URL("../support/collect-garbage.mjs", import.meta.url).href;
const launcher = ["env", `NODE_OPTIONS=--max-semi-space-size=2 --import=${collector}`];

let nats: NatsServer;
let cluster: Cluster;

beforeEach(async () => {
  nats = await startNatsServer();
  cluster = new Cluster(nats.url);
});
afterEach(async () => {
  await cluster.end();
  await nats.stop();
});

function start(id: string, megabytes: number, ...args: string[]): Promise<NodeProcess> {
  return cluster.spawn(id, { launcher, args: ["--max-memory", `${megabytes}mb`, ...args] }).serving();
}

/** Every partition where it belongs, with its copies. */
async function whole(nodes: readonly NodeProcess[]): Promise<void> {
  await settled(nodes);
  await eventually(
    () => nodes[0]!.status(),
    ({ under_replicated_partitions, copying_partitions }) =>
      under_replicated_partitions + copying_partitions === 0,
    "all copies are there",
  );
}

/** The most that each node takes: its RSS, and by its own account. */
class Watch {
  readonly rss = new Map<NodeProcess, number>();
  readonly store = new Map<NodeProcess, number>();
  readonly #nodes: Set<NodeProcess>;
  readonly #timer: NodeJS.Timeout;

  constructor(nodes: readonly NodeProcess[]) {
    this.#nodes = new Set(nodes);
    this.#timer = setInterval(() => void this.#look(), 100);
  }

  add(node: NodeProcess): void {
    this.#nodes.add(node);
  }

  /** It is about to end. */
  forget(node: NodeProcess): void {
    this.#nodes.delete(node);
  }

  end(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    for (const node of [...this.#nodes]) {
      // Forgotten while another one was asked: its process may be gone.
      if (!this.#nodes.has(node)) continue;
      this.rss.set(node, Math.max(this.rss.get(node) ?? 0, rssOf(node)));
      const stats = await node.stats().catch(() => undefined);
      if (stats !== undefined) this.store.set(node, Math.max(this.store.get(node) ?? 0, stats.memory_bytes));
    }
  }
}

/** RSS of each node, all garbage collected. */
async function collected(nodes: readonly NodeProcess[]): Promise<Map<NodeProcess, number>> {
  const rss = new Map<NodeProcess, number>();
  for (const node of nodes) {
    const said = (): string[] => [...node.stderr.matchAll(/^collected (\d+)\n/gm)].map((match) => match[1]!);
    const before = said().length;
    node.signal("SIGUSR2");
    rss.set(node, Number(await node.until(() => said()[before], `${node.id} collects its garbage`, 15_000)));
  }
  return rss;
}

/** By how much the figures are higher than those before. */
function growth(
  figures: ReadonlyMap<NodeProcess, number>,
  before: ReadonlyMap<NodeProcess, number>,
): Map<NodeProcess, number> {
  return new Map([...figures].map(([node, bytes]) => [node, bytes - (before.get(node) ?? 0)]));
}

/** The work of a cache on next to nothing, so that nodes have all that they need besides their stores. */
async function warmUp(nodes: readonly NodeProcess[]): Promise<void> {
  const load = new CacheLoad(nodes, { keyCount: 100, lanes, renewEvery: 2 }).run();
  await load.pass(warmUpRequests);
  await load.stop();
  expect(load.failures).toEqual([]);
}

function megabytes(figures: ReadonlyMap<NodeProcess, number>): Record<string, number> {
  return Object.fromEntries([...figures].map(([{ id }, bytes]) => [id, Math.round(bytes / 1e5) / 10]));
}

/** Owners and backups hold as many entries, of which there are some. */
async function copiesMatch(nodes: readonly NodeProcess[]): Promise<number> {
  const [owned] = await eventually(
    async () => {
      const stats = await Promise.all(nodes.map((node) => node.stats()));
      const sum = (field: "entries" | "backup_entries"): number =>
        stats.reduce((total, one) => total + one[field], 0);
      return [sum("entries"), sum("backup_entries")] as const;
    },
    ([entries, copies]) => entries === copies && entries > 0,
    "backups have as many entries as owners",
  );
  return owned;
}

/** While entries come from elsewhere a node may have a little more, as `tolerance` says. */
async function keepsTo(node: NodeProcess, limitMebibytes: number): Promise<void> {
  await eventually(
    () => node.stats(),
    ({ memory_bytes }) => memory_bytes <= limitMebibytes * mebibyte,
    `${node.id} keeps to its limit`,
  );
}

/** Stores the value under so many keys that begin like this, through all nodes. */
async function fill(
  nodes: readonly NodeProcess[],
  prefix: string,
  count: number,
  ttl?: number,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) {
      const { status, body } = await nodes[i % nodes.length]!.http.set(`${prefix}:${i}`, value, ttl);
      if (status !== 200) throw new Error(`set ${prefix}:${i}: ${status} ${JSON.stringify(body)}`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

test("full nodes keep to their memory, and nobody sees an error, while nodes join, leave and die", {
  timeout: 180_000,
}, async () => {
  const limit = 48;
  const nodes = await Promise.all(["node-1", "node-2", "node-3"].map((id) => start(id, limit)));
  const [first, leaving, dying] = nodes as [NodeProcess, NodeProcess, NodeProcess];
  await whole(nodes);
  const idle = await collected(nodes);
  await warmUp(nodes);
  const plain = await collected(nodes);

  const watch = new Watch(nodes);
  const load = new CacheLoad(nodes, { keyCount: 40_000, lanes }).run();
  const isFull = async (): Promise<boolean> =>
    (await Promise.all(nodes.map((node) => node.stats()))).every(({ total_evicted }) => total_evicted > 0);
  await eventually(isFull, (full) => full || load.failures.length > 0, "all evict", 90_000);
  await load.pass(4_000);
  expect(load.failures).toEqual([]);
  const grown = growth(await collected(nodes), plain);
  const mostGrown = growth(watch.rss, plain);

  const joining = await start("node-4", limit);
  watch.add(joining);
  load.enter(joining);
  await load.pass(1_500);
  await load.leave(leaving);
  watch.forget(leaving);
  await leaving.terminate();
  await load.pass(1_500);
  await load.leave(dying);
  watch.forget(dying);
  await dying.kill();
  await load.pass(1_500);
  const staying = [first, joining];
  await whole(staying);
  await load.pass(1_000);
  await load.stop();
  watch.end();
  const entries = await copiesMatch(staying);

  console.log(
    `memory: ${JSON.stringify({
      limit: (limit * mebibyte) / 1e6,
      plainGrowth: megabytes(growth(plain, idle)),
      growth: megabytes(grown),
      withGarbage: megabytes(mostGrown),
      withMoves: megabytes(growth(watch.rss, plain)),
      store: megabytes(watch.store),
      requests: load.requests,
      hitPercent: Math.round((100 * load.hits) / (load.hits + load.misses)),
      entries,
      failures: load.failures.length,
    })}`,
  );
  expect(load.failures).toEqual([]);
  for (const bytes of grown.values()) expect(bytes).toBeLessThan(rssTolerance * limit * mebibyte);
  for (const bytes of watch.store.values()) expect(bytes).toBeLessThan(tolerance * limit * mebibyte);
  for (const node of staying) await keepsTo(node, limit);
  for (const node of staying) expect(node.events("partitions-lost")).toEqual([]);
});

test("a node with less memory than the others keeps to it", { timeout: 120_000 }, async () => {
  const small = await start("node-1", 16);
  const nodes = [small, await start("node-2", 48), await start("node-3", 48)];
  await whole(nodes);
  const watch = new Watch(nodes);
  await fill(nodes, "many", 4_500);
  const entries = await copiesMatch(nodes);
  watch.end();
  const stats = await Promise.all(nodes.map((node) => node.stats()));
  console.log(`memory: one of 16 MiB: ${JSON.stringify({ store: megabytes(watch.store), entries })}`);
  expect(watch.store.get(small)).toBeLessThan(tolerance * 16 * mebibyte);
  await keepsTo(small, 16);
  // It is made use of; and what has no copy there isn't evicted for its sake.
  expect(stats[0]!.memory_bytes).toBeGreaterThan(0.8 * 16 * mebibyte);
  for (const { memory_bytes } of stats.slice(1)) expect(memory_bytes).toBeGreaterThan(18 * mebibyte);
});

test("with --eviction none a full node refuses writes by 507, and takes them again after deletes", {
  timeout: 120_000,
}, async () => {
  const args = ["--eviction", "none"];
  const nodes = [await start("node-1", 8, ...args), await start("node-2", 8, ...args)];
  await whole(nodes);
  const stored: string[] = [];
  const refused = new Set<string>();
  // Until each node has refused both as the owner and through its door what the other one owns.
  for (let i = 0; refused.size < 4; i++) {
    const door = nodes[i % 2]!;
    const key = `key:${i}`;
    const { status, body } = await door.http.set(key, value);
    if (status === 200) stored.push(key);
    else {
      expect([status, body]).toEqual([
        507,
        {
          error: {
            code: "MEMORY_FULL",
            message: expect.stringMatching(
              /^node "node-[12]" or a backup of it has no memory left, and nothing may be evicted$/,
            ),
            outcome: "none",
          },
        },
      ]);
      const { owner } = (await door.http.request("GET", `/owner?key=${key}`)).body as { owner: string };
      refused.add(`${owner} by ${door.id}`);
    }
    expect(i).toBeLessThan(5_000);
  }
  for (const node of nodes) {
    const { memory_bytes, total_evicted } = await node.stats();
    expect(memory_bytes).toBeLessThan(tolerance * 8 * mebibyte);
    expect(total_evicted).toBe(0);
  }
  // Not one of those that were acknowledged is missing, and all can still be read and deleted.
  for (const [i, key] of stored.entries()) {
    expect((await nodes[i % 2]!.http.get(key)).body).toMatchObject({ found: true, value });
  }
  const half = stored.length >> 1;
  for (const key of stored.slice(0, half)) {
    expect((await nodes[0]!.http.delete(key)).body).toMatchObject({ deleted: true });
  }
  for (let i = 0; i < 20; i++) {
    const write = () => nodes[i % 2]!.http.set(`later:${i}`, value);
    await eventually(write, ({ status }) => status === 200, "writes are taken again");
  }
  expect(await copiesMatch(nodes)).toBe(stored.length - half + 20);
});

test("what has expired goes at once on all its copies, and its memory is used again", {
  timeout: 120_000,
}, async () => {
  const ttl = 4;
  const count = 2_000;
  const nodes = [await start("node-1", 64), await start("node-2", 64)];
  await whole(nodes);
  const ofAll = (): Promise<StatsReport[]> => Promise.all(nodes.map((node) => node.stats()));
  await warmUp(nodes);
  const rounds: { rss: number; lagMs: number }[] = [];
  for (const round of [1, 2, 3, 4]) {
    await fill(nodes, `round-${round}`, count, ttl);
    const writtenAtMs = performance.now();
    const full = await ofAll();
    const rss = Math.max(...(await collected(nodes)).values());
    const left = await eventually(
      ofAll,
      (stats) => stats.every(({ entries_with_ttl }) => entries_with_ttl === 0),
      "all have expired and gone",
    );
    rounds.push({ rss, lagMs: performance.now() - writtenAtMs - ttl * 1_000 });
    await copiesMatch(nodes);
    for (const { total_evicted } of left) expect(total_evicted).toBe(0);
    for (const [i, { memory_bytes }] of (await ofAll()).entries())
      expect(memory_bytes).toBeLessThan(0.1 * full[i]!.memory_bytes);
  }
  const lagMs = rounds.map((round) => Math.round(round.lagMs));
  const rss = rounds.map((round) => Math.round(round.rss / 1e5) / 10);
  console.log(`memory: ttl: ${JSON.stringify({ rss, lagMs })}`);
  expect(Math.max(...lagMs)).toBeLessThan(3_000);
  // Were none of it used again, it would be twice as much as this.
  expect(rounds[3]!.rss - rounds[1]!.rss).toBeLessThan(count * valueBytes);
});

test("partitions that go elsewhere leave no memory behind", { timeout: 120_000 }, async () => {
  const nodes = [await start("node-1", 48), await start("node-2", 48)];
  await whole(nodes);
  await fill(nodes, "key", 2_000);
  const before = await Promise.all(nodes.map((node) => node.stats()));
  const all = [...nodes, await start("node-3", 48)];
  await whole(all);
  // What a node gives up goes when the new owner serves, which the table is a moment ahead of.
  expect(await copiesMatch(all)).toBe(2_000);
  const after = await Promise.all(all.map((node) => node.stats()));
  for (const [i, { memory_bytes }] of before.entries()) {
    // A third of what each had, give or take a partition.
    expect(after[i]!.memory_bytes).toBeLessThan(0.75 * memory_bytes);
    expect(after[i]!.memory_bytes).toBeGreaterThan(0.58 * memory_bytes);
  }
  expect(after.map(({ total_evicted }) => total_evicted)).toEqual([0, 0, 0]);
});
