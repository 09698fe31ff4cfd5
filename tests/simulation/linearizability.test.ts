import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  apply,
  checkLinearizability,
  describeVerdict,
  type Operation,
  refused,
  type Value,
} from "./linearizability.ts";
import { Random } from "./random.ts";

type Span = readonly [invokedAt: number, completedAt?: number];

const call = ([invokedAt, completedAt]: Span, key = "k") => ({ client: "c", key, invokedAt, completedAt });
const get = (span: Span, result?: Value): Operation => ({ ...call(span), kind: "get", result });
const has = (span: Span, result: boolean): Operation => ({ ...call(span), kind: "has", result });
const set = (span: Span, value: string): Operation => ({ ...call(span), kind: "set", value });
const append = (span: Span, value: string, result?: number): Operation => ({
  ...call(span),
  kind: "append",
  value,
  result,
});
const del = (span: Span, result?: boolean): Operation => ({ ...call(span), kind: "delete", result });
const cas = (span: Span, expected: Value, value: string, result?: boolean): Operation => ({
  ...call(span),
  kind: "cas",
  expected,
  value,
  result,
});

const good: Record<string, Operation[]> = {
  nothing: [],
  "a read of nothing": [get([1, 2], undefined)],
  "one after the other": [set([1, 2], "a"), get([3, 4], "a"), del([5, 6], true), has([7, 8], false)],
  "a read during a write sees the old value": [set([1, 2], "a"), set([3, 8], "b"), get([4, 5], "a")],
  "a read during a write sees the new value": [set([1, 2], "a"), set([3, 8], "b"), get([4, 5], "b")],
  "concurrent reads on the two sides of a write": [
    set([1, 10], "a"),
    get([2, 9], "a"),
    get([3, 8], undefined),
  ],
  "concurrent writes in the other order": [set([1, 10], "a"), set([2, 9], "b"), get([11, 12], "a")],
  "an unknown write that was never seen": [set([1], "a"), get([2, 3], undefined)],
  "an unknown write that was seen": [set([1], "a"), get([2, 3], "a")],
  "an unknown write that takes effect late": [set([1], "a"), get([2, 3], undefined), get([4, 5], "a")],
  "an unknown delete between two reads": [
    set([1, 2], "a"),
    del([3]),
    get([4, 5], "a"),
    get([6, 7], undefined),
  ],
  "an unknown read": [set([1, 2], "a"), get([3])],
  "compare-and-set": [
    cas([1, 2], undefined, "a", true),
    cas([3, 4], "b", "c", false),
    cas([5, 6], "a", "d", true),
    get([7, 8], "d"),
  ],
  "simultaneous is concurrent": [set([1, 2], "a"), get([2, 3], undefined)],
  "keys are independent": [
    { ...call([1, 2], "x"), kind: "set", value: "a" },
    { ...call([3, 4], "y"), kind: "get", result: undefined },
  ],
};

const bad: Record<string, Operation[]> = {
  "a lost write": [set([1, 2], "a"), get([3, 4], undefined)],
  "a stale read": [set([1, 2], "a"), set([3, 4], "b"), get([5, 6], "a")],
  "a value that nobody wrote": [set([1, 2], "a"), get([3, 4], "b")],
  "a read that is taken back": [set([1, 10], "a"), get([2, 3], "a"), get([4, 5], undefined)],
  "a read of the future": [get([1, 2], "a"), set([3, 4], "a")],
  "two deletes of one value": [set([1, 2], "a"), del([3, 6], true), del([4, 5], true)],
  "an unknown write that comes and goes": [
    set([1, 2], "a"),
    set([3], "b"),
    get([4, 5], "b"),
    get([6, 7], "a"),
  ],
  "an unknown write seen before its call": [get([1, 2], "a"), set([3], "a")],
  "two winners of one compare-and-set": [
    cas([1, 4], undefined, "a", true),
    cas([2, 3], undefined, "b", true),
  ],
  "a has that is wrong": [set([1, 2], "a"), has([3, 4], false)],
};

describe("histories whose verdict is known", () => {
  test.each(Object.entries(good))("%s: linearizable", (_, history) => {
    expect(describeVerdict(checkLinearizability(history))).toBe("linearizable");
  });

  test.each(Object.entries(bad))("%s: not linearizable", (_, history) => {
    expect(checkLinearizability(history).ok).toBe(false);
  });

  test("a failure names the key, what was explained and what doesn't fit", () => {
    const history = [set([1, 2], "a"), set([3, 4], "b"), get([5, 6], "a")];
    const verdict = checkLinearizability(history);
    expect(verdict).toEqual({
      ok: false,
      key: "k",
      explained: history.slice(0, 2),
      unexplained: [history[2]],
    });
    expect(describeVerdict(verdict)).toContain("[5..6] c get k: a");
  });

  test("an initial value is one that may be read", () => {
    expect(checkLinearizability([get([1, 2], "a")], { initial: "a" }).ok).toBe(true);
    expect(checkLinearizability([get([1, 2], undefined)], { initial: "a" }).ok).toBe(false);
  });

  test("an append that is done twice, or not at all, shows", () => {
    const history = [set([1, 2], "a"), append([3, 4], "b", 2), get([5, 6], "ab")];
    expect(checkLinearizability(history).ok).toBe(true);
    expect(checkLinearizability([...history, get([7, 8], "abb")]).ok).toBe(false);
    expect(checkLinearizability([append([1, 2], "b", 1), get([3, 4], undefined)]).ok).toBe(false);
    expect(checkLinearizability([set([1, 2], "a"), append([3, 4], "b", 1)]).ok).toBe(false);
  });

  test("what may be evicted may be gone at any moment, and doesn't come back", () => {
    const history = [set([1, 2], "a"), get([3, 4], "a"), get([5, 6], undefined)];
    expect(checkLinearizability(history).ok).toBe(false);
    expect(checkLinearizability(history, { evicts: true }).ok).toBe(true);
    expect(checkLinearizability([...history, get([7, 8], "a")], { evicts: true }).ok).toBe(false);
    const swapped = [set([1, 2], "a"), cas([3, 4], undefined, "b", true), get([5, 6], "b")];
    expect(checkLinearizability(swapped, { evicts: true }).ok).toBe(true);
    expect(checkLinearizability([set([1, 2], "a"), get([3, 4], "b")], { evicts: true }).ok).toBe(false);
    const unknown = [set([1, 2], "a"), cas([3], undefined, "b"), get([4, 5], "b")];
    expect(checkLinearizability(unknown, { evicts: true }).ok).toBe(true);
    expect(checkLinearizability(unknown).ok).toBe(false);
  });
});

