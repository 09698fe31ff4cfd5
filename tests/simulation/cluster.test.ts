import { expect, test } from "vitest";
import { profiles } from "./profiles.ts";
import { runScenario } from "./scenario.ts";

/** More of them: `npm run sim -- --seeds 1000`. */
const seeds = Array.from({ length: 40 }, (_, i) => i + 1);

test.each(seeds)("everything at once: seed %i", { timeout: 120_000 }, async (seed) => {
  const report = await runScenario(seed);
  expect(report.violations).toEqual([]);
});

test.each([1, 2, 3, 4, 5, 6])("with too little memory: seed %i", { timeout: 120_000 }, async (seed) => {
  const report = await runScenario(seed, { profile: profiles.tight });
  expect(report.violations).toEqual([]);
});

test.each([1, 2, 3, 4, 5, 6])("runs of steps: seed %i", { timeout: 120_000 }, async (seed) => {
  const report = await runScenario(seed, { profile: profiles.runs });
  expect(report.violations).toEqual([]);
});

test("the same seed gives the same run", { timeout: 120_000 }, async () => {
  const runs = [await runScenario(9), await runScenario(9)];
  expect(runs[0]!.hash).toBe(runs[1]!.hash);
  expect(runs[0]!.lines).toEqual(runs[1]!.lines);
});
