/** What follows from what clients asked and were told: what is lost, and for how long nothing was acknowledged. */
import type { Operation, Value } from "../simulation/linearizability.ts";

/**
 * What a key may hold after its `history`, undefined standing for nothing: the value of each write that no acknowledged
 * write followed, and of each whose outcome is unknown.
 */
export function admissible(history: readonly Operation[]): Set<Value> {
  const writes = history.filter(({ kind }) => kind === "set" || kind === "delete");
  const lastCallMs = Math.max(
    ...writes.filter(({ completedAt }) => completedAt !== undefined).map(({ invokedAt }) => invokedAt),
  );
  const open = writes.filter(({ completedAt }) => completedAt === undefined || completedAt >= lastCallMs);
  const values = new Set<Value>(open.map((write) => (write.kind === "set" ? write.value : undefined)));
  // Nothing was certainly written: what the key held at first may still be there.
  if (lastCallMs === Number.NEGATIVE_INFINITY) values.add(undefined);
  return values;
}

export interface Gap {
  readonly partition: number;
  readonly ms: number;
}

/**
 * The longest time within `fromMs` to `untilMs` in which no operation on one and the same partition was acknowledged.
 * `acknowledged`: per partition, the times of its acknowledgements, ascending.
 */
export function longestGap(
  acknowledged: ReadonlyMap<number, readonly number[]>,
  fromMs: number,
  untilMs: number,
): Gap {
  let longest: Gap = { partition: -1, ms: 0 };
  for (const [partition, times] of acknowledged) {
    let beforeMs = fromMs;
    for (const atMs of [...times.filter((ms) => ms > fromMs && ms < untilMs), untilMs]) {
      if (atMs - beforeMs > longest.ms) longest = { partition, ms: atMs - beforeMs };
      beforeMs = atMs;
    }
  }
  return longest;
}
