/** The library as applications use it: the built package, in processes of their own and embedded in one. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Cache } from "../../src/index.ts";
import type { Ring } from "../../src/ring/index.ts";
import { LibraryProcess } from "../support/library-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, eventually, spread } from "../support/node-process.ts";

/** What is built, not what it is built from. */
function built<T>(file: string): Promise<T> {
  return import(/* @vite-ignore */ new URL(`../../dist/${file}`, import.meta.url).href) as Promise<T>;
}
const { createCache, bytesSerializer, Embedded } =
  await built<typeof import("../../src/index.ts")>("index.js");
const { joinRing } = await built<typeof import("../../src/ring/index.ts")>("ring/index.js");

let nats: NatsServer;
let cluster: Cluster;
const directory = mkdtempSync(join(tmpdir(), "ringcache-library-"));

beforeAll(async () => {
  nats = await startNatsServer();
  cluster = new Cluster(nats.url);
});
afterAll(async () => {
  await cluster.end();
  await nats.stop();
  rmSync(directory, { recursive: true, force: true });
});

function child(kind: "cache" | "ring", node: string, hooks: { hooksFile?: string; hookMs?: number } = {}) {
  const options = { node, nats: nats.url, platform: `library-${kind}`, partitions: 16 };
  return cluster.add(new LibraryProcess({ kind, options, ...hooks })).ready();
}

test("a cache in two processes: what one sets the other gets", { timeout: 60_000 }, async () => {
  const [one, two] = await Promise.all([child("cache", "app-1"), child("cache", "app-2")]);
  const users = Array.from({ length: 50 }, (_, i) => ({
    name: `user ${i}`,
    tags: [i, null, { deep: true }],
  }));
  for (const [i, user] of users.entries()) await one.do("set", `user:${i}`, user);
  for (const [i, user] of users.entries()) expect(await two.do("get", `user:${i}`)).toEqual(user);
  expect(await two.do("has", "user:1")).toBe(true);
  expect(await two.do("delete", "user:1")).toBe(true);
  expect(await one.do("has", "user:1")).toBe(false);
  expect(await one.do("delete", "user:1")).toBe(false);
  expect(await one.do("get", "user:1")).toBeNull();

  await one.do("set", "brief", "v", { ttl: 2 });
  expect(await two.do("get", "brief")).toBe("v");
  for (const process of [one, two]) {
    await eventually(
      () => process.do("get", "brief"),
      (value) => value === null,
      "it expires",
    );
  }
  await expect(one.do("get", "")).rejects.toMatchObject({ code: "KEY_MISSING", outcome: "none" });
  await expect(one.do("set", "k", 1, { ttl: -1 })).rejects.toMatchObject({ code: "TTL_INVALID" });

  // `close` hands over what the process held.
  await one.do("close");
  expect(await one.exited).toEqual({ code: 0, signal: null });
  for (const [i, user] of users.entries())
    expect(await two.do("get", `user:${i}`)).toEqual(i === 1 ? null : user);
  await two.do("close");
});

