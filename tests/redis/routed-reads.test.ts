/** GETs that go to their owners in one message for all that a node was asked in a turn: `src/cache/routed-reads.ts`. */
import { crc32 } from "node:zlib";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RedisNodes, startRedisNodes } from "../support/redis-subject.ts";

/** Bytes in short: some are large. */
function shown(reply: unknown): unknown {
  return Buffer.isBuffer(reply) ? `${reply.length} bytes, CRC ${crc32(reply)}` : reply;
}

describe.each([0, 1])("%i backups", (backups) => {
  let subject: RedisNodes;
  const clients: Redis[] = [];

  beforeAll(async () => {
    subject = await startRedisNodes(["--backups", String(backups)]);
    for (const port of subject.ports) clients.push(new Redis(port));
  });
  afterAll(async () => {
    for (const client of clients) client.disconnect();
    await subject?.end();
  });

  /** What a value is: from nothing to more than goes into one answer. */
  const sizes = [0, 1, 100, 161, 70_000, 700_000];
  const keyOf = (i: number): string => (i % 13 === 0 ? `${i}:${"k".repeat(1_100)}` : `key:${i}`);

  test("every key of a pipeline has its own answer, in order, among all other commands", async () => {
    const [first, second] = clients as [Redis, Redis];
    const count = 200;
    const values = Array.from({ length: count }, (_, i) => Buffer.alloc(sizes[i % sizes.length]!, `${i};`));
    await Promise.all(values.map((value, i) => first.set(keyOf(i), value)));
    const pipeline = second.pipeline();
    const wanted: unknown[] = [];
    for (let i = 0; i < count; i++) {
      pipeline.getBuffer(keyOf(i));
      wanted.push(shown(values[i]));
      if (i % 7 === 3) {
        pipeline.get(`absent:${i}`);
        wanted.push(null);
      }
      if (i % 11 === 5) {
        // A read that comes after a write of the same connection sees it; one that came before doesn't.
        pipeline
          .set(keyOf(i), `new ${i}`)
          .get(keyOf(i))
          .incr(`counter:${i % 3}`)
          .mget(keyOf(i), "absent");
        wanted.push("OK", `new ${i}`, expect.any(Number), [`new ${i}`, null]);
      }
    }
    const replies = (await pipeline.exec())!;
    expect(replies.map(([error]) => error).filter((error) => error !== null)).toEqual([]);
    expect(replies.map(([, reply]) => shown(reply))).toEqual(wanted);
  });

  test("a client that only asks for what other nodes own is answered while it goes on asking", async () => {
    const keys = Array.from({ length: 600 }, (_, i) => `many:${i}`);
    await Promise.all(keys.map((key) => clients[0]!.set(key, key)));
    for (const client of clients) {
      const rounds = Array.from({ length: 10 }, async () =>
        expect(await Promise.all(keys.map((key) => client.get(key)))).toEqual(keys),
      );
      await Promise.all(rounds);
    }
  });
});
