/** A node is cut off in a network that says nothing about it: what is sent doesn't arrive. Needs network namespaces. */
import { afterEach, test } from "vitest";
import { eventually } from "../support/node-process.ts";
import type { Door } from "./load.ts";
import { Network, whyNoNetwork } from "./network.ts";
import { leaveOut, onStage, pause, type Stage } from "./stage.ts";

const machines = ["nats", "node-1", "node-2", "node-3", "node-4"];
/** Long enough for every lease, grant and judgement, and for clients to go on without the node for a while. */
const cutMs = 12_000;
const gapMsMax = 8_000;
/** Those of the network itself: TCP waits ever longer before it tries again. */
const healedMsMax = 40_000;

let network: Network | undefined;
afterEach(() => {
  network?.remove();
  network = undefined;
});

interface Cut {
  readonly from: string;
  readonly to: string;
}

interface Case {
  readonly title: string;
  /** From and to whom nothing arrives when `victim` is cut off from `peers`. */
  readonly cuts: (victim: string, peers: readonly string[]) => Cut[];
}

const both = (a: string, b: string): Cut[] => [
  { from: a, to: b },
  { from: b, to: a },
];

const cases: readonly Case[] = [
  {
    title: "a node is cut off from its peers only",
    cuts: (victim, peers) => peers.flatMap((peer) => both(victim, peer)),
  },
  {
    title: "a node is cut off from NATS only",
    cuts: (victim) => both(victim, "nats"),
  },
  {
    title: "a node's peers don't hear it, but it hears them",
    cuts: (victim, peers) => peers.map((peer) => ({ from: victim, to: peer })),
  },
  {
    title: "a node doesn't hear its peers, but they hear it",
    cuts: (victim, peers) => peers.map((peer) => ({ from: peer, to: victim })),
  },
];

/** The node is cut off for a while; then it is to take part again. */
async function cutOff(stage: Stage, victim: Door, cuts: readonly Cut[]): Promise<void> {
  const [witness] = stage.others(victim);
  const owns = async (): Promise<number> =>
    (await witness!.node.stats()).ring.partitions_by_node[victim.id] ?? 0;
  victim.state = "failing";
  for (const { from, to } of cuts) network!.cut(from, to);
  // Nobody can tell at once that a node is cut off rather than slow: an operation may wait for that until its deadline.
  stage.load.patientUntilMs = Number.POSITIVE_INFINITY;
  const moved = async (): Promise<void> => {
    await eventually(owns, (count) => count === 0, `${victim.id} owns nothing any more`, cutMs);
    stage.load.patientUntilMs = performance.now();
  };
  await Promise.all([pause(cutMs), moved()]);
  for (const { from, to } of cuts) network!.heal(from, to);
  await eventually(owns, (count) => count > 0, `${victim.id} owns partitions again`, healedMsMax);
  victim.state = "open";
}

for (const { title, cuts } of cases) {
  test(title, async (context) => {
    const why = whyNoNetwork();
    if (why !== undefined) leaveOut(context, title, why);
    network = new Network(machines);
    await onStage({ title, gapMsMax, network }, async (stage) => {
      const victim = await stage.notCoordinator();
      const peers = stage.others(victim).map((door) => door.id);
      await cutOff(stage, victim, cuts(victim.id, peers));
      return stage.nodes;
    });
  });
}
