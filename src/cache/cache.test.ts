import { afterEach, beforeEach, expect, test } from "vitest";
import { MemoryTransport } from "../../tests/support/memory-transport.ts";
import { defaultNodeConfig } from "../config.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { silentLog } from "../log.ts";
import { systemRuntime as runtime } from "../runtime.ts";
import { bytesSerializer, Cache, jsonSerializer, type Serializer } from "./cache.ts";
import { noBytes, Op } from "./command.ts";
import { CacheNode } from "./node.ts";

const nodes: CacheNode[] = [];

beforeEach(async () => {
  const store = new MemoryStore(runtime);
  const transport = new MemoryTransport(runtime);
  const start = (node: string): Promise<CacheNode> =>
    CacheNode.start({
      config: { ...defaultNodeConfig, node, partitions: 4, peerHost: "h", advertiseHost: "h" },
      coordination: new MemoryCoordination(store),
      runtime,
      transport,
      log: silentLog,
    });
  nodes.push(...(await Promise.all([start("a"), start("b")])));
  for (const { ring } of nodes) {
    await ring.waitForNodes(2);
    await ring.waitForPartitions();
  }
});

afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
});

function cacheOf<V>(node: CacheNode, serializer: Serializer<V>): Cache<V> {
  return new Cache(node, serializer, runtime, async () => {});
}

/** Keys enough that each node owns some: what is asked of one is carried out here and there. */
const keys = Array.from({ length: 32 }, (_, i) => `key ${i}`);

test("compareAndSet stores over what is expected, and over nothing else", async () => {
  const [a, b] = nodes.map((node) => cacheOf<unknown>(node, jsonSerializer));
  for (const key of keys) {
    expect(await a!.compareAndSet(key, 0, 1)).toBe(false);
    expect(await b!.has(key)).toBe(false);
    expect(await a!.compareAndSet(key, undefined, { n: 1 })).toBe(true);
    expect(await b!.compareAndSet(key, undefined, { n: 2 })).toBe(false);
    expect(await b!.compareAndSet(key, { n: 2 }, { n: 3 })).toBe(false);
    expect(await a!.get(key)).toEqual({ n: 1 });
    expect(await b!.compareAndSet(key, { n: 1 }, { n: 2 })).toBe(true);
    expect(await a!.get(key)).toEqual({ n: 2 });
    await a!.delete(key);
    expect(await b!.compareAndSet(key, { n: 2 }, { n: 3 })).toBe(false);
    expect(await b!.compareAndSet(key, undefined, { n: 3 })).toBe(true);
  }
});

test("of many that expect the same, one stores", async () => {
  const caches = nodes.map((node) => cacheOf<unknown>(node, jsonSerializer));
  for (const key of keys) {
    await caches[0]!.set(key, "start");
    const stored = await Promise.all(
      Array.from({ length: 8 }, (_, i) => caches[i % 2]!.compareAndSet(key, "start", i)),
    );
    expect(stored.filter(Boolean)).toHaveLength(1);
    expect(await caches[0]!.get(key)).toBe(stored.indexOf(true));
  }
});

test("an empty value is a value, and none is none", async () => {
  const cache = cacheOf<Uint8Array>(nodes[0]!, bytesSerializer);
  const empty = new Uint8Array(0);
  for (const key of keys) {
    expect(await cache.compareAndSet(key, empty, empty)).toBe(false);
    expect(await cache.compareAndSet(key, undefined, empty)).toBe(true);
    expect(await cache.compareAndSet(key, undefined, empty)).toBe(false);
    expect(await cache.compareAndSet(key, empty, Buffer.from("x"))).toBe(true);
  }
});

/** When the key's entry expires, in milliseconds since 1970; 0 for never. */
function expiryOf(key: string): Promise<number> {
  const command = { op: Op.get, key: Buffer.from(key), value: noBytes, expiresAtMs: 0, expected: undefined };
  return new Promise((resolve, reject) => {
    nodes[0]!.execute(command, (error, reply) => (error ? reject(error) : resolve(reply!.expiresAtMs)));
  });
}

test("the ttl is that of the new value, and what has expired isn't there", async () => {
  const cache = cacheOf<unknown>(nodes[0]!, jsonSerializer);
  for (const key of keys) {
    await cache.set(key, 1, { ttl: 60 });
    expect(await cache.compareAndSet(key, 1, 2)).toBe(true);
    expect(await expiryOf(key)).toBe(0);
    const fromMs = runtime.wallMs();
    expect(await cache.compareAndSet(key, 2, 3, { ttl: 60 })).toBe(true);
    expect(await expiryOf(key)).toBeGreaterThanOrEqual(fromMs + 60_000);
    await cache.set(key, 4, { ttl: 0.001 });
    while (await cache.has(key));
    expect(await cache.compareAndSet(key, 4, 5)).toBe(false);
    expect(await cache.compareAndSet(key, undefined, 5)).toBe(true);
  }
});

test("values that are too large together, a wrong ttl or key: one clear error, and nothing is stored", async () => {
  const cache = cacheOf<Uint8Array>(nodes[0]!, bytesSerializer);
  const half = Buffer.alloc(8 * 1024 * 1024, 1);
  const key = keys.find((each) => nodes[0]!.ring.nodeFor(each) === "b")!;
  expect(await cache.compareAndSet(key, undefined, half)).toBe(true);
  expect(await cache.compareAndSet(key, half, Buffer.alloc(half.length, 2))).toBe(true);
  await expect(cache.compareAndSet(key, half, Buffer.alloc(half.length + 1))).rejects.toMatchObject({
    code: "VALUE_TOO_LARGE",
    outcome: "none",
  });
  expect((await cache.get(key))?.[0]).toBe(2);
  await expect(cache.compareAndSet(key, half, half, { ttl: -1 })).rejects.toMatchObject({
    code: "TTL_INVALID",
  });
  await expect(cache.compareAndSet("", undefined, half)).rejects.toMatchObject({ code: "KEY_MISSING" });
});
