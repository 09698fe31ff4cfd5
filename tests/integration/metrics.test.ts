/** What `GET /metrics` shows of real nodes, and what a real Prometheus makes of it. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { processMetrics } from "../../src/metrics/process.ts";
import { metrics } from "../../src/metrics/table.ts";
import { promqlOf } from "../support/grafana.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, eventually, type NodeProcess, settled } from "../support/node-process.ts";
import { Prometheus, promtool } from "../support/prometheus.ts";
import { RespConnection } from "../support/redis-resp.ts";

const dashboardFile = fileURLToPath(new URL("../../deploy/grafana/ringcache.json", import.meta.url));
const rulesFile = fileURLToPath(new URL("../../deploy/prometheus/ringcache.rules.yml", import.meta.url));

let nats: NatsServer;
let cluster: Cluster;
let prometheus: Prometheus | undefined;

beforeAll(async () => {
  nats = await startNatsServer();
});
afterEach(async () => {
  await prometheus?.stop();
  await cluster.end();
});
afterAll(() => nats.stop());

async function start(platform: string, nodes: number, ...more: string[]): Promise<NodeProcess[]> {
  cluster = new Cluster(nats.url, ["--platform", platform, ...more]);
  const ids = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
  const started = await Promise.all(ids.map((id) => cluster.start(id)));
  await settled(started);
  return started;
}

async function scrape({ httpPort }: NodeProcess): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${httpPort}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  return await response.text();
}

/** By name and labels, as they are written. */
function samplesOf(text: string): ReadonlyMap<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

test("the text passes promtool, and has every metric of the tables and no other", async () => {
  const [node] = await start("check", 2);
  await node!.http.set("k", "v");
  const text = await scrape(node!);
  expect(promtool(["check", "metrics"], text)).toEqual({ code: 0, output: "" });
  const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!);
  const own = names.filter((name) => name.startsWith("ringcache_"));
  expect(own.sort()).toEqual(metrics.map(({ name }) => name).sort());
  // Not every system has all of them.
  const ofProcess = names.filter((name) => !own.includes(name));
  expect(ofProcess).toContain("process_resident_memory_bytes");
  expect(ofProcess).toContain("nodejs_heap_size_used_bytes");
  expect(ofProcess).toContain("nodejs_eventloop_lag_p99_seconds");
  expect(ofProcess.filter((name) => !Object.hasOwn(processMetrics, name))).toEqual([]);
});

test("operations count as those of their door, and neither keys nor clients make series", async () => {
  const nodes = await start("count", 2, "--redis", "127.0.0.1:0");
  const [node, other] = nodes as [NodeProcess, NodeProcess];
  await node.http.set("warm", "up");
  const redisPort = Number(String(node.events("serving")[0]!.redis).split(":")[1]);
  const before = samplesOf(await scrape(node));
  for (let i = 0; i < 100; i++) await node.http.set(`key:${i}`, "v");
  for (let i = 50; i < 150; i++) await node.http.get(`key:${i}`);
  for (let client = 0; client < 10; client++) {
    const redis = await RespConnection.connect(redisPort);
    for (let i = 0; i < 10; i++) await redis.command("GET", `key:${i}`);
    redis.close();
  }
  const after = samplesOf(await scrape(node));
  const grown = (name: string): number => after.get(name)! - before.get(name)!;
  const ok = (door: string, operation: string): string =>
    `ringcache_operations_total{door="${door}",operation="${operation}",outcome="ok"}`;
  expect(grown(ok("http", "set"))).toBe(100);
  expect(grown(ok("http", "get"))).toBe(100);
  expect(grown(ok("redis", "get"))).toBe(100);
  expect(grown(ok("library", "get"))).toBe(0);
  const hits =
    after.get("ringcache_hits_total")! + samplesOf(await scrape(other)).get("ringcache_hits_total")!;
  expect(hits).toBe(150);
  // Kinds of garbage collection appear when they first happen.
  const added = [...after.keys()].filter((name) => name.startsWith("ringcache_") && !before.has(name));
  expect(added).toEqual([]);
});

