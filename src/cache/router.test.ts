/** A router's answers when a link is lost, with a ring and links that do what a test says. */
import { expect, test } from "vitest";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { a, b } from "../../tests/support/owner.ts";
import { RingcacheError } from "../errors.ts";
import { countOf, sumOf } from "../metrics/histogram.ts";
import { OperationCounters, Path, Via } from "../metrics/operations.ts";
import type { CallHandler } from "../peers/messages.ts";
import type { Ring } from "../ring/ring.ts";
import { emptyTable, type Table } from "../ring/table.ts";
import { type Command, noBytes, Op, type Reply } from "./command.ts";
import { Partitions } from "./partitions.ts";
import { Router } from "./router.ts";
import { absentAnswer } from "./wire.ts";

const deadlineMs = 5_000;
const remove: Command = {
  op: Op.delete,
  key: Buffer.from("k"),
  value: noBytes,
  expiresAtMs: 0,
  expected: undefined,
};
const linkLost = new RingcacheError("LINK_LOST", "the link was lost", { outcome: "unknown" });

/** As node `a`; node `b` owns everything. */
class FakeRing {
  incarnation = a.incarnation;
  readonly nodeId = a.id;
  readonly table: Table = { ...emptyTable(1), epoch: 1, members: [a, b] };
  readonly calls: CallHandler[] = [];
  readonly peers = {
    handle: (): void => {},
    call: (_to: unknown, _kind: unknown, _frame: unknown, _ms: unknown, handler: CallHandler): void => {
      this.calls.push(handler);
    },
  };

  on(): void {}
  partitionFor(): number {
    return 0;
  }
  nodeForPartition(): string {
    return b.id;
  }
  serves(): boolean {
    return false;
  }
}

function setUp(): {
  router: Router;
  ring: FakeRing;
  runtime: ManualRuntime;
  answers: (RingcacheError | Reply | undefined)[];
  counters: OperationCounters;
} {
  const ring = new FakeRing();
  const runtime = new ManualRuntime();
  const counters = new OperationCounters(runtime);
  const router = new Router(ring as unknown as Ring, runtime, new Partitions(runtime, 1), counters);
  const answers: (RingcacheError | Reply | undefined)[] = [];
  router.execute(remove, (error, reply) => answers.push(error ?? reply), deadlineMs, Via.redis);
  return { router, ring, runtime, answers, counters };
}

test("a write whose link broke is sent again, and its answer counts", async () => {
  const { ring, runtime, answers } = setUp();
  ring.calls[0]!.failed(linkLost);
  await runtime.advance(100);
  expect(ring.calls).toHaveLength(2);
  ring.calls[1]!.reply(absentAnswer);
  expect(answers).toMatchObject([{ found: false }]);
});

test("a write that was sent as another incarnation isn't sent again: nobody would know it for the same", async () => {
  const { ring, runtime, answers } = setUp();
  // The node became another incarnation, and that is why its links broke.
  ring.incarnation = "a2";
  ring.calls[0]!.failed(linkLost);
  await runtime.advance(100);
  expect(ring.calls).toHaveLength(1);
  await runtime.advance(deadlineMs);
  expect(ring.calls).toHaveLength(1);
  expect(answers).toMatchObject([{ code: "LINK_LOST", outcome: "unknown" }]);
});

test("a routed operation is counted once, as of its door, and timed from its beginning to its end", async () => {
  const { ring, runtime, counters } = setUp();
  ring.calls[0]!.failed(linkLost);
  await runtime.advance(100);
  expect(countOf(counters.read().latency[Via.redis]![Path.routed]!)).toBe(0);
  ring.calls[1]!.reply(absentAnswer);
  const { counts, latency } = counters.read();
  expect(counts[Via.redis]![Op.delete]).toEqual([1, 0, 0, 0, 0, 0, 0]);
  expect(sumOf(latency.flat())).toEqual(latency[Via.redis]![Path.routed]);
  expect(latency[Via.redis]![Path.routed]!.sumMs).toBeCloseTo(100, 0);
});

test("one that fails is counted by its error", () => {
  const { ring, counters } = setUp();
  const late = new RingcacheError("DEADLINE_EXCEEDED", "b didn't answer in time", { outcome: "unknown" });
  ring.calls[0]!.failed(late);
  expect(counters.read().counts[Via.redis]![Op.delete]).toEqual([0, 1, 0, 0, 0, 0, 0]);
});

test("a write that this node's own copy completes is answered at once, and the owner's answer is nothing new", async () => {
  const { router, ring, runtime, answers } = setUp();
  router.completed(2, true);
  expect(answers).toEqual([]);
  router.completed(1, true);
  expect(answers).toMatchObject([{ found: true, node: b.id }]);
  router.completed(1, true);
  ring.calls[0]!.reply(absentAnswer);
  ring.calls[0]!.failed(linkLost);
  await runtime.advance(2 * deadlineMs);
  expect(answers).toHaveLength(1);
  expect(ring.calls).toHaveLength(1);
  expect(router.oldest).toBe(0);
});

test("a write that waits to be sent again isn't completed by the attempt before: that one's answer is", async () => {
  const { router, ring, runtime, answers } = setUp();
  ring.calls[0]!.failed(linkLost);
  router.completed(1, true);
  expect(answers).toEqual([]);
  await runtime.advance(100);
  router.completed(1, Buffer.from("ran"));
  expect(answers).toMatchObject([{ found: true, value: Buffer.from("ran") }]);
});
