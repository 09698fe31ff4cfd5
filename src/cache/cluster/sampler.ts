/** Measures this node once a second and keeps the last minutes, so that whoever begins to watch sees what came before. */
import { type Counted, ratesBetween } from "../../metrics/snapshot.ts";
import type { Runtime, Timer } from "../../runtime.ts";
import type { NodeSample, SampleHistory } from "./report.ts";

export const sampleEveryMs = 1_000;
/** Whoever watches sees a new node soon. */
const firstAfterMs = 200;
/** Three minutes. */
const samplesMax = 180;

/** Running totals and present states. */
export interface Measures extends Counted {
  readonly entries: number;
  readonly backupEntries: number;
  readonly memoryBytes: number;
  readonly memoryMaxBytes: number;
  readonly evicted: number;
  readonly coordination: string;
}

export interface SamplerOptions {
  readonly runtime: Runtime;
  measure(): Measures;
  /** Called with each sample, in the turn in which it was taken. */
  sampled(sample: NodeSample): void;
}

export class Sampler {
  readonly #options: SamplerOptions;
  readonly #startedAtMs: number;
  readonly #samples: NodeSample[] = [];
  #before: Measures;
  #beforeMs: number;
  #timer: Timer;

  constructor(options: SamplerOptions) {
    this.#options = options;
    this.#startedAtMs = options.runtime.monotonicMs();
    this.#before = options.measure();
    this.#beforeMs = this.#startedAtMs;
    this.#timer = this.#schedule(firstAfterMs);
  }

  close(): void {
    this.#timer.cancel();
  }

  /** The last one; a node that has just started has none yet. */
  get latest(): NodeSample | undefined {
    return this.#samples.at(-1);
  }

  history(): SampleHistory {
    const column = <K extends keyof NodeSample>(name: K): NodeSample[K][] =>
      this.#samples.map((sample) => sample[name]);
    return {
      end_ms: this.latest?.at_ms ?? 0,
      operations_per_second: column("operations_per_second"),
      hit_ratio: column("hit_ratio"),
      latency_p50_seconds: column("latency_p50_seconds"),
      latency_p99_seconds: column("latency_p99_seconds"),
      memory_bytes: column("memory_bytes"),
    };
  }

  /** Of the time since the one before. */
  take(): NodeSample {
    const { runtime, measure } = this.#options;
    const nowMs = runtime.monotonicMs();
    const now = measure();
    const spanSeconds = Math.max(nowMs - this.#beforeMs, 1) / 1000;
    const rates = ratesBetween(this.#before, now);
    const sample: NodeSample = {
      at_ms: Math.round(runtime.wallMs()),
      operations_per_second: rates === undefined ? null : Math.round(rates.operationsPerSecond),
      hit_ratio: rounded(rates?.hitRatio, 4),
      latency_p50_seconds: secondsOf(rates?.p50Ms),
      latency_p99_seconds: secondsOf(rates?.p99Ms),
      event_loop_delay_seconds: secondsOf(runtime.loopDelayMs?.()),
      memory_bytes: now.memoryBytes,
      memory_max_bytes: now.memoryMaxBytes,
      entries: now.entries,
      backup_entries: now.backupEntries,
      evicted_per_second: Math.round((now.evicted - this.#before.evicted) / spanSeconds),
      rss_bytes: process.memoryUsage.rss(),
      uptime_seconds: Math.round((nowMs - this.#startedAtMs) / 1000),
      coordination: now.coordination,
    };
    this.#before = now;
    this.#beforeMs = nowMs;
    return sample;
  }

  #schedule(delayMs: number): Timer {
    return this.#options.runtime.after(delayMs, () => {
      this.#timer = this.#schedule(sampleEveryMs);
      const sample = this.take();
      this.#samples.push(sample);
      if (this.#samples.length > samplesMax) this.#samples.shift();
      this.#options.sampled(sample);
    });
  }
}

function rounded(value: number | undefined, digits: number): number | null {
  return value === undefined ? null : Number(value.toFixed(digits));
}

/** To the microsecond. */
function secondsOf(ms: number | undefined): number | null {
  return rounded(ms === undefined ? undefined : ms / 1000, 6);
}
