/** What becomes of the members when the store loses its data. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { FaultyBucket } from "../../tests/support/faulty-bucket.ts";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { silentLog } from "../log.ts";
import { decodeRecord } from "./member-record.ts";
import { Membership } from "./membership.ts";
import type { Member } from "./table.ts";

const heartbeatMs = 1_000;
const leaseMs = 3_000;
const graceMs = leaseMs * 1.02;

function member(id: string, incarnation = `${id}1`): Member {
  return { id, incarnation, host: "h", port: 1, http: "", zone: "", leaving: false, dead: "" };
}

interface Node {
  readonly membership: Membership;
  readonly bucket: FaultyBucket;
  readonly events: string[];
  /** What the table says when it is asked; undefined: it can't be asked yet. */
  isMember: boolean | undefined;
}

let runtime: ManualRuntime;
let store: MemoryStore;
const nodes: Node[] = [];

beforeEach(() => {
  runtime = new ManualRuntime();
  store = new MemoryStore(runtime);
});

afterEach(() => {
  for (const { membership } of nodes.splice(0)) membership.stop();
});

async function started(self: Member): Promise<Node> {
  const bucket = new FaultyBucket(await new MemoryCoordination(store).openBucket("members"));
  const events: string[] = [];
  const membership = new Membership({
    bucket,
    runtime,
    log: silentLog,
    heartbeatMs,
    leaseMs,
    self,
    probe: async () => "refused",
    lastTable: () => ({ generation: "g", epoch: 7 }),
    isStillMember: async () => {
      events.push("asked");
      while (made.isMember === undefined) await new Promise((resolve) => setImmediate(resolve));
      return made.isMember;
    },
    changed: () => {},
    leaseRegained: () => void events.push("regained"),
    fenced: () => void events.push("fenced"),
    beat: () => {},
  });
  const made: Node = { membership, bucket, events, isMember: true };
  nodes.push(made);
  await membership.start();
  await runtime.settle();
  return made;
}

async function wipe(): Promise<void> {
  store.wipe();
  await runtime.settle();
}

const living = ({ membership }: Node): string[] => membership.living().map(({ incarnation }) => incarnation);

test("members write their records again at once, keep their leases, and nobody seems dead", async () => {
  const a = await started(member("a"));
  const b = await started(member("b"));
  await runtime.advance(10.5 * heartbeatMs);
  await wipe();
  for (const each of [a, b]) {
    expect(each.membership.leaseAgeMs).toBe(0);
    expect(living(each)).toEqual(["a1", "b1"]);
    expect(each.membership.reports().map(({ lastTable }) => lastTable)).toEqual([
      { generation: "g", epoch: 7 },
      { generation: "g", epoch: 7 },
    ]);
  }
  for (let i = 0; i < 100; i++) {
    await runtime.advance(heartbeatMs / 10);
    expect(a.membership.leaseRanOut(member("b"))).toBe(false);
    expect(a.membership.isGone(member("b"))).toBe(false);
    expect(a.membership.seemsGone(member("b"))).toBe(false);
  }
  expect([...a.events, ...b.events]).toEqual(["regained", "regained"]);
  expect(decodeRecord((await b.bucket.get("a"))!.value)).toMatchObject({ incarnation: "a1", dead: false });
});

test("a member that doesn't come back is dead after a full lease, and finds that when it does", async () => {
  const a = await started(member("a"));
  const b = await started(member("b"));
  await runtime.advance(10 * heartbeatMs);
  b.bucket.cutOff = true;
  b.bucket.deaf = true;
  await wipe();
  for (let passedMs = 0; passedMs + 100 < graceMs; passedMs += 100) {
    expect([passedMs, a.membership.leaseRanOut(member("b"))]).toEqual([passedMs, false]);
    await runtime.advance(100);
  }
  await runtime.advance(200);
  expect(a.membership.leaseRanOut(member("b"))).toBe(true);
  expect(b.membership.leaseHolds).toBe(false);
  expect(await a.membership.declareDead(member("b"))).toBe(true);
  b.bucket.cutOff = false;
  b.bucket.deaf = false;
  await runtime.advance(2 * heartbeatMs);
  expect(b.events).toEqual(["regained", "fenced"]);
  expect(living(a)).toEqual(["a1"]);
});

