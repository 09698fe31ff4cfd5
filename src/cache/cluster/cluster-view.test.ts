import { afterEach, beforeEach, expect, test } from "vitest";
import { MemoryTransport } from "../../../tests/support/memory-transport.ts";
import { until } from "../../../tests/support/recorder.ts";
import { defaultNodeConfig } from "../../config.ts";
import { MemoryCoordination, MemoryStore } from "../../coordination/memory.ts";
import { silentLog } from "../../log.ts";
import { systemRuntime as runtime } from "../../runtime.ts";
import { type Command, noBytes, Op, RunCommand } from "../command.ts";
import { CacheNode } from "../node.ts";
import { decodeResults, StepCode } from "../steps/step.ts";
import type { ClusterEvent, ClusterState, ClusterWatcher, LookUpReport, Samples } from "./report.ts";

let store: MemoryStore;
let transport: MemoryTransport;
const nodes: CacheNode[] = [];

beforeEach(() => {
  store = new MemoryStore(runtime);
  transport = new MemoryTransport(runtime);
});

afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
});

async function start(id: string): Promise<CacheNode> {
  const own = { node: id, partitions: 8, peerHost: "h", advertiseHost: "h", heartbeatMs: 100, leaseMs: 600 };
  const node = await CacheNode.start({
    config: { ...defaultNodeConfig, ...own },
    ...{ coordination: new MemoryCoordination(store), runtime, transport, log: silentLog },
  });
  nodes.push(node);
  return node;
}

class Watcher implements ClusterWatcher {
  state: ClusterState | undefined;
  epoch = 0;
  samples: Samples = {};
  readonly events: ClusterEvent[] = [];

  began(state: ClusterState): void {
    this.state = state;
    this.epoch = state.table.epoch;
    this.events.push(...state.events);
  }

  changed({ previous, epoch }: { previous: number; epoch: number }): void {
    expect(previous).toBe(this.epoch);
    this.epoch = epoch;
  }

  sampled(samples: Samples): void {
    this.samples = samples;
  }

  happened(events: readonly ClusterEvent[]): void {
    this.events.push(...events);
  }

  has(kind: string, node: string): boolean {
    return this.events.some((event) => event.kind === kind && event.node === node);
  }
}

test("any node shows all nodes, what they measure, and what happens to them", async () => {
  const a = await start("a");
  const b = await start("b");
  await until(() => b.stats().partition_count === 4, "b has its share");
  await a.ring.waitForPartitions();
  const c = await start("c");
  const watcher = new Watcher();
  await c.watch(watcher);
  // It wasn't there: the oldest one told it.
  expect(watcher.has("handed-over", "b")).toBe(true);
  c.unwatch(watcher);
  await b.watch(watcher);
  expect(watcher.state!.table.members.map(({ id }) => id)).toEqual(["a", "b", "c"]);
  await until(() => Object.keys(watcher.samples).length === 3, "samples of all");
  expect(watcher.samples.a).toMatchObject({ memory_bytes: 0, coordination: "connected" });
  await until(() => watcher.has("handed-over", "c"), "the third has been given partitions");
  await a.ring.waitForPartitions();
  await c.close();
  nodes.splice(nodes.indexOf(c), 1);
  await until(() => watcher.has("died", "c"), "its death is told");
  await until(() => watcher.samples.c === undefined, "nothing is shown of it any more");
  const report = await a.cluster();
  expect(Object.keys(report.samples).sort()).toEqual(["a", "b"]);
  expect(report.events.filter(({ kind, node }) => kind === "died" && node === "c")).toHaveLength(1);
  b.unwatch(watcher);
});

test("what happens while a node joins is told too", async () => {
  const together = await Promise.all([start("a"), start("b"), start("c")]);
  for (const node of together) {
    const { events } = await node.cluster();
    const joined = events.filter(({ kind }) => kind === "joined").map((event) => event.node);
    expect(joined.sort()).toEqual(["a", "b", "c"]);
  }
});

test("rates, hits and latencies are of the last second", async () => {
  const a = await start("a");
  await a.ring.waitForPartitions();
  const watcher = new Watcher();
  await a.watch(watcher);
  const get = (key: string): Command => ({
    ...{ op: Op.get, key: Buffer.from(key), value: noBytes, expiresAtMs: 0, expected: undefined },
  });
  const set: Command = { ...get("there"), op: Op.set, value: Buffer.from("x") };
  a.execute(set, () => {});
  await until(() => {
    for (let i = 0; i < 64; i++) {
      a.execute(get("there"), () => {});
      a.execute(get("not there"), () => {});
    }
    return watcher.samples.a?.hit_ratio === 0.5;
  }, "half of the reads find something");
  expect(watcher.samples.a!.operations_per_second).toBeGreaterThan(64);
  expect(watcher.samples.a!.latency_p50_seconds).toBeGreaterThan(0);
  expect(watcher.samples.a!.latency_p99_seconds).toBeLessThan(1);
  expect(watcher.samples.a!.event_loop_delay_seconds).toBeGreaterThanOrEqual(0);
  a.unwatch(watcher);
});

test("looking a key up doesn't count as a use of it", async () => {
  const a = await start("a");
  const b = await start("b");
  await a.ring.waitForPartitions();
  const key = Buffer.from("user:1");
  const set: Command = {
    ...{ op: Op.set, key, value: Buffer.from("Alice"), expected: undefined },
    expiresAtMs: runtime.wallMs() + 60_000,
  };
  await new Promise<void>((resolve) => a.execute(set, () => resolve()));
  const found: LookUpReport[] = [];
  for (const node of [a, b])
    for (let i = 0; i < 3; i++)
      found.push(
        await new Promise((resolve, reject) =>
          node.lookUp(key, (error, report) => (error ? reject(error) : resolve(report!))),
        ),
      );
  for (const one of found) {
    expect(one).toMatchObject({ slot: 10778, found: true, value_bytes: 5, incoming: "" });
    expect([one.owner, ...one.backups].sort()).toEqual(["a", "b"]);
    expect(one.ttl_seconds).toBeGreaterThan(50);
    expect(one.ttl_seconds).toBeLessThanOrEqual(60);
  }
  // The header of its record says how often it was used: not at all.
  const owner = found[0]!.owner === "a" ? a : b;
  const uses = await new Promise<number>((resolve) => frequency(owner, key, resolve));
  expect(uses).toBe(0);
  const get: Command = { op: Op.get, key, value: noBytes, expiresAtMs: 0, expected: undefined };
  await new Promise<void>((resolve) => a.execute(get, () => resolve()));
  expect(await new Promise<number>((resolve) => frequency(owner, key, resolve))).toBe(1);
});

/** How often the store says that the entry was used lately, 0 to 3. */
function frequency(node: CacheNode, key: Buffer, told: (count: number) => void): void {
  const steps = [{ code: StepCode.inspect, keys: [key], args: [] }];
  node.execute(new RunCommand(steps, key), (error, reply) => {
    if (error !== undefined) throw error;
    const [sizes] = reply!.results ?? decodeResults(reply!.value);
    told((sizes as number[])[1]!);
  });
}
