/** Node processes that are killed, stopped and restarted under load. */
import { expect, test } from "vitest";
import { eventually } from "../support/node-process.ts";
import { onStage, pause } from "./stage.ts";

/** Beyond the default lease of 3 s. */
const stoppedMs = 6_000;
const failoverGapMsMax = 5_000;

test("kill -9 of a node", async () => {
  await onStage({ title: "kill -9 of a node", gapMsMax: failoverGapMsMax }, async (stage) => {
    const victim = await stage.notCoordinator();
    await stage.kill(victim);
    return stage.others(victim).map((door) => door.node);
  });
});

test("kill -9 of the coordinator", async () => {
  await onStage({ title: "kill -9 of the coordinator", gapMsMax: failoverGapMsMax }, async (stage) => {
    const victim = await stage.coordinator();
    await stage.kill(victim);
    return stage.others(victim).map((door) => door.node);
  });
});

test("kill -9 and a restart under the same id within the lease", async () => {
  const title = "kill -9 and a restart under the same id within the lease";
  await onStage({ title, gapMsMax: failoverGapMsMax }, async (stage) => {
    const victim = await stage.notCoordinator();
    await stage.kill(victim);
    victim.reopen(await stage.spawn(victim.id).serving());
    return stage.nodes;
  });
});

test("SIGSTOP for longer than the lease, then SIGCONT", async () => {
  const title = "SIGSTOP for longer than the lease, then SIGCONT";
  await onStage({ title, gapMsMax: stoppedMs + failoverGapMsMax }, async (stage) => {
    const victim = await stage.notCoordinator();
    const [witness] = stage.others(victim);
    victim.state = "failing";
    victim.node.signal("SIGSTOP");
    const owns = async (): Promise<number> =>
      (await witness!.node.stats()).ring.partitions_by_node[victim.id] ?? 0;
    await Promise.all([
      pause(stoppedMs),
      eventually(owns, (count) => count === 0, `${victim.id} owns nothing any more`),
    ]);
    victim.node.signal("SIGCONT");
    // It can't know of its end before it runs again, and takes part anew once it does.
    await victim.node.logged("fenced");
    await eventually(owns, (count) => count > 0, `${victim.id} owns partitions again`);
    victim.state = "open";
    return stage.nodes;
  });
});

test("a rolling restart of all nodes", async () => {
  await onStage({ title: "a rolling restart of all nodes", gapMsMax: failoverGapMsMax }, async (stage) => {
    for (const door of stage.doors) {
      // Its clients aren't told: they find out by its answers.
      await door.node.terminate();
      expect(door.state).toBe("leaving");
      door.reopen(await stage.spawn(door.id).serving());
    }
    return stage.nodes;
  });
});
