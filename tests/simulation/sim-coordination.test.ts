import { beforeEach, describe, expect, test } from "vitest";
import type { Bucket, Change, CoordinationStatus, WriteResult } from "../../src/coordination/coordination.ts";
import { coordinationContract } from "../contract/coordination.ts";
import { bytes, text } from "../support/recorder.ts";
import { SimCoordination } from "./sim-coordination.ts";
import { type SimNode, Simulation } from "./sim-runtime.ts";
import { calmStore, hostileStore, SimStore, type StoreFaults } from "./sim-store.ts";

/** The contract waits in real time: the virtual clock follows it. */
coordinationContract("simulation", async () => {
  const sim = new Simulation(1);
  const store = new SimStore(sim);
  let serial = 0;
  let ended = false;
  const following = (async () => {
    const fromMs = performance.now();
    while (!ended) {
      await sim.run(performance.now() - fromMs);
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  return {
    connect: async () =>
      new SimCoordination(sim.node(`node-${serial++}`), store, { requestTimeoutMs: 5_000 }),
    destroyBucket: async (name) => store.destroyBucket(name),
    end: async () => {
      ended = true;
      await following;
    },
  };
});

let sim: Simulation;
let store: SimStore;
let node: SimNode;
let client: SimCoordination;
let bucket: Bucket;

async function pass(ms: number): Promise<void> {
  await sim.run(sim.nowMs + ms);
}

function settle<T>(promise: Promise<T>): Promise<T> {
  return sim.settle(promise, 60_000);
}

/** What became of a call: `written`, `refused`, or the code that it failed with. */
async function outcome(call: Promise<WriteResult>): Promise<string> {
  const result = await settle(call.catch((error: { code: string }) => error.code));
  return typeof result === "string" ? result : result.written ? "written" : "refused";
}

async function begin(faults: StoreFaults, seed = 1): Promise<void> {
  sim = new Simulation(seed);
  store = new SimStore(sim);
  node = sim.node("a");
  client = new SimCoordination(node, store);
  bucket = await settle(client.openBucket("b"));
  store.faults = faults;
}

beforeEach(() => begin(calmStore));

describe("ambiguous writes", () => {
  test("one whose request is lost times out and changes nothing", async () => {
    store.faults = { ...calmStore, lostRequest: 1 };
    expect(await outcome(bucket.create("k", bytes("1")))).toBe("COORDINATION_TIMEOUT");
    await pass(20_000);
    expect(store.peek("b", "k")).toBeUndefined();
  });

  test("one whose answer is lost times out and is stored", async () => {
    store.faults = { ...calmStore, lostAnswer: 1 };
    expect(await outcome(bucket.create("k", bytes("1")))).toBe("COORDINATION_TIMEOUT");
    expect(text(store.peek("b", "k"))).toBe("1");
  });

  test("a late one is stored after it timed out, unless another was first", async () => {
    store.faults = { ...calmStore, late: 1, lateMsMax: 8_000 };
    let later = 0;
    for (let i = 0; i < 20; i++) {
      const result = await outcome(bucket.create(`k${i}`, bytes("1")));
      const stored = store.peek("b", `k${i}`) !== undefined;
      if (result === "COORDINATION_TIMEOUT" && !stored) later++;
    }
    expect(later).toBeGreaterThan(5);
    const raced = bucket.create("raced", bytes("late"));
    await pass(5);
    store.faults = calmStore;
    expect(await outcome(bucket.create("raced", bytes("early")))).toBe("written");
    await outcome(raced);
    await pass(20_000);
    for (let i = 0; i < 20; i++) expect(text(store.peek("b", `k${i}`))).toBe("1");
    expect(text(store.peek("b", "raced"))).toBe("early");
  });

  test("in a leader gap everything times out, and some of it is stored when the gap ends", async () => {
    store.leaderGap();
    const seen: Change[] = [];
    bucket.watch({ lost: () => {}, change: (change) => seen.push(change) });
    const calls = Array.from({ length: 30 }, (_, i) => outcomeOf(bucket.create(`k${i}`, bytes("1"))));
    const get = outcomeOf(bucket.get("k0"));
    await pass(3_900);
    expect(await Promise.all(calls)).toEqual(calls.map(() => "COORDINATION_TIMEOUT"));
    expect(await get).toBe("COORDINATION_TIMEOUT");
    expect([seen, client.status]).toEqual([[], "connected"]);
    await pass(6_000);
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.length).toBeLessThan(30);
    expect(await outcome(bucket.create("after", bytes("1")))).toBe("written");
  });
});

async function outcomeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "answered",
    (error: { code: string }) => error.code,
  );
}

