/** The same random commands while nodes join and leave: clients of a node that stays see nothing of it. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { settled } from "../support/node-process.ts";
import { type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RedisNodes, startRedisNodes } from "../support/redis-subject.ts";
import { type Manner, play } from "./play.ts";
import { sequenceOfOne, sequenceOfTwo } from "./random-commands.ts";

let redis: RedisServer;
let subject: RedisNodes;

beforeAll(async () => {
  [redis, subject] = await Promise.all([startRedisServer(), startRedisNodes()]);
});
afterAll(async () => {
  await Promise.all([redis?.stop(), subject?.end()]);
});

const joinsMin = Number(process.env.REDIS_JOINS || 3);

test("replies are the same while nodes join and leave", { timeout: 240_000 }, async () => {
  const [first, ...others] = subject.nodes;
  let isOver = false;
  let joins = 0;
  /** Node after node joins, gets its share, and the one that has been there longest leaves. */
  const changes = async (): Promise<void> => {
    const members = [...others];
    while (joins < joinsMin) {
      members.push(await subject.cluster.start(`joined-${joins + 1}`));
      await settled([first, ...members]);
      joins++;
      await members.shift()!.terminate();
      await settled([first, ...members]);
    }
  };
  const changing = changes().finally(() => {
    isOver = true;
  });
  const manners: readonly Manner[] = ["steps", "whole", "whole"];
  const sides = { expected: redis.port, actual: subject.ports[0] };
  let played = 0;
  try {
    while (!isOver) {
      const manner = manners[played++ % manners.length]!;
      const protocol = played % 2 === 0 ? 2 : 3;
      // What fails while nodes come and go need not fail again, so nothing is shrunk: the first failure is the one.
      const sequence = manner === "steps" ? sequenceOfTwo : sequenceOfOne;
      await fc.assert(
        fc.asyncProperty(sequence, (steps) => play(steps, sides, protocol, manner)),
        { numRuns: 5, endOnFailure: true },
      );
    }
  } finally {
    await changing;
  }
  expect(joins).toBe(joinsMin);
  expect(played).toBeGreaterThan(5);
});
