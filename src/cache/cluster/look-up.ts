/** Where a key is and how much of its life is left, without its value, and without counting as a use of it. */
import type { Ring } from "../../ring/ring.ts";
import { slotOf } from "../../ring/slots.ts";
import type { Runtime } from "../../runtime.ts";
import { type Door, type LookedUp, RunCommand } from "../command.ts";
import { decodeResults, StepCode } from "../steps/step.ts";

export interface LookUpOptions {
  readonly ring: Ring;
  readonly runtime: Runtime;
  readonly execute: Door["execute"];
}

/** Calls `done` once. Errors: those of a read. */
export function lookUp({ ring, runtime, execute }: LookUpOptions, key: Buffer, done: LookedUp): void {
  const steps = [
    { code: StepCode.expiry, keys: [key], args: [] },
    { code: StepCode.inspect, keys: [key], args: [] },
  ];
  execute(new RunCommand(steps, key), (error, reply) => {
    if (error !== undefined) {
      done(error, undefined);
      return;
    }
    const [expiry, sizes] = reply!.results ?? decodeResults(reply!.value);
    const partition = ring.partitionFor(key);
    const row = ring.table.rows[partition];
    const found = Array.isArray(sizes);
    const [valueBytes, , memoryBytes] = found ? sizes : [];
    const leftMs = typeof expiry === "number" && expiry > 0 ? expiry - runtime.wallMs() : undefined;
    done(undefined, {
      slot: slotOf(key),
      partition,
      owner: row?.owner ?? "",
      backups: row?.backups ?? [],
      incoming: row?.incoming ?? "",
      found,
      ttl_seconds: leftMs === undefined ? null : Math.max(Math.round(leftMs) / 1000, 0),
      value_bytes: typeof valueBytes === "number" ? valueBytes : null,
      memory_bytes: typeof memoryBytes === "number" ? memoryBytes : null,
    });
  });
}