test("a peer that has left has no series any more", async () => {
  const [node, other] = (await start("peers", 2)) as [NodeProcess, NodeProcess];
  const ofPeers = async (): Promise<string[]> =>
    [...samplesOf(await scrape(node)).keys()].filter((name) => name.includes("peer="));
  expect((await ofPeers()).length).toBeGreaterThan(0);
  await other.terminate();
  await settled([node]);
  await eventually(ofPeers, (names) => names.length === 0, "node-2 is forgotten");
});

test("Prometheus fires what is right when a node is killed without backups, and nothing before", async () => {
  expect(promtool(["check", "rules", rulesFile]).code).toBe(0);
  const nodes = await start("alerts", 3, "--backups", "0");
  for (let i = 0; i < 100; i++) await nodes[0]!.http.set(`key:${i}`, "v");
  const started = await Prometheus.start(
    nodes.map(({ httpPort }) => httpPort),
    rulesFile,
  );
  prometheus = started;
  await eventually(
    () => started.query('count(up{job="ringcache"} == 1)'),
    ([up]) => up?.value === 3,
    "all three are scraped",
  );
  // What the alerts look at is there, and every rule can be evaluated.
  await eventually(
    () => started.rules(),
    (rules) => rules.length > 10 && rules.every(({ health }) => health === "ok"),
    "every rule has been evaluated",
  );
  await eventually(
    () => started.query("count(ringcache_partitions_lost_total == 0)"),
    ([intact]) => intact?.value === 3,
    "all three say that nothing is lost",
  );
  await eventually(
    () => started.query("sum(count_over_time(ringcache_partitions_lost_total[1m]))"),
    ([scrapes]) => (scrapes?.value ?? 0) >= 12,
    "the rules have looked at several scrapes",
  );
  expect((await started.alerts()).filter(({ state }) => state === "firing")).toEqual([]);
  // The dashboard's queries are answered, nearly all of them with something: others are about what is amiss.
  const queries = promqlOf(readFileSync(dashboardFile, "utf8"));
  const answers = await Promise.all(queries.map((query) => started.query(query)));
  const empty = queries.filter((_, i) => answers[i]!.length === 0);
  expect(empty.filter((query) => !query.endsWith(" > 0"))).toEqual([]);

  await nodes[2]!.kill();
  // That the node is down waits for as long as a restart takes. Prometheus looks at each node at a time of its own.
  const fired = await eventually(
    () => started.alerts(),
    (alerts) =>
      alerts.filter(({ state }) => state === "firing").length >= 2 &&
      alerts.some(({ state, labels }) => state === "pending" && labels.alertname === "RingcacheNodeDown"),
    "the survivors' alerts fire, and the node is seen to be down",
  );
  const firingNames = fired.filter(({ state }) => state === "firing").map(({ labels }) => labels.alertname!);
  expect([...new Set(firingNames)]).toEqual(["RingcachePartitionsLost"]);
  const instances = nodes.slice(0, 2).map(({ httpPort }) => `127.0.0.1:${httpPort}`);
  const firing = fired.filter(({ state }) => state === "firing");
  expect(firing.map(({ labels }) => labels.instance).sort()).toEqual(instances.sort());
  expect(firing[0]!.labels.severity).toBe("critical");
  expect(firing[0]!.annotations.summary).toContain(firing[0]!.labels.instance);
  const counted =
    (await nodes[0]!.stats()).total_partitions_lost + (await nodes[1]!.stats()).total_partitions_lost;
  expect(counted).toBeGreaterThan(0);
  await eventually(
    () => started.query("sum(ringcache_partitions_lost_total)"),
    ([sum]) => sum?.value === counted,
    "Prometheus has what the nodes count",
  );
});

test("the alerting rules fire when they are to", () => {
  const tests = fileURLToPath(new URL("../deploy/ringcache.rules.test.yml", import.meta.url));
  expect(promtool(["test", "rules", tests])).toMatchObject({ code: 0 });
  // Each of them, in some case.
  const cases = readFileSync(tests, "utf8");
  const alerts = [...readFileSync(rulesFile, "utf8").matchAll(/- alert: (\S+)/g)].map(([, name]) => name!);
  expect(alerts.filter((name) => !cases.includes(`alertname="${name}"`))).toEqual([]);
});
