import { createServer } from "node:net";
import { expect, test } from "vitest";
import { MemoryCoordination } from "../coordination/memory.ts";
import { joinRing } from "./index.ts";
import { Embedded } from "./join.ts";

test("a node that leaves with what it couldn't hand over serves none of it any more", {
  timeout: 30_000,
}, async () => {
  const common = { nats: new Embedded(), partitions: 64, backups: 1, logLevel: "silent" as const };
  let start: () => void = () => {};
  let end: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    start = resolve;
  });
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  // Whatever is handed over waits for this hook: a few partitions are, and the others with them.
  const onRelease = (): Promise<void> => {
    start();
    return ended;
  };
  const one = await joinRing({ ...common, node: "one", drainTimeoutMs: 300, onRelease });
  const two = await joinRing({ ...common, node: "two" });
  await begun;
  const owned = one.ownedPartitions().filter((partition) => one.serves(partition));
  expect(owned.length).toBeGreaterThan(0);
  const followed = new Promise<number[]>((resolve) => {
    two.on("table", (table) => {
      if (table.rows.some(({ came }) => came === "promotion")) {
        resolve(owned.filter((partition) => one.serves(partition)));
      }
    });
  });
  const closed = one.close();
  expect(await followed).toEqual([]);
  expect(one.state).toBe("left");
  end();
  await closed;
  await two.close();
});

test("a node that was fenced and isn't a member again leaves at once: it has nothing to hand over", {
  timeout: 20_000,
}, async () => {
  // The other node's link, and the probe of this one that has begun to come back.
  let connections = 0;
  let probed = (): void => {};
  const silent = createServer(() => {
    if (++connections === 2) probed();
  });
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as { port: number };
  const nats = new Embedded();
  const common = { nats, partitions: 8, backups: 1, drainTimeoutMs: 60_000 };
  const one = await joinRing({ ...common, node: "one" });
  const two = await joinRing({ ...common, node: "two" });
  const comingBack = new Promise<void>((resolve) => {
    probed = resolve;
  });
  // Its record is another's.
  const members = await new MemoryCoordination(nats.store).openBucket("cache-platform-members");
  const renewOther = async (beat: number): Promise<void> => {
    for (let written = false; !written; ) {
      const { value, revision } = (await members.get("two"))!;
      const record = { ...JSON.parse(Buffer.from(value).toString()), incarnation: "another", port, beat };
      written = (await members.update("two", Buffer.from(JSON.stringify(record)), revision)).written;
    }
  };
  await renewOther(1);
  await comingBack;
  // It lives: this attempt to come back fails, and no other follows.
  await renewOther(2);
  await two.close();
  expect(two.state).toBe("closed");
  await one.close();
  silent.close();
});
