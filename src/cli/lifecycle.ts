/** What the commands that keep running share: signals, defects, and an end that can't hang. */
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime.ts";

/** A Ctrl-C under `npm run` arrives twice, from the terminal and from npm; within this time it counts once. */
const sameSignalMs = 250;

export interface StopRequest {
  /** What asked first: the first SIGINT or SIGTERM, or {@link ask}. */
  readonly asked: Promise<string>;
  /** Asks to stop, as the first signal does. The first signal that follows changes nothing: a supervisor sends it. */
  ask(by: string): void;
}

/** From here on the first signal asks to stop and a second one ends the process at once, with exit code 1. */
export function listenForStop(runtime: Runtime, log: Log): StopRequest {
  let firstMs: number | undefined;
  let ask = (_by: string): void => {};
  const asked = new Promise<string>((resolve) => {
    ask = resolve;
    const onSignal = (name: NodeJS.Signals): void => {
      const nowMs = runtime.monotonicMs();
      if (firstMs === undefined) {
        firstMs = nowMs;
        resolve(name);
      } else if (nowMs - firstMs > sameSignalMs) {
        log.warn({ event: "killed", signal: name }, "stopped at once by a second signal");
        process.exit(1);
      }
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  });
  return { asked, ask };
}

/** A defect ends the process: its state can't be trusted any more, and the other nodes take over. */
export function exitOnDefect(log: Log): void {
  process.on("uncaughtException", (err) => {
    log.error({ event: "defect", err }, `a defect ended this process: ${err.message}`);
    process.exit(1);
  });
}

/** Runs `stop`; ends the process with exit code 1 if that takes longer than `withinMs`. */
export async function stopWithin(
  runtime: Runtime,
  log: Log,
  withinMs: number,
  stop: () => Promise<void>,
): Promise<void> {
  const timer = runtime.after(withinMs, () => {
    log.error({ event: "stop-timeout", withinMs }, "stopping took too long and was cut short");
    process.exit(1);
  });
  await stop();
  timer.cancel();
}
