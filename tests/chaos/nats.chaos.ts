/** The nats-server is stopped, restarted and robbed of its data: with backups, clients don't notice. */
import { expect, test } from "vitest";
import { eventually } from "../support/node-process.ts";
import { onStage, pause, type Stage } from "./stage.ts";

const awayMs = 60_000;
const leaseMs = 3_000;
/** No partition has to wait for anything: this is only for a busy machine. */
const gapMsMax = 3_000;
/** Two scenarios run side by side. */
const thinkMs = 150;

async function expectDisconnected(stage: Stage): Promise<void> {
  for (const node of stage.nodes) {
    await eventually(
      () => node.status(),
      (status) => status.coordination === "disconnected",
      `${node.id} notices that NATS is away`,
    );
  }
}

/** The clocks of everyone's lease have run out since NATS is back, and nobody was declared dead. */
async function expectNobodyDead(stage: Stage): Promise<void> {
  await pause(leaseMs * 1.5);
  for (const node of stage.nodes) {
    for (const event of ["node-died", "fenced"]) expect(node.events(event)).toEqual([]);
  }
}

test.concurrent("NATS stands still for 60 s", async () => {
  await onStage({ title: "NATS stands still (SIGSTOP) for 60 s", thinkMs, gapMsMax }, async (stage) => {
    await stage.nats.pause();
    await pause(awayMs);
    stage.nats.resume();
    await expectNobodyDead(stage);
    return stage.nodes;
  });
});

test.concurrent("NATS is away for 60 s", async () => {
  await onStage({ title: "NATS is away (SIGTERM, restart) for 60 s", thinkMs, gapMsMax }, async (stage) => {
    await stage.nats.terminate();
    await Promise.all([pause(awayMs), expectDisconnected(stage)]);
    await stage.nats.restart();
    await expectNobodyDead(stage);
    return stage.nodes;
  });
});

test("NATS is killed and comes back without its data", async () => {
  const title = "NATS is killed and comes back without its data";
  await onStage({ title, gapMsMax }, async (stage) => {
    const [first] = stage.nodes;
    const { epoch } = await first!.status();
    await stage.nats.kill();
    stage.nats.wipe();
    await expectDisconnected(stage);
    await stage.nats.restart();
    await eventually(
      () => first!.status(),
      (status) => status.epoch > epoch && status.coordination === "connected",
      "the table is written back with a higher epoch",
    );
    await expectNobodyDead(stage);
    // What is there again can be changed: a node joins.
    const fourth = await stage.spawn("node-4").serving();
    return [...stage.nodes, fourth];
  });
});