describe("an embedded cluster", () => {
  test("typed values, serializers, time to live, closing", async () => {
    const nats = new Embedded();
    const options = { nats, partitions: 16 };
    const open = (node: string): Promise<Cache> => createCache({ ...options, node });
    const [a, b, c] = (await Promise.all([open("a"), open("b"), open("c")])) as [Cache, Cache, Cache];
    const raw = await createCache({ ...options, node: "raw", serializer: bytesSerializer });
    const dates = await createCache<Date>({
      ...options,
      node: "dates",
      serializer: {
        encode: (date) => Buffer.from(date.toISOString()),
        decode: (bytes) => new Date(bytes.toString()),
      },
    });
    const all = [a, b, c, raw, dates] as const;
    await Promise.all(all.map((cache) => cache.node.ring.waitForNodes(5)));
    await Promise.all(all.map((cache) => cache.node.ring.waitForPartitions()));

    for (let i = 0; i < 50; i++) await a.set(`n:${i}`, { i });
    for (let i = 0; i < 50; i++) expect(await b.get(`n:${i}`)).toEqual({ i });
    await raw.set("bytes", Uint8Array.of(0, 255, 128));
    expect([...(await raw.get("bytes"))!]).toEqual([0, 255, 128]);
    const day = new Date("2026-01-02T03:04:05.678Z");
    await dates.set("day", day);
    expect(await dates.get("day")).toEqual(day);
    expect(await c.has("day")).toBe(true);
    // What one serializer wrote is not for another: its error comes out as it is.
    await expect(a.get("bytes")).rejects.toThrow(SyntaxError);
    await expect(a.set("k", undefined)).rejects.toMatchObject({ code: "FIELD_INVALID" });
    await expect(a.set("", 1)).rejects.toMatchObject({ code: "KEY_MISSING" });
    await expect(a.set("k".repeat(65_537), 1)).rejects.toMatchObject({ code: "KEY_TOO_LONG" });
    await expect(a.set("k", 1, { ttl: Number.NaN })).rejects.toMatchObject({ code: "TTL_INVALID" });
    await expect(raw.set("k", new Uint8Array(16 * 1024 * 1024 + 1))).rejects.toMatchObject({
      code: "VALUE_TOO_LARGE",
    });
    const largest = new Uint8Array(16 * 1024 * 1024).fill(7);
    await raw.set("largest", largest);
    expect(Buffer.compare((await raw.get("largest"))!, largest)).toBe(0);
    await a.set("brief", 1, { ttl: 2 });
    expect(await b.has("brief")).toBe(true);
    await eventually(
      () => c.has("brief"),
      (has) => !has,
      "it expires",
    );
    await expect(open("a")).rejects.toMatchObject({ code: "NODE_ID_IN_USE" });
    await expect(createCache({ nats, node: "d", partitions: 8 })).rejects.toMatchObject({
      code: "PARTITIONS_MISMATCH",
    });
    await expect(createCache({ nats, node: "no good" })).rejects.toMatchObject({ code: "OPTION_INVALID" });

    await Promise.all([dates.close(), raw.close()]);
    await a.close();
    await a.close();
    await expect(a.get("n:1")).rejects.toMatchObject({ code: "CLOSED" });
    await b.close();
    for (let i = 0; i < 50; i++) expect(await c.get(`n:${i}`)).toEqual({ i });
    expect(c.node.stats()).toMatchObject({ partition_count: 16, total_partitions_lost: 0 });
    await c.close();
  });

  test("a ring's events, its members and its balance", async () => {
    const nats = new Embedded();
    const open = (node: string): Promise<Ring> => joinRing({ nats, node, partitions: 16 });
    const a = await open("a");
    const seen: string[] = [];
    let epoch = a.table.epoch;
    a.on("joined", (member) => seen.push(`joined ${member.id}`));
    a.on("left", (member) => seen.push(`left ${member.id}`));
    a.on("table", (table, previous) => {
      expect(previous.epoch).toBe(epoch);
      expect(table.epoch).toBeGreaterThan(epoch);
      epoch = table.epoch;
    });
    const owned: number[] = [];
    a.on("owned", () => owned.push(a.ownedPartitions().length));
    const b = await open("b");
    await a.waitForNodes(2);
    // Each of them looks at its own copy of the table.
    await Promise.all([a.waitForPartitions(), b.waitForPartitions()]);
    expect(a.stats()).toMatchObject({ num_partitions: 16, num_nodes: 2, is_rebalancing: false });
    expect(a.stats().partitions_by_node).toEqual({ a: 8, b: 8 });
    for (let i = 0; i < 200; i++) {
      const key = `key ${i}`;
      expect(a.nodeFor(key)).toBe(a.nodeForPartition(a.partitionFor(key)));
      expect(b.nodeFor(key)).toBe(a.nodeFor(key));
    }
    const table = a.table.epoch;
    await b.rebalance();
    expect(a.table.epoch).toBe(table);
    await expect(a.waitForNodes(3, 50)).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await b.close();
    await eventually(
      async () => a.stats().num_nodes,
      (count) => count === 1,
      "b has left",
    );
    expect(seen).toEqual(["joined b", "left b"]);
    expect(owned.at(-1)).toBe(16);
    await a.close();
  });
});

