/** A store that loses its data under a ring of nodes, some of which know more than others or can't be reached. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { FaultyBucket } from "../../tests/support/faulty-bucket.ts";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { MemoryTransport } from "../../tests/support/memory-transport.ts";
import { defaultNodeConfig } from "../config.ts";
import type { Bucket, Coordination } from "../coordination/coordination.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import type { Log } from "../log.ts";
import type { ByteStream, Listener, StreamHandlers, Transport } from "../peers/transport.ts";
import { Ring } from "./ring.ts";
import { decodeTable, encodeTable, type Table } from "./table.ts";

const { leaseMs } = defaultNodeConfig;
const partitions = 8;

let runtime: ManualRuntime;
let store: MemoryStore;
let network: MemoryTransport;
let nodes: Node[];

/** One node's network, which can be cut: nothing is refused, nothing arrives. */
class Cable implements Transport {
  cut = false;

  listen(host: string, port: number, accept: (stream: ByteStream) => StreamHandlers): Promise<Listener> {
    return network.listen(host, port, (stream) => this.#over(accept(this.#under(stream))));
  }

  connect(host: string, port: number, handlers: StreamHandlers): ByteStream {
    return this.#under(network.connect(host, port, this.#over(handlers)));
  }

  #over(handlers: StreamHandlers): StreamHandlers {
    return {
      open: () => this.cut || handlers.open?.(),
      data: (bytes) => this.cut || handlers.data(bytes),
      close: (reason) => handlers.close(reason),
    };
  }

  #under(stream: ByteStream): ByteStream {
    return {
      write: (bytes) => this.cut || stream.write(bytes),
      end: () => stream.end(),
      destroy: () => stream.destroy(),
      get queuedBytes() {
        return stream.queuedBytes;
      },
      remote: stream.remote,
    };
  }
}

class FaultyCoordination implements Coordination {
  readonly location = "memory";
  readonly buckets: FaultyBucket[] = [];
  status: Coordination["status"] = "connected";
  readonly #inner = new MemoryCoordination(store);

