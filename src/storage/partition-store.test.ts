import { strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CheckedStore, checkMemory } from "../../tests/storage/checked-store.ts";
import type { EvictionPolicy } from "../config.ts";
import { StoreMemory } from "./memory.ts";
import { PartitionStore, type SetCondition } from "./partition-store.ts";

const seed = { low: 0x01234567, high: -0x76543211 };

/** The store under test, and what the commands share beside it. */
interface Real {
  checked: CheckedStore;
  readonly memory: StoreMemory;
  nowMs: number;
  /** Of the next write. */
  version: number;
}

/** The model is part of the {@link CheckedStore}: fast-check has no state of its own. */
type Command = fc.Command<object, Real>;

/** Commands with these arguments that do this. */
function command<T>(
  name: string,
  args: fc.Arbitrary<T>,
  run: (real: Real, args: T) => void,
): fc.Arbitrary<Command> {
  return args.map((value) => ({
    check: () => true,
    run: (_, real) => {
      real.version++;
      run(real, value);
      checkMemory(real.memory, [real.checked]);
    },
    toString: () => `${name}(${fc.stringify(value)})`,
  }));
}

/** Shown by length and byte: a counterexample is to be read. */
const ofOneByte = (lengths: fc.Arbitrary<number>): fc.Arbitrary<Buffer> =>
  fc.tuple(lengths, fc.nat(255)).map(([length, byte]) => Buffer.alloc(length, byte));
const allBytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

const key: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 10, arbitrary: fc.nat(9).map((i) => Buffer.from(`k${i}`)) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(Buffer.alloc(0), allBytes, Buffer.from([0xff]), Buffer.from([0xfe])),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 2 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(31, 32, 33, 255, 256, 65_536).map((length) => Buffer.alloc(length, 7)),
  },
);

const value: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 6, arbitrary: ofOneByte(fc.constantFrom(0, 1, 2, 3, 4, 60, 100, 109, 110, 111, 300)) },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: fc.constant(allBytes) },
  {
    weight: 2,
    arbitrary: fc
      .oneof(fc.bigInt({ min: -20n, max: 20n }), fc.constantFrom(2n ** 63n - 1n, -(2n ** 63n), 2n ** 63n))
      .map((number) => Buffer.from(`${number}`)),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom("", "-0", "01", "+1", " 1", "0x1").map((text) => Buffer.from(text)),
  },
  { weight: 2, arbitrary: ofOneByte(fc.oneof(fc.nat(9_000), fc.constantFrom(65_535, 65_536, 150_000))) },
);

/** From now on; 0 for never. */
const ttlMs = fc.constantFrom(0, 0, 0, 1, 2, 50, 300, 1_000, 2 ** 42, 2 ** 42);
const flags = fc.constantFrom(0, 0, 1, 2 ** 32 - 1);
const condition: fc.Arbitrary<SetCondition> = fc.record(
  {
    if: fc.constantFrom("absent", "present"),
    value: fc.oneof(value, fc.constant(Buffer.alloc(1, 0))),
    version: fc.nat(40),
    keepExpiry: fc.boolean(),
  },
  { requiredKeys: [] },
);
const limit = fc.constantFrom(1, 2, 7, 50, 1_000);

function expiry(real: Real, ttlMs: number): number {
  return ttlMs === 0 ? 0 : real.nowMs + ttlMs;
}

/** Keys of their own, so that there are thousands of them. */
const many = fc.record({
  from: fc.nat(2_000),
  count: fc.constantFrom(20, 20, 300, 2_500),
  step: fc.constantFrom(1, 1, 2, 7),
});
function manyKeys({ from, count, step }: { from: number; count: number; step: number }): Buffer[] {
  return Array.from({ length: Math.ceil(count / step) }, (_, i) => Buffer.from(`many:${from + i * step}`));
}

