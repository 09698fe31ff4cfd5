/** What keeps a node from starting is said in one sentence, and the cluster that runs doesn't notice. */
import { connect, createServer } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { freePort, type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, type NodeProcess, settled } from "../support/node-process.ts";

let nats: NatsServer;
let cluster: Cluster;
let nodes: NodeProcess[];
let epoch: number;
let sets = 0;

beforeAll(async () => {
  nats = await startNatsServer();
  cluster = new Cluster(nats.url);
  nodes = await Promise.all(["node-1", "node-2"].map((id) => cluster.start(id)));
  await settled(nodes);
  epoch = (await nodes[0]!.status()).epoch;
});
afterAll(async () => {
  await cluster.end();
  await nats.stop();
});

// The running cluster serves on through every refusal, under the very same table.
afterEach(async () => {
  const key = `key:${++sets}`;
  expect((await nodes[0]!.http.set(key, "v")).status).toBe(200);
  expect((await nodes[1]!.http.get(key)).body).toMatchObject({ found: true, value: "v" });
  for (const node of nodes) {
    const status = await node.status();
    expect([status.epoch, status.members.map(({ id }) => id)]).toEqual([epoch, expect.any(Array)]);
    expect(status.members.map(({ id }) => id).sort()).toEqual(["node-1", "node-2"]);
    expect(node.log.filter(({ level }) => level === "error")).toEqual([]);
  }
});

/** Starts a node that is to be refused; its one sentence, and how long it took to say it. */
async function refused(
  node: string,
  args: readonly string[],
  code = 1,
  url = nats.url,
): Promise<{ sentence: string; tookMs: number }> {
  const process = cluster.spawn(node, { args, nats: url });
  const exit = await process.exited;
  const tookMs = performance.now() - process.startedAtMs;
  expect(process.stderr).toMatch(/^ringcache: [^\n]+\n$/);
  expect(exit).toEqual({ code, signal: null });
  expect(process.events("serving")).toEqual([]);
  return { sentence: process.stderr, tookMs };
}

test("no NATS at the URL", async () => {
  const url = `nats://127.0.0.1:${await freePort()}`;
  const { sentence, tookMs } = await refused("node-3", [], 1, url);
  expect(sentence).toContain(url);
  expect(sentence).toContain("nats-server -js");
  expect(sentence).toContain("ringcache dev");
  console.log(`refusals: no NATS, said after ${Math.round(tookMs)} ms`);
  expect(tookMs).toBeLessThan(5_000);
});

test("something that accepts at the URL and says nothing", async () => {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `nats://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
  const { sentence, tookMs } = await refused("node-3", [], 1, url);
  server.close();
  expect(sentence).toContain(url);
  // It is given 4 s to greet; the process takes its time to start too.
  expect(tookMs).toBeLessThan(8_000);
});

test("a NATS server without JetStream", async () => {
  const plain = await startNatsServer({ jetstream: false });
  try {
    const { sentence } = await refused("node-3", [], 1, plain.url);
    expect(sentence).toContain("JetStream");
  } finally {
    await plain.stop();
  }
});

test("a live node with the same id", async () => {
  const { sentence, tookMs } = await refused("node-1", []);
  expect(sentence).toContain('node "node-1" is already running');
  console.log(`refusals: id in use, said after ${Math.round(tookMs)} ms`);
});

test("another partition count", async () => {
  const { sentence } = await refused("node-3", ["-partitions", "128"]);
  expect(sentence).toContain("64 partitions");
  expect(sentence).toContain("128");
});

test("an HTTP port that is in use", async () => {
  const { sentence } = await refused("node-3", ["-http", `127.0.0.1:${nodes[0]!.httpPort}`]);
  expect(sentence).toContain(String(nodes[0]!.httpPort));
  expect(sentence).toContain("in use");
});

test("a peer port that is in use", async () => {
  const { members } = await nodes[0]!.status();
  const port = members[0]!.peer.split(":").at(-1)!;
  const { sentence } = await refused("node-3", ["--peer-port", `127.0.0.1:${port}`]);
  expect(sentence).toContain(port);
  expect(sentence).toContain("another process listens there");
  // And whoever listens there still does.
  await new Promise<void>((resolve, reject) => {
    const socket = connect(Number(port), "127.0.0.1", () => {
      socket.destroy();
      resolve();
    });
    socket.on("error", reject);
  });
});

test("names that can't be", async () => {
  for (const name of ["", "a b", "a/b", "é", "a".repeat(65)]) {
    expect((await refused(name, [])).sentence).toContain("node");
  }
  for (const name of ["a b", "a.b", "a".repeat(65)]) {
    expect((await refused("node-3", ["-platform", name])).sentence).toContain("platform");
  }
});

test("options that can't be", async () => {
  for (const args of [
    ["-partitions", "0"],
    ["-partitions", "many"],
    ["--nope", "1"],
    ["-http", "x:y:z"],
  ]) {
    const { sentence } = await refused("node-3", args, 2);
    expect(sentence).toContain(args[0]!.replace(/^-+/, ""));
  }
});