  async openBucket(name: string): Promise<Bucket> {
    const bucket = new FaultyBucket(await this.#inner.openBucket(name));
    this.buckets.push(bucket);
    return bucket;
  }

  openChannel: Coordination["openChannel"] = (name, receive) => this.#inner.openChannel(name, receive);

  onStatus(): () => void {
    return () => {};
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

class Node {
  readonly id: string;
  readonly cable = new Cable();
  readonly coordination = new FaultyCoordination();
  readonly events: string[] = [];
  ring!: Ring;

  constructor(id: string) {
    this.id = id;
  }

  join(): Promise<Ring> {
    const note = (fields: object): void => {
      if ("event" in fields) this.events.push(String(fields.event));
    };
    const log: Log = { debug: () => {}, info: () => {}, warn: note, error: note };
    return Ring.join({
      config: {
        ...defaultNodeConfig,
        node: this.id,
        partitions,
        backups: 0,
        peerHost: "h",
        advertiseHost: "h",
      },
      coordination: this.coordination,
      runtime,
      transport: this.cable,
      log,
    }).then((ring) => {
      this.ring = ring;
      return ring;
    });
  }

  get table(): Table {
    return this.ring.table;
  }

  /** Hears nothing of the store, and gets no answer. */
  set storeCut(cut: boolean) {
    for (const bucket of this.coordination.buckets) {
      bucket.cutOff = cut;
      bucket.deaf = cut;
    }
    this.coordination.status = cut ? "disconnected" : "connected";
  }

  /** Hears nothing of the store. */
  set deaf(deaf: boolean) {
    for (const bucket of this.coordination.buckets) bucket.deaf = deaf;
  }
}

beforeEach(() => {
  runtime = new ManualRuntime();
  store = new MemoryStore(runtime);
  network = new MemoryTransport(runtime);
  nodes = [];
});

afterEach(async () => {
  const stopped = Promise.all(nodes.map(({ ring }) => ring?.stop()));
  await runtime.advance(5_000);
  await stopped;
});

async function start(id: string, withinMs = 500): Promise<Node> {
  const node = new Node(id);
  nodes.push(node);
  const joined = node.join();
  await runtime.advance(withinMs);
  await joined;
  return node;
}

async function threeNodes(): Promise<[Node, Node, Node]> {
  const three: [Node, Node, Node] = [await start("a"), await start("b"), await start("c")];
  await until(() => isSettled(...three), 5_000, "the ring is settled");
  return three;
}

function isSettled(...some: Node[]): boolean {
  const owned = some.flatMap(({ ring }) => ring.ownedPartitions()).sort((x, y) => x - y);
  return (
    some.every(({ table }) => table.epoch === some[0]!.table.epoch && table.members.length === some.length) &&
    owned.join() === Array.from({ length: partitions }, (_, i) => i).join()
  );
}

/** The time that it took. */
async function until(condition: () => boolean, timeoutMs: number, what: string): Promise<number> {
  const sinceMs = runtime.nowMs;
  while (!condition()) {
    if (runtime.nowMs - sinceMs > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await runtime.advance(20);
  }
  return runtime.nowMs - sinceMs;
}

const isBack = (node: Node): boolean => node.table.history!.restoredFrom > 0;
const owners = (table: Table): string => table.rows.map((row) => `${row.owner}@${row.since}`).join(" ");
const has = (node: Node, event: string): boolean => node.events.includes(event);

/** As a planner would: one more table, with every row at a new term. Only `by` hears of it. */
async function publishUnheard(by: Node, ...others: Node[]): Promise<void> {
  for (const node of others) node.deaf = true;
  const bucket = by.coordination.buckets.find(({ name }) => name.endsWith("-ring"))!;
  const entry = (await bucket.get("table"))!;
  const table = decodeTable(entry.value);
  const epoch = table.epoch + 1;
  const rows = table.rows.map((row) => ({ ...row, owner: by.id, term: epoch, since: epoch }));
  await bucket.update("table", encodeTable({ ...table, epoch, rows }), entry.revision);
  await until(() => by.table.epoch === epoch, 1_000, "it is known to one");
  for (const node of others) expect(node.table.epoch).toBe(epoch - 1);
}

test("all notice: the table is back at once, nothing moves, everything is served throughout", async () => {
  const three = await threeNodes();
  const before = three[0].table;
  store.wipe();
  const tookMs = await until(() => three.every(isBack), leaseMs, "the table is back");
  expect(tookMs).toBeLessThan(leaseMs / 4);
  for (const { table, events } of three) {
    expect(table.history?.restoredFrom).toBe(before.epoch);
    expect(owners(table)).toBe(owners(before));
    expect(table.members).toEqual(before.members);
    expect(events.filter((event) => event !== "table-lost" && event !== "table-restored")).toEqual([]);
  }
  expect(isSettled(...three)).toBe(true);
  for (let i = 0; i < 50; i++) {
    await runtime.advance(100);
    expect(isSettled(...three)).toBe(true);
    expect(three.every(({ ring }) => ring.isMember)).toBe(true);
  }
});

test("a member that hasn't noticed is waited for, a lease and no longer", async () => {
  const [a, b, c] = await threeNodes();
  c.deaf = true;
  store.wipe();
  const tookMs = await until(() => isBack(a) && isBack(b), 2 * leaseMs, "the table is back");
  expect(tookMs).toBeGreaterThanOrEqual(leaseMs);
  expect(tookMs).toBeLessThan(1.3 * leaseMs);
});

test("a member that is cut off from the store is asked, and not waited for", async () => {
  const [a, b, c] = await threeNodes();
  c.storeCut = true;
  store.wipe();
  const tookMs = await until(() => isBack(a) && isBack(b), 2 * leaseMs, "the table is back");
  expect(tookMs).toBeLessThan(leaseMs / 4);
  c.storeCut = false;
  await until(() => isBack(c), 2_000, "it follows");
  expect(has(c, "fenced")).toBe(false);
});

test("a member whose process is dead isn't waited for", async () => {
  const [a, b, c] = await threeNodes();
  store.wipe();
  await c.ring.stop();
  nodes.pop();
  const tookMs = await until(() => isBack(a) && isBack(b), 2 * leaseMs, "the table is back");
  expect(tookMs).toBeLessThan(leaseMs / 2);
  await until(() => isSettled(a, b), 3_000, "what it owned is served");
});

test("a member that the others can't reach directly says in its record what it knows", async () => {
  const [a, b, c] = await threeNodes();
  for (const node of [a, b, c]) node.cable.cut = true;
  store.wipe();
  const tookMs = await until(() => [a, b, c].every(isBack), 2 * leaseMs, "the table is back");
  expect(tookMs).toBeLessThan(leaseMs / 2);
});

test.each(["alone", "that nobody reaches directly", "that is cut off from the store"])(
  "what one member %s knows is what comes back, and nobody has to go",
  async (how) => {
    const [a, b, c] = await threeNodes();
    await publishUnheard(a, b, c);
    const { epoch } = a.table;
    if (how.includes("nobody")) a.cable.cut = true;
    if (how.includes("store")) a.storeCut = true;
    store.wipe();
    for (const node of [b, c]) node.deaf = false;
    await until(() => isBack(b) && isBack(c), leaseMs / 2, "the table is back");
    a.cable.cut = false;
    a.storeCut = false;
    await until(() => isBack(a), leaseMs / 2, "it is back there");
    for (const { table, events } of [a, b, c]) {
      expect(table.history?.restoredFrom).toBe(epoch);
      expect(events).not.toContain("table-undone");
      expect(events).not.toContain("fenced");
    }
  },
);

test("a member that the others have never heard of is heard by its record", async () => {
  const [a, b, c] = await threeNodes();
  for (const node of [b, c]) node.deaf = true;
  const d = await start("d");
  expect(b.table.members.map(({ id }) => id)).not.toContain("d");
  await a.ring.stop(); // The only other one who knew.
  nodes.splice(nodes.indexOf(a), 1);
  const { epoch } = d.table;
  expect(epoch).toBeGreaterThan(b.table.epoch);
  store.wipe();
  for (const node of [b, c]) node.deaf = false;
  await until(() => [b, c, d].every(isBack), 2 * leaseMs, "the table is back");
  for (const { table } of [b, c, d]) expect(table.history?.restoredFrom).toBeGreaterThanOrEqual(epoch);
  expect(d.events).not.toContain("table-undone");
});

test("a member that knew more and couldn't be asked by anyone gives itself up and joins anew", async () => {
  const [a, b, c] = await threeNodes();
  await publishUnheard(a, b, c);
  const { incarnation } = a.ring;
  a.storeCut = true;
  a.cable.cut = true;
  store.wipe();
  for (const node of [b, c]) node.deaf = false;
  const tookMs = await until(() => isBack(b) && isBack(c), 2 * leaseMs, "the table is back");
  expect(tookMs).toBeGreaterThanOrEqual(leaseMs);
  expect(b.table.history?.restoredFrom).toBe(a.table.epoch - 1);
  // By then it serves nothing: it has neither lease nor grants.
  expect(a.table.rows.some((_, partition) => a.ring.serves(partition))).toBe(false);
  a.storeCut = false;
  await until(() => a.ring.incarnation !== incarnation, 2_000, "it gives itself up");
  expect(a.events).toContain("table-undone");
  a.cable.cut = false;
  await until(() => isSettled(a, b, c), 20_000, "it is a member again");
});

test("the smaller part of a cluster that was without the store for long waits for the larger", async () => {
  const [a, b, c] = await threeNodes();
  for (const node of [a, b, c]) node.storeCut = true;
  await runtime.advance(2 * leaseMs);
  for (const node of [b, c]) node.cable.cut = true;
  store.wipe();
  a.storeCut = false;
  await runtime.advance(5 * leaseMs);
  expect(isBack(a)).toBe(false);
  expect(has(a, "restore-waits")).toBe(true);
  expect(a.ring.isMember).toBe(false);
  for (const node of [b, c]) {
    node.cable.cut = false;
    node.storeCut = false;
  }
  await until(() => [a, b, c].every(isBack), 2 * leaseMs, "the table is back");
  await until(() => isSettled(a, b, c), 5_000, "everything is served");
  expect([a, b, c].flatMap(({ events }) => events)).not.toContain("fenced");
});

test("the larger part doesn't wait for the smaller one longer than a lease", async () => {
  const [a, b, c] = await threeNodes();
  for (const node of [a, b, c]) node.storeCut = true;
  await runtime.advance(2 * leaseMs);
  c.cable.cut = true;
  store.wipe();
  for (const node of [a, b]) node.storeCut = false;
  const tookMs = await until(() => isBack(a) && isBack(b), 2 * leaseMs, "the table is back");
  expect(tookMs).toBeGreaterThanOrEqual(leaseMs);
  expect([a, b].every(({ ring }) => ring.isMember)).toBe(true);
});

test("a node that was declared dead before the loss finds no trace of that, and still serves nothing it had", async () => {
  const [a, b, c] = await threeNodes();
  const { incarnation } = c.ring;
  c.storeCut = true;
  c.cable.cut = true;
  await until(() => isSettled(a, b), 5 * leaseMs, "the others have what it had");
  store.wipe();
  c.storeCut = false;
  c.cable.cut = false;
  for (let i = 0; i < 200 && c.ring.incarnation === incarnation; i++) {
    expect(c.ring.ownedPartitions().some((partition) => c.ring.serves(partition))).toBe(false);
    await runtime.advance(20);
  }
  expect(c.events).toContain("fenced");
  await until(() => isSettled(a, b, c), 20_000, "it is a member again");
});

test("a node that starts on the empty store makes a platform of its own, until the cluster is back", async () => {
  const [a, b, c] = await threeNodes();
  const before = a.table;
  for (const node of [a, b, c]) node.storeCut = true;
  store.wipe();
  const stranger = await start("s");
  await until(() => isSettled(stranger), 3_000, "it serves everything by itself");
  for (const node of [a, b, c]) node.storeCut = false;
  await until(() => [a, b, c, stranger].every(isBack), leaseMs, "the table is back");
  expect(owners(stranger.table)).toBe(owners(before));
  expect(stranger.events).toEqual(expect.arrayContaining(["secret-replaced", "platform-replaced"]));
  expect([a, b, c].flatMap(({ events }) => events)).toContain("settings-overwritten");
  await until(() => isSettled(a, b, c, stranger), 10_000, "it is one of them");
  const answers = stranger.ring.broadcast("nothing");
  await runtime.advance(100);
  expect((await answers).map((answer) => ("error" in answer ? answer.error.message : ""))).toEqual(
    ["a", "b", "c", "s"].map((id) => `node "${id}" has no handler for "nothing"`),
  );
});

test("a cluster of strangers that has had more tables than the one that is back doesn't keep it away", async () => {
  const [a, b] = [await start("a"), await start("b")];
  const before = a.table;
  for (const node of [a, b]) node.storeCut = true;
  b.cable.cut = true;
  store.wipe();
  const strangers = [await start("s"), await start("t"), await start("u")];
  await until(() => isSettled(...strangers), 5_000, "they serve everything");
  expect(strangers[0]!.table.epoch).toBeGreaterThan(before.epoch);
  a.storeCut = false;
  await until(() => [a, ...strangers].every(isBack), 2 * leaseMs, "the table is back");
  expect(a.table.history?.id).toBe(before.history?.id);
  b.cable.cut = false;
  b.storeCut = false;
  await until(() => isSettled(a, b, ...strangers), 20_000, "they are all of one cluster");
});

test("a platform begun under the settings that were put back is another one all the same, until who knew the table is back", async () => {
  const [a, b] = [await start("a"), await start("b")];
  await until(() => isSettled(a, b), 5_000, "the ring is settled");
  const before = a.table;
  a.storeCut = true;
  a.cable.cut = true;
  store.wipe();
  await runtime.advance(leaseMs / 2);
  expect(isBack(b)).toBe(false);
  // It is gone too, after it has put the settings back, and before the table.
  b.storeCut = true;
  b.cable.cut = true;
  // Its record tells that there was a table, until its lease is over.
  const strangers = [await start("s", 2 * leaseMs), await start("t"), await start("u")];
  await until(() => isSettled(...strangers), 5_000, "they serve everything");
  expect(strangers[0]!.table.epoch).toBeGreaterThan(before.epoch);
  expect(strangers.flatMap(({ events }) => events)).not.toContain("secret-replaced");
  const incarnations = strangers.map(({ ring }) => ring.incarnation);
  for (const node of [a, b]) {
    node.cable.cut = false;
    node.storeCut = false;
  }
  await until(() => [a, b, ...strangers].every(isBack), 3 * leaseMs, "the table is back");
  expect(a.table.history?.id).toBe(before.history?.id);
  await until(() => isSettled(a, b, ...strangers), 20_000, "they are all of one cluster");
  // What they had of a platform that never was is gone with them.
  for (const [i, { events, ring }] of strangers.entries()) {
    expect(events).toContain("platform-replaced");
    expect(ring.incarnation).not.toBe(incarnations[i]);
  }
});

test("a second loss before the first is repaired, and a third after it", async () => {
  const three = await threeNodes();
  const before = owners(three[0].table);
  three[2].deaf = true;
  store.wipe();
  await runtime.advance(leaseMs / 2);
  store.wipe();
  await runtime.advance(100);
  three[2].deaf = false;
  await until(() => three.every(isBack), 2 * leaseMs, "the table is back");
  const { epoch } = three[0].table;
  store.wipe();
  await until(() => three.every(({ table }) => table.epoch > epoch), leaseMs, "the table is back again");
  for (const { table, events } of three) {
    expect(owners(table)).toBe(before);
    expect(events).not.toContain("fenced");
  }
});