/** Every order of every choice of the unknown operations: the definition, word for word. */
function bruteForce(history: readonly Operation[]): boolean {
  const explore = (state: Value, left: readonly Operation[]): boolean => {
    if (left.every((operation) => operation.completedAt === undefined)) return true;
    return left.some((operation, i) => {
      const mustWait = left.some(
        (other) => other.completedAt !== undefined && other.completedAt < operation.invokedAt,
      );
      if (mustWait) return false;
      const next = apply(state, operation);
      return next !== refused && explore(next, [...left.slice(0, i), ...left.slice(i + 1)]);
    });
  };
  return explore(undefined, history);
}

const value = fc.constantFrom("a", "b");
const seen = fc.constantFrom<Value>("a", "b", undefined);
const span = fc
  .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 5 }), fc.nat(3))
  .map(([at, length, unknown]): Span => (unknown === 0 ? [at] : [at, at + length]));
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(span, seen).map(([at, result]) => get(at, result)),
  fc.tuple(span, value).map(([at, written]) => set(at, written)),
  fc.tuple(span, fc.boolean()).map(([at, result]) => del(at, result)),
  fc.tuple(span, fc.boolean()).map(([at, result]) => has(at, result)),
  fc
    .tuple(span, seen, value, fc.boolean())
    .map(([at, expected, next, result]) => cas(at, expected, next, result)),
);

describe("any small history", () => {
  test("gets the verdict of the definition", () => {
    const verdicts = { yes: 0, no: 0 };
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 6 }), (history) => {
        const expected = bruteForce(history);
        verdicts[expected ? "yes" : "no"]++;
        expect(checkLinearizability(history).ok).toBe(expected);
      }),
      { numRuns: 3_000 },
    );
    // Both must have been tried.
    expect(Math.min(verdicts.yes, verdicts.no)).toBeGreaterThan(300);
  });
});

/** What clients of a true register record: each operation takes effect at a random moment of its span. */
function trueHistory(random: Random, clients: number, operations: number, unknown: number): Operation[] {
  const drafts: { at: number; invokedAt: number; completedAt: number | undefined; client: string }[] = [];
  for (let c = 0; c < clients; c++) {
    let now = random.between(0, 10);
    for (let i = 0; i < operations; i++) {
      const invokedAt = now;
      now += random.between(1, 20);
      const isUnknown = random.chance(unknown);
      const at = isUnknown ? invokedAt + random.between(0, 500) : random.between(invokedAt, now);
      drafts.push({ at, invokedAt, completedAt: isUnknown ? undefined : now, client: `c${c}` });
      now += random.between(0.1, 5);
    }
  }
  let state: Value;
  const history: Operation[] = [];
  for (const { at: _, ...draft } of drafts.sort((a, b) => a.at - b.at)) {
    const base = { ...draft, key: "k" };
    const kind = random.pick(["get", "get", "set", "set", "delete"] as const);
    if (kind === "get") history.push({ ...base, kind, result: state });
    else if (kind === "delete") {
      history.push({ ...base, kind, result: state !== undefined });
      state = undefined;
    } else {
      // Values repeat, or else every read would give the order away.
      state = `v${random.integer(0, 9)}`;
      history.push({ ...base, kind, value: state });
    }
  }
  return history;
}

describe("long histories", () => {
  test.each([1, 2, 3, 4])("of a true register are found to be linearizable (seed %i)", (seed) => {
    // An exhaustive search would never end: that this does is the test.
    const history = trueHistory(new Random(seed), 6, 400, 0.005);
    expect(describeVerdict(checkLinearizability(history))).toBe("linearizable");
  });

  test.each([1, 2, 3, 4])("with one read too old aren't (seed %i)", (seed) => {
    const history = trueHistory(new Random(seed), 4, 200, 0);
    const last = Math.max(...history.map((each) => each.completedAt!));
    history.push(set([last + 1, last + 2], "final"), set([last + 3, last + 4], "after"));
    expect(checkLinearizability([...history, get([last + 5, last + 6], "after")]).ok).toBe(true);
    expect(checkLinearizability([...history, get([last + 5, last + 6], "final")]).ok).toBe(false);
  });
});
