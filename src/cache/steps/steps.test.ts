import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { contentsOf, testStores } from "../../../tests/support/stores.ts";
import { cursorEnd } from "../../storage/key-index.ts";
import type { PartitionStore } from "../../storage/partition-store.ts";
import { noBytes, RunCommand } from "../command.ts";
import { Receipts } from "../receipts.ts";
import { WriteKind } from "../write-wire.ts";
import { addDecimals } from "./decimal.ts";
import { decodeEffects, encodeEffects } from "./effects.ts";
import { globOf } from "./glob.ts";
import { ExpireFlag } from "./keys.ts";
import { Keyspace } from "./keyspace.ts";
import { carryOut } from "./run.ts";
import {
  decodeResults,
  decodeSteps,
  encodeResults,
  encodeSteps,
  type Result,
  runAdds,
  runWrites,
  type Step,
  StepCode,
} from "./step.ts";
import { integerArg, numberArg, SetFlag } from "./strings.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

function step(code: StepCode, keys: string[], ...args: (string | Buffer)[]): Step {
  return {
    code,
    keys: keys.map(bytes),
    args: args.map((arg) => (typeof arg === "string" ? bytes(arg) : arg)),
  };
}

/** An owner's store and a backup's, which gets what the owner's runs have changed. */
class Pair {
  readonly owner = testStores().create({ low: 1, high: 2 });
  readonly backup = testStores().create({ low: 3, high: 4 });
  nowMs = 1_000;
  #lsn = 0;

