/** node-redis 6 (RESP3) and 4 (RESP2), unchanged and with their defaults: what their users do, through three nodes. */
import * as redis from "redis";
import * as redis4 from "redis4";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisSubject, startRedisSubject } from "../support/redis-subject.ts";

type Client = ReturnType<typeof redis.createClient>;

let subject: RedisSubject;
const open: { isOpen: boolean; disconnect(): unknown }[] = [];

beforeAll(async () => {
  subject = await startRedisSubject();
});
afterAll(() => subject?.end());
afterEach(async () => {
  for (const client of open.splice(0)) if (client.isOpen) await client.disconnect();
});

// What is used here has the same types in both, but for the pages of `scanIterator`.
const versions = [
  ["node-redis 6", redis],
  ["node-redis 4", redis4 as unknown as typeof redis],
] as const;

const url = (port: number): string => `redis://127.0.0.1:${port}`;

async function scanned(client: Client, options: { MATCH?: string; COUNT?: number }): Promise<string[]> {
  const seen = new Set<string>();
  for await (const page of client.scanIterator(options)) {
    for (const key of [page].flat()) seen.add(String(key));
  }
  return [...seen].sort();
}

describe.each(versions)("%s", (_, { createClient }) => {
  let first: Client;
  let second: Client;
  let third: Client;

  async function connect(port: number): Promise<Client> {
    const client: Client = createClient({ url: url(port) });
    open.push(client);
    await client.connect();
    return client;
  }

  beforeEach(async () => {
    [first, second, third] = (await Promise.all(subject.ports.map(connect))) as [Client, Client, Client];
    await first.flushAll();
  });

  test("values, counters and lifetimes, written through one node, read through another", async () => {
    expect(await first.ping()).toBe("PONG");
    expect(await first.set("greeting", "hello")).toBe("OK");
    expect(await second.get("greeting")).toBe("hello");
    expect(await third.get("absent")).toBeNull();
    expect(await second.set("greeting", "other", { NX: true })).toBeNull();
    expect(await second.set("greeting", "new", { EX: 100, GET: true })).toBe("hello");
    expect(await third.ttl("greeting")).toBeGreaterThan(50);
    expect(await third.pExpireTime("greeting")).toBeGreaterThan(Date.now());
    expect(await first.getEx("greeting", { PERSIST: true } as never)).toBe("new");
    expect(await first.pTTL("greeting")).toBe(-1);
    expect(await second.incrBy("count", 41)).toBe(41);
    expect(await third.incr("count")).toBe(42);
    expect(await first.incrByFloat("count", 0.5)).toBe("42.5");
    expect(await first.getDel("count")).toBe("42.5");
    expect(await second.exists(["count", "greeting"])).toBe(1);
    expect(await third.rename("greeting", "renamed")).toBe("OK");
    expect(await first.type("renamed")).toBe("string");
    expect(await first.copy("renamed", "copied")).toBeTruthy();
    expect(await second.del(["renamed", "copied", "absent"])).toBe(2);
  });

  test("what has expired is gone, through every node", async () => {
    await first.set("short", "lived", { PX: 80 });
    await expect.poll(() => third.get("short"), { timeout: 15_000 }).toBeNull();
    expect(await second.ttl("short")).toBe(-2);
  });

  test("many keys in one command, wherever they live", async () => {
    const entries = Array.from({ length: 200 }, (_, i) => [`many:${i}`, `value ${i}`] as [string, string]);
    expect(await first.mSet(entries)).toBe("OK");
    expect(await second.mGet([...entries.map(([key]) => key), "absent"])).toEqual([
      ...entries.map(([, value]) => value),
      null,
    ]);
    expect(await third.dbSize()).toBe(200);
    expect(await scanned(second, { MATCH: "many:*", COUNT: 10 })).toEqual(entries.map(([key]) => key).sort());
    expect((await third.keys("many:1?")).length).toBe(10);
    expect(await first.unlink(entries.map(([key]) => key))).toBe(200);
  });

  test("commands sent in one turn keep their order", async () => {
    const replies = await Promise.all(
      Array.from({ length: 500 }, (_, i) => [
        first.set(`turn:${i % 7}`, String(i)),
        first.get(`turn:${i % 7}`),
      ]).flat(),
    );
    expect(replies.filter((_, i) => i % 2 === 1)).toEqual(Array.from({ length: 500 }, (_, i) => String(i)));
  });

  test("a transaction is carried out whole, or not at all", async () => {
    expect(await first.multi().set("{t}a", "1").incr("{t}a").get("{t}a").exec()).toEqual(["OK", 2, "2"]);
    await second.watch("{t}a");
    await third.set("{t}a", "changed");
    await expect(second.multi().set("{t}a", "lost").exec()).rejects.toThrow(/watched keys/);
    await second.watch("{t}a");
    expect(await second.multi().append("{t}a", "!").exec()).toEqual([8]);
    expect(await first.get("{t}a")).toBe("changed!");
  });

  test("messages published through one node reach who subscribes at another", async () => {
    const heard = new Set<string>();
    const noteOf = (who: string) => (message: string, channel: string) =>
      void heard.add(`${who}: ${channel}: ${message}`);
    await second.subscribe("news", noteOf("second"));
    await third.pSubscribe("ne?s", noteOf("third"));
    await first.publish("news", "it works");
    await expect.poll(() => heard.size, { timeout: 15_000 }).toBe(2);
    expect([...heard].sort()).toEqual(["second: news: it works", "third: news: it works"]);
    await second.unsubscribe("news");
    expect(await second.get("absent")).toBeNull();
  });

  test("errors are Redis's", async () => {
    await first.set("text", "x");
    await expect(first.incr("text")).rejects.toThrow("ERR value is not an integer or out of range");
    await expect(first.sendCommand(["NOPE"])).rejects.toThrow(/^ERR unknown command 'NOPE'/);
    await expect(first.evalSha("0".repeat(40))).rejects.toThrow(/^NOSCRIPT/);
    await expect(first.select(99_999)).rejects.toThrow(/^ERR DB index is out of range/);
  });

  test("who is connected can be asked", async () => {
    await first.clientSetName("tester");
    expect(await first.clientGetName()).toBe("tester");
    expect((await first.clientInfo()).name).toBe("tester");
    expect(await first.clientId()).toBeGreaterThan(0);
    expect(await first.info("server")).toMatch(/redis_version:\d+\.\d+\.\d+\r\n/);
  });
});

