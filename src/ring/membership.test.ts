import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FaultyBucket } from "../../tests/support/faulty-bucket.ts";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { text } from "../../tests/support/recorder.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { silentLog } from "../log.ts";
import { Membership } from "./membership.ts";
import type { Member } from "./table.ts";

const heartbeatMs = 1_000;
const leaseMs = 3_000;
const graceMs = leaseMs * 1.02;
type Probe = "alive" | "refused" | "replaced" | "silent";

function member(id: string, incarnation = `${id}1`): Member {
  return { id, incarnation, host: "h", port: 1, http: "", zone: "", leaving: false, dead: "" };
}

interface Node {
  readonly membership: Membership;
  readonly bucket: FaultyBucket;
  readonly events: string[];
  /** What the node can't reach. */
  unreachable: string[];
  /** How often it was told that records changed. */
  changes: number;
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

async function node(self: Member, probe: () => Probe = () => "silent"): Promise<Node> {
  const bucket = new FaultyBucket(await new MemoryCoordination(store).openBucket("members"));
  const events: string[] = [];
  const membership: Membership = new Membership({
    bucket,
    runtime,
    log: silentLog,
    heartbeatMs,
    leaseMs,
    self,
    reach: () => ({ unreachable: made.unreachable, unknown: [] }),
    probe: async () => probe(),
    changed: () => void made.changes++,
    leaseRegained: () => void events.push("regained"),
    fenced: () => void events.push("fenced"),
    beat: () => {},
  });
  const made: Node = { membership, bucket, events, unreachable: [], changes: 0 };
  nodes.push(made);
  return made;
}

async function started(self: Member, probe?: () => Probe): Promise<Node> {
  const made = await node(self, probe);
  await made.membership.start();
  await runtime.settle();
  return made;
}

/** What a start that has to wait ends with. */
function outcome(start: Promise<void>): { result: string } {
  const seen = { result: "" };
  start.then(
    () => {
      seen.result = "started";
    },
    (error: { code?: string }) => {
      seen.result = error.code ?? String(error);
    },
  );
  return seen;
}

describe("the lease", () => {
  test("counts from before the request was sent, not from its answer", async () => {
    const { membership, bucket } = await started(member("a"));
    expect(membership.leaseHolds).toBe(true);
    bucket.faults.push("held");
    await runtime.advance(heartbeatMs); // The renewal leaves now,
    runtime.stall(1_500);
    bucket.release(); // and is answered 1.5 s later.
    await runtime.settle();
    expect(membership.leaseAgeMs).toBe(1_500);
    bucket.cutOff = true;
    await runtime.advance(leaseMs - 1_500 - 1);
    expect(membership.leaseHolds).toBe(true);
    await runtime.advance(1);
    expect(membership.leaseHolds).toBe(false);
  });

  test("lapses when the node is cut off, and is told when it is regained", async () => {
    const { membership, bucket, events } = await started(member("a"));
    expect(events).toEqual(["regained"]);
    bucket.cutOff = true;
    await runtime.advance(leaseMs);
    expect(membership.leaseHolds).toBe(false);
    bucket.cutOff = false;
    await runtime.advance(heartbeatMs);
    expect(membership.leaseHolds).toBe(true);
    expect(events).toEqual(["regained", "regained"]);
  });

  test("an answer that comes after the lease it brings has run out gives none", async () => {
    const { membership, bucket, events } = await started(member("a"));
    bucket.faults.push("held");
    await runtime.advance(heartbeatMs);
    runtime.stall(leaseMs + 1);
    bucket.release();
    await runtime.settle();
    expect(membership.leaseHolds).toBe(false);
    expect(events).toEqual(["regained"]);
  });

  test("a store that doesn't answer doesn't let renewals pile up", async () => {
    const { bucket } = await started(member("a"));
    bucket.faults.push("held");
    await runtime.advance(60 * heartbeatMs);
    const before = bucket.writes;
    bucket.release();
    await runtime.settle();
    expect(bucket.writes - before).toBeLessThanOrEqual(1);
  });
});

describe("a renewal", () => {
  test("whose answer was lost is found again, and the next goes on from it", async () => {
    const { membership, bucket, events } = await started(member("a"));
    bucket.faults.push("stored-unanswered");
    await runtime.advance(2 * heartbeatMs);
    expect(membership.leaseAgeMs).toBe(0);
    expect(events).toEqual(["regained"]);
  });

  test("isn't misled by a read from before this node's start", async () => {
    const old = await started(member("a", "a0"));
    const before = await old.bucket.get("a");
    old.membership.stop();
    const { membership, bucket, events } = await started(member("a"), () => "refused");
    bucket.deaf = true;
    for (const stale of [before, undefined]) {
      bucket.faults.push("stored-unanswered");
      await runtime.advance(heartbeatMs);
      bucket.staleGets.push(stale, stale);
      await runtime.advance(heartbeatMs);
      await runtime.advance(100);
      expect(events).toEqual(["regained"]);
      expect(membership.leaseAgeMs).toBeLessThan(heartbeatMs);
    }
  });

  test("finds the record overwritten: fenced, and the lease is gone in that turn", async () => {
    const a = await started(member("a"));
    const b = await started(member("b"));
    a.bucket.deaf = true;
    b.bucket.deaf = true;
    await runtime.settle();
    expect(await b.membership.declareDead(member("a"))).toBe(true);
    expect(a.membership.leaseHolds).toBe(true);
    await runtime.advance(heartbeatMs);
    expect(a.events).toEqual(["regained", "fenced"]);
    expect(a.membership.leaseHolds).toBe(false);
    await runtime.advance(5 * heartbeatMs);
    expect(a.events).toEqual(["regained", "fenced"]);
    await a.membership.rejoin("a2");
    expect(a.membership.self.incarnation).toBe("a2");
    expect(a.membership.leaseHolds).toBe(true);
    await runtime.advance(heartbeatMs);
    expect(a.membership.leaseAgeMs).toBe(0);
  });

  test("finds the record removed: fenced", async () => {
    const { bucket, events } = await started(member("a"));
    await bucket.remove("a", (await bucket.get("a"))!.revision);
    await runtime.advance(heartbeatMs);
    expect(events).toEqual(["regained", "fenced"]);
  });
});

describe("an id in use", () => {
  test("is refused when the other answers", async () => {
    await started(member("a", "other"));
    const { membership } = await node(member("a"), () => "alive");
    await expect(membership.start()).rejects.toMatchObject({ code: "NODE_ID_IN_USE" });
  });

  test.each(["refused", "replaced"] as const)(
    "is taken at once when the other's process is gone: %s",
    async (proof) => {
      const other = await started(member("a", "other"));
      other.membership.stop();
      const { membership } = await started(member("a"), () => proof);
      expect(membership.leaseHolds).toBe(true);
    },
  );

  test("is refused when the other renews, though it can't be reached", async () => {
    await started(member("a", "other"));
    const { membership } = await node(member("a"));
    const seen = outcome(membership.start());
    await runtime.advance(2 * heartbeatMs);
    expect(seen.result).toBe("NODE_ID_IN_USE");
  });

  test("is taken after a whole lease of silence, and not before", async () => {
    const other = await started(member("a", "other"));
    other.bucket.cutOff = true;
    const { membership } = await node(member("a"));
    const seen = outcome(membership.start());
    await runtime.advance(graceMs - 1);
    expect(seen.result).toBe("");
    await runtime.advance(200);
    expect(seen.result).toBe("started");
    other.bucket.cutOff = false;
    await runtime.advance(heartbeatMs);
    expect(other.events).toContain("fenced");
  });

  test("a start whose write had no answer and that was declared dead since is fenced: the mark of death stays", async () => {
    const other = await started(member("b"));
    const { membership, bucket, events } = await node(member("a"));
    bucket.faults.push("stored-unanswered");
    const seen = outcome(membership.start());
    await runtime.settle();
    expect(await other.membership.declareDead(member("a"))).toBe(true);
    const mark = await other.bucket.get("a");
    await runtime.advance(500);
    expect(seen.result).toBe("started");
    expect(events).toEqual(["fenced"]);
    expect(membership.leaseHolds).toBe(false);
    expect(await other.bucket.get("a")).toEqual(mark);
    await membership.rejoin("a2");
    expect(membership.leaseHolds).toBe(true);
    expect(other.membership.isGone(member("a"))).toBe(true);
  });

  test("a start whose write has no answer ends up registered once", async () => {
    for (const fault of ["lost", "stored-unanswered", "conflict"] as const) {
      const made = await node(member(fault));
      made.bucket.faults.push(fault);
      const seen = outcome(made.membership.start());
      await runtime.advance(500);
      expect(seen.result).toBe("started");
      expect(made.events).toEqual(["regained"]);
    }
  });
});

describe("declaring dead", () => {
  test("works only on the revision last seen", async () => {
    const a = await started(member("a"));
    const b = await started(member("b"));
    b.bucket.deaf = true;
    await runtime.advance(heartbeatMs); // b hasn't seen this renewal.
    expect(await b.membership.declareDead(member("a"))).toBe(false);
    await runtime.advance(heartbeatMs);
    expect(a.events).toEqual(["regained"]);
    expect(b.membership.isGone(member("a"))).toBe(false);
  });

  test("without an answer is not known to have worked, whatever became of it", async () => {
    const a = await started(member("a"));
    const b = await started(member("b"));
    a.bucket.cutOff = true;
    b.bucket.faults.push("late");
    expect(await b.membership.declareDead(member("a"))).toBe(false);
    expect(b.membership.isGone(member("a"))).toBe(false);
    expect(await b.bucket.deliverLate()).toEqual([expect.objectContaining({ written: true })]);
    await runtime.settle();
    expect(b.membership.isGone(member("a"))).toBe(true);
    expect(await b.membership.declareDead(member("a"))).toBe(true);
  });

  test("what has no record can be declared dead, and can't come back under that incarnation", async () => {
    const b = await started(member("b"));
    expect(await b.membership.declareDead(member("a", "never seen"))).toBe(true);
    expect(b.membership.isGone(member("a", "never seen"))).toBe(true);
    expect(text((await b.bucket.get("a"))?.value)).toContain('"dead":true');
  });
});

describe("the judgement of a lease", () => {
  test("waits a lease and the drift between two clocks, counted from the last renewal that was seen", async () => {
    const a = await started(member("a"));
    const b = await started(member("b"));
    await runtime.advance(10 * heartbeatMs);
    a.bucket.cutOff = true;
    await runtime.advance(graceMs - 1);
    expect(b.membership.leaseRanOut(member("a"))).toBe(false);
    expect(a.membership.leaseHolds).toBe(false);
    await runtime.advance(1);
    expect(b.membership.leaseRanOut(member("a"))).toBe(true);
    expect(b.membership.leaseRanOut(member("never seen"))).toBe(true);
  });

  test("is not passed by a node that has no lease, nor within a lease after it got it back", async () => {
    const a = await started(member("a"));
    const b = await started(member("b"));
    await runtime.advance(10 * heartbeatMs);
    a.bucket.cutOff = true;
    b.bucket.cutOff = true;
    await runtime.advance(10 * leaseMs);
    expect(b.membership.leaseRanOut(member("a"))).toBe(false);
    b.bucket.cutOff = false;
    await runtime.advance(heartbeatMs);
    expect(b.membership.leaseHolds).toBe(true);
    await runtime.advance(2 * heartbeatMs);
    expect(b.membership.leaseRanOut(member("a"))).toBe(false);
    await runtime.advance(2 * heartbeatMs);
    expect(b.membership.leaseRanOut(member("a"))).toBe(true);
  });

  test("begins anew after a gap that was too short to cost the lease", async () => {
    const a = await started(member("a"));
    const b = await started(member("b"));
    await runtime.advance(10 * heartbeatMs);
    a.bucket.cutOff = true;
    b.bucket.cutOff = true;
    await runtime.advance(heartbeatMs); // Both lose the store; b is back first.
    b.bucket.cutOff = false;
    await runtime.advance(2.5 * heartbeatMs);
    expect(b.events).toEqual(["regained"]);
    expect(b.membership.leaseRanOut(member("a"))).toBe(false);
    a.bucket.cutOff = false;
    await runtime.advance(10 * heartbeatMs);
    expect(b.membership.leaseRanOut(member("a"))).toBe(false);
    expect(a.events).toEqual(["regained", "regained"]);
  });

  test("is not passed while the store is silent to the judge too, though it still has its lease", async () => {
    const a = await started(member("a"));
    const b = await started(member("b"));
    await runtime.advance(10 * heartbeatMs);
    a.bucket.cutOff = true; // Its last renewal is nearly a heartbeat older than the judge's.
    await runtime.advance(0.9 * heartbeatMs);
    await b.membership.renew();
    b.bucket.cutOff = true;
    for (let i = 0; b.membership.leaseHolds; i++) {
      await runtime.advance(heartbeatMs / 10);
      expect([i, b.membership.leaseRanOut(member("a"))]).toEqual([i, false]);
    }
  });
});

test("leaving ends the lease, then removes the record", async () => {
  const a = await started(member("a"));
  const b = await started(member("b"));
  await a.membership.announceLeaving();
  await runtime.settle();
  expect(b.membership.living().map(({ id, leaving }) => [id, leaving])).toEqual([
    ["a", true],
    ["b", false],
  ]);
  const left = a.membership.leave();
  await runtime.settle();
  await left;
  expect(a.membership.leaseHolds).toBe(false);
  expect(b.membership.isGone(member("a"))).toBe(true);
  expect(b.membership.living().map(({ id }) => id)).toEqual(["b"]);
});

test("a member is gone once another incarnation has its id", async () => {
  const a = await started(member("a"));
  const b = await started(member("b"));
  expect(b.membership.isGone(member("a"))).toBe(false);
  expect(b.membership.isGone(member("unheard of"))).toBe(false);
  a.membership.stop();
  await started(member("a", "a2"), () => "refused");
  expect(b.membership.isGone(member("a"))).toBe(true);
  expect(b.membership.isGone(member("a", "a2"))).toBe(false);
});

test("a member isn't gone because a record of the time before it is the last that was seen", async () => {
  const old = await started(member("a", "a1"));
  const b = await started(member("b"));
  b.bucket.deaf = true;
  old.membership.stop();
  const back = await started(member("a", "a2"), () => "refused");
  // A table tells b of a2, which its watch hasn't shown yet.
  expect(b.membership.seemsGone(member("a", "a2"))).toBe(true);
  expect(b.membership.isGone(member("a", "a2"))).toBe(false);
  expect(await b.membership.declareDead(member("a", "a2"))).toBe(false);
  await runtime.advance(heartbeatMs);
  expect(back.events).toEqual(["regained"]);
  expect(back.membership.leaseAgeMs).toBe(0);
});

test("a member that a start has never seen is found gone, and whoever has its id now isn't harmed", async () => {
  const now = await started(member("a", "a3"));
  const b = await started(member("b"));
  expect(b.membership.isGone(member("a", "a2"))).toBe(false);
  expect(await b.membership.declareDead(member("a", "a2"))).toBe(true);
  expect(b.membership.isGone(member("a", "a2"))).toBe(true);
  expect(b.membership.isGone(member("a", "a3"))).toBe(false);
  await runtime.advance(heartbeatMs);
  expect(now.events).toEqual(["regained"]);
  expect(now.membership.leaseAgeMs).toBe(0);
});

test("what a member can't reach is in its record from the next renewal on, and is a change", async () => {
  const a = await started(member("a"));
  const b = await started(member("b"));
  await runtime.advance(heartbeatMs);
  const { changes } = b;
  await runtime.advance(heartbeatMs);
  expect(b.changes).toBe(changes);
  a.unreachable = ["c", "d"];
  await a.membership.renew();
  await runtime.settle();
  expect(b.changes).toBe(changes + 1);
  expect(b.membership.reports()).toEqual([
    { id: "a", incarnation: "a1", unreachable: ["c", "d"], unknown: [], seenAtMs: runtime.nowMs },
    { id: "b", incarnation: "b1", unreachable: [], unknown: [], seenAtMs: runtime.nowMs },
  ]);
});

test("a record of an older version reports nothing, and a dead member's nothing either", async () => {
  const b = await started(member("b"));
  const old = { ...member("a"), leaseMs, beat: 1 };
  const written = await b.bucket.create("a", Buffer.from(JSON.stringify({ ...old, dead: undefined })));
  await runtime.settle();
  expect(b.membership.reports()[1]).toMatchObject({ id: "a", unreachable: [] });
  const revision = written.written ? written.revision : 0;
  await b.bucket.update("a", Buffer.from(JSON.stringify({ ...old, dead: true })), revision);
  await runtime.settle();
  expect(b.membership.reports().map(({ id }) => id)).toEqual(["b"]);
});

describe("a node that gives itself up", () => {
  test("has no lease and is told before its record goes", async () => {
    const a = await started(member("a"));
    const b = await started(member("b"));
    a.bucket.faults.push("held");
    const isolated = a.membership.isolate();
    expect(a.membership.leaseHolds).toBe(false);
    expect(a.events).toEqual(["regained", "fenced"]);
    await runtime.settle();
    expect(b.membership.isGone(member("a"))).toBe(false);
    a.bucket.release();
    await isolated;
    await runtime.settle();
    expect(b.membership.isGone(member("a"))).toBe(true);
    const { writes } = a.bucket;
    await a.membership.isolate();
    await a.membership.renew();
    await runtime.advance(5 * heartbeatMs);
    expect(a.bucket.writes).toBe(writes);
    expect(a.events).toEqual(["regained", "fenced"]);
    expect((await b.bucket.get("a"))?.value).toBeUndefined();
  });

  test("gets no lease from a renewal that was under way, and removes what that one wrote", async () => {
    const a = await started(member("a"));
    const b = await started(member("b"));
    a.bucket.faults.push("held");
    const renewed = a.membership.renew();
    const isolated = a.membership.isolate();
    a.bucket.release();
    await renewed;
    expect(a.membership.leaseHolds).toBe(false);
    await isolated;
    await runtime.settle();
    expect(a.events).toEqual(["regained", "fenced"]);
    expect(b.membership.isGone(member("a"))).toBe(true);
  });

  test("is told once, also if it finds itself declared dead meanwhile", async () => {
    for (let turns = 0; turns < 30; turns++) {
      const self = member(`a${turns}`);
      const a = await started(self);
      a.bucket.deaf = true;
      const b = await started(member(`b${turns}`));
      expect(await b.membership.declareDead(self)).toBe(true);
      const renewed = a.membership.renew();
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      await Promise.all([renewed, a.membership.isolate()]);
      expect([turns, ...a.events]).toEqual([turns, "regained", "fenced"]);
      expect(text((await b.bucket.get(self.id))?.value)).toContain('"dead":true');
      a.membership.stop();
      b.membership.stop();
    }
  });

  test("comes back as another incarnation once the store has answered", async () => {
    const a = await started(member("a"), () => "replaced");
    a.bucket.faults.push("held");
    const isolated = a.membership.isolate();
    const back = outcome(a.membership.rejoin("a2"));
    await runtime.advance(5 * heartbeatMs);
    expect(back.result).toBe("");
    expect(a.membership.self.incarnation).toBe("a1");
    a.bucket.release();
    await isolated;
    await runtime.settle();
    expect(back.result).toBe("started");
    expect(a.membership.self.incarnation).toBe("a2");
    expect(a.membership.leaseHolds).toBe(true);
    await a.membership.isolate();
    expect(a.events).toEqual(["regained", "fenced", "regained", "fenced"]);
  });

  test("comes back though the store never said whether the record went", async () => {
    for (const fault of ["lost", "stored-unanswered", "conflict"] as const) {
      const made = await started(member(fault), () => "replaced");
      made.bucket.faults.push(fault);
      await made.membership.isolate();
      const back = outcome(made.membership.rejoin("again"));
      await runtime.advance(500);
      expect([fault, back.result]).toEqual([fault, "started"]);
      expect(made.membership.leaseHolds).toBe(true);
    }
  });
});
