/** How long things took, counted in buckets: a few numbers, whatever comes. */

/** What a {@link Histogram} has counted so far; plain numbers, so that it can go to another node. */
export interface HistogramReading {
  /** Upper bounds of the buckets, in milliseconds, ascending; the last bucket has none. */
  readonly boundsMs: readonly number[];
  /** How many fell into each bucket: one more than there are bounds. */
  readonly counts: readonly number[];
  readonly sumMs: number;
}

export class Histogram {
  readonly #boundsMs: readonly number[];
  readonly #counts: Float64Array;
  #sumMs = 0;

  /** `boundsMs`: ascending. */
  constructor(boundsMs: readonly number[]) {
    this.#boundsMs = boundsMs;
    this.#counts = new Float64Array(boundsMs.length + 1);
  }

  /** `weight`: for how many it stands. */
  add(tookMs: number, weight = 1): void {
    const bounds = this.#boundsMs;
    let bucket = 0;
    while (bucket < bounds.length && tookMs > bounds[bucket]!) bucket++;
    this.#counts[bucket]! += weight;
    this.#sumMs += tookMs * weight;
  }

  read(): HistogramReading {
    return { boundsMs: this.#boundsMs, counts: [...this.#counts], sumMs: this.#sumMs };
  }
}

export function countOf({ counts }: HistogramReading): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Those of all together; they have the same bounds, and there is at least one. */
export function sumOf(readings: readonly HistogramReading[]): HistogramReading {
  const [{ boundsMs }] = readings as [HistogramReading];
  return {
    boundsMs,
    counts: [...boundsMs, 0].map((_, i) => readings.reduce((sum, { counts }) => sum + counts[i]!, 0)),
    sumMs: readings.reduce((sum, reading) => sum + reading.sumMs, 0),
  };
}

/** What was counted between two readings of one histogram. */
export function between(before: HistogramReading, after: HistogramReading): HistogramReading {
  return {
    boundsMs: after.boundsMs,
    counts: after.counts.map((count, i) => count - before.counts[i]!),
    sumMs: after.sumMs - before.sumMs,
  };
}

/**
 * The time within which a share `q` (0 to 1) was done, in milliseconds, as Prometheus's `histogram_quantile` estimates it:
 * evenly spread within a bucket, and at most the last bound. Undefined if there was nothing.
 */
export function quantileMs(reading: HistogramReading, q: number): number | undefined {
  const { boundsMs, counts } = reading;
  const wanted = q * countOf(reading);
  let seen = 0;
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i]!;
    if (count === 0 || seen + count < wanted) {
      seen += count;
      continue;
    }
    const [from, to] = [boundsMs[i - 1] ?? 0, boundsMs[i] ?? boundsMs.at(-1)!];
    return from + (to - from) * ((wanted - seen) / count);
  }
  return undefined;
}
