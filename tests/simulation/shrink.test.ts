import { describe, expect, test } from "vitest";
import { everything } from "./profiles.ts";
import { Random } from "./random.ts";
import { drawSchedule, type Fault, formatSchedule, parseSchedule } from "./schedule.ts";
import { shrink } from "./shrink.ts";

const schedule = drawSchedule(new Random(3), { ...everything, faultsMs: [60_000, 60_000] });

describe("a schedule", () => {
  test("comes from the seed alone", () => {
    expect(drawSchedule(new Random(3), { ...everything, faultsMs: [60_000, 60_000] })).toEqual(schedule);
    expect(drawSchedule(new Random(4), everything)).not.toEqual(schedule);
    expect(schedule.length).toBeGreaterThan(10);
  });

  test("comes back from its text as it was", () => {
    expect(parseSchedule(`# a comment\n\n${formatSchedule(schedule)}`)).toEqual(schedule);
  });

  test.each(["12 explode", "x kill", "12 kill nodes=1", "12 kill node=", "12 kill node=-1"])(
    "refuses %j",
    (line) => {
      expect(() => parseSchedule(line)).toThrow(line);
    },
  );
});

describe("shrinking", () => {
  const has = (faults: readonly Fault[], ...wanted: Fault[]): boolean =>
    wanted.every(({ atMs, kind }) => faults.some((fault) => fault.atMs === atMs && fault.kind === kind));

  test("finds the two faults that it takes, wherever they are", async () => {
    for (const [i, j] of [
      [0, 1],
      [2, schedule.length - 1],
      [5, 6],
    ] as const) {
      const fails = async (faults: readonly Fault[]): Promise<boolean> =>
        has(faults, schedule[i]!, schedule[j]!);
      const shrunk = await shrink(schedule, { fails, runsMax: 500 });
      expect(shrunk.schedule.map(({ atMs, kind }) => ({ atMs, kind }))).toEqual(
        [schedule[i]!, schedule[j]!].map(({ atMs, kind }) => ({ atMs, kind })),
      );
    }
  });

  test("shortens how long they last", async () => {
    const pause: Fault = { atMs: 1, kind: "pause", node: 0, other: 0, forMs: 8_000, size: 0 };
    const fails = async (faults: readonly Fault[]): Promise<boolean> => (faults[0]?.forMs ?? 0) >= 3_000;
    const shrunk = await shrink([pause], { fails, runsMax: 100 });
    expect(shrunk.schedule[0]!.forMs).toBe(4_000);
  });

  test("finds that no fault is needed", async () => {
    const shrunk = await shrink(schedule, { fails: async () => true, runsMax: 100 });
    expect(shrunk).toEqual({ schedule: [], runs: 1 });
  });

  test("ends with what it has when its runs are used up", async () => {
    const fails = async (faults: readonly Fault[]): Promise<boolean> => has(faults, schedule[0]!);
    const shrunk = await shrink(schedule, { fails, runsMax: 4 });
    expect(shrunk.runs).toBe(4);
    expect(await fails(shrunk.schedule)).toBe(true);
    expect(shrunk.schedule.length).toBeLessThan(schedule.length);
  });
});
