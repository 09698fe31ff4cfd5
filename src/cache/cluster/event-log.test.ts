import { expect, test } from "vitest";
import { EventLog } from "./event-log.ts";

test("a move that goes on stays one event, under its id; another pair of nodes, or a later time, is another", () => {
  const log = new EventLog();
  const move = { kind: "handed-over", node: "c", from: "a", partitions: 8 } as const;
  const [first] = log.add([move], 1_000);
  log.add([{ ...move, from: "b" }], 2_000);
  const [grown] = log.add([move], 9_000);
  expect(grown).toEqual({ ...move, id: first!.id, at_ms: 9_000, partitions: 16 });
  log.add([move], 30_000);
  expect(log.events.map(({ from, partitions }) => [from, partitions])).toEqual([
    ["a", 16],
    ["b", 8],
    ["a", 8],
  ]);
});

test("it keeps the last 200, with what another node saw before in front", () => {
  const log = new EventLog();
  for (let i = 0; i < 150; i++) log.add([{ kind: "joined", node: `n${i}` }], i * 1_000);
  expect(log.since(148).events.map(({ node }) => node)).toEqual(["n148", "n149"]);
  log.prepend(log.events.map((event) => ({ ...event, node: `before-${event.node}` })));
  expect([log.events.length, log.events[0]!.node, log.events.at(-1)!.node]).toEqual([
    200,
    "before-n100",
    "n149",
  ]);
  const ids = log.events.map(({ id }) => id);
  expect(ids).toEqual([...ids].sort((a, b) => a - b));
  expect(log.add([{ kind: "left", node: "x" }], 0)[0]!.id).toBeGreaterThan(ids.at(-1)!);
});
