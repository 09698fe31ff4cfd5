/** ioredis 5 and 6 and iovalkey, unchanged and with their defaults: what their users do, through three nodes. */
import { Redis } from "ioredis";
import { Redis as Redis6 } from "ioredis6";
import { Redis as Valkey } from "iovalkey";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisSubject, startRedisSubject } from "../support/redis-subject.ts";

let subject: RedisSubject;
const open: { disconnect(): void }[] = [];

beforeAll(async () => {
  subject = await startRedisSubject();
});
afterAll(() => subject?.end());
afterEach(() => {
  for (const client of open.splice(0)) client.disconnect();
});

// One class in three versions: what is used here has the same types in all.
const clients = [
  ["ioredis 5", Redis],
  ["ioredis 6", Redis6 as unknown as typeof Redis],
  ["iovalkey", Valkey as unknown as typeof Redis],
] as const;

/** An event with what it carried, as a promise; made before what causes it. */
function once(emitter: Redis, event: string): Promise<unknown[]> {
  return new Promise((resolve) => emitter.once(event, (...args: unknown[]) => resolve(args)));
}

describe.each(clients)("%s", (_, Client) => {
  let first: Redis;
  let second: Redis;
  let third: Redis;

  function connect(port: number): Redis {
    const client = new Client(port, "127.0.0.1");
    open.push(client);
    return client;
  }

  beforeEach(async () => {
    [first, second, third] = subject.ports.map(connect) as [Redis, Redis, Redis];
    await first.flushall();
  });

  test("values, counters and lifetimes, written through one node, read through another", async () => {
    expect(await first.set("greeting", "hello")).toBe("OK");
    expect(await second.get("greeting")).toBe("hello");
    expect(await third.get("absent")).toBeNull();
    expect(await second.set("greeting", "other", "NX")).toBeNull();
    expect(await second.set("greeting", "new", "EX", 100, "GET")).toBe("hello");
    expect(await third.ttl("greeting")).toBeGreaterThan(50);
    expect(await first.persist("greeting")).toBe(1);
    expect(await first.pttl("greeting")).toBe(-1);
    expect(await third.append("greeting", "er")).toBe(5);
    expect(await first.getrange("greeting", 1, -2)).toBe("ewe");
    expect(await Promise.all([first, second, third].map((client) => client.incr("count")))).toHaveLength(3);
    expect(await second.get("count")).toBe("3");
    expect(await second.incrbyfloat("count", 0.5)).toBe("3.5");
    expect(await first.exists("count", "greeting", "absent")).toBe(2);
    expect(await second.del("count", "greeting", "absent")).toBe(2);
    expect(await third.exists("greeting")).toBe(0);
  });

  test("what has expired is gone, through every node", async () => {
    await first.set("short", "lived", "PX", 80);
    await second.setex("long", 1_000, "lived");
    await expect.poll(() => third.get("short"), { timeout: 15_000 }).toBeNull();
    expect(await second.ttl("short")).toBe(-2);
    expect(await first.get("long")).toBe("lived");
  });

  test("many keys in one command, wherever they live", async () => {
    const entries = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`many:${i}`, `value ${i}`]));
    expect(await first.mset(entries)).toBe("OK");
    expect(await second.mget(...Object.keys(entries), "absent")).toEqual([...Object.values(entries), null]);
    expect(await third.dbsize()).toBe(200);
    expect((await third.keys("many:1?")).sort()).toEqual(Array.from({ length: 10 }, (_, i) => `many:1${i}`));
    const seen = new Set<string>();
    for await (const page of second.scanStream({ match: "many:*", count: 10 })) {
      for (const key of page as string[]) seen.add(key);
    }
    expect(seen.size).toBe(200);
    expect(await first.unlink(...Object.keys(entries))).toBe(200);
    expect(await second.dbsize()).toBe(0);
  });

  test("keys and values are bytes", async () => {
    const key = Buffer.from([0, 13, 10, 255, 254]);
    const value = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    await first.set(key, value);
    expect(await second.getBuffer(key)).toEqual(value);
    const large = Buffer.alloc(2 * 1024 * 1024, value);
    await second.set("large", large);
    expect((await third.getBuffer("large"))?.equals(large)).toBe(true);
  });

  test("a pipeline's replies come in its order, errors in their places", async () => {
    const pipeline = first.pipeline();
    for (let i = 0; i < 500; i++) pipeline.set(`pipe:${i}`, i).get(`pipe:${i}`);
    pipeline.incr("pipe:text");
    const results = await pipeline.set("pipe:text", "x").incr("pipe:text").get("pipe:text").exec();
    expect(results).toHaveLength(1_004);
    for (let i = 0; i < 500; i++) expect(results?.[2 * i + 1]).toEqual([null, String(i)]);
    expect(results?.[1_000]).toEqual([null, 1]);
    expect(results?.[1_002]?.[0]?.message).toBe("ERR value is not an integer or out of range");
    expect(results?.[1_003]).toEqual([null, "x"]);
  });

  test("a transaction is carried out whole, or not at all", async () => {
    expect(await first.multi().set("{t}a", "1").incr("{t}a").get("{t}a").exec()).toEqual([
      [null, "OK"],
      [null, 2],
      [null, "2"],
    ]);
    await second.watch("{t}a");
    await third.set("{t}a", "changed");
    expect(await second.multi().set("{t}a", "lost").exec()).toBeNull();
    await second.watch("{t}a");
    expect(await second.multi().append("{t}a", "!").exec()).toEqual([[null, 8]]);
    expect(await first.get("{t}a")).toBe("changed!");
    await expect(first.multi().set("{t}a", "never").call("get").exec()).rejects.toThrow(/^EXECABORT/);
    expect(await first.get("{t}a")).toBe("changed!");
  });

  test("messages published through one node reach who subscribes at another", async () => {
    const received = once(second, "message");
    const matched = once(third, "pmessage");
    expect(await second.subscribe("news", "other")).toBe(2);
    expect(await third.psubscribe("ne?s")).toBe(1);
    await first.publish("news", "it works");
    expect(await received).toEqual(["news", "it works"]);
    expect(await matched).toEqual(["ne?s", "news", "it works"]);
    expect(await second.unsubscribe("news")).toBe(1);
    expect(await second.unsubscribe()).toBe(0);
    // Back to where other commands are allowed.
    expect(await second.get("absent")).toBeNull();
  });

  test("errors are Redis's", async () => {
    await expect(first.call("NOPE", "a")).rejects.toThrow(
      "ERR unknown command 'NOPE', with args beginning with: 'a' ",
    );
    await expect(first.call("GET")).rejects.toThrow("ERR wrong number of arguments for 'get' command");
    await expect(first.call("SET", "a", "b", "ODD")).rejects.toThrow("ERR syntax error");
    await expect(first.evalsha("0".repeat(40), 0)).rejects.toThrow(
      "NOSCRIPT No matching script. Please use EVAL.",
    );
    expect(await first.echo("still here")).toBe("still here");
  });
});