describe("staleness", () => {
  test("a get may show the past, but not a past older than stated", async () => {
    store.faults = { ...calmStore, stale: 1, staleMsMax: 1_000 };
    await settle(bucket.create("k", bytes("old")));
    await pass(2_000);
    const { revision } = (await settle(bucket.get("k")))!;
    await settle(bucket.update("k", bytes("new"), revision));
    const seen = new Set<string | undefined>();
    for (let i = 0; i < 30; i++) seen.add(text((await settle(bucket.get("k")))?.value));
    expect([...seen].sort()).toEqual(["new", "old"]);
    await pass(1_000);
    expect(text((await settle(bucket.get("k")))?.value)).toBe("new");
    // A compare-and-set is never fooled.
    expect(await outcome(bucket.update("k", bytes("x"), revision))).toBe("refused");
  });

  test.each([1, 2, 3, 4, 5])(
    "a watch never goes back on a key and ends with the last value (seed %i)",
    async (seed) => {
      await begin({ ...hostileStore, lostRequest: 0, lostAnswer: 0, late: 0 }, seed);
      const watcher = new SimCoordination(sim.node("w"), store, { requestTimeoutMs: 60_000 });
      const watched = await settle(watcher.openBucket("b"));
      const seen = new Map<string, number[]>();
      const last = new Map<string, string | undefined>();
      let currents = 0;
      const watch = (): void => {
        watched.watch({
          lost: () => {},
          change: ({ key, revision, value }) => {
            seen.set(key, [...(seen.get(key) ?? []), revision]);
            last.set(key, text(value));
          },
          current: () => currents++,
        });
      };
      for (let i = 0; i < 300; i++) {
        if (i === 40) watch();
        if (i % 60 === 50) watcher.cutOff();
        if (i % 60 === 59) watcher.reconnect();
        if (i === 150) store.stop();
        if (i === 155) store.start();
        const key = `k${i % 3}`;
        const revision = latestRevision(key);
        const call =
          revision === 0 ? bucket.create(key, bytes(`${i}`)) : bucket.update(key, bytes(`${i}`), revision);
        await outcome(call);
        await pass(sim.random.between(0, 100));
      }
      await pass(5_000);
      expect(currents).toBe(1);
      for (const [key, revisions] of seen) {
        expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
        expect(last.get(key)).toBe(text(store.peek("b", key)));
      }
      expect(seen.size).toBe(3);
    },
  );
});

function latestRevision(key: string): number {
  return store.open("b", {}).at(key, sim.nowMs)?.revision ?? 0;
}

describe("connections", () => {
  test("a node that is cut off hears and says nothing, notices, and catches up", async () => {
    const statuses: CoordinationStatus[] = [];
    client.onStatus((status) => statuses.push(status));
    const seen: string[] = [];
    bucket.watch({ lost: () => {}, change: ({ key }) => seen.push(key) });
    const other = new SimCoordination(sim.node("o"), store);
    const theirs = await settle(other.openBucket("b"));
    client.cutOff();
    expect(await outcome(theirs.create("missed", bytes("1")))).toBe("written");
    expect(await outcome(bucket.create("mine", bytes("1")))).toBe("COORDINATION_TIMEOUT");
    await pass(5_000);
    expect([seen, statuses, client.status]).toEqual([[], ["disconnected"], "disconnected"]);
    client.reconnect();
    await pass(1_000);
    expect(seen).toContain("missed");
    expect(statuses).toEqual(["disconnected", "connected"]);
    expect(other.status).toBe("connected");
  });

  test("a store that stops is lost to all, and its data is there afterwards", async () => {
    const revision = await settle(bucket.create("k", bytes("1")));
    store.stop();
    expect(await outcome(bucket.create("l", bytes("1")))).toBe("COORDINATION_TIMEOUT");
    store.start();
    await pass(1_000);
    expect(client.status).toBe("connected");
    expect((await settle(bucket.get("k")))?.revision).toBe(revision.written && revision.revision);
  });

  test("present values may be delivered again", async () => {
    store.faults = { ...calmStore, redelivery: 1 };
    await settle(bucket.create("k", bytes("1")));
    const revisions: number[] = [];
    bucket.watch({ lost: () => {}, change: (change) => revisions.push(change.revision) });
    await pass(10);
    client.cutOff();
    await pass(100);
    client.reconnect();
    await pass(1_000);
    expect(revisions).toEqual([1, 1]);
  });

  test("what a crashed node had sent may be stored, and it hears nothing more", async () => {
    let heard = 0;
    bucket.watch({ lost: () => {}, change: () => heard++ });
    void outcomeOf(bucket.create("k", bytes("1"))).then(() => heard++);
    // The request has been sent, its answer hasn't come.
    await pass(0.05);
    node.crash();
    await pass(10_000);
    expect([heard, text(store.peek("b", "k"))]).toEqual([0, "1"]);
  });
});

describe("compare-and-set under everything at once", () => {
  test.each([11, 12, 13])("every `written` was applied, once, on its revision (seed %i)", async (seed) => {
    await begin(hostileStore, seed);
    const writers = Array.from({ length: 4 }, (_, i) => new SimCoordination(sim.node(`n${i}`), store));
    let acknowledged = 0;
    const count = async (writer: SimCoordination): Promise<void> => {
      const random = sim.random.fork();
      while (sim.nowMs < 120_000) {
        try {
          const counter = await writer.openBucket("b");
          const entry = await counter.get("n");
          const next = bytes(String(Number(text(entry?.value) ?? 0) + 1));
          const result =
            entry === undefined
              ? await counter.create("n", next)
              : await counter.update("n", next, entry.revision);
          if (result.written) acknowledged++;
        } catch (error) {
          expect(error).toMatchObject({ code: "COORDINATION_TIMEOUT" });
        }
        await new Promise<void>((resolve) => writer.node.runtime.after(random.between(1, 200), resolve));
      }
    };
    const counting = Promise.all(writers.map(count));
    sim.schedule(30_000, () => store.leaderGap());
    sim.schedule(60_000, () => store.stop());
    sim.schedule(65_000, () => store.start());
    sim.schedule(80_000, () => writers[0]!.cutOff());
    sim.schedule(90_000, () => writers[0]!.reconnect());
    await sim.settle(counting, 200_000);
    await pass(20_000);
    const value = Number(text(store.peek("b", "n")));
    // Each increment was made on the value before it; those beyond the acknowledged ones are the ambiguous ones.
    expect(value).toBe(latestRevision("n"));
    expect(value).toBeGreaterThanOrEqual(acknowledged);
    expect(acknowledged).toBeGreaterThan(300);
    expect(value - acknowledged).toBeLessThan(acknowledged / 5);
  });
});