describe.each(versions)("%s cluster", (_, { createCluster }) => {
  async function connect(port: number) {
    const client = createCluster({ rootNodes: [{ url: url(port) }] });
    open.push(client);
    await client.connect();
    return client;
  }

  test("keys go where they live, and are read by a client that started elsewhere", async () => {
    const [first, second] = [await connect(subject.clusterPorts[0]), await connect(subject.clusterPorts[2])];
    const keys = Array.from({ length: 300 }, (_, i) => `cluster:${i}`);
    await Promise.all(keys.map((key) => first.set(key, `of ${key}`, { EX: 100 })));
    expect(await Promise.all(keys.map((key) => second.get(key)))).toEqual(keys.map((key) => `of ${key}`));
    // Version 4 lists a node once for each of its ranges of slots.
    expect(new Set(first.masters.map(({ port }) => port))).toEqual(new Set(subject.clusterPorts));
    expect(await second.mGet(["{s}1", "{s}2"])).toEqual([null, null]);
    expect(await second.multi().set("{s}n", "5").incrBy("{s}n", 6).exec()).toEqual(["OK", 11]);
    expect(await first.del("{s}n")).toBe(1);
    expect(await Promise.all(keys.map((key) => second.del(key)))).toEqual(keys.map(() => 1));
  });

  test("publish and subscribe", async () => {
    const [listener, speaker] = [
      await connect(subject.clusterPorts[0]),
      await connect(subject.clusterPorts[1]),
    ];
    const received = new Promise((resolve) => void listener.subscribe("cluster news", resolve));
    // Whether the subscription stands by then is not told: published until it is heard.
    const timer = setInterval(() => void speaker.publish("cluster news", "everywhere"), 50);
    expect(await received).toBe("everywhere");
    clearInterval(timer);
    await listener.unsubscribe("cluster news");
  });
});
