import { expect, test } from "vitest";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { Op } from "../cache/command.ts";
import { countOf } from "./histogram.ts";
import { OperationCounters, operationKinds, outcomes, Path, sampleShare, Via } from "./operations.ts";

const runtime = new ManualRuntime();

test("every operation of the cache has its name", () => {
  expect(operationKinds).toHaveLength(Object.keys(Op).length + 1);
  expect(Object.values(Op).map((op) => operationKinds[op])).toEqual([
    "get",
    "set",
    "delete",
    "has",
    "compare_and_set",
    "run",
  ]);
});

test("each is counted in its place, whatever its error", () => {
  const counters = new OperationCounters(runtime);
  for (const via of Object.values(Via)) {
    for (const op of Object.values(Op)) {
      counters.answered(via, op);
      counters.failed(via, op, "OVERLOADED");
      counters.failed(via, op, "INTERNAL");
    }
  }
  const places = counters.read().counts;
  for (const via of Object.values(Via)) {
    expect(places[via]![0]!.every((count) => count === 0)).toBe(true);
    for (const op of Object.values(Op)) {
      const counted = outcomes.filter((_, i) => places[via]![op]![i] === 1);
      expect(counted).toEqual(["ok", "overloaded", "other"]);
    }
  }
});

test("of local operations one in so many is timed, at places that don't repeat", () => {
  const counters = new OperationCounters(runtime);
  const gaps: number[] = [];
  let last = -1;
  const operations = 320_000;
  for (let i = 0; i < operations; i++) {
    if (!counters.takesSample()) continue;
    counters.sampled(Via.http, runtime.monotonicMs());
    gaps.push(i - last);
    last = i;
  }
  expect(gaps.length / (operations / sampleShare)).toBeCloseTo(1, 1);
  expect(new Set(gaps).size).toBeGreaterThan(sampleShare);
  // Each stands for as many, so the histogram counts about all of them.
  expect(countOf(counters.read().latency[Via.http]![Path.local]!) / operations).toBeCloseTo(1, 1);
});
