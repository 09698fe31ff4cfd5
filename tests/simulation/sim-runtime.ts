/**
 * A virtual clock that many nodes share, and one `Runtime` per node that reads it. Nothing happens but by events of
 * this queue; the same seed gives the same run, which the running hash shows.
 */
import type { Runtime, Timer } from "../../src/runtime.ts";
import { EventQueue } from "./event-queue.ts";
import { Random } from "./random.ts";

/** How long a turn of an event loop takes: with none at all, two nodes that answer each other would stop the clock. */
const turnMs = 0.005;
/** The wall clock at the begin of every run, in milliseconds since 1970. */
const wallStartMs = 1_750_000_000_000;
const traceLinesMax = 200_000;
/** Events, and timers that were cancelled, between two turns of the real event loop. */
const turnEvents = 10_000;
/** So many of these turns in a row at one moment of the virtual clock, and something goes round in circles. */
const stillTurnsMax = 10;

class SimEvent {
  readonly atMs: number;
  readonly serial: number;
  readonly node: SimNode | undefined;
  run: (() => void) | undefined;

  constructor(atMs: number, serial: number, node: SimNode | undefined, run: () => void) {
    this.atMs = atMs;
    this.serial = serial;
    this.node = node;
    this.run = run;
  }

  cancel(): void {
    this.run = undefined;
  }
}

export interface NodeOptions {
  /** Seconds of its monotonic clock per second; drawn if absent, so that no two differ by more than the bound. */
  readonly clockRate?: number;
}

/** The fastest clock is then 1.98 % faster than the slowest: within the 2 % that the nodes reckon with. */
const clockRateMin = 0.9902;
const clockRateMax = 1.0098;

/** Often one of the ends, where what doesn't reckon with drift is found out. */
function drawClockRate(random: Random): number {
  const at = random.between(-0.5, 1.5);
  return clockRateMin + (clockRateMax - clockRateMin) * Math.min(Math.max(at, 0), 1);
}

/** One process. A process that starts again on the same host is another `SimNode` with the same host. */
export class SimNode {
  readonly host: string;
  readonly runtime: Runtime;
  readonly #sim: Simulation;
  readonly #onCrash: (() => void)[] = [];
  #held: SimEvent[] | undefined;
  /** Events that were held and are about to run: nothing overtakes them. */
  #behind = 0;
  #crashed = false;

  constructor(sim: Simulation, host: string, clockRate: number, random: Random) {
    this.#sim = sim;
    this.host = host;
    const startMs = random.between(0, 1e7);
    this.runtime = {
      monotonicMs: () => startMs + sim.nowMs * clockRate,
      wallMs: () => wallStartMs + sim.nowMs,
      after: (delayMs, fn) => this.after(Math.max(delayMs, 0) / clockRate, fn),
      soon: (fn) => void this.after(turnMs, fn),
      randomBytes: (size) => random.bytes(size),
      random: () => random.next(),
    };
  }

  get isPaused(): boolean {
    return this.#held !== undefined;
  }

  get isCrashed(): boolean {
    return this.#crashed;
  }

  /** Runs `fn` in this process, `delayMs` of the common clock from now. */
  after(delayMs: number, fn: () => void): Timer {
    return this.#sim.schedule(delayMs, fn, this);
  }

