/** NATS away for a minute and for an hour of virtual time, with a node that dies meanwhile and without. */
import { expect, test } from "vitest";
import { everything, profiles } from "./profiles.ts";
import { runScenario } from "./scenario.ts";
import { type Fault, parseSchedule } from "./schedule.ts";

const profile = { ...everything, backups: [1], reckless: 0 };
const hourMs = 3_600_000;

function fault(kind: Fault["kind"], atMs: number, forMs = 0): Fault {
  return { atMs, kind, node: 1, other: 0, forMs, size: 1 };
}

test.each([
  ["a minute", 60_000, []],
  ["an hour", hourMs, []],
  ["a minute, and a node starts again meanwhile", 60_000, [fault("restart", 20_000, 500)]],
] as const)("NATS is away for %s", { timeout: 120_000 }, async (_, awayMs, others) => {
  const schedule = [fault("join", 0), fault("store-stop", 5_000, awayMs), ...others];
  const report = await runScenario(3, { profile, schedule });
  expect(report.settings.backups).toBe(1);
  expect(report.violations).toEqual([]);
  // What needs a new table waits for it; everything else goes on.
  if (others.length === 0) expect(report.failures).toBe(0);
  expect(report.operations).toBeGreaterThan(100);
});

test("a table that only one of two has seen when NATS goes away gets to the other", async () => {
  // The answer of a handover's compare-and-set is lost, its watch is late, and then the store is away for 45 s.
  const report = await runScenario(1_705, { profile: profiles.runs });
  expect(report.violations).toEqual([]);
  expect(report.lines.some((line) => line.includes("table-overheard"))).toBe(true);
});

test("a node that leaves and hasn't seen the others' records yet hands over first", async () => {
  const schedule = parseSchedule(`
    3 join node=998 other=115 size=1
    634 store-stop node=649 other=472 for=5822
    1684 leave node=557 other=596
  `);
  const report = await runScenario(401_459, { schedule });
  expect(report.settings.backups).toBe(0);
  expect(report.violations).toEqual([]);
});

test("a node that leaves and hasn't heard of those that came since hands over first", async () => {
  const schedule = parseSchedule(`
    1210 leave node=299 other=283
    1438 cut-store node=318 other=458 for=226
    1483 join node=747 other=745 size=3
    1865 store-gap node=876 other=449 for=2481
    3151 kill node=521 other=317
    3209 leave node=618 other=236
  `);
  const report = await runScenario(5_033_526, { schedule });
  expect(report.settings.backups).toBe(0);
  expect(report.violations).toEqual([]);
});

test("a node that takes a partition over while it is cut off from the store leaves a copy where it came from", async () => {
  const report = await runScenario(1_045_128);
  expect(report.settings.backups).toBe(0);
  expect(report.violations).toEqual([]);
});
