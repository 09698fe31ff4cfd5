import { beforeEach, describe, expect, test } from "vitest";
import { FaultyBucket } from "../../tests/support/faulty-bucket.ts";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { silentLog } from "../log.ts";
import { agreeOnSettings, followSettings, restoreSettings, type Settings } from "./settings.ts";

let runtime: ManualRuntime;
let store: MemoryStore;
let bucket: FaultyBucket;

beforeEach(async () => {
  runtime = new ManualRuntime();
  store = new MemoryStore(runtime);
  bucket = new FaultyBucket(await new MemoryCoordination(store).openBucket("ring"));
});

test("nodes that create a platform at once end up with one secret", async () => {
  const agreed = Promise.all([1, 2, 3].map(() => agreeOnSettings(bucket, runtime, "p", 64)));
  await runtime.advance(1_000);
  const secrets = (await agreed).map(({ secret }) => secret.toString("hex"));
  expect(new Set(secrets).size).toBe(1);
  expect(secrets[0]).toHaveLength(64);
});

test.each(["lost", "stored-unanswered", "conflict"] as const)(
  "a creation that is %s is looked at again",
  async (fault) => {
    bucket.faults.push(fault);
    const first = agreeOnSettings(bucket, runtime, "p", 64);
    await runtime.advance(1_000);
    const { secret } = await first;
    expect((await agreeOnSettings(bucket, runtime, "p", 64)).secret).toEqual(secret);
  },
);

test("another number of partitions is refused, in a sentence that says which one to take", async () => {
  await agreeOnSettings(bucket, runtime, "p", 64);
  await expect(agreeOnSettings(bucket, runtime, "p", 32)).rejects.toMatchObject({
    code: "PARTITIONS_MISMATCH",
    message: expect.stringContaining("--partitions 64"),
  });
});

test("a store that never answers is an error in the end", async () => {
  bucket.cutOff = true;
  const agreed = expect(agreeOnSettings(bucket, runtime, "p", 64)).rejects.toMatchObject({
    code: "COORDINATION_UNAVAILABLE",
  });
  await runtime.advance(20_000);
  await agreed;
});

describe("in a store that has lost them", () => {
  const ours: Settings = { partitions: 64, secret: Buffer.alloc(32, 1) };
  const stored = async (): Promise<Settings> => agreed(agreeOnSettings(bucket, runtime, "p", 64));

  async function agreed<T>(promise: Promise<T>): Promise<T> {
    await runtime.advance(2_000);
    return promise;
  }

  test.each([[], ["lost"], ["stored-unanswered"], ["conflict"]] as const)(
    "the same are put back %s",
    async (...faults) => {
      bucket.faults.push(...faults);
      while (!(await restoreSettings(bucket, ours, silentLog)));
      expect(await stored()).toEqual(ours);
      expect(await restoreSettings(bucket, ours, silentLog)).toBe(true);
    },
  );

  test.each([[], ["lost"], ["stored-unanswered"], ["none", "conflict"]] as const)(
    "those of a node that started too early are overwritten %s",
    async (...faults) => {
      await agreed(agreeOnSettings(bucket, runtime, "p", 64));
      bucket.faults.push(...faults);
      while (!(await restoreSettings(bucket, ours, silentLog)));
      expect(await stored()).toEqual(ours);
    },
  );

  test("a node that started too early is told, one that was there before isn't", async () => {
    const theirs = await agreed(agreeOnSettings(bucket, runtime, "p", 64));
    const told: Settings[] = [];
    followSettings(bucket, theirs, silentLog, (settings) => void told.push(settings));
    await runtime.settle();
    expect(told).toEqual([]);
    expect(
      (await restoreSettings(bucket, ours, silentLog)) || (await restoreSettings(bucket, ours, silentLog)),
    ).toBe(true);
    await runtime.settle();
    expect(told).toEqual([ours]);
    // From here on, it is of that cluster.
    store.wipe();
    await runtime.settle();
    await agreed(agreeOnSettings(bucket, runtime, "p", 64));
    expect(told).toEqual([ours]);
  });

  test("another number of partitions isn't taken over by a node that runs", async () => {
    await agreed(agreeOnSettings(bucket, runtime, "p", 64));
    const errors: object[] = [];
    const log = { ...silentLog, error: (fields: object) => void errors.push(fields) };
    followSettings(bucket, ours, log, () => errors.push({ event: "told" }));
    while (!(await restoreSettings(bucket, { ...ours, partitions: 32 }, silentLog)));
    await runtime.settle();
    expect(errors.at(-1)).toMatchObject({ event: "settings-refused" });
  });
});
