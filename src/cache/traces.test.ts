/** Operations on two nodes of this process, with the real OpenTelemetry. */
import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-node";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { MemoryTransport } from "../../tests/support/memory-transport.ts";
import { defaultNodeConfig } from "../config.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { silentLog } from "../log.ts";
import { systemRuntime as runtime } from "../runtime.ts";
import { findSpans } from "../tracing.ts";
import { bytesSerializer, Cache } from "./cache.ts";
import { RunCommand } from "./command.ts";
import { CacheNode } from "./node.ts";
import { StepCode } from "./steps/step.ts";

const exporter = new InMemorySpanExporter();
const nodes: CacheNode[] = [];
let cache: Cache<Uint8Array>;

beforeAll(async () => {
  // Nobody has set it up yet.
  expect(await findSpans(silentLog)).toBeUndefined();
  new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
  const spans = await findSpans(silentLog);
  expect(spans).toBeDefined();
  const store = new MemoryStore(runtime);
  const transport = new MemoryTransport(runtime);
  const start = (node: string): Promise<CacheNode> =>
    CacheNode.start({
      config: { ...defaultNodeConfig, node, partitions: 4, peerHost: "h", advertiseHost: "h" },
      coordination: new MemoryCoordination(store),
      runtime,
      transport,
      log: silentLog,
      spans,
    });
  nodes.push(...(await Promise.all([start("a"), start("b")])));
  for (const { ring } of nodes) {
    await ring.waitForNodes(2);
    await ring.waitForPartitions();
  }
  cache = new Cache(nodes[0]!, bytesSerializer, runtime, async () => {});
});
afterAll(async () => {
  for (const node of nodes) await node.close();
});
beforeEach(async () => {
  // The last spans of the test before may end just now: what is asked later is answered later.
  await cache.has(keyOf("b"));
  await byName("EXISTS cache-platform", SpanKind.SERVER);
  exporter.reset();
});

/** A key that this node owns. */
function keyOf(node: string): string {
  for (let i = 0; ; i++) if (nodes[0]!.ring.nodeFor(`secret ${i}`) === node) return `secret ${i}`;
}

const value = Buffer.from("classified");

/** The span, once it has ended: the owner's may end after the operation, which needs no more than that all copies have it. */
function byName(name: string, kind?: SpanKind): Promise<ReadableSpan> {
  return vi.waitFor(() => {
    const spans = exporter.getFinishedSpans().filter((span) => span.name === name);
    const found = spans.filter((span) => kind === undefined || span.kind === kind);
    expect(found).toHaveLength(1);
    return found[0]!;
  });
}

const idOf = (span: ReadableSpan): string => span.spanContext().spanId;
const traceOf = (span: ReadableSpan): string => span.spanContext().traceId;

test("carried out here: one span, a child of what is going on, and one while the backups confirm", async () => {
  const key = keyOf("a");
  const application = trace.getTracer("application").startSpan("checkout");
  await context.with(trace.setSpan(context.active(), application), () => cache.set(key, value));
  application.end();
  const set = await byName("SET cache-platform");
  expect(set.kind).toBe(SpanKind.CLIENT);
  expect(set.parentSpanContext?.spanId).toBe(application.spanContext().spanId);
  expect(traceOf(set)).toBe(application.spanContext().traceId);
  expect(set.attributes).toEqual({
    "db.system.name": "ringcache",
    "db.namespace": "cache-platform",
    "db.operation.name": "SET",
    "ringcache.node": "a",
    "ringcache.owner": "a",
    "ringcache.partition": nodes[0]!.ring.partitionFor(key),
    "ringcache.door": "library",
    "ringcache.route": "local",
    "ringcache.outcome": "stored",
  });
  expect(set.status.code).toBe(SpanStatusCode.UNSET);
  const replicate = await byName("replicate");
  expect(replicate.parentSpanContext?.spanId).toBe(idOf(set));
  expect(replicate.attributes).toEqual({ "ringcache.backups": ["b"] });
});