const commands: fc.Arbitrary<Command>[] = [
  command("get", key, ({ checked, nowMs }, key) => checked.get(key, nowMs)),
  command("has", key, ({ checked, nowMs }, key) => checked.has(key, nowMs)),
  command("peek", key, ({ checked, nowMs }, key) => checked.peek(key, nowMs)),
  ...[1, 2, 3].map(() =>
    command("set", fc.record({ key, value, ttlMs, flags }), (real, { key, value, ttlMs, flags }) => {
      real.checked.set(key, { value, expiresAtMs: expiry(real, ttlMs), version: real.version, flags });
    }),
  ),
  command("setIf", fc.record({ key, condition, value, ttlMs, flags }), (real, args) => {
    const entry = { ...args, expiresAtMs: expiry(real, args.ttlMs), version: real.version };
    real.checked.setIf(args.condition, args.key, entry, real.nowMs);
  }),
  command("set if unchanged", fc.record({ key, value, keepExpiry: fc.boolean() }), (real, args) => {
    const before = real.checked.model.alive(args.key, real.nowMs);
    if (before === undefined) return;
    const { value, version } = before;
    const entry = { value: args.value, expiresAtMs: 0, version: real.version, flags: 3 };
    for (const condition of [{ value }, { version: real.version }, { version, value }]) {
      real.checked.setIf({ ...condition, keepExpiry: args.keepExpiry }, args.key, entry, real.nowMs);
    }
  }),
  command("delete", key, ({ checked, nowMs }, key) => checked.delete(key, nowMs)),
  command("touch", fc.record({ key, ttlMs }), (real, { key, ttlMs }) => {
    real.checked.touch(key, expiry(real, ttlMs), real.nowMs, real.version);
  }),
  command(
    "add",
    fc.record({ key, delta: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) }),
    (real, args) => {
      real.checked.add(args.key, args.delta, real.nowMs, real.version);
      real.checked.add(args.key, args.delta % 100n, real.nowMs, real.version);
    },
  ),
  command("append", fc.record({ key, tail: value }), (real, { key, tail }) => {
    real.checked.append(key, tail, real.nowMs, real.version);
  }),
  command("wait", fc.constantFrom(1, 1, 2, 49, 250, 1_000), (real, ms) => {
    real.nowMs += ms;
  }),
  command("sweep", limit, ({ checked, nowMs }, limit) => void checked.sweep(nowMs, limit)),
  command("evict", limit, ({ checked, nowMs }, limit) => void checked.evict(nowMs, limit)),
  command("compact", limit, ({ checked }, limit) => checked.compact(limit)),
  command("drain", fc.constant(undefined), ({ checked }) => checked.drain()),
  command(
    "set many",
    fc.record({ many, value: ofOneByte(fc.nat(200)), ttlMs }),
    (real, { many, value, ttlMs }) => {
      const entry = { value, expiresAtMs: expiry(real, ttlMs), version: real.version, flags: 0 };
      for (const key of manyKeys(many)) real.checked.set(key, entry);
    },
  ),
  command("delete many", many, ({ checked, nowMs }, many) => {
    for (const key of manyKeys(many)) checked.delete(key, nowMs);
  }),
  command("get many", many, ({ checked, nowMs }, many) => {
    for (const key of manyKeys(many)) checked.get(key, nowMs);
  }),
  command(
    "scan while changing",
    fc.record({ limit, many, value, ttlMs }),
    (real, { limit, many, value, ttlMs }) => {
      const keys = manyKeys(many);
      let at = 0;
      real.checked.scan(limit, real.nowMs, () => {
        // Few keys at a time, some set and some deleted; after these, only what is there is looked at.
        for (let i = 0; i < 5 && at < keys.length; i++, at++) {
          if (at % 3 === 0) real.checked.delete(keys[at]!, real.nowMs);
          else
            real.checked.set(keys[at]!, { value, expiresAtMs: expiry(real, ttlMs), version: at, flags: 0 });
        }
        real.checked.compact(10);
      });
    },
  ),
  command("begin a copy", fc.constantFrom(1_024, 4_096), ({ checked }, segmentBytesMax) => {
    checked.beginCopy(segmentBytesMax);
  }),
  ...[1, 2, 3].map(() =>
    command(
      "go on with the copy",
      fc.record({ sizeBytes: fc.constantFrom(1, 900, 4_000, 100_000), moves: fc.boolean() }),
      (real, { sizeBytes, moves }) => {
        const copy = real.checked.stepCopy(sizeBytes);
        if (copy === undefined) return;
        copy.audit();
        if (moves) {
          real.checked.clear();
          real.checked = copy;
        } else copy.clear();
      },
    ),
  ),
  command("clear", fc.constantFrom(1, 2, 3, 4), ({ checked }, chance) => {
    if (chance === 1) checked.clear();
  }),
];

