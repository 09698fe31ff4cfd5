import { describe, expect, test } from "vitest";
import { sleep } from "../../src/runtime.ts";
import { EventQueue } from "./event-queue.ts";
import { Random } from "./random.ts";
import { Simulation } from "./sim-runtime.ts";

describe("the queue", () => {
  test("gives the earliest first, equals in the order of their coming", () => {
    const random = new Random(1);
    const queue = new EventQueue<{ atMs: number; serial: number }>();
    const all = Array.from({ length: 2_000 }, (_, serial) => ({ atMs: random.integer(0, 50), serial }));
    for (const event of all) queue.push(event);
    const out = all.map(() => queue.pop());
    expect(out).toEqual([...all].sort((a, b) => a.atMs - b.atMs || a.serial - b.serial));
    expect(queue.pop()).toBeUndefined();
  });
});

describe("chance", () => {
  test("comes from the seed alone, and evenly", () => {
    const a = new Random(7);
    const b = new Random(7);
    const values = Array.from({ length: 10_000 }, () => a.next());
    expect(values).toEqual(values.map(() => b.next()));
    expect(new Random(8).next()).not.toBe(values[0]);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.02);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
  });
});

describe("the virtual clock", () => {
  test("passes without waiting, and promises go on before the next event", async () => {
    const sim = new Simulation(1);
    const node = sim.node("a", { clockRate: 1 });
    const heard: string[] = [];
    void (async () => {
      for (let i = 0; i < 3; i++) {
        await sleep(node.runtime, 3_600_000);
        // Several ticks deep, and still before what is due at the same time.
        await Promise.resolve().then(() => Promise.resolve());
        heard.push(`slept ${i}`);
      }
    })();
    await sim.run(0);
    node.after(3_600_000, () => heard.push("timer"));
    await sim.run(2 * 3_600_000);
    expect(heard).toEqual(["slept 0", "timer", "slept 1"]);
    expect(sim.nowMs).toBe(2 * 3_600_000);
  });

  test("goes faster or slower on each node", async () => {
    const sim = new Simulation(1);
    const fast = sim.node("fast", { clockRate: 1.01 });
    const from = fast.runtime.monotonicMs();
    let firedAt = 0;
    fast.runtime.after(1_010, () => {
      firedAt = sim.nowMs;
    });
    await sim.run(2_000);
    expect(firedAt).toBeCloseTo(1_000, 6);
    expect(fast.runtime.monotonicMs() - from).toBeCloseTo(2_020, 6);
    expect(sim.node("b").runtime.monotonicMs()).not.toBe(sim.node("c").runtime.monotonicMs());
  });

  test("a cancelled timer doesn't fire, nor does cancelling one that fired do anything", async () => {
    const sim = new Simulation(1);
    const node = sim.node("a");
    let fired = 0;
    const one = node.runtime.after(5, () => fired++);
    node.runtime.after(1, () => one.cancel());
    const two = node.runtime.after(2, () => fired++);
    await sim.run(100);
    two.cancel();
    expect(fired).toBe(1);
  });

  test("soon keeps its order, and a chain of it doesn't stop the clock", async () => {
    const sim = new Simulation(1);
    const { runtime } = sim.node("a");
    const heard: number[] = [];
    for (let i = 0; i < 5; i++) runtime.soon(() => heard.push(i));
    let rounds = 0;
    const again = (): void => {
      rounds++;
      runtime.soon(again);
    };
    again();
    await sim.run(1);
    expect(heard).toEqual([0, 1, 2, 3, 4]);
    expect(rounds).toBeGreaterThan(100);
  });

  test("what an event throws comes out of the run", async () => {
    const sim = new Simulation(1);
    sim.schedule(1, () => {
      throw new Error("a defect");
    });
    await expect(sim.run(2)).rejects.toThrow("a defect");
  });

  test("settle gives a promise's outcome, or says that there was none in time", async () => {
    const sim = new Simulation(3);
    const { runtime } = sim.node("a", { clockRate: 1 });
    expect(
      await sim.settle(
        sleep(runtime, 500).then(() => "done"),
        1_000,
      ),
    ).toBe("done");
    expect(sim.nowMs).toBe(500);
    await expect(sim.settle(sleep(runtime, 500), 100)).rejects.toThrow("seed 3");
  });
});

