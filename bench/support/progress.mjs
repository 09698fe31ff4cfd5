/** How far a benchmark is, on stderr: stdout has its figures. The build makes what this imports. */
import { Progress } from "../../dist/cli/progress.js";
import { systemRuntime } from "../../dist/runtime.js";

const progress = new Progress({ stream: process.stderr, runtime: systemRuntime, env: process.env });

/** `text`: what is counted, and what is going on. */
export function step(done, total, text) {
  progress.step({ done, total, text });
}

/** A line that stays. */
export function say(sentence) {
  progress.say(sentence);
}

/** Before the figures are printed. */
export function clear() {
  progress.clear();
}