const settings = fc.record({
  segmentBytesMax: fc.constantFrom(1_024, 4_096),
  eviction: fc.constantFrom("s3-fifo", "lru"),
  endsWith: fc.constantFrom("clear", "delete", "evict", "sweep"),
});

test("is a map whose entries end at their time, in memory that is counted to the byte", () => {
  fc.assert(
    fc.property(
      settings,
      fc.commands(commands, { maxCommands: 100, size: "max" }),
      ({ segmentBytesMax, eviction, endsWith }, commands) => {
        const memory = new StoreMemory();
        const checked = new CheckedStore({ memory, seed, segmentBytesMax, eviction });
        const real: Real = { checked, memory, nowMs: 1_700_000_000_000, version: 0 };
        fc.modelRun(() => ({ model: {}, real }), commands);
        real.checked.audit();
        real.checked.checkDigest();
        end(real, endsWith);
        checkMemory(memory, [real.checked]);
        real.checked.clear();
        strictEqual(memory.usedBytes, 0);
      },
    ),
    { numRuns: 30 },
  );
}, 240_000);

/** Empties the store in one of the ways there are. */
function end(real: Real, how: "clear" | "delete" | "evict" | "sweep"): void {
  const { checked } = real;
  if (how === "clear") return;
  const keys = [...checked.model.entries.keys()].map((name) => Buffer.from(name, "latin1"));
  if (how === "delete") for (const key of keys) checked.delete(key, real.nowMs);
  if (how === "sweep") {
    for (const key of keys) checked.touch(key, real.nowMs + 1, real.nowMs, 1);
    while (checked.sweep(real.nowMs + 1_000, 100) > 0);
  }
  if (how === "evict") while (checked.evict(real.nowMs, 100) > 0);
  expect([checked.store.size, checked.store.liveBytes]).toEqual([0, 0]);
}

function newStore(
  options: { memory?: StoreMemory; segmentBytesMax?: number; eviction?: EvictionPolicy } = {},
) {
  return new PartitionStore({ seed, ...options });
}

test("the largest key with a value of 16 MiB takes whole blocks of its own, and comes back as it was", () => {
  for (const segmentBytesMax of [4_096, 65_536]) {
    const store = newStore({ segmentBytesMax });
    const name = Buffer.alloc(65_536, "k");
    const value = Buffer.alloc(16 * 1024 * 1024);
    for (let i = 0; i < value.length; i += 4_093) value[i] = i;
    store.set(name, value, 7, 2 ** 48 - 1, 5);
    const found = store.get(name, 6)!;
    expect(found.value.equals(value)).toBe(true);
    expect([found.expiresAtMs, found.version, found.flags]).toEqual([7, 2 ** 48 - 1, 5]);
    const contentBytes = name.length + value.length;
    expect(store.allocatedBytes - contentBytes).toBeLessThan(65_536 + 1_024);
    expect(store.delete(name, 6)).toBe(true);
    expect(store.allocatedBytes).toBe(0);
  }
});

test("an entry that is too large is refused, and nothing has changed", () => {
  const memory = new StoreMemory();
  const store = newStore({ memory, segmentBytesMax: 1_024 });
  const name = Buffer.from("k");
  const tooLarge = Buffer.alloc(17 * 1024 * 1024);
  const before = Buffer.from("before");
  for (const key of [name, Buffer.from("another")]) {
    store.set(name, before, 0, 1);
    const used = memory.usedBytes;
    const live = store.liveBytes;
    expect(() => store.set(key, tooLarge, 0, 2)).toThrow(RangeError);
    expect(() => store.append(key, tooLarge, 0, 2)).toThrow(RangeError);
    expect(store.get(name, 0)).toMatchObject({ value: before, version: 1 });
    expect([store.size, memory.usedBytes, store.allocatedBytes, store.liveBytes]).toEqual([
      1,
      used,
      used,
      live,
    ]);
  }
});

