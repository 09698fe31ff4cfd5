/** `ringcache drain` and `rebalance` against real nodes, and what `POST /drain` refuses. */
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { NatsServer } from "../support/nats-server.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { Cluster, eventually, type NodeProcess, Program, settled } from "../support/node-process.ts";
import { PseudoTerminal } from "../support/pseudo-terminal.ts";

// Many processes come and go here; on a busy machine each takes its time.
vi.setConfig({ testTimeout: 120_000 });

let nats: NatsServer;
let cluster: Cluster;

beforeAll(async () => {
  nats = await startNatsServer();
});
afterAll(async () => nats.stop());

async function ringcache(
  ...args: string[]
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const program = cluster.add(new Program(args));
  const { code } = await program.exited;
  return { code, stdout: program.stdout, stderr: program.stderr };
}

const urlOf = (node: NodeProcess): string => `http://127.0.0.1:${node.httpPort}`;

describe("a cluster of three", () => {
  let nodes: NodeProcess[];
  const keys = Array.from({ length: 300 }, (_, i) => `key:${i}`);

  beforeAll(async () => {
    cluster = new Cluster(nats.url, ["-platform", "draining"]);
    nodes = await Promise.all(["node-1", "node-2", "node-3"].map((node) => cluster.start(node)));
    await settled(nodes);
    for (const key of keys) await nodes[0]!.http.set(key, `value of ${key}`);
  });
  afterAll(() => cluster.end());

  test("who has been forwarded, or is a browser's page, can't have a node leave", async () => {
    for (const header of ["X-Forwarded-For", "Origin", "Forwarded", "X-Real-IP", "Via"]) {
      const answer = await fetch(`${urlOf(nodes[0]!)}/drain`, { method: "POST", headers: { [header]: "x" } });
      expect(answer.status).toBe(403);
      const { error } = (await answer.json()) as { error: { code: string; message: string } };
      expect(error.code).toBe("FORBIDDEN");
      expect(error.message).toContain(header.toLowerCase());
    }
    expect((await fetch(`${urlOf(nodes[0]!)}/drain`)).status).toBe(405);
    expect((await nodes[0]!.status()).members.some(({ leaving }) => leaving)).toBe(false);
  });

  test("rebalance: waits until everything is settled, through any node", async () => {
    for (const node of nodes) {
      expect(await ringcache("rebalance", "--url", urlOf(node))).toEqual({
        code: 0,
        stdout: "Nothing moves and no copy is missing: 64 partitions on 3 nodes.\n",
        stderr: "",
      });
    }
  });

  test("drain: the node hands everything over, leaves and ends with exit code 0; nobody sees an error", async () => {
    const [one, two, three] = nodes as [NodeProcess, NodeProcess, NodeProcess];
    const drained = ringcache("drain", "--url", urlOf(two));
    let asked = 0;
    let over = false;
    void drained.then(() => {
      over = true;
    });
    while (!over) {
      const key = keys[asked++ % keys.length]!;
      expect((await one.http.get(key)).body).toMatchObject({ value: `value of ${key}` });
    }
    const { code, stdout, stderr } = await drained;
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^node-2 has left: \d+ partitions and copies handed over in .*\.\n$/),
    });
    expect(stderr).toContain("partitions and copies handed over");
    expect(stderr).not.toContain("\x1b");
    expect(await two.exited).toEqual({ code: 0, signal: null });
    expect(two.events("stopping")[0]).toMatchObject({ by: "drain" });
    expect(two.events("drain-incomplete")).toEqual([]);
    await settled([one, three]);
    for (const key of keys) {
      expect((await three.http.get(key)).body).toMatchObject({ value: `value of ${key}` });
    }
    const left = `No node can be reached at ${urlOf(two)}: the connection is refused.`;
    expect(await ringcache("drain", "--url", urlOf(two))).toEqual({
      code: 1,
      stdout: "",
      stderr: `ringcache: ${left}\n`,
    });
  });

  test("a signal of the supervisor that follows a drain ends nothing early", async () => {
    const four = await cluster.start("node-4");
    await settled([nodes[0]!, nodes[2]!, four]);
    const answer = await fetch(`${urlOf(four)}/drain`, { method: "POST" });
    expect([answer.status, await answer.json()]).toEqual([
      202,
      {
        ...{ draining: true, node: "node-4", drain_timeout_ms: 60_000 },
        ...{ partitions: expect.any(Number), backups: expect.any(Number) },
      },
    ]);
    four.signal("SIGTERM");
    expect(await four.exited).toEqual({ code: 0, signal: null });
    expect(four.events("killed")).toEqual([]);
  });

  test("in a terminal the progress is one line that is refreshed in place, and taken away", async () => {
    const five = await cluster.start("node-5");
    await settled([nodes[0]!, nodes[2]!, five]);
    const terminal = cluster.add(new PseudoTerminal(["drain", "--url", urlOf(five)], 100, 30));
    await terminal.exited;
    const [before = "", after = ""] = terminal.stdout.split("node-5 has left: ");
    expect(before).toMatch(/\d+\/\d+ partitions and copies handed over/);
    // After the line that tells the terminal's name everything is in one line.
    expect(before.slice(before.indexOf("tty=")).trimEnd().split("\n")).toHaveLength(2);
    expect(before.endsWith("\r\x1b[K")).toBe(true);
    expect(after).toMatch(/^\d+ partitions and copies handed over in .*\.\r+\nexit=0/);
  });

  test("the last node: its entries are gone, and it says so", async () => {
    const [one, , three] = nodes as [NodeProcess, NodeProcess, NodeProcess];
    expect((await ringcache("drain", "--url", urlOf(three))).code).toBe(0);
    expect(await ringcache("drain", "--url", urlOf(one))).toMatchObject({
      code: 0,
      stdout: "node-1 has left: it was the last node, so its entries are gone.\n",
    });
  });
});

