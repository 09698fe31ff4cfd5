import fc from "fast-check";
import { expect, test } from "vitest";
import { PartitionStore } from "./partition-store.ts";
import { sweepSlackMs } from "./sweeper.ts";

const seed = { low: 1, high: 2 };
const periodMs = 50;

function newStore(): PartitionStore {
  return new PartitionStore({ seed, segmentBytesMax: 1_024 });
}

function key(i: number): Buffer {
  return Buffer.from(`k${i}`);
}

const value = Buffer.alloc(20);
const neverCalled = (): never => {
  throw new Error("nothing is due");
};

test("what has expired is gone a quarter of a second and a period later, never before, whatever else changes", () => {
  const write = fc.record({
    key: fc.nat(60),
    ttlMs: fc.oneof(fc.constantFrom(0, 1, 249, 250, 251), fc.nat(3_000)),
    how: fc.constantFrom("set", "set", "touch", "delete"),
    waitMs: fc.nat(120),
  });
  fc.assert(
    fc.property(fc.array(write, { maxLength: 200, size: "max" }), (writes) => {
      const store = newStore();
      const expiresAtMs = new Map<string, number>();
      let nowMs = 1_000;
      let sweptMs = nowMs;
      const sweepUntil = (untilMs: number) => {
        for (; sweptMs + periodMs <= untilMs; ) {
          sweptMs += periodMs;
          store.sweep(sweptMs, 100_000, (name) => {
            const end = expiresAtMs.get(name.toString())!;
            expect(end > 0 && end <= sweptMs).toBe(true);
            expiresAtMs.delete(name.toString());
          });
          for (const end of expiresAtMs.values()) {
            if (end !== 0 && end + sweepSlackMs + periodMs < sweptMs) throw new Error(`${end} is still here`);
          }
        }
      };
      for (const one of writes) {
        nowMs += one.waitMs;
        sweepUntil(nowMs);
        const name = `k${one.key}`;
        const end = one.ttlMs === 0 ? 0 : nowMs + one.ttlMs;
        if (one.how === "delete") {
          store.delete(key(one.key), nowMs);
          expiresAtMs.delete(name);
        } else if (one.how === "set") {
          store.set(key(one.key), value, end);
          expiresAtMs.set(name, end);
        } else if (store.touch(key(one.key), end, nowMs)) expiresAtMs.set(name, end);
        expect(store.size).toBe(expiresAtMs.size);
      }
      sweepUntil(nowMs + 3_000 + sweepSlackMs + 2 * periodMs);
      expect(store.sizeWithTtl).toBe(0);
    }),
    { numRuns: 50 },
  );
}, 120_000);

test("nothing is looked at before something is due, and then only the segments in which it is", () => {
  const store = newStore();
  // Some 18 records of 56 bytes to a segment.
  for (let i = 0; i < 5_000; i++) store.set(key(i), value, i >= 2_000 && i < 2_100 ? 1_000 : 1_000_000 + i);
  for (const nowMs of [1, 500, 999]) expect(store.sweep(nowMs, 100_000, neverCalled)).toBe(0);
  const gone = new Set<string>();
  const looked = store.sweep(1_000, 100_000, (name) => gone.add(name.toString()));
  expect([...gone]).toEqual(Array.from({ length: 100 }, (_, i) => `k${2_000 + i}`));
  expect(looked).toBeGreaterThanOrEqual(100);
  expect(looked).toBeLessThan(100 + 2 * (1_024 / 48));
  expect(store.size).toBe(4_900);
  for (const nowMs of [1_000, 2_000, 999_999]) expect(store.sweep(nowMs, 100_000, neverCalled)).toBe(0);
});

test("a segment in which entries expire one after the other is looked at four times in a second, not at each of them", () => {
  const store = newStore();
  for (let i = 0; i < 15; i++) store.set(key(i), value, 1_000 + i * 50);
  let looked = 0;
  let gone = 0;
  let sweeps = 0;
  for (let nowMs = 900; nowMs <= 2_100; nowMs++) {
    const one = store.sweep(nowMs, 1_000, () => gone++);
    looked += one;
    if (one > 0) sweeps++;
  }
  expect([gone, store.size]).toEqual([15, 0]);
  expect(sweeps).toBe(4);
  expect(looked).toBeLessThanOrEqual(4 * 15);
});

test("a step looks at no more than its limit and a segment, and the next one goes on", () => {
  const store = newStore();
  for (let i = 0; i < 1_000; i++) store.set(key(i), value, 10);
  let gone = 0;
  let steps = 0;
  for (; store.size > 0; steps++) {
    const looked = store.sweep(10, 30, () => gone++);
    expect(looked).toBeGreaterThanOrEqual(Math.min(30, 1_000 - gone));
    expect(looked).toBeLessThanOrEqual(30 + 1_024 / 48);
  }
  expect(gone).toBe(1_000);
  expect(steps).toBeGreaterThanOrEqual(1_000 / (30 + 1_024 / 48));
  expect([store.liveBytes, store.allocatedBytes]).toEqual([0, 0]);
});

test("a shorter expiry counts at once, also in place, also after records were moved", () => {
  const store = newStore();
  for (let i = 0; i < 500; i++) store.set(key(i), value, 1_000_000);
  store.sweep(10, 1_000, neverCalled);
  store.touch(key(7), 500, 10);
  store.set(key(300), value, 600);
  for (let i = 0; i < 500; i++) if (i % 3 === 0 && i !== 300) store.delete(key(i), 10);
  while (store.compact(1_000) > 0);
  const gone: string[] = [];
  store.sweep(499, 100_000, neverCalled);
  store.sweep(500, 100_000, (name) => gone.push(name.toString()));
  store.sweep(500 + sweepSlackMs, 100_000, (name) => gone.push(name.toString()));
  expect(gone).toEqual(["k7", "k300"]);
});

test("an entry without expiry is never due", () => {
  const store = newStore();
  store.set(key(1), value, 5);
  store.touch(key(1), 0, 1);
  expect(store.sweep(Number.MAX_SAFE_INTEGER, 1_000, neverCalled)).toBeLessThanOrEqual(2);
  expect([store.size, store.sizeWithTtl]).toEqual([1, 0]);
});
