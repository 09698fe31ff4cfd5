/** Caches and storages that people keep in Redis, unchanged and with their defaults, each at two nodes at once. */
import KeyvRedis, { createKeyv, Keyv } from "@keyv/redis";
import { createCache as createDedupe } from "async-cache-dedupe";
import { BentoCache, bentostore } from "bentocache";
import { memoryDriver } from "bentocache/drivers/memory";
import { redisBusDriver, redisDriver } from "bentocache/drivers/redis";
import { createCache } from "cache-manager";
import { Redis } from "ioredis";
import { createStorage } from "unstorage";
import unstorageRedis from "unstorage/drivers/redis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type RedisSubject, startRedisSubject } from "../support/redis-subject.ts";

let subject: RedisSubject;
const ends: (() => Promise<unknown> | unknown)[] = [];

beforeAll(async () => {
  subject = await startRedisSubject();
});
afterAll(() => subject?.end());
beforeEach(async () => {
  const redis = plain(0);
  await redis.flushall();
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const url = (door: 0 | 1 | 2): string => `redis://127.0.0.1:${subject.ports[door]}`;

/** What somebody else sees. */
function plain(door: 0 | 1 | 2): Redis {
  const redis = new Redis(subject.ports[door]);
  ends.push(() => redis.disconnect());
  return redis;
}

describe("@keyv/redis", () => {
  function keyv(door: 0 | 1 | 2, namespace: string): Keyv {
    const one = new Keyv(new KeyvRedis(url(door)), { namespace });
    ends.push(() => one.disconnect());
    return one;
  }

  test("values and lifetimes", async () => {
    const [first, second] = [keyv(0, "app"), keyv(1, "app")];
    expect(await first.set("user", { name: "Ada", tags: ["x"] }, 100_000)).toBe(true);
    expect(await second.get("user")).toEqual({ name: "Ada", tags: ["x"] });
    expect(await second.has("user")).toBe(true);
    expect(await first.get("absent")).toBeUndefined();
    const [key] = await plain(2).keys("*user");
    expect(await plain(2).pttl(key!)).toBeGreaterThan(50_000);
    expect(await second.delete("user")).toBe(true);
    expect(await first.has("user")).toBe(false);
    await first.set("short", 1, 80);
    await expect.poll(() => plain(1).dbsize(), { timeout: 15_000 }).toBe(0);
  });

  test("many at once, which it sends as a transaction over many slots", async () => {
    const [first, second] = [keyv(0, "app"), keyv(2, "app")];
    const entries = Array.from({ length: 50 }, (_, i) => ({ key: `many:${i}`, value: i, ttl: 100_000 }));
    await first.setMany(entries);
    const keys = entries.map(({ key }) => key);
    expect(await second.getMany([...keys, "absent"])).toEqual([
      ...entries.map(({ value }) => value),
      undefined,
    ]);
    expect(await first.hasMany(["many:1", "absent"])).toEqual([true, false]);
    expect(await second.deleteMany(keys.slice(0, 20))).toBe(true);
    expect(await plain(1).dbsize()).toBe(30);
  });

  test("clear leaves other namespaces alone", async () => {
    const [first, second, other] = [keyv(0, "app"), keyv(1, "app"), keyv(2, "other")];
    for (let i = 0; i < 30; i++) await first.set(`k${i}`, i);
    await other.set("k1", "mine");
    const seen: string[] = [];
    for await (const [key] of second.iterator!(undefined) as AsyncIterable<[string, unknown]>) seen.push(key);
    expect(seen.sort()).toEqual(Array.from({ length: 30 }, (_, i) => `k${i}`).sort());
    await second.clear();
    expect(await first.get("k1")).toBeUndefined();
    expect(await other.get("k1")).toBe("mine");
  });
});

test("cache-manager", async () => {
  const [first, second] = [0, 1].map((door) => {
    const cache = createCache({ stores: [createKeyv(url(door as 0 | 1))], ttl: 100_000 });
    ends.push(() => cache.disconnect());
    return cache;
  }) as [ReturnType<typeof createCache>, ReturnType<typeof createCache>];
  await first.set("user", { name: "Ada" }, 100_000);
  expect(await second.get("user")).toEqual({ name: "Ada" });
  expect(await second.ttl("user")).toBeGreaterThan(Date.now());
  const compute = vi.fn(async () => 42);
  expect(await first.wrap("answer", compute)).toBe(42);
  expect(await second.wrap("answer", compute)).toBe(42);
  expect(compute).toHaveBeenCalledTimes(1);
  await first.mset([
    { key: "a", value: 1 },
    { key: "b", value: 2 },
  ]);
  expect(await second.mget(["a", "b", "absent"])).toEqual([1, 2, undefined]);
  await second.mdel(["a", "b"]);
  await second.del("user");
  expect(await first.get("user")).toBeUndefined();
  await first.clear();
  expect(await plain(2).dbsize()).toBe(0);
});

test("bentocache: driver and bus", async () => {
  const bento = (door: 0 | 1 | 2) => {
    const connection = { host: "127.0.0.1", port: subject.ports[door] };
    const cache = new BentoCache({
      default: "cache",
      stores: {
        cache: bentostore()
          .useL1Layer(memoryDriver({ maxSize: "1mb" }))
          .useL2Layer(redisDriver({ connection }))
          .useBus(redisBusDriver({ connection })),
      },
    });
    ends.push(() => cache.disconnectAll());
    return cache;
  };
  const [first, second] = [bento(0), bento(1)];
  await first.set({ key: "k", value: "one" });
  expect(await second.get({ key: "k" })).toBe("one");
  // Its own copy in memory is only given up when the other one's message comes over the bus; when it listens isn't told.
  let version = 0;
  const renewed = async () => {
    await first.set({ key: "k", value: `version ${++version}` });
    return (await second.get({ key: "k" })) !== "one";
  };
  await expect.poll(renewed, { timeout: 15_000 }).toBe(true);

  const factory = vi.fn(() => ({ made: true }));
  const options = { key: "made", factory, ttl: "1m", grace: "2m", tags: ["t"] };
  expect(await first.getOrSet(options)).toEqual({ made: true });
  expect(await second.getOrSet(options)).toEqual({ made: true });
  expect(factory).toHaveBeenCalledTimes(1);
  await first.deleteByTag({ tags: ["t"] });
  await expect.poll(() => second.get({ key: "made" }), { timeout: 15_000 }).toBeUndefined();

  await first.namespace("n").set({ key: "x", value: 1 });
  await second.namespace("n").clear();
  expect(await plain(2).keys("bentocache:n:*")).toEqual([]);
  expect(await first.has({ key: "k" })).toBe(true);
  await first.deleteMany({ keys: ["k", "made"] });
  await second.clear();
  await expect.poll(() => plain(2).keys("bentocache:*"), { timeout: 15_000 }).toEqual([]);
});

test("unstorage", async () => {
  const storage = (door: 0 | 1 | 2) => {
    const one = createStorage({
      driver: unstorageRedis({ base: "un", host: "127.0.0.1", port: subject.ports[door] }),
    });
    ends.push(() => one.dispose());
    return one;
  };
  const [first, second] = [storage(0), storage(1)];
  await first.setItem("a:b", { x: 1 });
  await first.setItem("a:c", "text", { ttl: 1_000 });
  expect(await plain(2).ttl("un:a:c")).toBeGreaterThan(500);
  expect(await second.getItem("a:b")).toEqual({ x: 1 });
  expect(await second.hasItem("a:c")).toBe(true);
  expect(await second.getItems(["a:b", "absent"])).toEqual([
    { key: "a:b", value: { x: 1 } },
    { key: "absent", value: null },
  ]);
  await second.setItemRaw("raw", Buffer.from([0, 255]));
  expect(Buffer.from((await first.getItemRaw("raw")) as Uint8Array)).toEqual(Buffer.from([0, 255]));
  expect((await first.getKeys()).sort()).toEqual(["a:b", "a:c", "raw"]);
  expect((await first.getKeys("a")).sort()).toEqual(["a:b", "a:c"]);
  await second.removeItem("a:b");
  expect(await first.hasItem("a:b")).toBe(false);
  await first.clear();
  expect(await second.getKeys()).toEqual([]);
});

test("async-cache-dedupe, without its invalidation by references, which keeps sets", async () => {
  const compute = vi.fn(async (id: number) => ({ id }));
  const cache = (door: 0 | 1 | 2) =>
    createDedupe({ ttl: 100, storage: { type: "redis", options: { client: plain(door) } } }).define(
      "fetch",
      compute,
    );
  const [first, second] = [cache(0), cache(1)];
  expect(await Promise.all([first.fetch(1), first.fetch(1)])).toEqual([{ id: 1 }, { id: 1 }]);
  expect(await second.fetch(1)).toEqual({ id: 1 });
  expect(compute).toHaveBeenCalledTimes(1);
  await second.clear("fetch", 1);
  await first.fetch(1);
  expect(compute).toHaveBeenCalledTimes(2);
  await first.fetch(2);
  await second.clear("fetch");
  expect(await plain(2).dbsize()).toBe(0);
  await first.fetch(2);
  await first.clear();
  expect(await plain(2).dbsize()).toBe(0);
});
