import { expect, test } from "vitest";
import { backupsMax, type NodeConfig } from "../config.ts";
import { Embedded, openMembership } from "./join.ts";

const open = (given: Partial<NodeConfig>): ReturnType<typeof openMembership> =>
  openMembership({ nats: new Embedded(), ...given });

test.each<[Partial<NodeConfig>, string]>([
  [{ backups: -1 }, `backups must be a whole number from 0 to ${backupsMax}, not -1`],
  [
    { backups: backupsMax + 1 },
    `backups must be a whole number from 0 to ${backupsMax}, not ${backupsMax + 1}`,
  ],
  [{ backups: 0.5 }, `backups must be a whole number from 0 to ${backupsMax}, not 0.5`],
  [{ zone: "a b" }, 'zone must be empty, or 1 to 64 letters, digits, "-", "_" or ".", not "a b"'],
  [{ zone: "z".repeat(65) }, expect.stringMatching(/^zone must be/)],
])("%j is refused in one sentence", async (given, message) => {
  await expect(open(given)).rejects.toMatchObject({ code: "OPTION_INVALID", message });
});

test.each<Partial<NodeConfig>>([{ backups: 0 }, { backups: backupsMax }, { zone: "" }, { zone: "eu-1.a_b" }])(
  "%j is taken",
  async (given) => {
    const membership = await open(given);
    expect(membership.config).toMatchObject(given);
    await membership.release();
  },
);

test("a node that is told nothing has one backup and no zone", async () => {
  const membership = await open({});
  expect(membership.config).toMatchObject({ backups: 1, zone: "" });
  await membership.release();
});
