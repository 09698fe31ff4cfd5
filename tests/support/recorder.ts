/** What tests of the coordination layer watch and wait with. */
import type { Bucket, Change, Watch, WriteResult } from "../../src/coordination/coordination.ts";

const waitMsMax = 15_000;

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : new TextDecoder().decode(value);

/** Awaits `condition`, asking again whenever the event loop has turned a little. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  waitMs = waitMsMax,
): Promise<void> {
  const giveUpAt = performance.now() + waitMs;
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A watch that writes down what it is told. */
export class Recorder {
  readonly changes: Change[] = [];
  readonly events: string[] = [];
  readonly ended: Error[] = [];
  readonly watch: Watch;
  currents = 0;

  constructor(bucket: Bucket) {
    this.watch = bucket.watch({
      change: (change) => {
        this.changes.push(change);
        this.events.push(`${change.key}=${text(change.value) ?? "-"}`);
      },
      current: () => {
        this.currents += 1;
        this.events.push("current");
      },
      lost: () => {
        this.events.push("lost");
      },
      ended: (error) => {
        this.ended.push(error);
      },
    });
  }

  async isCurrent(): Promise<this> {
    await until(() => this.currents > 0, "the watch is current");
    return this;
  }

  sees(event: string, waitMs?: number): Promise<void> {
    return until(() => this.events.includes(event), `${event} in ${this.events.join(" ")}`, waitMs);
  }
}

export function written(result: WriteResult): number {
  if (!result.written) throw new Error("not written");
  return result.revision;
}