test("the memory of what is gone comes back with the writes and sweeps that removed it, wherever that lay", () => {
  const value = Buffer.alloc(100);
  const keys = Array.from({ length: 6_000 }, (_, i) => Buffer.from(`key:${i}`));
  const removals: Record<string, (store: PartitionStore, key: Buffer, i: number) => void> = {
    delete: (store, key) => store.delete(key, 0),
    "replace by less": (store, key) => store.set(key, Buffer.alloc(2), 0),
    "touch and sweep": (store, key, i) => {
      store.touch(key, 1, 0);
      if (i % 100 === 99) store.sweep(1_000 * i, 1_000, () => {});
    },
  };
  for (const segmentBytesMax of [1_024, 65_536]) {
    for (const [name, remove] of Object.entries(removals)) {
      for (const every of [2, 3, 10]) {
        const store = newStore({ segmentBytesMax });
        for (const key of keys) store.set(key, value, 0);
        const indexBytes = store.size * 16;
        for (const [i, key] of keys.entries()) if (i % every !== 0) remove(store, key, i);
        for (let i = 0; store.sweep(1e9 + i * 1_000, 1_000, () => {}) > 0; i++);
        const extra = store.allocatedBytes - store.liveBytes * 1.45 - indexBytes - segmentBytesMax * 3;
        expect(extra, `${name}, all but one in ${every}`).toBeLessThan(0);
      }
    }
  }
}, 120_000);

test("what was stored doesn't change with the buffer that it came in, nor the value with what is its own", () => {
  const store = newStore();
  const [name, value] = [Buffer.from("k"), Buffer.from("before")];
  store.set(name, value, 0);
  name.fill(0);
  value.fill(0);
  const found = store.get(Buffer.from("k"), 0)!.value;
  expect(found.toString()).toBe("before");
  // Its own value, and a part of it: both are views of what is written over.
  store.set(Buffer.from("k"), found, 5);
  store.set(Buffer.from("k"), store.get(Buffer.from("k"), 0)!.value.subarray(1), 5);
  expect(store.get(Buffer.from("k"), 0)!.value.toString()).toBe("efore");
});