  /** Runs `fn` in this process within the present event, or, if it is stopped, when it goes on; never once it crashed. */
  run(fn: () => void): void {
    if (this.#held === undefined && this.#behind === 0) {
      if (!this.#crashed) fn();
    } else this.after(0, fn);
  }

  /** Runs `fn` in this process at the end of the present event; if it is stopped, when it goes on. */
  atTurnEnd(fn: () => void): void {
    if (this.#held !== undefined || this.#behind > 0) this.after(0, fn);
    else this.#sim.atTurnEnd(fn, this);
  }

  /** SIGSTOP: the process does nothing, its clocks go on, what reaches it waits. */
  pause(): void {
    if (this.#crashed || this.isPaused) return;
    this.#held = [];
    this.#sim.trace(this.host, "paused");
  }

  /** SIGCONT. */
  resume(): void {
    const held = this.#held;
    if (held === undefined || this.#crashed) return;
    this.#held = undefined;
    this.#sim.trace(this.host, "resumed");
    this.#behind += held.length;
    for (const event of held) {
      // Under its own name, so that it can still be cancelled.
      this.#sim.schedule(
        0,
        () => {
          this.#behind--;
          event.run?.();
        },
        this,
      );
    }
  }

  /** `kill -9`: nothing of this process ever runs again. */
  crash(): void {
    if (this.#crashed) return;
    this.#crashed = true;
    this.#held = undefined;
    this.#sim.trace(this.host, "crashed");
    for (const listener of this.#onCrash) listener();
  }

  /** For what stands for the kernel and the network: they notice at once. */
  onCrash(listener: () => void): void {
    this.#onCrash.push(listener);
  }

  /** Keeps the event for later if the process is stopped. */
  hold(event: SimEvent): boolean {
    this.#held?.push(event);
    return this.#held !== undefined;
  }
}

export class Simulation {
  readonly seed: number;
  readonly random: Random;
  /** The last lines only, once there are too many. */
  lines: string[] = [];
  /** A line is also written as it comes. For `--trace`. */
  onLine: ((line: string) => void) | undefined;
  /** Called after every event and what followed from it, with how many there were. */
  onEvent: ((events: number) => void) | undefined;
  readonly #queue = new EventQueue<SimEvent>();
  readonly #atTurnEnd: (() => void)[] = [];
  readonly #ofNode: SimNode[] = [];
  readonly #float = new Float64Array(1);
  readonly #words = new Uint32Array(this.#float.buffer);
  #nowMs = 0;
  #serial = 0;
  #events = 0;
  #hash = 0x811c9dc5;
  #running = false;
  #stillTurns = 0;

  constructor(seed: number) {
    this.seed = seed;
    this.random = new Random(seed);
  }

  /** Milliseconds since the run began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** How many events have run. */
  get events(): number {
    return this.#events;
  }

  /** Of every event's time and every line of the trace: equal in two runs only if they were the same. */
  get hash(): string {
    return `${this.#events}-${(this.#hash >>> 0).toString(16).padStart(8, "0")}`;
  }

  node(host: string, options: NodeOptions = {}): SimNode {
    const random = this.random.fork();
    const drawn = drawClockRate(random);
    return new SimNode(this, host, options.clockRate ?? drawn, random);
  }

  /** Runs `fn` after `delayMs`; with `node`, in that process: not while it is paused, and not once it has crashed. */
  schedule(delayMs: number, fn: () => void, node?: SimNode): Timer {
    const event = new SimEvent(this.#nowMs + Math.max(delayMs, 0), this.#serial++, node, fn);
    this.#queue.push(event);
    return event;
  }

  /** Runs `fn` when the present event and what followed from it are over, unless the process has crashed by then. */
  atTurnEnd(fn: () => void, node: SimNode): void {
    this.#atTurnEnd.push(fn);
    this.#ofNode.push(node);
  }

  trace(who: string, what: string): void {
    const line = `${this.#nowMs.toFixed(3).padStart(12)} ${who.padEnd(8)} ${what}`;
    for (let i = 0; i < line.length; i++) this.#mix(line.charCodeAt(i));
    this.lines.push(line);
    if (this.lines.length > traceLinesMax) this.lines = this.lines.slice(traceLinesMax / 2);
    this.onLine?.(line);
  }

  /** Runs every event up to `untilMs`, which is the time afterwards. */
  async run(untilMs: number): Promise<void> {
    await this.#run(untilMs, () => false);
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** Runs until `reached` says true, asked after every event. False: it didn't within `limitMs`, or nothing was left. */
  runUntil(reached: () => boolean, limitMs: number): Promise<boolean> {
    return this.#run(this.#nowMs + limitMs, reached);
  }

  /** Runs until the promise has settled and gives its outcome. Throws if that takes longer than `limitMs`. */
  async settle<T>(promise: Promise<T>, limitMs: number): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    await macrotask();
    if (!(await this.runUntil(() => settled, limitMs))) {
      throw new Error(`seed ${this.seed}: not settled within ${limitMs} ms of virtual time`);
    }
    return promise;
  }

  async #run(untilMs: number, reached: () => boolean): Promise<boolean> {
    if (this.#running) throw new Error("the simulation is already running");
    this.#running = true;
    try {
      for (;;) {
        // Now and then the real event loop gets its turn: signals, messages of the parent process. At the begin, too: what
        // the caller set going before must have reached the queue.
        await macrotask();
        const outcome = await withinMacrotask(() => this.#turn(untilMs, reached));
        if (outcome !== undefined) return outcome;
      }
    } finally {
      this.#running = false;
    }
  }

  /** Runs events one after the other. Undefined: there are more. */
  #turn(untilMs: number, reached: () => boolean): boolean | undefined {
    this.#endTurn();
    const fromMs = this.#nowMs;
    for (let left = turnEvents; left > 0; left--) {
      if (reached()) return true;
      const event = this.#queue.peek();
      if (event === undefined || event.atMs > untilMs) return false;
      this.#queue.pop();
      this.#nowMs = event.atMs;
      const { node, run } = event;
      if (run === undefined || node?.isCrashed || node?.hold(event)) continue;
      // A timer that has run can't be cancelled any more.
      event.run = undefined;
      this.#events++;
      this.#float[0] = event.atMs;
      this.#mix(this.#words[0]! ^ this.#words[1]! ^ event.serial);
      run();
      reactToAll();
      this.#endTurn();
      this.onEvent?.(this.#events);
    }
    this.#stillTurns = this.#nowMs === fromMs ? this.#stillTurns + 1 : 0;
    if (this.#stillTurns >= stillTurnsMax) throw new Error(`the clock stands still at ${fromMs} ms`);
    return undefined;
  }

  #endTurn(): void {
    if (this.#atTurnEnd.length === 0) return;
    // What is added meanwhile is run too.
    for (let i = 0; i < this.#atTurnEnd.length; i++) {
      if (!this.#ofNode[i]!.isCrashed) this.#atTurnEnd[i]!();
    }
    this.#atTurnEnd.length = 0;
    this.#ofNode.length = 0;
    reactToAll();
  }

  /** FNV-1a, a word at a time. */
  #mix(word: number): void {
    this.#hash = Math.imul(this.#hash ^ word, 0x01000193);
  }
}

/** A macrotask of the real event loop: by the time it runs, every promise that could go on has done so. */
function macrotask(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What `run` gives, which runs neither in a promise's reaction nor in another one's: there {@link reactToAll} would do nothing. */
function withinMacrotask<T>(run: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(run());
      } catch (error) {
        reject(error);
      }
    });
  });
}

/**
 * Runs ticks and promises' reactions until none is left, in this very turn: what Node does after each callback. It isn't in
 * Node's documentation, and a fifth of what waiting for the event loop costs after each event.
 */
const reactToAll: () => void = (process as unknown as { _tickCallback(): void })._tickCallback;
