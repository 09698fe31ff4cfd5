/** Traces over real processes: with the real SDK loaded before the program, and without any. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, eventually, type NodeProcess, settled } from "../support/node-process.ts";

interface Span {
  readonly name: string;
  readonly kind: number;
  readonly attributes: Record<string, unknown>;
  readonly parent?: string;
  readonly traceId: string;
  readonly spanId: string;
}

const [, server, client] = [0, 1, 2];
const directory = mkdtempSync(join(tmpdir(), "ringcache-traces-"));
const spansFile = join(directory, "spans");
const importsFile = join(directory, "imports");
let nats: NatsServer;

beforeAll(async () => {
  nats = await startNatsServer();
});
afterAll(async () => {
  await nats.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** What the program is started by so that Node loads a module of `tests/support` first. */
function importing(module: string, env: string): readonly string[] {
  const url = new URL(`../support/${module}`, import.meta.url).href;
  return ["env", `NODE_OPTIONS=--import=${url}`, env];
}

async function twoNodes(cluster: Cluster, launcher: readonly string[]): Promise<[NodeProcess, NodeProcess]> {
  const nodes = ["node-1", "node-2"].map((node) => cluster.spawn(node, { launcher }));
  for (const node of nodes) await node.serving();
  await settled(nodes);
  return nodes as [NodeProcess, NodeProcess];
}

/** A key that a node owns, as the other one says. */
async function keyOf(asked: NodeProcess, owner: string): Promise<string> {
  for (let i = 0; ; i++) {
    const { body } = await asked.http.request("GET", `/owner?key=k${i}`);
    if ((body as { owner: string }).owner === owner) return `k${i}`;
  }
}

const traceId = "0af7651916cd43dd8448eb211c80319c";
const spanId = "b7ad6b7169203331";

test("one trace from the client's request to the owner on another node", async () => {
  const cluster = new Cluster(nats.url, ["-platform", "traced"]);
  try {
    const [one] = await twoNodes(cluster, importing("otel-sdk.mjs", `SPANS_FILE=${spansFile}`));
    const key = await keyOf(one, "node-2");
    const headers = { traceparent: `00-${traceId}-${spanId}-01` };
    const url = `http://127.0.0.1:${one.httpPort}`;
    const body = JSON.stringify({ key, value: "classified" });
    expect((await fetch(`${url}/set`, { method: "POST", headers, body })).status).toBe(200);
    expect((await fetch(`${url}/get?key=${key}`, { headers })).status).toBe(200);
    const spans = await eventually(
      async () =>
        (existsSync(spansFile) ? readFileSync(spansFile, "utf8") : "")
          .split("\n")
          .filter(Boolean)
          .map((line) => JSON.parse(line) as Span)
          .filter((span) => span.traceId === traceId),
      (found) => found.length === 5,
      "the spans of both nodes are written",
    );
    for (const operation of ["SET", "GET"]) {
      const ofOperation = spans.filter(({ name }) => name === `${operation} traced`);
      const origin = ofOperation.find(({ kind }) => kind === client);
      const owner = ofOperation.find(({ kind }) => kind === server);
      expect(origin).toMatchObject({
        parent: spanId,
        attributes: { "ringcache.node": "node-1", "ringcache.owner": "node-2", "ringcache.route": "routed" },
      });
      expect(owner).toMatchObject({
        parent: origin?.spanId,
        attributes: { "ringcache.node": "node-2", "ringcache.origin": "node-1" },
      });
    }
    expect(spans.find(({ name }) => name === "replicate")?.attributes).toEqual({
      "ringcache.backups": ["node-1"],
    });
    expect(readFileSync(spansFile, "utf8")).not.toMatch(/classified/);
  } finally {
    await cluster.end();
  }
});

test("where nobody has set OpenTelemetry up, ringcache imports nothing of it, and works", async () => {
  const cluster = new Cluster(nats.url, ["-platform", "untraced"]);
  try {
    const [one] = await twoNodes(cluster, importing("import-log.mjs", `IMPORTS_FILE=${importsFile}`));
    const key = await keyOf(one, "node-2");
    await one.http.set(key, "v");
    expect((await one.http.get(key)).body).toMatchObject({ value: "v" });
    const imports = readFileSync(importsFile, "utf8").split("\n");
    const own = imports.filter((line) => /\/dist\/.*\.js$/.test(line));
    // The log is one: it has what is imported for certain.
    expect(own.some((line) => line.startsWith("@nats-io/"))).toBe(true);
    expect(own.filter((line) => line.includes("opentelemetry"))).toEqual([]);
  } finally {
    await cluster.end();
  }
});
