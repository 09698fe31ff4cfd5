import fc from "fast-check";
import { expect, test } from "vitest";
import { contentsOf } from "../../tests/support/stores.ts";
import { PartitionStore } from "./partition-store.ts";

const seed = { low: 1, high: 2 };

/** The same, done plainly: nothing leaves before the sweep but what is deleted. */
class Model {
  readonly entries = new Map<string, { value: string; expiresAtMs: number }>();

  alive(key: string, nowMs: number): boolean {
    const entry = this.entries.get(key);
    return entry !== undefined && (entry.expiresAtMs === 0 || entry.expiresAtMs > nowMs);
  }
}

const key = fc.constantFrom("", "a", "ü", "\0", "0", "€", "k1", "k2", "k3");
const action = fc.oneof(
  fc.record({
    kind: fc.constant("set" as const),
    key,
    value: fc.string(),
    ttlMs: fc.constantFrom(0, 0, 1, 5, 20),
  }),
  fc.record({ kind: fc.constant("delete" as const), key }),
  fc.record({ kind: fc.constant("get" as const), key }),
  fc.record({ kind: fc.constant("sweep" as const), limit: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 10 }) }),
);

test("is a map whose entries end at their time", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
      const store = new PartitionStore({ seed });
      const model = new Model();
      let nowMs = 1_000;
      for (const act of actions) {
        if (act.kind === "set") {
          const expiresAtMs = act.ttlMs === 0 ? 0 : nowMs + act.ttlMs;
          store.set(Buffer.from(act.key), Buffer.from(act.value), expiresAtMs);
          model.entries.set(act.key, { value: act.value, expiresAtMs });
        } else if (act.kind === "delete") {
          expect(store.delete(Buffer.from(act.key), nowMs)).toBe(model.alive(act.key, nowMs));
          model.entries.delete(act.key);
        } else if (act.kind === "get") {
          const found = store.get(Buffer.from(act.key), nowMs);
          const wanted = model.alive(act.key, nowMs) ? model.entries.get(act.key) : undefined;
          expect(found && { value: found.value.toString(), expiresAtMs: found.expiresAtMs }).toEqual(wanted);
        } else if (act.kind === "sweep") {
          const seen = store.sweep(nowMs, act.limit, (name) => {
            expect(model.alive(name.toString(), nowMs)).toBe(false);
            expect(model.entries.delete(name.toString())).toBe(true);
          });
          expect(seen).toBeGreaterThanOrEqual(0);
        } else nowMs += act.ms;
        const withTtl = [...model.entries.values()].filter((entry) => entry.expiresAtMs !== 0);
        expect([store.size, store.sizeWithTtl]).toEqual([model.entries.size, withTtl.length]);
      }
      const all = [...model.entries].map(([name, entry]) => `${name}=${entry.value}@${entry.expiresAtMs}`);
      expect(contentsOf(store)).toEqual(all.sort());
      // Sweeping on, it finds everything that is over.
      nowMs += 1_000;
      for (let i = 0; i < 100; i++) store.sweep(nowMs, 3, () => {});
      expect(store.sizeWithTtl).toBe(0);
    }),
  );
});

test("keys are their bytes: two that are the same text in no encoding stay apart", () => {
  const store = new PartitionStore({ seed });
  const names = [[0xff], [0xfe], [0xc3, 0xbf], [0xef, 0xbf, 0xbd], []].map((name) => Buffer.from(name));
  names.forEach((name, i) => {
    store.set(name, Buffer.from([i]), 0);
  });
  expect(names.map((name) => store.get(name, 0)?.value[0])).toEqual([0, 1, 2, 3, 4]);
  expect(store.size).toBe(names.length);
});

test("what was stored doesn't change with the buffer that it came in", () => {
  const store = new PartitionStore({ seed });
  const value = Buffer.from("before");
  store.set(Buffer.from("k"), value, 0);
  value.fill(0);
  expect(store.get(Buffer.from("k"), 0)?.value.toString()).toBe("before");
});

test("stores have the same digest if they hold the same, however they came to it", () => {
  const [one, other] = [new PartitionStore({ seed }), new PartitionStore({ seed })];
  const [a, b, value] = ["a", "b", "v"].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer];
  expect(one.digest()).toBe(other.digest());
  one.set(a, value, 0);
  one.set(b, value, 7);
  other.set(b, Buffer.from("w"), 0);
  other.set(b, value, 7);
  other.set(a, value, 0);
  expect(one.digest()).toBe(other.digest());
  for (const change of [() => other.set(a, b, 0), () => other.set(a, value, 8), () => other.delete(a, 0)]) {
    change();
    expect(one.digest()).not.toBe(other.digest());
    other.set(a, value, 0);
    expect(one.digest()).toBe(other.digest());
  }
});
