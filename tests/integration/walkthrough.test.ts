/** The walk-through of the README, as a newcomer types it: three processes, and every curl line run by curl itself. */
import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort, type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, eventually, type NodeProcess, settled, spread } from "../support/node-process.ts";

let nats: NatsServer;
let cluster: Cluster;
/** By the port that the walk-through gives it. */
const ports = new Map<number, number>();
const nodes: NodeProcess[] = [];

interface Counts {
  readonly ring: { readonly partitions_by_node: Record<string, number>; readonly is_rebalancing: boolean };
}

/** Runs a line of the walk-through in a shell, with the ports that are free here, and parses what it prints. */
function shell(line: string): unknown {
  const text = line.replace(/\blocalhost:(\d+)/g, (_, port) => `localhost:${ports.get(Number(port))}`);
  const { status, stdout, stderr } = spawnSync("sh", ["-c", text.replace(/^curl /, "curl -sS ")], {
    encoding: "utf8",
    timeout: 20_000,
  });
  if (status !== 0) throw new Error(`${text}\nended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

async function startNode(node: string, port: number): Promise<NodeProcess> {
  ports.set(port, await freePort());
  const started = await cluster.start(node, { http: `:${ports.get(port)}` });
  nodes.push(started);
  return started;
}

beforeAll(async () => {
  if (spawnSync("curl", ["--version"]).error !== undefined) {
    throw new Error("curl isn't on the PATH; the walk-through runs its lines with it: install curl");
  }
  nats = await startNatsServer();
});
afterAll(async () => nats.stop());

describe("the walk-through", () => {
  beforeAll(async () => {
    cluster = new Cluster(nats.url);
    await Promise.all([startNode("node-1", 8081), startNode("node-2", 8082), startNode("node-3", 8083)]);
    await settled(nodes);
  });
  afterAll(async () => {
    await cluster.end();
    nodes.length = 0;
  });

  const owner = "node-[123]";

  test("every line, in its order", () => {
    const set = shell(`curl -X POST http://localhost:8081/set \\
  -H "Content-Type: application/json" \\
  -d '{"key":"user:1","value":"Alice"}'`) as { node: string };
    expect(set).toEqual({ success: true, node: expect.stringMatching(owner) });

    const got = shell("curl http://localhost:8082/get?key=user:1");
    expect(got).toEqual({ found: true, value: "Alice", node: set.node });

    const owned = shell("curl http://localhost:8081/owner?key=user:1");
    expect(owned).toEqual({
      key: "user:1",
      partition: expect.any(Number),
      owner: set.node,
      is_local: set.node === "node-1",
      this_node: "node-1",
    });

    const deleted = shell("curl -X DELETE http://localhost:8083/delete?key=user:1");
    expect(deleted).toEqual({ deleted: true, node: set.node });
    expect(shell("curl -X DELETE http://localhost:8083/delete?key=user:1")).toEqual({
      deleted: false,
      node: set.node,
    });
    expect(shell("curl http://localhost:8082/get?key=user:1")).toEqual({ found: false, node: set.node });
  });

  test("statistics and health", () => {
    const stats = shell("curl http://localhost:8081/stats") as { partitions: number[] };
    expect(stats).toMatchObject({
      node_id: "node-1",
      entries: 0,
      entries_with_ttl: 0,
      partition_count: stats.partitions.length,
      total_expired_by_ttl: 0,
      total_cleaned_by_release: 0,
      ring: {
        num_partitions: 64,
        num_nodes: 3,
        owned_partitions: stats.partitions.length,
        is_coordinator: expect.any(Boolean),
        is_rebalancing: false,
        partitions_by_node: {
          "node-1": expect.any(Number),
          "node-2": expect.any(Number),
          "node-3": expect.any(Number),
        },
      },
    });
    expect(stats.partitions.length).toBeGreaterThanOrEqual(21);
    const coordinators = [8081, 8082, 8083].filter(
      (port) =>
        (shell(`curl http://localhost:${port}/stats`) as { ring: { is_coordinator: boolean } }).ring
          .is_coordinator,
    );
    expect(coordinators).toHaveLength(1);
    expect(shell("curl http://localhost:8082/health")).toEqual({ status: "ok", node: "node-2" });
    expect(shell("curl http://localhost:8083/ready")).toMatchObject({ node: "node-3" });
  });

  test("an entry with a ttl expires on every node", async () => {
    shell(`curl -X POST http://localhost:8081/set -d '{"key":"brief","value":"v","ttl":3}'`);
    expect(shell("curl http://localhost:8083/get?key=brief")).toMatchObject({ found: true, value: "v" });
    for (const port of [8081, 8082, 8083]) {
      await eventually(
        async () => shell(`curl http://localhost:${port}/get?key=brief`) as { found: boolean },
        ({ found }) => !found,
        "the entry expires",
      );
    }
    // It isn't found from its time on; a sweep comes by, removes it and counts.
    await eventually(
      async () => {
        const stats = await Promise.all(nodes.map((node) => node.stats()));
        return stats.reduce((sum, { total_expired_by_ttl }) => sum + total_expired_by_ttl, 0);
      },
      (expired) => expired === 1,
      "a sweep removes the entry",
    );
  });
});

describe("testing rebalancing", () => {
  const keys = Array.from({ length: 200 }, (_, i) => `key:${i}`);

  beforeAll(() => {
    cluster = new Cluster(nats.url, ["-platform", "rebalancing"]);
  });
  afterAll(() => cluster.end());

  async function expectAllThere(running: readonly NodeProcess[]): Promise<void> {
    for (const node of running) {
      for (const key of keys) {
        const { status, body } = await node.http.get(key);
        expect([status, (body as { value?: string }).value]).toEqual([200, `value of ${key}`]);
      }
    }
    const entries = await Promise.all(running.map(async (node) => (await node.stats()).entries));
    expect(entries.reduce((sum, count) => sum + count)).toBe(keys.length);
  }

  test("two nodes, a third one joins, one stops", async () => {
    const one = await startNode("node-1", 8081);
    const two = await startNode("node-2", 8082);
    await settled([one, two]);
    for (const [i, key] of keys.entries()) {
      const body = { key, value: `value of ${key}` };
      // Some by curl; a process for each of them takes longer than all the rest.
      if (i < 10) shell(`curl -X POST http://localhost:8081/set -d '${JSON.stringify(body)}'`);
      else await one.http.set(key, body.value);
    }
    const before = (shell("curl http://localhost:8081/stats") as Counts).ring;
    expect(before.partitions_by_node).toEqual({ "node-1": 32, "node-2": 32 });

    const three = await startNode("node-3", 8083);
    const grown = await settled([one, two, three]);
    expect(spread(grown)).toBe(1);
    expect(Object.values(grown).reduce((sum, count) => sum + count)).toBe(64);
    await expectAllThere([one, two, three]);

    await two.terminate();
    const shrunk = await settled([one, three]);
    expect(shrunk).toEqual({ "node-1": 32, "node-3": 32 });
    await expectAllThere([one, three]);
    expect((shell("curl http://localhost:8083/stats") as Counts).ring.partitions_by_node).toEqual(shrunk);
  });
});
