import { afterEach, beforeEach, expect, test } from "vitest";
import { MemoryTransport } from "../../tests/support/memory-transport.ts";
import { until } from "../../tests/support/recorder.ts";
import { defaultNodeConfig } from "../config.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import type { RingcacheError } from "../errors.ts";
import { silentLog } from "../log.ts";
import type { PartitionsHook } from "../ring/ownership.ts";
import { systemRuntime as runtime } from "../runtime.ts";
import { noBytes, Op } from "./command.ts";
import { CacheNode } from "./node.ts";

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

async function start(
  id: string,
  hooks: { onOwn?: PartitionsHook; onRelease?: PartitionsHook } = {},
): Promise<CacheNode> {
  const node = await CacheNode.start({
    config: {
      ...defaultNodeConfig,
      node: id,
      partitions: 8,
      peerHost: "h",
      advertiseHost: "h",
      heartbeatMs: 100,
      leaseMs: 2_000,
    },
    coordination: new MemoryCoordination(store),
    runtime,
    transport,
    log: silentLog,
    ...hooks,
  });
  nodes.push(node);
  return node;
}

function run(
  node: CacheNode,
  op: Op,
  key: string,
  value = "",
  expiresAtMs = 0,
  deadlineMs?: number,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const command = {
      op,
      key: Buffer.from(key),
      value: value === "" ? noBytes : Buffer.from(value),
      expiresAtMs,
      expected: undefined,
    };
    node.execute(
      command,
      (error, reply) => (error ? reject(error) : resolve(reply!.found ? reply!.value.toString() : "-")),
      deadlineMs,
    );
  });
}

const keys = Array.from({ length: 100 }, (_, i) => `key ${i}`);

test("entries move with their partitions when nodes join and leave, also those that expire meanwhile", async () => {
  const pause: PartitionsHook = () => new Promise((resolve) => void runtime.after(120, () => resolve()));
  const a = await start("a", { onOwn: pause, onRelease: pause });
  for (const key of keys) await run(a, Op.set, key, `value of ${key}`);
  // They end while partitions are sealed and their onRelease runs.
  for (let i = 0; i < 400; i++) await run(a, Op.set, `short ${i}`, "x", runtime.wallMs() + 100 + i * 3);
  const b = await start("b", { onOwn: pause, onRelease: pause });
  const c = await start("c");
  await until(() => a.stats().ring.is_rebalancing === false && c.stats().partition_count > 0, "settled");
  await a.ring.waitForPartitions();
  for (const node of [a, b, c]) {
    for (const key of keys) expect(await run(node, Op.get, key)).toBe(`value of ${key}`);
  }
  await a.leave();
  await b.ring.waitForPartitions();
  for (const key of keys) expect(await run(b, Op.get, key)).toBe(`value of ${key}`);
  expect(b.stats().total_partitions_lost + c.stats().total_partitions_lost).toBe(0);
});

test("an operation waits for a partition that is opening, up to its deadline, and then was not carried out", async () => {
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const a = await start("a", { onOwn: () => gate });
  const error = await run(a, Op.set, "k", "v", 0, 30).catch((thrown: RingcacheError) => thrown);
  expect(error).toMatchObject({ code: "DEADLINE_EXCEEDED", outcome: "none" });
  const first = run(a, Op.set, "k", "1");
  const second = run(a, Op.set, "k", "2");
  open();
  await Promise.all([first, second]);
  expect(await run(a, Op.get, "k")).toBe("2");
});

test("what a compare-and-set expects counts among what may wait", async () => {
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const a = await start("a", { onOwn: () => gate });
  const expected = Buffer.alloc(16 * 1024 * 1024);
  const command = { op: Op.cas, key: Buffer.from("k"), value: noBytes, expiresAtMs: 0, expected };
  const codes: string[] = [];
  for (let i = 0; i < 17; i++) a.execute(command, (error) => codes.push(error?.code ?? "done"));
  // 15 of them and their keys fit into 256 MiB.
  expect(codes).toEqual(["OVERLOADED", "OVERLOADED"]);
  open();
});

test("what waits when the node is closed is told so", async () => {
  const a = await start("a", {
    onOwn: (of) =>
      of.length > 0 ? new Promise((resolve) => void runtime.after(200, () => resolve())) : undefined,
  });
  const waiting = run(a, Op.set, "k", "v").catch((thrown: RingcacheError) => thrown);
  await a.close();
  expect(await waiting).toMatchObject({ code: "CLOSED", outcome: "none" });
  expect(await run(a, Op.get, "k").catch((thrown: RingcacheError) => thrown.code)).toBe("CLOSED");
});
