/**
 * The simulator finds bugs that are known: each is planted alone, and found within so many seeds of a profile of faults
 * that brings it about. The seed that finds it passes without it.
 */
import { afterEach, expect, test } from "vitest";
import { planted } from "../../src/planted.ts";
import { type ProfileName, profiles } from "./profiles.ts";
import { runScenario } from "./scenario.ts";

type Bug = keyof typeof planted;

/** Each found by a run of that profile among so many seeds from 1 on. */
const bugs: Record<Bug, { readonly profile: ProfileName; readonly seeds: number }> = {
  unsealByTimer: { profile: "handovers", seeds: 60 },
  ackBeforeBackups: { profile: "failovers", seeds: 20 },
  acceptOlderTerm: { profile: "blackouts", seeds: 30 },
  leaseFromAnswer: { profile: "blackouts", seeds: 40 },
  deleteBeforeActive: { profile: "handovers", seeds: 10 },
  readUnreplicated: { profile: "failovers", seeds: 80 },
  expiryIsDeath: { profile: "everything", seeds: 20 },
  timeoutIsFailure: { profile: "everything", seeds: 20 },
  resumeWithoutLease: { profile: "blackouts", seeds: 10 },
  serveStaleCopy: { profile: "blackouts", seeds: 10 },
};

afterEach(() => {
  for (const bug of Object.keys(planted) as Bug[]) planted[bug] = false;
});

async function fails(profile: ProfileName, seed: number): Promise<boolean> {
  const { violations } = await runScenario(seed, { profile: profiles[profile] });
  return violations.length > 0;
}

test.each(Object.keys(planted) as Bug[])("%s", { timeout: 300_000 }, async (bug) => {
  const { profile, seeds } = bugs[bug];
  planted[bug] = true;
  let found: number | undefined;
  for (let seed = 1; seed <= seeds && found === undefined; seed++) {
    if (await fails(profile, seed)) found = seed;
  }
  expect(found, `not found within ${seeds} seeds`).toBeDefined();
  planted[bug] = false;
  expect(await fails(profile, found!), `seed ${found} fails without it too`).toBe(false);
});