  run(...steps: Step[]): Result[] {
    const space = new Keyspace(this.owner, this.nowMs, ++this.#lsn);
    const { results } = carryOut(decodeSteps(encodeSteps(steps)), space);
    const { answer, effects } = decodeEffects(encodeEffects(encodeResults(results), space.effects));
    for (const { kind, key, value, expiresAtMs } of effects) {
      if (kind === WriteKind.set) this.backup.set(key, value, expiresAtMs, this.#lsn);
      else if (kind === WriteKind.touch)
        this.backup.touch(key, expiresAtMs, Number.NEGATIVE_INFINITY, this.#lsn);
      else this.backup.delete(key, 0);
    }
    expect(this.backup.digest()).toBe(this.owner.digest());
    return decodeResults(answer);
  }

  one(code: StepCode, keys: string[], ...args: (string | Buffer)[]): unknown {
    const [result] = this.run(step(code, keys, ...args));
    return shown(result!);
  }

  set(key: string, value: string, flags = 0, expiresAtMs = 0): unknown {
    return this.one(StepCode.set, [key], Buffer.from([flags]), value, numberArg(expiresAtMs));
  }

  get(key: string): unknown {
    return this.one(StepCode.get, [key]);
  }
}

function shown(result: Result): unknown {
  if (Buffer.isBuffer(result)) return result.toString("latin1");
  return Array.isArray(result) ? result.map(shown) : result;
}

const OK = { word: "OK" };

describe("on values", () => {
  test("set with its conditions", () => {
    const pair = new Pair();
    expect(pair.set("k", "1")).toEqual(OK);
    expect(pair.set("k", "2", SetFlag.ifAbsent)).toBeNull();
    expect(pair.set("k", "2", SetFlag.ifPresent | SetFlag.get, 5_000)).toBe("1");
    expect(pair.set("n", "2", SetFlag.ifPresent)).toBeNull();
    expect(pair.set("n", "2", SetFlag.ifPresent | SetFlag.get)).toBeNull();
    expect(pair.set("k", "3", SetFlag.keepExpiry)).toEqual(OK);
    expect(pair.one(StepCode.expiry, ["k"])).toBe(5_000);
    expect(pair.set("k", "4", 0, 1_000)).toEqual(OK);
    expect(pair.get("k")).toBeNull();
  });

  test("append, lengths and ranges", () => {
    const pair = new Pair();
    expect(pair.one(StepCode.append, ["k"], "Hello")).toBe(5);
    expect(pair.one(StepCode.append, ["k"], " World")).toBe(11);
    expect(pair.one(StepCode.length, ["k"])).toBe(11);
    pair.set("e", "old", 0, 2_000);
    expect(pair.one(StepCode.append, ["e"], "+")).toBe(4);
    expect(pair.one(StepCode.expiry, ["e"])).toBe(2_000);
    pair.nowMs = 3_000;
    expect(pair.one(StepCode.append, ["e"], "new")).toBe(3);
    expect(pair.one(StepCode.expiry, ["e"])).toBe(-1);
    const range = (from: number, to: number) =>
      pair.one(StepCode.getRange, ["k"], numberArg(from), numberArg(to));
    expect([range(0, 4), range(-5, -1), range(0, -1), range(5, 3), range(-1, -5), range(20, 30)]).toEqual([
      "Hello",
      "World",
      "Hello World",
      "",
      "",
      "",
    ]);
    expect(pair.one(StepCode.setRange, ["k"], numberArg(6), "Redis")).toBe(11);
    expect(pair.get("k")).toBe("Hello Redis");
    expect(pair.one(StepCode.setRange, ["n"], numberArg(2), "x")).toBe(3);
    expect(pair.get("n")).toBe("\0\0x");
    expect(pair.one(StepCode.setRange, ["m"], numberArg(2), "")).toBe(0);
    expect(pair.one(StepCode.setRange, ["k"], numberArg(2 ** 29), "x")).toMatchObject({
      failure: expect.stringContaining("exceeds"),
    });
  });

  test("counters keep their expiry, and refuse what is no number or leaves 64 bits", () => {
    const pair = new Pair();
    pair.set("k", "9223372036854775806", 0, 9_000);
    expect(pair.one(StepCode.add, ["k"], integerArg(1n))).toBe(9223372036854775807n);
    expect(pair.one(StepCode.add, ["k"], integerArg(1n))).toEqual({
      failure: "ERR increment or decrement would overflow",
    });
    expect(pair.one(StepCode.expiry, ["k"])).toBe(9_000);
    expect(pair.one(StepCode.add, ["n"], integerArg(-3n))).toBe(-3);
    for (const text of ["", " 1", "1 ", "+1", "01", "1.0", "9223372036854775808", "-0"]) {
      pair.set("t", text);
      expect(pair.one(StepCode.add, ["t"], integerArg(1n)), text).toMatchObject({
        failure: expect.any(String),
      });
    }
  });

  test("decimal numbers add up as they are written", () => {
    expect(addDecimals("10.50", "0.1")).toBe("10.6");
    expect(addDecimals("0.1", "0.2")).toBe("0.3");
    expect(addDecimals("5.0e3", "2.0e2")).toBe("5200");
    expect(addDecimals("-1", "1")).toBe("0");
    expect(addDecimals("3", "-4.5")).toBe("-1.5");
    expect(addDecimals("1", "1e-30")).toBe("1");
    expect(addDecimals("1", "inf")).toBe("infinite");
    for (const text of ["", "x", "1 2", "1e", ".", "--1", " 1"])
      expect(addDecimals(text, "1"), text).toBeUndefined();
  });
});

describe("on keys", () => {
  test("expiry with its conditions", () => {
    const pair = new Pair();
    pair.set("k", "v");
    const expire = (atMs: number, flags = 0) =>
      pair.one(StepCode.expire, ["k"], numberArg(atMs), Buffer.from([flags]));
    expect(pair.one(StepCode.expiry, ["k"])).toBe(-1);
    expect(expire(5_000, ExpireFlag.ifAny)).toBe(0);
    expect(expire(5_000, ExpireFlag.ifLater)).toBe(0);
    expect(expire(5_000, ExpireFlag.ifSooner)).toBe(1);
    expect(expire(6_000, ExpireFlag.ifNone)).toBe(0);
    expect(expire(4_000, ExpireFlag.ifLater)).toBe(0);
    expect(expire(6_000, ExpireFlag.ifLater)).toBe(1);
    expect(expire(0)).toBe(1);
    expect(expire(0)).toBe(0);
    expect(expire(500)).toBe(1);
    expect(pair.one(StepCode.expiry, ["k"])).toBe(-2);
    expect(expire(9_000)).toBe(0);
  });

  test("getDelete and getExpire", () => {
    const pair = new Pair();
    pair.set("k", "v");
    expect(pair.one(StepCode.getExpire, ["k"], numberArg(2_000))).toBe("v");
    pair.nowMs = 1_999;
    expect(pair.get("k")).toBe("v");
    pair.nowMs = 2_000;
    expect(pair.get("k")).toBeNull();
    pair.set("k", "w");
    expect(pair.one(StepCode.getDelete, ["k"])).toBe("w");
    expect(pair.one(StepCode.getDelete, ["k"])).toBeNull();
  });

  test("rename, copy and setAll", () => {
    const pair = new Pair();
    pair.set("a", "1", 0, 7_000);
    expect(pair.one(StepCode.rename, ["x", "y"])).toMatchObject({ failure: "ERR no such key" });
    expect(pair.one(StepCode.rename, ["a", "a"])).toEqual(OK);
    expect(pair.one(StepCode.rename, ["a", "b"])).toEqual(OK);
    expect([pair.get("a"), pair.get("b"), pair.one(StepCode.expiry, ["b"])]).toEqual([null, "1", 7_000]);
    pair.set("c", "2");
    expect(pair.one(StepCode.rename, ["b", "c"], Buffer.from([1]))).toBe(0);
    expect(pair.one(StepCode.copy, ["b", "c"])).toBe(0);
    expect(pair.one(StepCode.copy, ["b", "c"], Buffer.from([1]))).toBe(1);
    expect([pair.get("b"), pair.get("c")]).toEqual(["1", "1"]);
    expect(pair.one(StepCode.setAll, ["d", "c"], "4", "5")).toBe(0);
    expect(pair.get("d")).toBeNull();
    expect(pair.one(StepCode.setAll, ["d", "e"], "4", "5")).toBe(1);
    expect(pair.one(StepCode.delete, ["d", "e", "f"])).toBe(2);
    expect(pair.one(StepCode.exists, ["b", "b", "d"])).toBe(2);
  });

  test("a guard holds off what follows if a key has changed since", () => {
    const pair = new Pair();
    pair.set("k", "1");
    const versions = () => (pair.run(step(StepCode.version, ["k", "n"]))[0] as number[]).map(numberArg);
    const before = versions();
    const guarded = (tokens: Buffer[]) =>
      pair
        .run(
          step(StepCode.guard, ["k", "n"], ...tokens),
          step(StepCode.set, ["k"], Buffer.from([0]), "2", numberArg(0)),
        )
        .map(shown);
    expect(guarded(before)).toEqual([1, OK]);
    expect(guarded(before)).toEqual([0]);
    expect(pair.get("k")).toBe("2");
  });

  test("a scan and a flush go through all, in parts", () => {
    const pair = new Pair();
    for (let i = 0; i < 500; i++) pair.set(`key:${i}`, "v");
    const seen: unknown[] = [];
    for (let cursor = 0; cursor < cursorEnd; ) {
      const [next, keys] = pair.one(StepCode.scan, [], numberArg(cursor), numberArg(10), "key:?") as [
        number,
        string[],
      ];
      seen.push(...keys);
      cursor = next;
    }
    expect(seen.sort()).toEqual(Array.from({ length: 10 }, (_, i) => `key:${i}`));
    expect(pair.one(StepCode.randomKey, [], numberArg(0.999999))).toMatch(/^key:/);
    expect(pair.one(StepCode.size, [])).toBe(500);
    for (let cursor = 0; cursor < cursorEnd; ) {
      cursor = pair.one(StepCode.flush, [], numberArg(cursor), numberArg(100)) as number;
    }
    expect([pair.owner.size, pair.one(StepCode.randomKey, [], numberArg(0.5))]).toEqual([0, null]);
  });
});

test("patterns are Redis's", () => {
  const matches = (pattern: string, key: string) => globOf(bytes(pattern))(bytes(key));
  for (const [pattern, key] of [
    ["", "x"],
    ["*", ""],
    ["a*c", "abc"],
    ["a*b*c", "aXbXbXc"],
    ["h?llo", "hello"],
    ["h[ae]llo", "hallo"],
    ["h[^e]llo", "hallo"],
    ["h[a-c]llo", "hbllo"],
    ["h\\*llo", "h*llo"],
    ["[\\]]", "]"],
  ] as const) {
    expect(matches(pattern, key), `${pattern} ${key}`).toBe(true);
  }
  for (const [pattern, key] of [
    ["a*c", "abd"],
    ["h?llo", "hllo"],
    ["h[^e]llo", "hello"],
    ["h\\*llo", "hello"],
    ["abc", "ab"],
    ["ab", "abc"],
  ] as const) {
    expect(matches(pattern, key), `${pattern} ${key}`).toBe(false);
  }
  // No pattern takes longer than its length times that of the key.
  expect(matches(`${"a*".repeat(500)}b`, "a".repeat(5_000))).toBe(false);
});

const anyBytes = fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array));

test("steps and results come back as they were written; bytes that end within one throw", () => {
  const { result } = fc.letrec<{ result: Result }>((tie) => ({
    result: fc.oneof(
      { maxDepth: 3 },
      fc.constant(null),
      fc.maxSafeInteger(),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }),
      anyBytes,
      fc.record({ word: fc.string() }),
      fc.record({ failure: fc.string() }),
      fc.array(tie("result"), { maxLength: 4 }),
    ),
  }));
  const steps = fc.array(
    fc.record({
      code: fc.constantFrom(...Object.values(StepCode)),
      keys: fc.array(anyBytes, { maxLength: 3 }),
      args: fc.array(anyBytes, { maxLength: 3 }),
    }),
  );
  fc.assert(
    fc.property(steps, fc.array(result), (some, results) => {
      const run = encodeSteps(some);
      expect(decodeSteps(run)).toEqual(some);
      expect(decodeResults(encodeResults(results))).toEqual(results);
      for (let end = 0; end < run.length; end++)
        expect(() => decodeSteps(run.subarray(0, end))).toThrow(RangeError);
    }),
  );
  const writesAndAdds = (code: StepCode): boolean[] => {
    const steps = [step(code, ["k"])];
    const run = new RunCommand(steps, bytes("k"));
    const received = { value: run.value };
    expect([runWrites(received), runAdds(received)]).toEqual([runWrites(run), runAdds(run)]);
    return [runWrites(run), runAdds(run)];
  };
  expect(writesAndAdds(StepCode.get)).toEqual([false, false]);
  expect(writesAndAdds(StepCode.delete)).toEqual([true, false]);
  expect(writesAndAdds(StepCode.append)).toEqual([true, true]);
});

test("receipts keep a run's answer, and hand it on", () => {
  const receipts = new Receipts();
  receipts.record("a", 1, 1, true);
  receipts.record("a", 2, 1, bytes("an answer"));
  const other = new Receipts();
  for (const encoded of receipts.encode()) {
    other.add(encoded);
    expect(() => new Receipts().add(encoded.subarray(0, encoded.length - 1))).toThrow(RangeError);
  }
  expect([other.find("a", 1), other.find("a", 2), other.find("a", 3)]).toEqual([
    true,
    bytes("an answer"),
    "new",
  ]);
});

test("a run that a node doesn't know fails by itself", () => {
  const store: PartitionStore = testStores().create();
  const unknown = { code: 200 as StepCode, keys: [], args: [noBytes] };
  const { results } = carryOut([unknown, step(StepCode.setAll, ["k"], "v")], new Keyspace(store, 1, 1));
  expect(results).toEqual([{ failure: "ERR this node does not know step 200" }, 1]);
  expect(contentsOf(store)).toEqual(["k=v@0"]);
});
