import { expect, test } from "vitest";
import type { Log } from "../../log.ts";
import { logHappenings } from "./event-lines.ts";
import type { Happening } from "./table-events.ts";

function logged(self: string, coordinates: boolean, happenings: readonly Happening[]): string[] {
  const lines: string[] = [];
  const write =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push(`${level} ${JSON.stringify(fields)} ${message}`);
  const log: Log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  logHappenings(log, self, coordinates, happenings);
  return lines;
}

const all: readonly Happening[] = [
  { kind: "joined", node: "a" },
  { kind: "handed-over", node: "a", from: "b", partitions: 8 },
  { kind: "handed-over", node: "c", from: "a", partitions: 1 },
  { kind: "handed-over", node: "c", from: "b", partitions: 5 },
  { kind: "promoted", node: "a", from: "d", partitions: 3 },
  { kind: "promoted", node: "b", from: "d", partitions: 4 },
  { kind: "degraded", node: "", partitions: 7 },
  { kind: "restored", node: "" },
  { kind: "evicting", node: "a" },
  { kind: "evicting", node: "b" },
  { kind: "evicting-ended", node: "a" },
];

test("a node logs what concerns itself", () => {
  expect(logged("a", false, all)).toEqual([
    'info {"event":"partitions-handed-over","partitions":8,"from":"b","to":"a"} 8 partitions went from b to a',
    'info {"event":"partitions-handed-over","partitions":1,"from":"a","to":"c"} 1 partition went from a to c',
    'warn {"event":"partitions-promoted","partitions":3,"from":"d"} 3 partitions taken over from d, which died',
    'info {"event":"evicting"} memory is short: entries are evicted',
    'info {"event":"evicting-ended"} no entry has been evicted for 10 s',
  ]);
});

test("what concerns no node is logged by the one that coordinates", () => {
  expect(logged("x", true, all)).toEqual([
    'info {"event":"copies-missing","partitions":7} 7 partitions with too few copies',
    'info {"event":"copies-complete"} no copy is missing any more',
  ]);
});
