/**
 * Random commands, the same to a real redis-server and, through one node, to this cluster: every reply is compared
 * byte by byte, and at the end what both hold. Known differences: `docs/redis.md`.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RedisSubject, startRedisSubject } from "../support/redis-subject.ts";
import { type Manner, play } from "./play.ts";
import { sequenceOfOne, sequenceOfTwo } from "./random-commands.ts";

/** `REDIS_RUNS`: more, or fewer, of each kind. */
const runs = (usual: number): number => Number(process.env.REDIS_RUNS || usual);

// Without backups many commands take a shorter way: see `src/cache/lane.ts`.
describe.each([0, 1])("%i backups", (backups) => {
  let redis: RedisServer;
  let subject: RedisSubject;
  beforeAll(async () => {
    const args = ["--backups", String(backups)];
    [redis, subject] = await Promise.all([startRedisServer(), startRedisSubject(args)]);
  });
  afterAll(async () => {
    await Promise.all([redis?.stop(), subject?.end()]);
  });

  describe.each([2, 3] as const)("RESP%i", (protocol) => {
    test.each<[Manner, number]>([
      ["steps", 60],
      ["whole", 150],
      ["bytes", 30],
    ])("replies are the same: %s", { timeout: 120_000 }, async (manner, usual) => {
      const sides = { expected: redis.port, actual: subject.ports[protocol === 2 ? 0 : 1] };
      const sequence = manner === "steps" ? sequenceOfTwo : sequenceOfOne;
      await fc.assert(
        fc.asyncProperty(sequence, (steps) => play(steps, sides, protocol, manner)),
        { numRuns: runs(usual), interruptAfterTimeLimit: 60_000, markInterruptAsFailure: true },
      );
    });
  });
});
