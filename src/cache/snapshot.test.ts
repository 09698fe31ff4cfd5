import { afterEach, expect, test } from "vitest";
import { MemoryTransport } from "../../tests/support/memory-transport.ts";
import { until } from "../../tests/support/recorder.ts";
import { defaultNodeConfig } from "../config.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { silentLog } from "../log.ts";
import { countOf } from "../metrics/histogram.ts";
import { Path, Via } from "../metrics/operations.ts";
import { type NodeSnapshot, ratesBetween } from "../metrics/snapshot.ts";
import { systemRuntime as runtime } from "../runtime.ts";
import { noBytes, Op, RunCommand } from "./command.ts";
import { CacheNode } from "./node.ts";
import { StepCode } from "./steps/step.ts";

const store = new MemoryStore(runtime);
const transport = new MemoryTransport(runtime);
const nodes: CacheNode[] = [];

afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
});

async function start(platform: string, id: string, more: object = {}): Promise<CacheNode> {
  const node = await CacheNode.start({
    config: { ...defaultNodeConfig, platform, node: id, partitions: 8, peerHost: "h", advertiseHost: "h" },
    coordination: new MemoryCoordination(store),
    runtime,
    transport,
    log: silentLog,
    ...more,
  });
  nodes.push(node);
  return node;
}

function run(node: CacheNode, op: Op, key: string, via: Via = Via.library): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const value = op === Op.set ? Buffer.from("v") : noBytes;
    const command = { op, key: Buffer.from(key), value, expiresAtMs: 0, expected: undefined };
    node.execute(command, (error, reply) => (error ? reject(error) : resolve(reply!.found)), undefined, via);
  });
}

async function atRest(...members: CacheNode[]): Promise<void> {
  await until(
    () =>
      members.every(({ ring }) => ring.table.members.length === members.length) &&
      members.every((node) => {
        const { cluster, ownedStates, copyStates } = node.snapshot();
        const isStill = cluster.moving === 0 && cluster.underReplicated === 0 && cluster.unowned === 0;
        return isStill && ownedStates.active > 0 && ownedStates.opening === 0 && copyStates.filling === 0;
      }),
    "at rest",
  );
}

test("operations, lookups and entries of a node", async () => {
  const a = await start("one", "a");
  const before = a.snapshot();
  for (let i = 0; i < 10; i++) await run(a, Op.set, `k${i}`, Via.http);
  for (let i = 5; i < 20; i++) await run(a, Op.get, `k${i}`, Via.redis);
  await run(a, Op.has, "k0");
  await new Promise<void>((resolve) => {
    const key = Buffer.from("k0");
    const steps = [
      { code: StepCode.get, keys: [key], args: [] },
      { code: StepCode.delete, keys: [key], args: [] },
      { code: StepCode.get, keys: [key], args: [] },
    ];
    a.execute(new RunCommand(steps, key), () => resolve());
  });
  const after = a.snapshot();
  const counts = (via: Via, op: Op): number => after.operations.counts[via]![op]![0]!;
  expect([counts(Via.http, Op.set), counts(Via.http, Op.get)]).toEqual([10, 0]);
  expect([counts(Via.redis, Op.set), counts(Via.redis, Op.get)]).toEqual([0, 15]);
  expect([counts(Via.library, Op.has), counts(Via.library, Op.run)]).toEqual([1, 1]);
  expect([after.hits, after.misses]).toEqual([5 + 1 + 1, 10 + 1]);
  expect(after.owned.entries).toBe(9);
  expect(after.owned.sizeBytes).toBeGreaterThan(0);
  expect(after.owned.sizeBytes).toBeLessThanOrEqual(after.memoryBytes);
  expect(after).toMatchObject({
    ready: true,
    isConnected: true,
    isCoordinator: true,
    ownedStates: { opening: 0, active: 8, sealed: 0 },
    copyStates: { complete: 0, filling: 0 },
    cluster: { members: 1, underReplicated: 0, unowned: 0, moving: 0 },
    peers: [],
  });
  const seconds = (after.atMs - before.atMs) / 1_000;
  const rates = ratesBetween(before, after)!;
  expect(rates.operationsPerSecond).toBeCloseTo(27 / seconds, 6);
  expect(rates).toMatchObject({ failuresPerSecond: 0, hitRatio: 7 / 18 });
  expect(ratesBetween(before, { ...after, incarnation: "another" })).toBeUndefined();
});

test("copies, handoffs and failovers of a cluster, and what goes between its nodes", async () => {
  const a = await start("three", "a");
  for (let i = 0; i < 100; i++) await run(a, Op.set, `k${i}`);
  const b = await start("three", "b");
  await atRest(a, b);
  const [first, second] = [a.snapshot(), b.snapshot()];
  expect(first.moves).toMatchObject({ handedOver: 4, failovers: 0, copiesFailed: 0 });
  expect(countOf(first.moves.handoff)).toBe(4);
  expect(countOf(first.moves.sealed)).toBe(4 + first.moves.handoffsCalledOff);
  expect(first.moves.handoff.sumMs).toBeGreaterThanOrEqual(first.moves.sealed.sumMs);
  expect(first.moves.copied).toBeGreaterThanOrEqual(8);
  expect(countOf(first.moves.copy)).toBe(first.moves.copied);
  expect(second.copyBytesReceived).toBeGreaterThan(1_000);
  expect(first.copyBytesSent).toBeGreaterThanOrEqual(second.copyBytesReceived - second.copyBytesSent);
  expect([first.owned.entries + first.backup.entries, second.backup.entries + second.owned.entries]).toEqual([
    100, 100,
  ]);
  expect(second.copyStates).toEqual({ complete: 4, filling: 0 });

  for (let i = 0; i < 100; i++) await run(b, Op.get, `k${i}`, Via.http);
  const [asked, asking] = [a.snapshot(), b.snapshot()];
  const routed = countOf(asking.operations.latency[Via.http]![Path.routed]!);
  expect(routed).toBe(asked.operations.forPeers[Op.get]);
  expect([asked.hits + asking.hits, asking.hits]).toEqual([100, 100 - routed]);
  expect(asking.peers).toMatchObject([{ peer: "a", up: true, inFlight: 0, failedCalls: 0, lostLinks: 0 }]);
  expect(asking.peers[0]!.bytesOut).toBeGreaterThan(100 * routed * 0.1);

  // To the others it has died.
  nodes.splice(nodes.indexOf(b), 1);
  await b.close();
  await until(() => a.snapshot().moves.failovers === 4, "a takes over");
  expect(a.snapshot().partitionsLost).toBe(0);
  await until(() => a.snapshot().peers.length === 0, "b is forgotten");
});

test("what isn't to be counted isn't", async () => {
  const a = await start("none", "a", { counts: false });
  await run(a, Op.set, "k");
  const zero: NodeSnapshot["operations"] = a.snapshot().operations;
  expect(zero.counts.flat(2).every((count) => count === 0)).toBe(true);
});
