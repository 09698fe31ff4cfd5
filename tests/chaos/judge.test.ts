import { expect, test } from "vitest";
import type { Operation } from "../simulation/linearizability.ts";
import { admissible, longestGap } from "./judge.ts";

function set(value: string, invokedAt: number, completedAt?: number): Operation {
  return { client: "c", key: "k", kind: "set", value, invokedAt, completedAt };
}

function remove(invokedAt: number, completedAt?: number): Operation {
  return { client: "c", key: "k", kind: "delete", result: true, invokedAt, completedAt };
}

function get(result: string, invokedAt: number, completedAt: number): Operation {
  return { client: "c", key: "k", kind: "get", result, invokedAt, completedAt };
}

test.each<[string, Operation[], (string | undefined)[]]>([
  ["never written", [], [undefined]],
  ["only read", [get("x", 1, 2)], [undefined]],
  ["one write", [set("a", 1, 2)], ["a"]],
  ["the last of two", [set("a", 1, 2), set("b", 3, 4)], ["b"]],
  ["a delete after a write", [set("a", 1, 2), remove(3, 4)], [undefined]],
  ["two at once", [set("a", 1, 4), set("b", 3, 5)], ["a", "b"]],
  ["two at once, the earlier call ends later", [set("a", 1, 9), set("b", 3, 5)], ["a", "b"]],
  [
    "three, the first over before the last began",
    [set("a", 1, 2), set("b", 1, 5), set("c", 3, 6)],
    ["b", "c"],
  ],
  ["an unknown one long before", [set("a", 1), set("b", 3, 4)], ["a", "b"]],
  ["only an unknown one", [set("a", 1)], ["a", undefined]],
  ["a read that came later", [set("a", 1, 2), get("a", 3, 4)], ["a"]],
])("what a key may hold: %s", (_, history, expected) => {
  expect([...admissible(history)].sort()).toEqual([...expected].sort());
});

test("the longest gap of any partition", () => {
  const acknowledged = new Map([
    [1, [5, 10, 20, 40]],
    [2, [12, 14, 41]],
  ]);
  expect(longestGap(acknowledged, 0, 50)).toEqual({ partition: 2, ms: 27 });
  // Only what lies within counts, and the ends count too.
  expect(longestGap(acknowledged, 11, 21)).toEqual({ partition: 1, ms: 9 });
  expect(longestGap(acknowledged, 0, 90)).toEqual({ partition: 1, ms: 50 });
  expect(longestGap(new Map([[3, []]]), 10, 25)).toEqual({ partition: 3, ms: 15 });
});
