/** The keys of one slot: partitions hold many slots and keep no list per slot, so all of the partition's keys are looked at. */
import { noBytes, Op } from "../cache/command.ts";
import { decodeResults, encodeSteps, StepCode } from "../cache/steps/step.ts";
import { RingcacheError } from "../errors.ts";
import { partitionOf, slotOf } from "../ring/slots.ts";
import { cursorEnd } from "../storage/key-index.ts";
import type { RedisContext } from "./context.ts";

/** Entries per turn of the owner. */
const pageEntries = 1_000;

export interface Found {
  readonly count: number;
  readonly keys: readonly Buffer[];
}

const nothing: Found = { count: 0, keys: [] };

/** Looks for up to `max` keys; `keep`: they are wanted themselves, not only their number. A key may be missed or come twice while it is written. */
export function keysInSlot(
  context: RedisContext,
  slot: number,
  max: number,
  keep: boolean,
  done: (error: RingcacheError | undefined, found: Found) => void,
): void {
  const { door, ring } = context;
  if (ring === undefined) {
    done(new RingcacheError("NOT_READY", "the node has not joined"), nothing);
    return;
  }
  const partition = partitionOf(slot, ring.table.rows.length);
  const keys: Buffer[] = [];
  let count = 0;
  const page = (cursor: number): void => {
    const args = [double(cursor), double(pageEntries), noBytes];
    const value = encodeSteps([{ code: StepCode.scan, keys: [], args }]);
    const command = { op: Op.run, key: noBytes, value, expiresAtMs: 0, expected: undefined, partition };
    door.execute(command, (error, reply) => {
      if (error !== undefined) {
        done(error, nothing);
        return;
      }
      const [result] = decodeResults(reply!.value);
      const [next, some] = result as [number, Buffer[]];
      for (const key of some) {
        if (count >= max || slotOf(key) !== slot) continue;
        count++;
        if (keep) keys.push(Buffer.from(key));
      }
      if (count >= max || next >= cursorEnd) done(undefined, { count, keys });
      // In another turn: a partition that is here answers at once.
      else context.runtime.soon(() => page(next));
    });
  };
  page(0);
}

function double(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeDoubleBE(value);
  return bytes;
}
