/** A few seconds of `npm run fuzz:redis`. */
import { expect, test } from "vitest";
import { Fuzzer } from "./redis-requests.ts";

test("mutated requests: every one ends, the same however it is cut, and memory stays", () => {
  const fuzzer = new Fuzzer(20_240_229);
  const untilMs = performance.now() + 3_000;
  let inputs = 0;
  for (; inputs < 20_000 || performance.now() < untilMs; inputs++) fuzzer.one();
  const { requests, refused, errors } = fuzzer.seen;
  expect(requests).toBeGreaterThan(inputs);
  expect(refused).toBeGreaterThan(inputs / 100);
  const kinds = new Set([...errors.keys()].map((error) => error.replace(/got '.*/s, "got")));
  expect([...kinds].sort()).toEqual([
    "Protocol error: expected '$', got",
    "Protocol error: invalid bulk length",
    "Protocol error: invalid multibulk length",
    "Protocol error: too big bulk count string",
    "Protocol error: too big inline request",
    "Protocol error: too big mbulk count string",
    "Protocol error: unauthenticated multibulk length",
    "Protocol error: unbalanced quotes in request",
  ]);
});