describe("who may", () => {
  beforeAll(() => {
    cluster = new Cluster(nats.url, ["-platform", "who-may"]);
  });
  afterAll(() => cluster.end());

  test("only this machine by its loopback address, unless --drain-from allows more or nothing", async () => {
    const external = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .find(({ family, internal }) => family === "IPv4" && !internal);
    if (external === undefined) throw new Error("this test needs an external IPv4 address");
    const at = { http: "0.0.0.0:0" };
    const usual = await cluster.start("usual", at);
    const open = await cluster.start("open", { ...at, args: ["--drain-from", "anywhere"] });
    const shut = await cluster.start("shut", { ...at, args: ["--drain-from", "nowhere"] });
    await settled([usual, open, shut]);
    const drain = (node: NodeProcess, host: string) =>
      ringcache("drain", "--url", `http://${host}:${node.httpPort}`);
    expect(await drain(usual, external.address)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/on its own machine, at a loopback address.*\(FORBIDDEN\)\n$/),
    });
    expect(await drain(shut, "127.0.0.1")).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/--drain-from nowhere.*\(FORBIDDEN\)\n$/),
    });
    expect((await drain(open, external.address)).code).toBe(0);
    expect(await open.exited).toEqual({ code: 0, signal: null });
  });

  test("rebalance that runs out of time: one sentence that says what is missing, exit code 1", async () => {
    const stuck = new Cluster(nats.url, ["-platform", "stuck", "--lease", "5m"]);
    // The first one coordinates, and so takes the third one in though the second is stopped.
    const a = await stuck.start("a");
    const b = await stuck.start("b");
    await settled([a, b]);
    b.signal("SIGSTOP");
    // A third one is to get partitions and copies from the one that is stopped.
    const c = await stuck.spawn("c").serving();
    await eventually(
      () => c.status(),
      (status) => status.unsettled_partitions > 0,
      "partitions wait for the stopped node",
    );
    const { code, stdout, stderr } = await ringcache("rebalance", "--url", urlOf(c), "--timeout", "1500ms");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /ringcache: Not done within 1\.5 s: of the partitions \d+ .*\. It goes on by itself\.\n$/,
    );
    await stuck.end();
  });
});

test("one node of `ringcache dev` leaves, and the others go on", async () => {
  const dev = new Program(["dev", "--http", "127.0.0.1:0", "--redis", "off"]);
  try {
    const urls = await dev.until(
      () => {
        const found = [...dev.stdout.matchAll(/^ {2}node-\d {2}(http:\S+)$/gm)].map((match) => match[1]!);
        return found.length === 3 ? found : undefined;
      },
      "the addresses are printed",
      20_000,
    );
    const [first, second] = urls as [string, string];
    await fetch(`${first}/set`, { method: "POST", body: JSON.stringify({ key: "k", value: "v" }) });
    const drained = new Program(["drain", "--url", second]);
    expect(await drained.exited).toEqual({ code: 0, signal: null });
    expect(drained.stdout).toMatch(/^node-2 has left: \d+ partitions and copies handed over/);
    expect(dev.isRunning).toBe(true);
    expect(await (await fetch(`${first}/get?key=k`)).json()).toMatchObject({ value: "v" });
    dev.signal("SIGTERM");
    expect(await dev.exited).toEqual({ code: 0, signal: null });
  } finally {
    if (dev.isRunning) await dev.kill();
  }
});

test("NATS is away: nothing can be handed over, and drain says so at its time-out", async () => {
  const server = await startNatsServer();
  cluster = new Cluster(server.url, ["-platform", "away", "--drain-timeout", "1s"]);
  try {
    const [one, two] = await Promise.all(["node-1", "node-2"].map((node) => cluster.start(node)));
    await settled([one!, two!]);
    await server.pause();
    const { code, stdout, stderr } = await ringcache("drain", "--url", urlOf(two!), "--timeout", "2s");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /ringcache: node-2 has not left within 2\.0 s: \d+ partitions and copies left to hand over\. It goes on by itself\.\n$/,
    );
    server.resume();
    // It was cut off by its own time-out; it ends all the same.
    expect((await two!.exited).signal).toBeNull();
  } finally {
    server.resume();
    await cluster.end();
    await server.stop();
  }
});

test("a node that is killed while it drains: exit code 1", async () => {
  cluster = new Cluster(nats.url, ["-platform", "killed-draining", "--lease", "5m"]);
  try {
    const [one, two] = await Promise.all(["node-1", "node-2"].map((node) => cluster.start(node)));
    await settled([one!, two!]);
    // It is stopped before it can hand anything over: who would take it is stopped first.
    one!.signal("SIGSTOP");
    const draining = cluster.add(new Program(["drain", "--url", urlOf(two!)]));
    await two!.logged("stopping");
    await two!.kill();
    one!.signal("SIGCONT");
    expect((await draining.exited).code).toBe(1);
    expect(draining.stdout).toBe("");
    expect(draining.stderr).toMatch(/node-2 ended before it had handed everything over: \d+ .*\n$/);
  } finally {
    await cluster.end();
  }
});
