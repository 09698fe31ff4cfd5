import { RingcacheError } from "../errors.ts";
import type { Runtime, Timer } from "../runtime.ts";
import type { TableStore } from "./table-store.ts";

/** What isn't in the table is looked at this often. */
const pollMs = 100;

/** Resolves once `holds`, asked at every new table and now and then. Rejects with DEADLINE_EXCEEDED. */
export function waitUntil(
  holds: () => boolean,
  what: string,
  timeoutMs: number,
  runtime: Runtime,
  tables: TableStore,
): Promise<void> {
  if (holds()) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const timers = new Map<string, Timer>();
    const end = (): void => {
      for (const timer of timers.values()) timer.cancel();
      unsubscribe();
    };
    const check = (): void => {
      if (!holds()) return;
      end();
      resolve();
    };
    const poll = (): void => {
      timers.set("poll", runtime.after(pollMs, poll));
      check();
    };
    const unsubscribe = tables.subscribe(check);
    timers.set("poll", runtime.after(pollMs, poll));
    timers.set(
      "timeout",
      runtime.after(timeoutMs, () => {
        end();
        reject(new RingcacheError("DEADLINE_EXCEEDED", `waited ${timeoutMs} ms for ${what}`));
      }),
    );
  });
}
