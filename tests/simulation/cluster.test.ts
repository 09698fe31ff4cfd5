import { expect, test } from "vitest";
import { runScenario } from "./scenario.ts";

/** More of them: `npm run sim -- --seeds 100`. */
test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  "joins, leaves and a hostile store: seed %i",
  { timeout: 120_000 },
  async (seed) => {
    const report = await runScenario(seed);
    expect(report.violations).toEqual([]);
    expect(report.operations).toBeGreaterThan(1_000);
    expect(report.epochs).toBeGreaterThan(5);
  },
);

test.each([1, 2, 3, 4])("crashes and stalls: seed %i", { timeout: 120_000 }, async (seed) => {
  const report = await runScenario(seed, { deaths: true });
  expect(report.violations).toEqual([]);
});

test("the same seed gives the same run", { timeout: 120_000 }, async () => {
  const runs = [await runScenario(9), await runScenario(9)];
  expect(runs[0]!.hash).toBe(runs[1]!.hash);
});
