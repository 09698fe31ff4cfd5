/** What only this project has: other doors beside Redis's, and more than one node behind each. */
import { Redis } from "ioredis";
import { Redis as Valkey } from "iovalkey";
import { RateLimiterValkey } from "rate-limiter-flexible";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { settled } from "../support/node-process.ts";
import { encode, RespConnection } from "../support/redis-resp.ts";
import { type RedisNodes, startRedisNodes } from "../support/redis-subject.ts";

let subject: RedisNodes;
const open: { disconnect(): void }[] = [];

beforeAll(async () => {
  subject = await startRedisNodes();
});
afterAll(() => subject?.end());
beforeEach(async () => {
  await connect(0).flushall();
});
afterEach(() => {
  for (const client of open.splice(0)) client.disconnect();
});

function connect(node: 0 | 1 | 2): Redis {
  const client = new Redis(subject.ports[node]);
  open.push(client);
  return client;
}

test("what is written through one door is read through the other, at any node", async () => {
  const [one, two, three] = subject.nodes;
  for (let i = 0; i < 30; i++) {
    expect((await one.http.set(`http:${i}`, `over HTTP ${i}`)).status).toBe(200);
    await connect(1).set(`redis:${i}`, `over Redis ${i}`, "EX", 1_000);
  }
  const redis = connect(2);
  for (let i = 0; i < 30; i++) {
    expect(await redis.get(`http:${i}`)).toBe(`over HTTP ${i}`);
    expect((await three.http.get(`redis:${i}`)).body).toMatchObject({ value: `over Redis ${i}` });
  }
  expect(await redis.dbsize()).toBe(60);
  expect((await two.http.delete("redis:0")).status).toBe(200);
  expect(await redis.exists("redis:0")).toBe(0);
  expect(await redis.del("http:0")).toBe(1);
  expect((await one.http.get("http:0")).status).toBe(404);
  expect(await redis.incr("count")).toBe(1);
  expect((await two.http.get("count")).body).toMatchObject({ value: "1" });
});

test("rate-limiter-flexible's script for Valkey", async () => {
  const limiter = (node: 0 | 1) => {
    const storeClient = new Valkey(subject.ports[node]);
    open.push(storeClient);
    return new RateLimiterValkey({ storeClient, points: 2, duration: 1_000 });
  };
  const [first, second] = [limiter(0), limiter(1)];
  expect((await first.consume("user")).consumedPoints).toBe(1);
  expect((await second.consume("user")).remainingPoints).toBe(0);
  await expect(first.consume("user")).rejects.toMatchObject({ consumedPoints: 3 });
});

test("a script that isn't known is refused, whatever it is", async () => {
  const redis = connect(0);
  await expect(redis.eval("return 1", 0)).rejects.toThrow(/^(ERR|NOSCRIPT) /);
  await expect(redis.call("SCRIPT", "LOAD", "return 1")).rejects.toThrow(/^(ERR|NOSCRIPT) /);
});

test("a deep pipeline is answered in its order, however much of it waits", { timeout: 120_000 }, async () => {
  const connection = await RespConnection.connect(subject.ports[0]);
  const count = 4_000;
  const requests = Array.from({ length: count }, (_, i) =>
    encode(i % 2 === 0 ? ["SET", `deep:${i % 500}`, String(i)] : ["GET", `deep:${(i - 1) % 500}`]),
  );
  await connection.send(Buffer.concat(requests));
  for (let i = 0; i < count; i++) {
    const text = String(i - 1);
    const wanted = i % 2 === 0 ? "+OK\r\n" : `$${text.length}\r\n${text}\r\n`;
    const reply = String(await connection.reply());
    if (reply !== wanted) expect(reply, `reply ${i}`).toBe(wanted);
  }
  connection.close();
});

test("a cluster client goes on while nodes join and leave", { timeout: 120_000 }, async () => {
  const client = new Redis.Cluster([{ host: "127.0.0.1", port: subject.ports[0] }]);
  open.push(client);
  const written = new Map<string, string>();
  let isOver = false;
  const write = async (): Promise<void> => {
    for (let i = 0; !isOver; i++) {
      const key = `moving:${i % 400}`;
      await client.set(key, `${i}`);
      written.set(key, `${i}`);
      expect(await client.get(key)).toBe(`${i}`);
    }
  };
  const change = async (): Promise<void> => {
    const joined = await subject.cluster.start("joined");
    await settled([...subject.nodes, joined]);
    await joined.terminate();
    await settled(subject.nodes);
  };
  await Promise.all([
    write(),
    change().finally(() => {
      isOver = true;
    }),
  ]);
  expect(written.size).toBeGreaterThan(50);
  const reader = connect(1);
  for (const [key, value] of written) expect(await reader.get(key), key).toBe(value);
});
