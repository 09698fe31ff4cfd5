import { expect, test } from "vitest";
import { between, countOf, Histogram, quantileMs, sumOf } from "./histogram.ts";

function histogramOf(...tookMs: number[]): Histogram {
  const histogram = new Histogram([1, 10, 100]);
  for (const ms of tookMs) histogram.add(ms);
  return histogram;
}

test("a bound belongs to the bucket below it, and what is longer than all bounds to the last", () => {
  expect(histogramOf(0, 1, 1.001, 10, 100, 101).read()).toEqual({
    boundsMs: [1, 10, 100],
    counts: [2, 2, 1, 1],
    sumMs: 213.001,
  });
});

test("what stands for several counts as several", () => {
  const histogram = new Histogram([1]);
  histogram.add(0.5, 32);
  expect(histogram.read()).toEqual({ boundsMs: [1], counts: [32, 0], sumMs: 16 });
});

test("a quantile lies where as many are below it, evenly within its bucket", () => {
  const reading = histogramOf(5, 5, 5, 50).read();
  expect(quantileMs(reading, 0.5)).toBe(1 + 9 * (2 / 3));
  expect(quantileMs(reading, 0.75)).toBe(10);
  expect(quantileMs(reading, 1)).toBe(100);
  expect(quantileMs(histogramOf(1_000).read(), 0.5)).toBe(100);
  expect(quantileMs(histogramOf().read(), 0.5)).toBeUndefined();
});

test("readings are added up, and taken from later ones", () => {
  const histogram = histogramOf(5);
  const before = histogram.read();
  histogram.add(50);
  const after = histogram.read();
  expect(between(before, after)).toEqual(histogramOf(50).read());
  expect(sumOf([before, after])).toEqual(histogramOf(5, 5, 50).read());
  expect(countOf(after)).toBe(2);
});
