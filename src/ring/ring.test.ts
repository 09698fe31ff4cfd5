import { expect, test } from "vitest";
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