test("keys are their bytes: two that are the same text in no encoding stay apart", () => {
  const store = newStore();
  const names = [[0xff], [0xfe], [0xc3, 0xbf], [0xef, 0xbf, 0xbd], [], [0], [0, 0]].map((name) =>
    Buffer.from(name),
  );
  for (const [i, name] of names.entries()) store.set(name, Buffer.from([i]), 0);
  expect(names.map((name) => store.get(name, 0)?.value[0])).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test("an entry is there up to its last millisecond, by whichever operation one asks", () => {
  const asks: ((store: PartitionStore, name: Buffer, nowMs: number) => boolean)[] = [
    (store, name, nowMs) => store.get(name, nowMs) !== undefined,
    (store, name, nowMs) => store.peek(name, nowMs) !== undefined,
    (store, name, nowMs) => store.has(name, nowMs),
    (store, name, nowMs) => store.touch(name, 0, nowMs),
    (store, name, nowMs) => store.delete(name, nowMs),
    (store, name, nowMs) => store.setIf({ if: "present" }, name, name, 0, nowMs),
    (store, name, nowMs) => !store.setIf({ if: "absent" }, name, name, 0, nowMs),
    (store, name, nowMs) => store.add(name, 1n, nowMs) === 8n,
    (store, name, nowMs) => store.append(name, Buffer.from("1"), nowMs) === 2,
    (store, _name, nowMs) => {
      let visits = 0;
      store.scan(0, 10, nowMs, () => visits++);
      return visits === 1;
    },
  ];
  const name = Buffer.from("k");
  for (const expiresAtMs of [1, 2 ** 32, 1_700_000_000_000, 8.64e15]) {
    for (const ask of asks) {
      const answers = [-1, 0, 1].map((laterMs) => {
        const store = newStore();
        store.set(name, Buffer.from("7"), expiresAtMs);
        return ask(store, name, expiresAtMs + laterMs);
      });
      expect(answers).toEqual([true, false, false]);
    }
  }
});

test("a condition holds of an entry that is there, and its expiry is kept if so asked", () => {
  const [name, value, other] = ["k", "v", "w"].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer];
  /** Of an entry of that value, version 3, that expires at 100: whether it was set, and when it expires then. */
  const outcome = (condition: SetCondition, nowMs: number): [boolean, number | undefined] => {
    const store = newStore();
    store.set(name, value, 100, 3, 9);
    const isSet = store.setIf(condition, name, other, 200, nowMs, 4, 8);
    const found = store.get(name, nowMs);
    const wanted = isSet ? { value: other, version: 4, flags: 8 } : { value, version: 3, flags: 9 };
    if (found !== undefined) expect(found).toMatchObject(wanted);
    return [isSet, found?.expiresAtMs];
  };
  const [set, not] = [
    [true, 200],
    [false, 100],
  ];
  const cases: [SetCondition, unknown, unknown][] = [
    [{}, set, set],
    [{ keepExpiry: true }, [true, 100], set],
    [{ keepExpiry: false }, set, set],
    [{ if: "absent" }, not, set],
    [{ if: "present" }, set, [false, undefined]],
    [{ if: "present", keepExpiry: true }, [true, 100], [false, undefined]],
    [{ value }, set, [false, undefined]],
    [{ value: other }, not, [false, undefined]],
    [{ version: 3 }, set, [false, undefined]],
    [{ version: 0 }, not, [false, undefined]],
    [{ version: 3, value: other }, not, [false, undefined]],
    [{ version: 4, value }, not, [false, undefined]],
    [{ version: 3, value, if: "present", keepExpiry: true }, [true, 100], [false, undefined]],
  ];
  for (const [condition, before, after] of cases) {
    expect([outcome(condition, 99), outcome(condition, 100)], JSON.stringify(condition)).toEqual([
      before,
      after,
    ]);
  }
});

test("a counter adds in 64 bits, and refuses what is none", () => {
  const store = newStore();
  const name = Buffer.from("n");
  const [most, least] = [2n ** 63n - 1n, -(2n ** 63n)];
  expect([store.add(name, most, 0), store.add(name, 1n, 0)]).toEqual([most, "out-of-range"]);
  expect([store.add(name, -most, 0), store.add(name, least, 0)]).toEqual([0n, least]);
  expect([store.add(name, -1n, 0), store.add(name, 0n, 0)]).toEqual(["out-of-range", least]);
  for (const text of ["", "-0", "01", "+1", " 1", "1.0", `${most + 1n}`, `${least - 1n}`]) {
    store.set(name, Buffer.from(text), 0);
    expect(store.add(name, 1n, 0)).toBe("not-an-integer");
    expect(store.get(name, 0)?.value.toString()).toBe(text);
  }
});

test("what is used stays, what isn't goes; and by `none`, nothing does", () => {
  const kept = (eviction: EvictionPolicy): { hot: number; cold: number; looked: number } => {
    const store = newStore({ eviction, segmentBytesMax: 1_024 });
    const [hot, cold] = ["hot", "cold"].map((kind) =>
      Array.from({ length: 500 }, (_, i) => Buffer.from(`${kind}${i}`)),
    ) as [Buffer[], Buffer[]];
    for (let i = 0; i < 500; i++)
      for (const name of [hot[i]!, cold[i]!]) store.set(name, Buffer.alloc(50), 0);
    for (let round = 0; round < 3; round++) for (const name of hot) store.get(name, 0);
    let looked = 0;
    while (store.size > 550) {
      const step = store.evict(10, 0, () => {});
      if (step === 0) break;
      looked += step;
    }
    const count = (names: Buffer[]): number =>
      names.filter((name) => store.peek(name, 0) !== undefined).length;
    return { hot: count(hot), cold: count(cold), looked };
  };
  expect(kept("s3-fifo").hot).toBeGreaterThan(490);
  expect(kept("lru").hot).toBeGreaterThan(490);
  expect(kept("none")).toEqual({ hot: 500, cold: 500, looked: 0 });
});

test("stores have the same digest if they hold the same, however they came to it", () => {
  const [one, other] = [newStore(), newStore({ segmentBytesMax: 1_024 })];
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
