/** Which of the cluster's events a node logs: those that concern itself and are logged nowhere else. */
import type { Log } from "../../log.ts";
import type { Happening } from "./table-events.ts";

/** `coordinates`: whether this node does; what concerns no node is logged by that one. */
export function logHappenings(
  log: Log,
  self: string,
  coordinates: boolean,
  happenings: readonly Happening[],
): void {
  for (const { kind, node, from = "", partitions = 0 } of happenings) {
    const isOwn = node === self;
    if (kind === "handed-over" && (isOwn || from === self)) {
      const message = `${counted(partitions)} went from ${from} to ${node}`;
      log.info({ event: "partitions-handed-over", partitions, from, to: node }, message);
    } else if (kind === "promoted" && isOwn) {
      const message = `${counted(partitions)} taken over from ${from}, which died`;
      log.warn({ event: "partitions-promoted", partitions, from }, message);
    } else if (kind === "degraded" && coordinates) {
      log.info({ event: "copies-missing", partitions }, `${counted(partitions)} with too few copies`);
    } else if (kind === "restored" && coordinates) {
      log.info({ event: "copies-complete" }, "no copy is missing any more");
    } else if (kind === "evicting" && isOwn) {
      log.info({ event: "evicting" }, "memory is short: entries are evicted");
    } else if (kind === "evicting-ended" && isOwn) {
      log.info({ event: "evicting-ended" }, "no entry has been evicted for 10 s");
    }
  }
}

function counted(partitions: number): string {
  return `${partitions} ${partitions === 1 ? "partition" : "partitions"}`;
}