test("carried out elsewhere: the owner's span is a child of the origin's", async () => {
  const key = keyOf("b");
  await cache.set(key, value);
  const origin = await byName("SET cache-platform", SpanKind.CLIENT);
  const owner = await byName("SET cache-platform", SpanKind.SERVER);
  expect(origin.attributes).toMatchObject({ "ringcache.route": "routed", "ringcache.owner": "b" });
  expect(traceOf(owner)).toBe(traceOf(origin));
  expect(owner.parentSpanContext).toMatchObject({ spanId: idOf(origin), isRemote: true });
  expect(owner.attributes).toEqual({
    "db.system.name": "ringcache",
    "db.namespace": "cache-platform",
    "db.operation.name": "SET",
    "ringcache.node": "b",
    "ringcache.origin": "a",
    "ringcache.partition": nodes[0]!.ring.partitionFor(key),
    "ringcache.outcome": "stored",
  });
  expect((await byName("replicate")).parentSpanContext?.spanId).toBe(idOf(owner));

  exporter.reset();
  expect(await cache.get(key)).toEqual(value);
  expect((await byName("GET cache-platform", SpanKind.SERVER)).attributes["ringcache.outcome"]).toBe("found");
  expect(await cache.get("absent")).toBeUndefined();
  expect(await cache.delete(key)).toBe(true);
  expect(await cache.compareAndSet(key, value, value)).toBe(false);
  const outcomes = exporter
    .getFinishedSpans()
    .filter((span) => span.kind === SpanKind.CLIENT)
    .map((span) => [span.attributes["db.operation.name"], span.attributes["ringcache.outcome"]]);
  expect(outcomes).toEqual([
    ["GET", "found"],
    ["GET", "absent"],
    ["DELETE", "found"],
    ["COMPARE_AND_SET", "not_stored"],
  ]);
});

test("several steps at once", async () => {
  const key = Buffer.from(keyOf("b"));
  const step = { code: StepCode.add, keys: [key], args: [Buffer.from("1")] };
  await new Promise<void>((resolve) => {
    nodes[0]!.execute(new RunCommand([step, step], key), () => resolve());
  });
  expect((await byName("RUN cache-platform", SpanKind.CLIENT)).attributes).toMatchObject({
    "db.operation.batch.size": 2,
    "ringcache.steps": ["add"],
    "ringcache.outcome": "done",
  });
});

test("what fails says why, and whether it may have been carried out", async () => {
  const command = {
    op: 1,
    key: Buffer.from(keyOf("b")),
    value,
    expiresAtMs: 0,
    expected: undefined,
  } as const;
  const code = await new Promise((resolve) => {
    nodes[0]!.execute(command, (error) => resolve(error?.code), 0);
  });
  expect(code).toBe("DEADLINE_EXCEEDED");
  const span = await byName("GET cache-platform", SpanKind.CLIENT);
  expect(span.status.code).toBe(SpanStatusCode.ERROR);
  expect(span.attributes).toMatchObject({ "error.type": "DEADLINE_EXCEEDED", "ringcache.outcome": "none" });
});

test("no span has a key or a value", async () => {
  for (const node of ["a", "b"]) {
    await cache.set(keyOf(node), value);
    await cache.get(keyOf(node));
    await cache.delete(keyOf(node));
  }
  const spans = exporter.getFinishedSpans();
  expect(spans.length).toBeGreaterThan(8);
  for (const { name, attributes, events, status } of spans) {
    expect(JSON.stringify({ name, attributes, events, status })).not.toMatch(/secret|classified/);
  }
});

test("what isn't sampled isn't recorded on any node", async () => {
  const unsampled = { traceId: "1".repeat(32), spanId: "2".repeat(16), traceFlags: 0 };
  const within = trace.setSpanContext(context.active(), unsampled);
  await context.with(within, () => cache.set(keyOf("b"), value));
  // What is asked later is answered later.
  await cache.delete(keyOf("b"));
  await byName("DELETE cache-platform", SpanKind.SERVER);
  expect(exporter.getFinishedSpans().filter((span) => traceOf(span) === unsampled.traceId)).toEqual([]);
});
