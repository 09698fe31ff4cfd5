import { beforeEach, expect, test } from "vitest";
import { FaultyBucket } from "../../tests/support/faulty-bucket.ts";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { agreeOnSettings } from "./settings.ts";

let runtime: ManualRuntime;
let bucket: FaultyBucket;

beforeEach(async () => {
  runtime = new ManualRuntime();
  bucket = new FaultyBucket(await new MemoryCoordination(new MemoryStore(runtime)).openBucket("ring"));
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