describe.each(clients)("%s Cluster", (_, Client) => {
  function connect(port: number) {
    const client = new Client.Cluster([{ host: "127.0.0.1", port }]);
    open.push(client);
    return client;
  }

  test("keys go where they live, and are read by a client that started elsewhere", async () => {
    const [first, second] = [connect(subject.clusterPorts[0]), connect(subject.clusterPorts[2])];
    const keys = Array.from({ length: 300 }, (_, i) => `cluster:${i}`);
    await Promise.all(keys.map((key) => first.set(key, `of ${key}`, "EX", 100)));
    const values = await Promise.all(keys.map((key) => second.get(key)));
    expect(values).toEqual(keys.map((key) => `of ${key}`));
    expect(
      first
        .nodes("master")
        .map((node) => node.options.port)
        .sort(),
    ).toEqual([...subject.clusterPorts].sort());
    const seen = new Set<string>();
    for (const node of second.nodes("master")) {
      for await (const page of node.scanStream({ match: "cluster:*" })) {
        for (const key of page as string[]) seen.add(key);
      }
    }
    expect([...seen].sort()).toEqual([...keys].sort());
    expect(await Promise.all(keys.map((key) => second.del(key)))).toEqual(keys.map(() => 1));
  });

  test("pipelines, transactions and many keys within a slot", async () => {
    const client = connect(subject.clusterPorts[1]);
    await client.mset("{s}1", "a", "{s}2", "b");
    expect(await client.mget("{s}1", "{s}2", "{s}3")).toEqual(["a", "b", null]);
    expect(await client.pipeline().append("{s}1", "+").get("{s}1").exec()).toEqual([
      [null, 2],
      [null, "a+"],
    ]);
    expect(await client.multi().set("{s}n", 5).incrby("{s}n", 6).exec()).toEqual([
      [null, "OK"],
      [null, 11],
    ]);
    expect(await client.del("{s}1", "{s}2", "{s}n")).toBe(3);
  });

  test("publish and subscribe", async () => {
    const [listener, speaker] = [connect(subject.clusterPorts[0]), connect(subject.clusterPorts[1])];
    const received = once(listener as unknown as Redis, "message");
    expect(await listener.subscribe("cluster news")).toBe(1);
    await speaker.publish("cluster news", "everywhere");
    expect(await received).toEqual(["cluster news", "everywhere"]);
  });
});