test("a member that writes its record again can't be declared dead on the one that is lost", async () => {
  const a = await started(member("a"));
  const b = await started(member("b"));
  await runtime.advance(heartbeatMs);
  store.wipe();
  await new Promise((resolve) => setImmediate(resolve)); // Both are told, and write;
  a.bucket.deaf = true; // the judge doesn't see what.
  await runtime.settle();
  expect(await a.membership.declareDead(member("b"))).toBe(false);
  expect(b.membership.leaseHolds).toBe(true);
});

test("who was declared dead stays dead for those who know, and asks the table before it trusts its new record", async () => {
  const a = await started(member("a"));
  const b = await started(member("b"));
  await runtime.advance(10 * heartbeatMs);
  b.bucket.cutOff = true;
  b.bucket.deaf = true;
  await runtime.advance(2 * leaseMs);
  expect(await a.membership.declareDead(member("b"))).toBe(true);
  await wipe();
  b.isMember = undefined;
  b.bucket.cutOff = false;
  b.bucket.deaf = false;
  await runtime.advance(5 * heartbeatMs);
  // Its record is there, as if it had never been dead.
  expect(decodeRecord((await a.bucket.get("b"))!.value)).toMatchObject({ incarnation: "b1", dead: false });
  expect(b.events).toEqual(["regained", "asked"]);
  expect(b.membership.leaseHolds).toBe(false);
  expect(a.membership.isGone(member("b"))).toBe(true);
  expect(living(a)).toEqual(["a1"]);
  b.isMember = false;
  await runtime.advance(heartbeatMs);
  expect(b.events).toEqual(["regained", "asked", "fenced"]);
  await b.membership.rejoin("b2");
  await runtime.settle();
  expect(living(a).sort()).toEqual(["a1", "b2"]);
  expect(b.membership.leaseHolds).toBe(true);
});

test("a lapsed lease comes back when the table says that this member lives", async () => {
  const a = await started(member("a"));
  await runtime.advance(heartbeatMs);
  a.bucket.cutOff = true;
  await runtime.advance(2 * leaseMs);
  a.isMember = undefined;
  await wipe();
  a.bucket.cutOff = false;
  await runtime.advance(3 * heartbeatMs);
  expect(a.membership.leaseHolds).toBe(false);
  a.isMember = true;
  await runtime.advance(10);
  expect(a.membership.leaseHolds).toBe(true);
  await runtime.advance(5 * heartbeatMs);
  expect(a.events).toEqual(["regained", "asked", "regained"]);
});

test.each(["lost", "stored-unanswered", "conflict"] as const)(
  "a first renewal after the loss that is %s does no harm",
  async (fault) => {
    const a = await started(member("a"));
    const b = await started(member("b"));
    await runtime.advance(heartbeatMs);
    a.bucket.faults.push(fault);
    await wipe();
    await runtime.advance(2 * heartbeatMs);
    expect(a.membership.leaseAgeMs).toBeLessThan(heartbeatMs);
    expect([...a.events, ...b.events]).toEqual(["regained", "regained"]);
    expect(living(b)).toEqual(["a1", "b1"]);
  },
);

test("who finds another in the place of its record gives up", async () => {
  const a = await started(member("a"));
  await runtime.advance(heartbeatMs);
  a.bucket.deaf = true;
  store.wipe();
  await runtime.settle();
  const other = await started(member("a", "a2"));
  a.bucket.deaf = false;
  await runtime.advance(heartbeatMs);
  expect(a.events).toEqual(["regained", "fenced"]);
  expect(other.membership.leaseHolds).toBe(true);
});

test("leaving just after the loss leaves no record", async () => {
  const a = await started(member("a"));
  const b = await started(member("b"));
  a.bucket.faults.push("lost");
  await wipe();
  const left = a.membership.leave();
  await runtime.advance(100);
  await left;
  expect(await b.bucket.get("a")).toBeUndefined();
});