describe("a ring in three processes", () => {
  const hooksFile = join(directory, "hooks");
  let processes: LibraryProcess[];

  async function isSettled(running: readonly LibraryProcess[]): Promise<Record<string, number>> {
    const stats = await Promise.all(
      running.map(async (process) => {
        await process.do("waitForNodes", running.length);
        await process.do("waitForPartitions");
        type Stats = { owned_partitions: number; partitions_by_node: Record<string, number> };
        // The table is settled; its owners' hooks may still run.
        return eventually(
          () => process.do<Stats>("stats"),
          (now) => Object.values(now.partitions_by_node).includes(now.owned_partitions),
          "it serves what it owns",
        );
      }),
    );
    return stats[0]!.partitions_by_node;
  }

  /** Goes through what the hooks wrote down; who holds each partition in the end. */
  function checkHooks(): Map<number, string> {
    const states = new Map<number, string>();
    const before: Record<string, string> = {
      "own starts": "free",
      "own ends": "own starts",
      "release starts": "own ends",
      "release ends": "release starts",
    };
    for (const line of readFileSync(hooksFile, "utf8").trim().split("\n")) {
      const [what, node, partitions, owned] = JSON.parse(line) as [string, string, number[], number[]];
      // Neither before onOwn has finished nor from onRelease on does the node say that it owns them.
      expect([line, owned]).toEqual([line, []]);
      for (const partition of partitions) {
        const wanted = before[what] === "free" ? "free" : `${before[what]} ${node}`;
        expect([line, states.get(partition) ?? "free"]).toEqual([line, wanted]);
        states.set(partition, what === "release ends" ? "free" : `${what} ${node}`);
      }
    }
    return states;
  }

  beforeAll(async () => {
    const nodes = ["ring-1", "ring-2", "ring-3"];
    processes = await Promise.all(nodes.map((node) => child("ring", node, { hooksFile, hookMs: 40 })));
    await isSettled(processes);
  });

  test("calls by node, by key and to all, and what can go wrong", async () => {
    const [one] = processes as [LibraryProcess];
    const payload = { list: [1, "zwei", null], deep: { er: true } };
    expect(await one.do("call", "ring-2", "echo", payload)).toEqual({
      node: "ring-2",
      from: "ring-1",
      payload,
    });
    expect(await one.do("call", "ring-1", "echo", 1)).toEqual({ node: "ring-1", from: "ring-1", payload: 1 });
    for (let i = 0; i < 20; i++) {
      const owner = await one.do("nodeFor", `key ${i}`);
      expect(await one.do("callOwner", `key ${i}`, "echo", i)).toMatchObject({ node: owner, payload: i });
      expect(await one.do("callOwner", `key ${i}`, "owns", `key ${i}`)).toBe(true);
    }
    const all = await one.do<{ node: string; ok: boolean; payload: unknown }[]>("broadcast", "echo", "all");
    expect(all.map(({ node, ok }) => [node, ok]).sort()).toEqual([
      ["ring-1", true],
      ["ring-2", true],
      ["ring-3", true],
    ]);
    const failed = await one.do<{ ok: boolean }[]>("broadcast", "fail");
    expect(failed.map(({ ok }) => ok)).toEqual([false, false, false]);

    await expect(one.do("call", "ring-2", "fail")).rejects.toMatchObject({
      code: "HANDLER_FAILED",
      message: "no luck today",
      outcome: "unknown",
    });
    await expect(one.do("call", "ring-2", "nothing")).rejects.toMatchObject({ code: "METHOD_UNKNOWN" });
    await expect(one.do("callOwner", "key", "nothing")).rejects.toMatchObject({ code: "METHOD_UNKNOWN" });
    await expect(one.do("call", "ring-9", "echo")).rejects.toMatchObject({ code: "NODE_UNKNOWN" });
    await expect(one.do("call", "ring-2", "slow", null, 100)).rejects.toMatchObject({
      code: "DEADLINE_EXCEEDED",
      outcome: "unknown",
    });

    // This process joins too: bytes travel as they are.
    const here = await joinRing({
      nats: nats.url,
      platform: "library-ring",
      partitions: 16,
      node: "ring-here",
    });
    const reversed = await here.call<Uint8Array>("ring-3", "reverse", Uint8Array.of(1, 2, 255));
    expect([...reversed]).toEqual([255, 2, 1]);
    await here.close();
    const events = await one.do<unknown[][]>("events");
    expect(events).toContainEqual(["joined", "ring-here"]);
    await eventually(
      () => one.do<unknown[][]>("events"),
      (list) => list.some(([name, id]) => name === "left" && id === "ring-here"),
      "it has left",
    );
  });

  test("release before own, across joins and leaves", { timeout: 60_000 }, async () => {
    let running = [...processes];
    expect(spread(await isSettled(running))).toBeLessThanOrEqual(1);
    running.push(await child("ring", "ring-4", { hooksFile, hookMs: 60 }));
    expect(spread(await isSettled(running))).toBe(0);
    // While everything moves, every key is served by somebody who owns it.
    const leaving = running.shift()!;
    const closed = leaving.do("close");
    for (let i = 0; i < 40; i++) {
      expect(await running[i % 3]!.do("callOwner", `key ${i}`, "owns", `key ${i}`)).toBe(true);
    }
    await closed;
    running.push(await child("ring", "ring-1", { hooksFile, hookMs: 20 }));
    await running[1]!.do("rebalance");
    await isSettled(running);
    const holders = [...checkHooks().values()];
    expect(holders.length).toBe(16);
    expect(holders.filter((state) => !state.startsWith("own ends"))).toEqual([]);
    // One after the other, until nobody is left.
    for (; running.length > 0; running = running.slice(1)) await running[0]!.do("close");
    expect([...checkHooks().values()].filter((state) => state !== "free")).toEqual([]);
  });
});