describe("processes", () => {
  test("a paused one holds what comes, in order, until it is resumed", async () => {
    const sim = new Simulation(1);
    const node = sim.node("a");
    const heard: string[] = [];
    for (const atMs of [10, 20, 30]) node.after(atMs, () => heard.push(`${atMs} at ${sim.nowMs}`));
    const cancelled = node.after(15, () => heard.push("cancelled"));
    sim.schedule(5, () => node.pause());
    sim.schedule(17, () => cancelled.cancel());
    sim.schedule(25, () => node.resume());
    await sim.run(100);
    expect(heard).toEqual(["10 at 25", "20 at 25", "30 at 30"]);
  });

  test("a crashed one never runs again, not even what it held", async () => {
    const sim = new Simulation(1);
    const node = sim.node("a");
    let ran = 0;
    let told = 0;
    node.onCrash(() => told++);
    for (const atMs of [10, 20, 30]) node.after(atMs, () => ran++);
    sim.schedule(15, () => node.pause());
    sim.schedule(25, () => node.crash());
    sim.schedule(26, () => node.resume());
    sim.schedule(27, () => node.crash());
    await sim.run(100);
    expect([ran, told, node.isCrashed]).toEqual([1, 1, true]);
  });
});

describe("a run", () => {
  test("fails if something goes round in circles without the clock going on", async () => {
    const sim = new Simulation(1);
    const again = (): void => void sim.schedule(0, again);
    sim.schedule(5, again);
    await expect(sim.run(100)).rejects.toThrow("the clock stands still at 5 ms");
  });

  test("ends a turn before the next event: what is asked for meanwhile too, but not in a process that crashed", async () => {
    const sim = new Simulation(1);
    const [a, b] = [sim.node("a"), sim.node("b")];
    const heard: string[] = [];
    sim.schedule(5, () => {
      a.atTurnEnd(() => {
        heard.push("end of a");
        a.atTurnEnd(() => heard.push("another end"));
        b.crash();
      });
      b.atTurnEnd(() => heard.push("end of b"));
      void Promise.resolve().then(() => heard.push("reaction"));
      heard.push("event");
    });
    sim.schedule(5, () => heard.push("next event"));
    await sim.run(10);
    expect(heard).toEqual(["event", "reaction", "end of a", "another end", "next event"]);
  });

  test("ends the turn of a stopped process when that goes on", async () => {
    const sim = new Simulation(1);
    const node = sim.node("a");
    const atMs: number[] = [];
    sim.schedule(5, () => {
      node.pause();
      node.atTurnEnd(() => atMs.push(sim.nowMs));
    });
    sim.schedule(20, () => node.resume());
    await sim.run(30);
    expect(atMs).toEqual([20]);
  });
});

describe("the hash", () => {
  async function wander(seed: number): Promise<string> {
    const sim = new Simulation(seed);
    const nodes = ["a", "b", "c"].map((host) => sim.node(host));
    for (const { host, runtime } of nodes) {
      void (async () => {
        for (;;) {
          await sleep(runtime, runtime.random() * 10);
          sim.trace(host, runtime.randomBytes(2).toString("hex"));
        }
      })();
    }
    await sim.run(500);
    expect(sim.lines.length).toBeGreaterThan(100);
    return sim.hash;
  }

  test("is the same for the same seed and another for another", async () => {
    const first = await wander(42);
    expect(await wander(42)).toBe(first);
    expect(await wander(43)).not.toBe(first);
  });
});
