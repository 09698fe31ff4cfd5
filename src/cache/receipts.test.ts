import { expect, test } from "vitest";
import { keptAfterLeavingMs, Receipts } from "./receipts.ts";

test("a write that was carried out is told from a new one and from one that is over", () => {
  const receipts = new Receipts();
  expect(receipts.find("a", 1)).toBe("new");
  receipts.record("a", 1, 1, true);
  receipts.record("a", 2, 1, false);
  expect([receipts.find("a", 1), receipts.find("a", 2), receipts.find("a", 3)]).toEqual([true, false, "new"]);
  expect(receipts.find("b", 1)).toBe("new");
  receipts.record("a", 5, 3, true);
  expect([1, 2, 3, 5].map((n) => receipts.find("a", n))).toEqual(["over", "over", "new", true]);
});

test("a router that is no member any more is remembered for longer than its writes may wait", () => {
  const receipts = new Receipts();
  receipts.record("a", 1, 1, true);
  receipts.record("b", 1, 1, true);
  const onlyB = (origin: string): boolean => origin === "b";
  receipts.review(() => true, 0);
  receipts.review(onlyB, 1_000);
  receipts.review(onlyB, 1_000 + keptAfterLeavingMs - 1);
  expect(receipts.find("a", 1)).toBe(true);
  receipts.review(onlyB, 1_000 + keptAfterLeavingMs);
  expect([receipts.find("a", 1), receipts.find("b", 1)]).toEqual(["new", true]);
});

test("only what may be asked for again is kept", () => {
  const receipts = new Receipts();
  for (let n = 1; n <= 10_000; n++) receipts.record("a", n, Math.max(1, n - 63), true);
  expect(receipts.size).toBe(64);
});

test("an older write that is carried out late keeps its answer", () => {
  const receipts = new Receipts();
  receipts.record("a", 7, 3, true);
  receipts.record("a", 4, 3, false);
  receipts.record("a", 8, 5, true);
  expect([4, 7, 8].map((n) => receipts.find("a", n))).toEqual(["over", true, true]);
});

test("they survive their journey as bytes", () => {
  const receipts = new Receipts();
  receipts.record("one", 2 ** 40, 2 ** 40, true);
  receipts.record("one", 2 ** 40 + 1, 2 ** 40, false);
  receipts.record("zwei 🦊", 1, 1, false);
  const copy = new Receipts();
  for (const bytes of receipts.encode()) copy.add(bytes);
  expect(copy.encode()).toEqual(receipts.encode());
  expect(copy.find("one", 2 ** 40 - 1)).toBe("over");
  expect(copy.find("one", 2 ** 40 + 1)).toBe(false);
  expect(copy.find("zwei 🦊", 1)).toBe(false);
  expect(() => copy.add(receipts.encode()[0]!.subarray(0, -1))).toThrow(RangeError);
});
