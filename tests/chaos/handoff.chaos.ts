/** A fourth node joins, and while partitions move to it one side of the moves is killed. */
import { expect, test } from "vitest";
import { eventually, type NodeProcess } from "../support/node-process.ts";
import { onStage, type Stage } from "./stage.ts";

/** Enough that the moves take a while. */
const ballast = { entries: 640, sizeBytes: 128 * 1024 };
const gapMsMax = 5_000;

/** Resolves while partitions are on the move to the new node. */
async function joining(stage: Stage): Promise<NodeProcess> {
  const fourth = stage.spawn("node-4");
  await eventually(
    () => stage.nodes[0]!.status(),
    (status) => status.moving_partitions > 0 && status.members.some(({ id }) => id === fourth.id),
    "partitions are on the move",
  );
  return fourth;
}

/** How many partitions were to move and hadn't when one side was gone. */
async function interrupted(witness: NodeProcess): Promise<number> {
  const { moving_partitions, copying_partitions } = await witness.status();
  return moving_partitions + copying_partitions;
}

test("kill -9 of the node that partitions move to", async () => {
  const title = "kill -9 of the node that partitions move to";
  await onStage({ title, ballast, gapMsMax }, async (stage) => {
    const target = await joining(stage);
    const [open] = await Promise.all([interrupted(stage.nodes[0]!), target.kill()]);
    expect(open).toBeGreaterThan(0);
    return stage.nodes;
  });
});

test("kill -9 of a node that partitions move from", async () => {
  const title = "kill -9 of a node that partitions move from";
  await onStage({ title, ballast, gapMsMax }, async (stage) => {
    const source = await stage.notCoordinator();
    const target = await joining(stage);
    await stage.kill(source);
    expect(await interrupted(stage.nodes[0]!)).toBeGreaterThan(0);
    return [...stage.others(source).map((door) => door.node), target];
  });
});
