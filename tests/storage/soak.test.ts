import { expect, test } from "vitest";
import { SoakWorld } from "./soak-world.ts";

const soakMs = 5_000;
const operationsMin = 100_000;

test("stores that share a memory are equal to their models, to the byte, after seconds of everything", () => {
  const world = new SoakWorld(1);
  const endMs = performance.now() + soakMs;
  do world.run(5_000);
  while (performance.now() < endMs || world.counts.operations < operationsMin);
  world.audit();
  // All of it did happen.
  const { evicted, expired, moves } = world.counts;
  expect(Math.min(evicted, expired, moves)).toBeGreaterThan(0);
  world.end();
}, 120_000);
