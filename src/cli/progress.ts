/**
 * How far long work is: one line that is refreshed in place on a terminal, else a line now and then. Colours only on a
 * terminal, and not if the environment has NO_COLOR.
 */
import type { Runtime } from "../runtime.ts";

/** What is written to; `process.stderr` fits. */
export interface ProgressStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

export interface ProgressOptions {
  readonly stream: ProgressStream;
  readonly runtime: Pick<Runtime, "monotonicMs">;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How often a line is written where it can't be refreshed in place. */
  readonly everyMs?: number;
}

/** Of work that consists of steps. */
export interface Step {
  readonly done: number;
  /** 0: not known. */
  readonly total: number;
  /** What is counted, and what else there is to say: follows the numbers. */
  readonly text: string;
}

const barWidth = 24;
const inPlaceMs = 200;
const elsewhereMs = 5_000;
const defaultColumns = 80;
const clearLine = "\r\x1b[K";

export class Progress {
  readonly #stream: ProgressStream;
  readonly #runtime: Pick<Runtime, "monotonicMs">;
  readonly #inPlace: boolean;
  readonly #colours: boolean;
  readonly #everyMs: number;
  #fromMs: number | undefined;
  #doneAtFrom = 0;
  #total = 0;
  #done = 0;
  #shownAtMs = Number.NEGATIVE_INFINITY;
  #shown = "";

  constructor({ stream, runtime, env, everyMs = elsewhereMs }: ProgressOptions) {
    this.#stream = stream;
    this.#runtime = runtime;
    this.#inPlace = isTerminal(stream, env);
    this.#colours = hasColours(stream, env);
    this.#everyMs = this.#inPlace ? inPlaceMs : everyMs;
  }

  /** Shows how far it is, unless that was done just now. */
  step(step: Step): void {
    const nowMs = this.#runtime.monotonicMs();
    // Other work than before: what that took says nothing about this.
    if (this.#fromMs === undefined || step.total !== this.#total || step.done < this.#done) {
      this.#fromMs = nowMs;
      this.#doneAtFrom = step.done;
    }
    this.#total = step.total;
    this.#done = step.done;
    if (nowMs - this.#shownAtMs < this.#everyMs) return;
    this.#shownAtMs = nowMs;
    const { bar, facts } = this.#describe(step, nowMs - this.#fromMs);
    if (!this.#inPlace) {
      this.#stream.write(`${bar}${facts}\n`);
      return;
    }
    const columns = this.#stream.columns || defaultColumns;
    const line = `${bar}${facts}`.slice(0, Math.max(columns - 1, 1));
    if (line === this.#shown) return;
    this.#shown = line;
    const painted =
      this.#colours && line.length > bar.length ? `\x1b[36m${bar}\x1b[39m${line.slice(bar.length)}` : line;
    this.#stream.write(`${clearLine}${painted}`);
  }

  /** A line that stays; what is refreshed in place goes on below it. */
  say(line: string): void {
    this.clear();
    this.#stream.write(`${line}\n`);
  }

  /** The last line, which stays. */
  end(step: Step): void {
    const elapsedMs = this.#runtime.monotonicMs() - (this.#fromMs ?? this.#runtime.monotonicMs());
    const { bar, facts } = this.#describe(step, elapsedMs);
    this.say(`${bar}${facts}`);
  }

  /** Takes the line away that is refreshed in place: the work has ended, or something else is to be written. */
  clear(): void {
    if (this.#shown !== "") this.#stream.write(clearLine);
    this.#shown = "";
  }

  #describe(step: Step, elapsedMs: number) {
    return describe(step, step.done - this.#doneAtFrom, elapsedMs);
  }
}

/** Whether a line can be refreshed in place. */
export function isTerminal(stream: ProgressStream, env: ProgressOptions["env"]): boolean {
  return stream.isTTY === true && env.TERM !== "dumb";
}

/** https://no-color.org: any value that isn't empty. */
export function hasColours(stream: ProgressStream, env: ProgressOptions["env"]): boolean {
  return isTerminal(stream, env) && (env.NO_COLOR ?? "") === "";
}

/** `gained` steps were done in `elapsedMs`. */
function describe({ done, total, text }: Step, gained: number, elapsedMs: number) {
  const counted = total > 0 ? `${done}/${total}` : String(done);
  const filled = total > 0 ? Math.floor((barWidth * Math.min(done, total)) / total) : 0;
  const bar = total > 0 ? `[${"#".repeat(filled).padEnd(barWidth, ".")}] ` : "";
  const perSecond = elapsedMs > 0 ? (gained * 1_000) / elapsedMs : 0;
  const facts = [`${counted} ${text}`.trimEnd()];
  if (perSecond > 0) {
    facts.push(`${perSecond < 100 ? perSecond.toPrecision(2) : Math.round(perSecond)}/s`);
    if (total > done) facts.push(`about ${formatDuration(((total - done) / perSecond) * 1_000)} left`);
  }
  return { bar, facts: facts.join(", ") };
}

/** `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatDuration(ms: number): string {
  const seconds = ms / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds) % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
