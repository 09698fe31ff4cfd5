/** How long things take on a machine that others use too. */
import { openSync, readSync } from "node:fs";

const schedule = openSchedule();
const line = Buffer.alloc(96);

function openSchedule() {
  try {
    return openSync("/proc/thread-self/schedstat", "r");
  } catch {
    return undefined;
  }
}

/** How long this thread has been ready without a CPU so far, in ms; 0 where the system doesn't say. */
function waitedMs() {
  if (schedule === undefined) return 0;
  const length = readSync(schedule, line, 0, line.length, 0);
  return Number(line.latin1Slice(0, length).split(" ")[1]) / 1e6;
}

function usedMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * The longest of consecutive spans: by the clock, and `ownMs`, without the time in which others had the CPU. There are two ways
 * to know that, and each says too much at times: waiting that is subtracted misses what the host takes from a virtual machine,
 * and CPU time has that of helping threads in it. So the smaller of the two counts.
 */
export class Spans {
  longestMs = 0;
  ownMs = 0;
  #from = 0;
  #waited = 0;
  #used = 0;

  start() {
    this.#waited = waitedMs();
    this.#used = usedMs();
    this.#from = performance.now();
  }

  /** Ends one span and starts the next; returns what was the span's own of it, in ms. */
  next() {
    const from = this.#from;
    const waited = this.#waited;
    const used = this.#used;
    this.start();
    const ms = this.#from - from;
    const ownMs = Math.min(ms - (this.#waited - waited), this.#used - used);
    this.longestMs = Math.max(this.longestMs, ms);
    this.ownMs = Math.max(this.ownMs, ownMs);
    return ownMs;
  }
}

/** Times of many short operations, in steps of 0.1 µs, up to 2 ms. */
export class Times {
  longestMs = 0;
  #counts = new Uint32Array(20_000);
  #total = 0;

  add(ms) {
    const step = Math.floor(ms * 10_000);
    this.#counts[Math.min(step, this.#counts.length - 1)]++;
    this.#total++;
    if (ms > this.longestMs) this.longestMs = ms;
  }

  /** The time that `share` of them didn't pass, in µs. */
  quantileMicros(share) {
    let left = this.#total * (1 - share);
    let step = this.#counts.length;
    while (step > 0 && left >= 0) left -= this.#counts[--step];
    return (step + 1) / 10;
  }
}
