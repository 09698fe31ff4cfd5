/** `ringcache status` against real nodes, and `--watch` in a real terminal. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
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

const urlOf = (node: NodeProcess): string => `http://127.0.0.1:${node.httpPort}`;

async function status(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const program = cluster.add(new Program(["status", ...args]));
  const { code } = await program.exited;
  return { code, stdout: program.stdout, stderr: program.stderr };
}

async function startThree(platform: string, ...args: string[]): Promise<NodeProcess[]> {
  cluster = new Cluster(nats.url, ["-platform", platform, ...args]);
  const nodes: NodeProcess[] = [];
  // One after the other: the first one coordinates.
  for (const node of ["node-1", "node-2", "node-3"]) nodes.push(await cluster.start(node));
  await settled(nodes);
  return nodes;
}

describe("a healthy cluster", () => {
  let nodes: NodeProcess[];

  beforeAll(async () => {
    nodes = await startThree("status-healthy");
  });
  afterAll(() => cluster.end());

  test("shows what every node does and has; exit code 0", async () => {
    const [one, two] = nodes as [NodeProcess, NodeProcess];
    await one.http.set("k", "v");
    const report = await eventually(
      () => status("--json", "--url", urlOf(two)),
      ({ stdout }) =>
        Object.keys((JSON.parse(stdout) as { samples: Record<string, unknown> }).samples).length === 3,
      "every node has measured itself",
    );
    expect(report.code).toBe(0);
    expect(JSON.parse(report.stdout)).toMatchObject({
      ...{ platform: "status-healthy", healthy: true, under_replicated_partitions: 0 },
      samples: {
        "node-1": { memory_max_bytes: expect.any(Number), operations_per_second: expect.any(Number) },
      },
    });
    const text = await status("--url", urlOf(one));
    expect(text).toMatchObject({ code: 0, stderr: "" });
    expect(text.stdout).toMatch(/^state +healthy\n/);
    expect(text.stdout).toMatch(/^node-3 +\d+ +\d+ +[\d.,]+ .* [kM]?B \d+%/m);
    expect(text.stdout).not.toContain("\x1b");
  });

  test("--watch without a terminal is refused, with --json it writes lines", async () => {
    const [one] = nodes as [NodeProcess];
    expect(await status("--watch", "--url", urlOf(one))).toEqual({
      code: 2,
      stdout: "",
      stderr: "ringcache: --watch needs a terminal; with --json it writes a line a second anywhere.\n",
    });
    const lines = cluster.add(new Program(["status", "--watch", "--json", "--url", urlOf(one)]));
    await lines.until(() => (lines.stdout.split("\n").length > 2 ? true : undefined), "two lines", 20_000);
    lines.signal("SIGINT");
    expect(await lines.exited).toEqual({ code: 0, signal: null });
    for (const line of lines.stdout.trim().split("\n"))
      expect(JSON.parse(line)).toMatchObject({ healthy: true });
  });

  test("--watch: follows, goes on when the asked node dies, fits the window, gives the terminal back", async () => {
    const [one, two, three] = nodes as [NodeProcess, NodeProcess, NodeProcess];
    const terminal = cluster.add(new PseudoTerminal(["status", "--watch", "--url", urlOf(one)], 100, 30));
    expect(await terminal.shows(/state +healthy/)).toContain(`from ${urlOf(one)}`);
    await terminal.shows(/^node-3 /m);
    await one.kill();
    const moved = await terminal.shows(/doesn't answer/);
    expect(moved).toContain(`as ${urlOf(one)} doesn't answer`);
    // Copies are rebuilt on the two that are left.
    await terminal.shows(
      /copies +2 of 2: 64 partitions\s[\s\S]*state|healthy[\s\S]*copies +2 of 2: 64 partitions/,
    );
    await terminal.until(
      () => (/^node-1 /m.test(terminal.screen) ? undefined : true),
      "the dead node has gone from the screen",
      20_000,
    );
    terminal.resize(50, 17);
    await terminal.until(
      () => {
        const lines = terminal.screen.trimEnd().split(/\r?\n/);
        const fits = lines.length <= 17 && lines.every((line) => line.length < 50);
        return fits && lines.some((line) => line.includes("OPS/S")) ? true : undefined;
      },
      "what is drawn fits the smaller window",
      20_000,
    );
    await two.kill();
    await three.kill();
    await terminal.shows(/NOBODY ANSWERS/);
    terminal.type("\x03");
    await terminal.exited;
    // Nobody answered when it was left.
    expect(terminal.stdout).toContain("exit=1");
    // The screen of before, the cursor, and a terminal that shows what is typed.
    expect(terminal.stdout).toContain("\x1b[?25h\x1b[?1049l");
    const modes = terminal.stdout.slice(terminal.stdout.indexOf("exit="));
    expect(modes).toMatch(/ icanon /);
    expect(modes).toMatch(/ echo /);
  });
});

test("partitions with too few copies, or without an owner: exit code 1, also with --json and in --watch", async () => {
  const [one, two, three] = (await startThree("status-unhealthy", "--lease", "5m")) as [
    NodeProcess,
    NodeProcess,
    NodeProcess,
  ];
  try {
    // The copies of the one that dies can only go to the one that is stopped, and nobody knows yet whether that is dead.
    three.signal("SIGSTOP");
    await two.kill();
    await eventually(
      () => one.status(),
      (report) => report.under_replicated_partitions > 0,
      "copies are missing",
    );
    const text = await status("--url", urlOf(one));
    expect(text.code).toBe(1);
    expect(text.stdout).toMatch(/^state +(DEGRADED|UNAVAILABLE): \d+ partitions/);
    const json = await status("--json", "--url", urlOf(one));
    expect(json.code).toBe(1);
    expect(JSON.parse(json.stdout)).toMatchObject({ healthy: false });
    const terminal = cluster.add(new PseudoTerminal(["status", "--watch", "--url", urlOf(one)], 100, 30));
    await terminal.shows(/state +(DEGRADED|UNAVAILABLE)/);
    terminal.type("q");
    await terminal.exited;
    expect(terminal.stdout).toContain("exit=1");
  } finally {
    await cluster.end();
  }
});
