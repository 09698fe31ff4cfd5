/** Rate limiters, whose scripts the door carries out natively, and sessions; unchanged and with their defaults. */

import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import fastifyRateLimit from "@fastify/rate-limit";
import { RedisStore as SessionStore } from "connect-redis";
import express from "express";
import { rateLimit } from "express-rate-limit";
import session from "express-session";
import { fastify } from "fastify";
import { Redis } from "ioredis";
import { Redis as Redis6 } from "ioredis6";
import { Redis as Valkey } from "iovalkey";
import { RedisStore as LimitStore } from "rate-limit-redis";
import { RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import { createClient } from "redis";
import { createClient as createClient4 } from "redis4";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisSubject, startRedisSubject } from "../support/redis-subject.ts";

let subject: RedisSubject;
const ends: (() => Promise<unknown> | unknown)[] = [];

beforeAll(async () => {
  subject = await startRedisSubject();
});
afterAll(() => subject?.end());
beforeEach(async () => {
  await ioredis(0).flushall();
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

type Door = 0 | 1 | 2;

function ioredis(door: Door, Client: typeof Redis = Redis): Redis {
  const redis = new Client(subject.ports[door]);
  ends.push(() => redis.disconnect());
  return redis;
}

async function nodeRedis(door: Door, create = createClient) {
  const client = create({ url: `redis://127.0.0.1:${subject.ports[door]}` });
  ends.push(() => client.disconnect());
  await client.connect();
  return client;
}

/** Listens, and gives the address to ask. */
function listening(app: express.Express): Promise<string> {
  return new Promise((resolve) => {
    const server: Server = app.listen(0, "127.0.0.1", () => {
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    });
    ends.push(() => {
      server.closeAllConnections();
      server.close();
    });
  });
}

describe("rate-limiter-flexible", () => {
  test.each<[string, (door: Door) => unknown]>([
    ["ioredis 5", (door) => ioredis(door)],
    ["ioredis 6", (door) => ioredis(door, Redis6 as unknown as typeof Redis)],
    ["iovalkey", (door) => ioredis(door, Valkey as unknown as typeof Redis)],
    ["node-redis 6", (door) => nodeRedis(door)],
    ["node-redis 4", (door) => nodeRedis(door, createClient4 as unknown as typeof createClient)],
  ])("over %s: two nodes count together", async (name, connect) => {
    // How its documentation has it used with node-redis.
    const useRedisPackage = name.startsWith("node-redis");
    const limiter = async (door: Door) =>
      new RateLimiterRedis({
        storeClient: await connect(door),
        useRedisPackage,
        points: 3,
        duration: 1_000,
        blockDuration: 2_000,
      });
    const [first, second] = [await limiter(0), await limiter(1)];
    const [one, two] = [await first.consume("user"), await second.consume("user", 2)];
    expect([one.consumedPoints, one.remainingPoints, one.isFirstInDuration]).toEqual([1, 2, true]);
    expect([two.consumedPoints, two.remainingPoints, two.isFirstInDuration]).toEqual([3, 0, false]);
    expect(two.msBeforeNext).toBeGreaterThan(500_000);
    expect(two.msBeforeNext).toBeLessThanOrEqual(1_000_000);
    const refused = await first.consume("user").catch((reason: unknown) => reason);
    expect(refused).toBeInstanceOf(RateLimiterRes);
    // Blocked: for longer than what it would have waited.
    expect((refused as RateLimiterRes).msBeforeNext).toBeGreaterThan(1_500_000);
    expect((await second.get("user"))?.consumedPoints).toBe(4);
    expect((await first.penalty("other", 2)).consumedPoints).toBe(2);
    expect((await second.reward("other")).consumedPoints).toBe(1);
    await first.set("other", 7, 100);
    expect((await second.get("other"))?.consumedPoints).toBe(7);
    expect(await second.delete("other")).toBe(true);
    expect(await first.get("other")).toBeNull();
  });

  test("without an end: no script, but a transaction", async () => {
    const limiter = (door: Door) =>
      new RateLimiterRedis({ storeClient: ioredis(door), points: 2, duration: 0 });
    const [first, second] = [limiter(0), limiter(2)];
    expect((await first.consume("user")).consumedPoints).toBe(1);
    expect((await second.consume("user")).consumedPoints).toBe(2);
    await expect(first.consume("user")).rejects.toBeInstanceOf(RateLimiterRes);
    expect(await ioredis(1).pttl("rlflx:user")).toBe(-1);
  });

  test("a key that is no number: Redis's error", async () => {
    await ioredis(1).set("rlflx:user", "text");
    const limiter = new RateLimiterRedis({ storeClient: ioredis(0), points: 2, duration: 10 });
    await expect(limiter.consume("user")).rejects.toThrow(/^ERR value is not an integer or out of range/);
  });
});

describe("@fastify/rate-limit", () => {
  async function server(door: Door, Client: typeof Redis) {
    const app = fastify();
    ends.push(() => app.close());
    await app.register(fastifyRateLimit, { max: 2, timeWindow: 1_000_000, redis: ioredis(door, Client) });
    app.get("/", async () => "in");
    const backoff = { max: 1, timeWindow: 100_000, exponentialBackoff: true };
    app.get("/slower", { config: { rateLimit: backoff } }, async () => "in");
    app.get("/peek", { config: { rateLimit: false } }, async (request) =>
      app.createRateLimit({ max: 9 })(request),
    );
    return app;
  }

  test.each([
    ["ioredis 5", Redis],
    ["ioredis 6", Redis6 as unknown as typeof Redis],
  ])("over %s: two servers count together", async (_, Client) => {
    const [first, second] = [await server(0, Client), await server(1, Client)];
    const replies = [await first.inject("/"), await second.inject("/"), await first.inject("/")];
    expect(replies.map(({ statusCode }) => statusCode)).toEqual([200, 200, 429]);
    expect(replies.map(({ headers }) => headers["x-ratelimit-remaining"])).toEqual(["1", "0", "0"]);
    expect(Number(replies[2]!.headers["retry-after"])).toBeGreaterThan(500);
    const slower = [
      await first.inject("/slower"),
      await second.inject("/slower"),
      await first.inject("/slower"),
    ];
    expect(slower.map(({ statusCode }) => statusCode)).toEqual([200, 429, 429]);
    const waits = slower.map(({ headers }) => Number(headers["x-ratelimit-reset"]));
    // Twice as long with every request too many.
    expect(waits[2]! - waits[1]!).toBeGreaterThan(50);
    expect((await second.inject("/peek")).json()).toMatchObject({ isAllowed: false, isExceeded: false });
  });
});

describe("rate-limit-redis with express-rate-limit", () => {
  test.each<[string, (door: Door) => Promise<(...args: string[]) => Promise<unknown>>]>([
    [
      "node-redis 6",
      async (door) => {
        const client = await nodeRedis(door);
        return (...args) => client.sendCommand(args);
      },
    ],
    [
      "ioredis 5",
      async (door) => {
        const client = ioredis(door);
        return (command, ...args) => client.call(command!, ...args);
      },
    ],
  ])("over %s: two servers count together", async (_, connect) => {
    const server = async (door: Door) => {
      const store = new LimitStore({ sendCommand: (await connect(door)) as never });
      const app = express();
      app.use(rateLimit({ windowMs: 1_000_000, limit: 2, standardHeaders: true, store }));
      app.get("/", (_request, response) => void response.send("in"));
      return { url: await listening(app), store };
    };
    const [first, second] = [await server(0), await server(1)];
    const statuses: number[] = [];
    for (const { url } of [first, second, first]) statuses.push((await fetch(url)).status);
    expect(statuses).toEqual([200, 200, 429]);
    expect((await second.store.increment("someone")).totalHits).toBe(1);
    expect((await first.store.get("someone"))?.totalHits).toBe(1);
    await second.store.increment("someone");
    await first.store.decrement("someone");
    expect((await second.store.get("someone"))?.totalHits).toBe(1);
    await first.store.resetKey("someone");
    expect(await ioredis(2).exists("rl:someone")).toBe(0);
  });
});

test("connect-redis with express-session: a session goes on at another server", async () => {
  const server = async (door: Door) => {
    const store = new SessionStore({ client: await nodeRedis(door) });
    const app = express();
    app.use(session({ store, secret: "of the test", resave: false, saveUninitialized: false }));
    app.get("/", (request, response) => {
      const counted = request.session as { visits?: number };
      counted.visits = (counted.visits ?? 0) + 1;
      response.json(counted.visits);
    });
    app.get("/out", (request, response) => void request.session.destroy(() => response.json("out")));
    return { url: await listening(app), store };
  };
  const [first, second] = [await server(0), await server(1)];
  const begun = await fetch(first.url);
  const cookie = begun.headers.get("set-cookie")!.split(";")[0]!;
  expect(await begun.json()).toBe(1);
  expect(await (await fetch(second.url, { headers: { cookie } })).json()).toBe(2);
  expect(await (await fetch(first.url, { headers: { cookie } })).json()).toBe(3);
  expect(await promisify(second.store.length.bind(second.store))()).toBe(1);
  expect(await promisify(second.store.ids.bind(second.store))()).toHaveLength(1);
  const [key] = await ioredis(2).keys("sess:*");
  expect(await ioredis(2).ttl(key!)).toBeGreaterThan(80_000);
  await second.store.touch(key!.slice("sess:".length), { cookie: { expires: undefined } } as never);
  expect(await (await fetch(`${second.url}out`, { headers: { cookie } })).json()).toBe("out");
  expect(await ioredis(0).exists(key!)).toBe(0);
  await (await fetch(first.url)).json();
  await second.store.clear(() => {});
  expect(await ioredis(1).keys("sess:*")).toEqual([]);
});
