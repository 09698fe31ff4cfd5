/** What real nodes log: lines that the table knows, and none per request. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LogEvent, type LogEventEntry, logEvents } from "../../src/log-events.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, type LogLine, type NodeProcess, settled } from "../support/node-process.ts";

let nats: NatsServer;
let cluster: Cluster;
let nodes: NodeProcess[];

beforeAll(async () => {
  nats = await startNatsServer();
  cluster = new Cluster(nats.url, ["-platform", "logs", "--redis", "127.0.0.1:0", "--log-level", "debug"]);
  // It is to see the others join.
  const first = await cluster.start("node-1");
  nodes = [first, ...(await Promise.all(["node-2", "node-3"].map((node) => cluster.start(node))))];
  await settled(nodes);
});
afterAll(async () => {
  await cluster.end();
  await nats.stop();
});

/** Fields that every line has. */
const common = ["level", "time", "node", "event", "msg"];

function expectKnown(line: LogLine): void {
  const entry: LogEventEntry | undefined = logEvents[line.event as LogEvent];
  if (entry === undefined) throw new Error(`no event of the table: ${JSON.stringify(line)}`);
  expect(line.level).toBe(entry.level);
  expect(line.time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  const names = Object.keys(entry.fields);
  const wanted = names.filter((name) => !name.endsWith("?"));
  const allowed = [...common, ...names.map((name) => name.replace("?", ""))];
  expect(Object.keys(line)).toEqual(expect.arrayContaining([...wanted, ...common]));
  expect(Object.keys(line).filter((name) => !allowed.includes(name))).toEqual([]);
}

test("nothing is logged per request, at no level", async () => {
  const before = nodes.map((node) => node.log.length);
  for (let i = 0; i < 300; i++) {
    const { http } = nodes[i % 3]!;
    await http.set(`k${i}`, "v");
    await http.get(`k${i}`);
    await http.get(`absent${i}`);
  }
  const after = nodes.map((node) => node.log.length);
  // A heartbeat may tell something meanwhile; 900 requests may not.
  expect(after.reduce((sum, count, i) => sum + count - before[i]!, 0)).toBeLessThan(10);
});

test("a death and a leave: every line is of the table, on every node", async () => {
  const [one, two, three] = nodes as [NodeProcess, NodeProcess, NodeProcess];
  await three.kill();
  const died = await Promise.race([one, two].map((node) => node.logged("node-died")));
  expect(died).toMatchObject({ member: "node-3", proof: "process" });
  for (const node of [one, two]) {
    expect(await node.logged("member-left")).toMatchObject({ member: "node-3", members: 2 });
  }
  await settled([one, two]);
  const promoted = [one, two].flatMap((node) => node.events("partitions-promoted"));
  expect(promoted.every(({ from }) => from === "node-3")).toBe(true);
  expect(promoted.length).toBeGreaterThan(0);
  await two.terminate();
  expect(await one.logged("partitions-handed-over", 15_000, ({ from }) => from === "node-2")).toMatchObject({
    to: "node-1",
  });
  for (const node of nodes) {
    expect(node.log.length).toBeGreaterThan(0);
    node.log.forEach(expectKnown);
    // Every line of its output is one of these.
    expect(node.stdout.trimEnd().split("\n")).toHaveLength(node.log.length);
  }
  expect(one.log.map(({ event }) => event)).toEqual(expect.arrayContaining(["serving", "member-joined"]));
  expect(two.log.map(({ event }) => event)).toContain("stopping");
  expect(two.log.at(-1)).toMatchObject({ event: "stopped" });
});
