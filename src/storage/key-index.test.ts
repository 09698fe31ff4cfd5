// `expect` is for what is looked at now and then: it takes a hundred times as long as an assertion of Node's own.
import { strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { expect, test } from "vitest";
import { cursorEnd, KeyIndex } from "./key-index.ts";
import { StoreMemory } from "./memory.ts";

type Spread = "everywhere" | "few hashes" | "one page" | "mostly one page";

/** Of the key with that number; the same key always has the same. */
function hashOfKey(key: number, spread: Spread): number {
  const mixed = Math.imul(key ^ (key >>> 7), 0x9e3779b1);
  if (spread === "few hashes") return [0, -1, 1, 0x7fffffff, -0x80000000][key % 5]!;
  // Where one page was split often, the others' places in the directory are many.
  if (spread === "one page" || (spread === "mostly one page" && key % 3_000 < 2_000))
    return 0xabc00000 | ((mixed >>> 12) & 0xfffff);
  return mixed | 0;
}

/** The index with a plain twin; keys are numbers, and a reference leads to its key. */
class Pair {
  readonly memory = new StoreMemory();
  readonly index = new KeyIndex(this.memory);
  readonly keyOfRef = new Map<number, number>();
  readonly refOfKey = new Map<number, number>();
  readonly #spread: Spread;
  #nextRef = 1;

  constructor(spread: Spread) {
    this.#spread = spread;
  }

  holds(ref: number, key: number): boolean {
    return this.keyOfRef.get(ref) === key;
  }

  hash(key: number): number {
    return hashOfKey(key, this.#spread);
  }

  /** References are signed: half of them are negative. */
  #newRef(key: number): number {
    const ref = this.#nextRef % 2 === 0 ? this.#nextRef : -this.#nextRef;
    this.#nextRef++;
    this.keyOfRef.set(ref, key);
    return ref;
  }

  /** Inserts the key, or gives it another reference. */
  put(key: number): void {
    const before = this.index.find(this.hash(key), this, key);
    strictEqual(before, this.refOfKey.get(key) ?? 0);
    const ref = this.#newRef(key);
    if (before === 0) this.index.insert(this.hash(key), ref);
    else {
      this.keyOfRef.delete(before);
      this.index.replace(ref);
    }
    this.refOfKey.set(key, ref);
  }

  remove(key: number, bySeeking: boolean): void {
    const ref = this.refOfKey.get(key) ?? 0;
    const found = bySeeking
      ? this.index.seek(this.hash(key), ref)
      : this.index.find(this.hash(key), this, key);
    if (ref === 0) {
      strictEqual(found, bySeeking ? false : 0);
      return;
    }
    strictEqual(found, bySeeking ? true : ref);
    this.index.remove();
    this.refOfKey.delete(key);
    this.keyOfRef.delete(ref);
  }

  check(): void {
    strictEqual(this.index.size, this.refOfKey.size);
    strictEqual(this.index.allocatedBytes, this.memory.usedBytes);
  }

  checkAll(): void {
    this.check();
    for (const [key, ref] of this.refOfKey) {
      strictEqual(this.index.find(this.hash(key), this, key), ref);
      strictEqual(this.index.seek(this.hash(key), ref), true);
    }
    const found = { hash: [] as number[], ref: [] as number[] };
    expect(this.index.range(0, Number.POSITIVE_INFINITY, found)).toBe(cursorEnd);
    expect(found.ref.length).toBe(this.refOfKey.size);
    expect(new Set(found.ref)).toEqual(new Set(this.refOfKey.values()));
    expect(found.hash.every((hash, i) => i === 0 || hash >= found.hash[i - 1]!)).toBe(true);
  }
}

/** Of so many keys, one after the other. */
interface Change {
  readonly what: "put" | "remove" | "seek and remove";
  readonly from: number;
  readonly count: number;
}

const change: fc.Arbitrary<Change> = fc.record({
  what: fc.constantFrom("put", "put", "remove", "seek and remove"),
  from: fc.nat(3_000),
  count: fc.constantFrom(1, 1, 1, 20, 500, 2_000),
});

function make(pair: Pair, { what, from, count }: Change): void {
  for (let key = from; key < from + count; key++) {
    if (what === "put") pair.put(key);
    else pair.remove(key, what === "seek and remove");
  }
  pair.check();
}

const spreads = fc.constantFrom<Spread>("everywhere", "few hashes", "one page", "mostly one page");

test("is a map from keys to references, whatever their hashes", () => {
  fc.assert(
    fc.property(spreads, fc.array(change, { maxLength: 30, size: "max" }), (spread, changes) => {
      const pair = new Pair(spread);
      // With few hashes a page can't be split: see below.
      const few = spread === "few hashes";
      for (const one of changes) make(pair, few ? { ...one, count: Math.min(one.count, 20) } : one);
      pair.checkAll();
      for (const key of [...pair.refOfKey.keys()]) pair.remove(key, key % 2 === 0);
      expect(pair.memory.usedBytes).toBe(0);
    }),
    { numRuns: 40 },
  );
}, 120_000);

test("going through it, what is there throughout comes exactly once, in one order, and nothing comes twice", () => {
  const steps = fc.array(fc.record({ limit: fc.integer({ min: 1, max: 700 }), change }), {
    minLength: 1,
    maxLength: 12,
  });
  fc.assert(
    fc.property(spreads, fc.nat(3_000), steps, (spread, count, steps) => {
      const pair = new Pair(spread);
      for (let key = 0; key < (spread === "few hashes" ? count % 400 : count); key++) pair.put(key);
      const throughout = new Set(pair.refOfKey.keys());
      const seen = new Set<number>();
      let cursor = 0;
      for (let i = 0; cursor < cursorEnd; i++) {
        const { limit, change } = steps[i % steps.length]!;
        const found = { hash: [] as number[], ref: [] as number[] };
        const next = pair.index.range(cursor, limit, found);
        expect(next).toBeGreaterThan(cursor);
        for (const [at, ref] of found.ref.entries()) {
          const key = pair.keyOfRef.get(ref)!;
          strictEqual(seen.has(key), false);
          seen.add(key);
          strictEqual(found.hash[at], pair.hash(key) >>> 0);
          strictEqual(found.hash[at]! >= cursor && found.hash[at]! < next, true);
        }
        // More than the limit only for the sake of the last hash.
        const beyond = found.hash.slice(limit - 1);
        expect(new Set(beyond).size).toBeLessThanOrEqual(1);
        cursor = next;
        // After some steps nothing changes any more, or few keys a step would never end.
        if (i >= 40) continue;
        const few = spread === "few hashes";
        const made = { ...change, count: few ? Math.min(change.count, 20) : change.count };
        make(pair, made);
        if (made.what !== "put") for (let k = 0; k < made.count; k++) throughout.delete(made.from + k);
      }
      for (const key of throughout) strictEqual(seen.has(key), true);
    }),
    { numRuns: 40 },
  );
}, 120_000);

test("pages are split when they are full, and no page is much larger than it must be", () => {
  const pair = new Pair("everywhere");
  for (let key = 0; key < 20_000; key++) {
    pair.put(key);
    // 8 bytes for each entry, at a load of at least 0.4.
    if (key > 100) strictEqual(pair.index.allocatedBytes < pair.index.size * 20, true);
  }
  pair.checkAll();
  for (let key = 0; key < 19_900; key++) pair.remove(key, false);
  pair.checkAll();
  // Pages aren't joined again, but they have the least size that there is.
  expect(pair.index.allocatedBytes).toBeLessThan(32 * 256);
}, 120_000);

test("a page with many places in the directory is split into halves of them", () => {
  const pair = new Pair("mostly one page");
  for (let key = 0; key < 20_000; key++) pair.put(key);
  pair.checkAll();
  for (let key = 0; key < 20_000; key++) pair.remove(key, key % 2 === 0);
  expect(pair.memory.usedBytes).toBe(0);
}, 120_000);

test("more entries of one hash than a page should have are found, gone through together and removed", () => {
  const pair = new Pair("few hashes");
  for (let i = 0; i < 1_100; i++) pair.put(i * 5);
  pair.checkAll();
  const found = { hash: [] as number[], ref: [] as number[] };
  pair.index.range(0, 10, found);
  expect(found.ref.length).toBe(1_100);
  for (let i = 0; i < 1_100; i++) pair.remove(i * 5, i % 2 === 0);
  expect(pair.memory.usedBytes).toBe(0);
}, 120_000);

test("an index without entries takes no memory, and gives all back when it is cleared", () => {
  const pair = new Pair("everywhere");
  expect(pair.memory.usedBytes).toBe(0);
  expect(pair.index.find(7, pair, 7)).toBe(0);
  expect(pair.index.seek(7, 7)).toBe(false);
  expect(pair.index.range(0, 10, { hash: [], ref: [] })).toBe(cursorEnd);
  for (let key = 0; key < 5_000; key++) pair.put(key);
  pair.index.clear();
  expect([pair.index.size, pair.index.allocatedBytes, pair.memory.usedBytes]).toEqual([0, 0, 0]);
  expect(pair.index.find(pair.hash(7), pair, 7)).toBe(0);
});
