/** That the files in `deploy` can be read, name what there is, and set options that a node takes; none of them is run here. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parseAllDocuments, parse as parseYaml } from "yaml";
import { parse } from "../../src/cli/parse.ts";
import { processMetrics } from "../../src/metrics/process.ts";
import { metrics } from "../../src/metrics/table.ts";
import { promqlOf } from "../support/grafana.ts";
import { promtool } from "../support/prometheus.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const rules = read("deploy/prometheus/ringcache.rules.yml");

/** The metrics that a text names and that no node exposes. */
function unknownMetrics(text: string): string[] {
  const known = new Set<string>(Object.keys(processMetrics));
  for (const { name, type } of metrics) {
    known.add(name);
    if (type === "histogram") for (const part of ["bucket", "sum", "count"]) known.add(`${name}_${part}`);
  }
  known.add("nodejs_gc_duration_seconds_bucket");
  const named = text.match(/\b(ringcache|process|nodejs)_[a-z0-9_]+/g) ?? [];
  expect(named.length).toBeGreaterThan(0);
  return named.filter((name) => !known.has(name));
}

/** Throws if the values aren't such that `ringcache start` takes them; what they come to. */
function startWith(environment: Readonly<Record<string, string>>) {
  const request = parse(["start"], environment);
  if (request.kind !== "run") throw new Error("not a command to run");
  return request.values;
}

