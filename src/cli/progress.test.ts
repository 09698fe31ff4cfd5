import { expect, test } from "vitest";
import { formatDuration, Progress, type ProgressStream } from "./progress.ts";

/** A stream that keeps what was written, and a clock that is set. */
class Screen implements ProgressStream {
  readonly isTTY: boolean;
  readonly columns = 60;
  nowMs = 0;
  written: string[] = [];

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.written.push(text);
  }

  monotonicMs(): number {
    return this.nowMs;
  }
}

function progressOn(screen: Screen, env: Record<string, string> = {}): Progress {
  return new Progress({ stream: screen, runtime: screen, env });
}

test("on a terminal one line is refreshed in place, with rate and estimate, and taken away", () => {
  const screen = new Screen(true);
  const progress = progressOn(screen, { NO_COLOR: "1" });
  progress.step({ done: 0, total: 40, text: "moved" });
  screen.nowMs = 100;
  progress.step({ done: 3, total: 40, text: "moved" });
  screen.nowMs = 2_000;
  progress.step({ done: 10, total: 40, text: "moved" });
  progress.clear();
  expect(screen.written).toEqual([
    "\r\x1b[K[........................] 0/40 moved",
    "\r\x1b[K[######..................] 10/40 moved, 5.0/s, about 6.0 s ",
    "\r\x1b[K",
  ]);
});

test("a line never reaches the edge: it would wrap, and not be taken away whole", () => {
  const screen = new Screen(true);
  progressOn(screen, { NO_COLOR: "1" }).step({ done: 1, total: 2, text: "x".repeat(100) });
  expect(screen.written[0]!.replace("\r\x1b[K", "")).toHaveLength(59);
});

test("elsewhere a line every few seconds, without control characters", () => {
  const screen = new Screen(false);
  const progress = progressOn(screen);
  for (let i = 0; i <= 100; i++) {
    screen.nowMs = i * 100;
    progress.step({ done: i, total: 100, text: "moved" });
  }
  progress.clear();
  expect(screen.written).toEqual([
    "[........................] 0/100 moved\n",
    "[############............] 50/100 moved, 10/s, about 5.0 s left\n",
    "[########################] 100/100 moved, 10/s\n",
  ]);
});

test.each([
  [{}, true],
  [{ NO_COLOR: "" }, true],
  [{ NO_COLOR: "1" }, false],
  [{ TERM: "dumb" }, false],
])("colours with %j: %s", (env, coloured) => {
  const screen = new Screen(true);
  progressOn(screen, env).step({ done: 1, total: 2, text: "" });
  expect(screen.written[0]!.includes("\x1b[36m")).toBe(coloured);
});

test("what is said stays above the line", () => {
  const screen = new Screen(true);
  const progress = progressOn(screen, { NO_COLOR: "1" });
  progress.step({ done: 1, total: 0, text: "seeds" });
  progress.say("seed 1 FAILED");
  expect(screen.written).toEqual(["\r\x1b[K1 seeds", "\r\x1b[K", "seed 1 FAILED\n"]);
});

test.each([
  [400, "0.4 s"],
  [12_300, "12 s"],
  [200_000, "3 min 20 s"],
  [7_500_000, "2 h 5 min"],
])("%d ms are %s", (ms, text) => expect(formatDuration(ms)).toBe(text));
