import { expect, test } from "vitest";
import { EventLog } from "./event-log.ts";
import type { Happening } from "./table-events.ts";

test("a move that goes on stays one event, under its id; at a later time it is another", () => {
  const log = new EventLog();
  const move = { kind: "handed-over", node: "c", from: "a", partitions: 8 } as const;
  const [first] = log.add([move], 1_000);
  const [grown] = log.add([move], 9_000);
  expect(grown).toEqual({ ...move, id: first!.id, at_ms: 9_000, partitions: 16 });
  log.add([move], 30_000);
  expect(log.events.map(({ at_ms, partitions }) => [at_ms, partitions])).toEqual([
    [9_000, 16],
    [30_000, 8],
  ]);
});

test("what one node gets from several, or gives to several, is one event; what has neither side in common isn't", () => {
  const log = new EventLog();
  const move = (from: string, node: string): Happening => ({
    kind: "handed-over",
    node,
    from,
    partitions: 1,
  });
  log.add([move("a", "d"), move("b", "d"), move("c", "d"), move("b", "d")], 0);
  log.add([move("x", "a"), move("x", "b"), move("y", "c")], 0);
  expect(log.events.map(({ id: _, at_ms: __, kind: ___, ...rest }) => rest)).toEqual([
    { node: "d", from: "a", more_from: 2, partitions: 4 },
    { node: "a", from: "x", more_nodes: 1, partitions: 2 },
    { node: "c", from: "y", partitions: 1 },
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