describe("metrics are named that there are", () => {
  test("by the alerting rules", () => expect(unknownMetrics(rules)).toEqual([]));

  test("by the dashboard, whose queries Prometheus understands", () => {
    const queries = promqlOf(read("deploy/grafana/ringcache.json"));
    expect(queries.length).toBeGreaterThan(40);
    expect(unknownMetrics(queries.join("\n"))).toEqual([]);
    const folder = mkdtempSync(join(tmpdir(), "ringcache-queries-"));
    try {
      const file = join(folder, "rules.yml");
      const recorded = queries.map((expr, i) => ({ record: `query:${i}`, expr }));
      writeFileSync(file, JSON.stringify({ groups: [{ name: "dashboard", rules: recorded }] }));
      expect(promtool(["check", "rules", file])).toMatchObject({ code: 0 });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("by the dashboard: all, so that none can only be asked for by hand", () => {
    const queries = promqlOf(read("deploy/grafana/ringcache.json")).join("\n");
    const missing = metrics.filter(({ name }) => !queries.includes(name)).map(({ name }) => name);
    // What the dashboard chooses its cluster by, and what `Nodes up` says already.
    expect(missing).toEqual(["ringcache_node_info", "ringcache_cluster_members"]);
  });

  test("by docs/operations.md", () => {
    const [prose] = read("docs/operations.md").split("<!--");
    expect(unknownMetrics(prose!.replaceAll("ringcache_`", "`"))).toEqual([]);
  });
});

test("docs/operations.md says what to do about every alert, and about no other", () => {
  const alerts = [...rules.matchAll(/- alert: (\S+)[\s\S]*?severity: (\S+)/g)].map(([, name, severity]) => [
    name,
    severity,
  ]);
  const rows = [...read("docs/operations.md").matchAll(/^\| `(Ringcache\w+)` \| (\w+) \|/gm)];
  expect(rows.map(([, name, severity]) => [name, severity])).toEqual(alerts);
});

test("the Dockerfile copies what there is, and what the image builds from is let through to it", () => {
  const copied = [...read("deploy/Dockerfile").matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(
    ([, sources]) => sources!.split(" "),
  );
  expect(copied).toContain("src");
  expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  const allowed = [...read("deploy/Dockerfile.dockerignore").matchAll(/^!(.+)$/gm)].map(([, path]) => path);
  expect([...new Set(copied)].sort()).toEqual(allowed.sort());
});

interface Compose {
  readonly services: Readonly<
    Record<
      string,
      {
        environment?: Record<string, string>;
        volumes?: string[];
        stop_grace_period?: string;
        healthcheck?: { test: unknown[] };
      }
    >
  >;
}

test("compose.yaml: three nodes with options that they take, time to drain, and files that there are", () => {
  const { services } = parseYaml(read("deploy/compose.yaml"), { merge: true }) as Compose;
  const nodes = Object.entries(services).filter(([name]) => name.startsWith("node-"));
  expect(nodes).toHaveLength(3);
  for (const [name, { environment, stop_grace_period, healthcheck }] of nodes) {
    expect(healthcheck!.test.map((word) => typeof word)).toEqual(["string", "string", "string", "string"]);
    const values = startWith(environment!);
    expect(values.node).toBe(name);
    expect(values.http.port).toBe(8080);
    expect(Number.parseInt(stop_grace_period!, 10) * 1_000).toBeGreaterThan(values["drain-timeout"] + 30_000);
  }
  const mounted = Object.values(services).flatMap(({ volumes = [] }) =>
    volumes.filter((volume) => volume.startsWith("./")).map((volume) => volume.split(":")[0]!),
  );
  expect(mounted.length).toBeGreaterThan(2);
  expect(mounted.filter((path) => !existsSync(join(root, "deploy", path)))).toEqual([]);
  const scraped = parseYaml(read("deploy/prometheus/prometheus.yml")) as {
    rule_files: string[];
    scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
  };
  expect(scraped.rule_files).toEqual(["ringcache.rules.yml"]);
  const [job] = scraped.scrape_configs;
  // The rules ask for the job by this name.
  expect(job!.job_name).toBe("ringcache");
  expect(job!.static_configs[0]!.targets).toEqual(nodes.map(([name]) => `${name}:8080`));
  expect(promtool(["check", "config", join(root, "deploy/prometheus/prometheus.yml")]).code).toBe(0);
});

interface Container {
  readonly args: string[];
  readonly env: { name: string; value?: string }[];
  readonly ports: { name: string; containerPort: number }[];
  readonly readinessProbe: { httpGet: { path: string; port: string } };
  readonly lifecycle: { preStop: { exec: { command: string[] } } };
  readonly resources: { limits: { memory: string } };
}

test("the Kubernetes manifest: options that a node takes, ready on /ready, time to drain, room for its memory", () => {
  const documents = parseAllDocuments(read("deploy/kubernetes/ringcache.yaml")).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS() as { kind: string; metadata: { name: string }; spec: Record<string, unknown> };
  });
  expect(documents.map(({ kind }) => kind)).toEqual([
    "Service",
    "Service",
    "PodDisruptionBudget",
    "StatefulSet",
  ]);
  const set = documents.at(-1)!.spec as {
    serviceName: string;
    template: { spec: { terminationGracePeriodSeconds: number; containers: Container[] } };
  };
  expect(documents.map(({ metadata }) => metadata.name)).toContain(set.serviceName);
  const { terminationGracePeriodSeconds, containers } = set.template.spec;
  const [container] = containers as [Container];
  const fromPod = { RINGCACHE_NODE: "ringcache-0", RINGCACHE_ADVERTISE: "10.0.0.1" };
  const given = container.env.map(({ name, value }) => [
    name,
    value ?? fromPod[name as keyof typeof fromPod],
  ]);
  const values = startWith(Object.fromEntries(given) as Record<string, string>);
  expect(values.nats).toBe("nats://nats:4222");
  expect(terminationGracePeriodSeconds * 1_000).toBeGreaterThan(values["drain-timeout"] + 30_000);
  const limitBytes = Number.parseInt(container.resources.limits.memory, 10) * 2 ** 20;
  expect(limitBytes).toBeGreaterThan(1.1 * values["max-memory"] + 250e6);
  const portOf = (name: string) => container.ports.find((port) => port.name === name)!.containerPort;
  expect([portOf("http"), portOf("redis"), portOf("peers")]).toEqual([
    values.http.port,
    values.redis!.port,
    values["peer-port"].port,
  ]);
  expect(container.readinessProbe.httpGet).toEqual({ path: "/ready", port: "http" });
  const [program, ...line] = container.lifecycle.preStop.exec.command;
  expect(program).toBe("ringcache");
  const drain = parse(line, {});
  expect(drain).toMatchObject({ kind: "run", command: "drain" });
});
