/** What a node that can't reach the store learns from those that have seen more. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { FaultyBucket } from "../../tests/support/faulty-bucket.ts";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { RingcacheError } from "../errors.ts";
import { silentLog } from "../log.ts";
import type { CallHandler, PeerAddress, RequestHandler } from "../peers/messages.ts";
import { emptyTable, type Member } from "./table.ts";
import { TableExchange } from "./table-exchange.ts";
import { TableStore } from "./table-store.ts";

const intervalMs = 100;

interface Node {
  readonly tables: TableStore;
  readonly bucket: FaultyBucket;
  readonly exchange: TableExchange;
  isCutOff: boolean;
}

let runtime: ManualRuntime;
let store: MemoryStore;
let asked: string[];
const handlers = new Map<string, RequestHandler>();
const nodes: Node[] = [];

const member = (id: string): Member => ({
  id,
  incarnation: `${id}1`,
  host: "h",
  port: 1,
  http: "",
  zone: "",
  leaving: false,
  dead: "",
});

beforeEach(() => {
  runtime = new ManualRuntime();
  store = new MemoryStore(runtime);
  asked = [];
});

afterEach(() => {
  for (const { tables, exchange } of nodes.splice(0)) {
    exchange.stop();
    tables.close();
  }
  handlers.clear();
});

async function node(id: string): Promise<Node> {
  const bucket = new FaultyBucket(await new MemoryCoordination(store).openBucket("ring"));
  const tables = new TableStore({ bucket, partitions: 2, runtime, log: silentLog, writer: id });
  const peers = {
    handle: (_kind: number, handler: RequestHandler) => void handlers.set(id, handler),
    call: (to: PeerAddress, _kind: number, payload: Uint8Array, _ms: number, end: CallHandler) => {
      asked.push(`${id} ${to.id}`);
      const handler = handlers.get(to.id);
      runtime.soon(() => {
        if (handler === undefined) end.failed(new RingcacheError("PEER_REFUSED", "gone"));
        else
          handler({
            from: member(id),
            payload: Buffer.from(payload),
            reply: (a) => end.reply(Buffer.from(a)),
          });
      });
    },
  };
  const made: Partial<Node> & { isCutOff: boolean } = { tables, bucket, isCutOff: false };
  const exchange = new TableExchange({
    runtime,
    log: silentLog,
    peers,
    tables,
    selfId: id,
    intervalMs,
    isCutOff: () => made.isCutOff,
  });
  const whole = Object.assign(made, { exchange }) as Node;
  nodes.push(whole);
  await tables.start();
  return whole;
}

/** Tables of a and b, one epoch further each time. */
async function publish({ tables }: Node): Promise<void> {
  const epoch = tables.table.epoch + 1;
  await tables.publish((table) =>
    table.epoch >= epoch ? undefined : { ...emptyTable(2), epoch, members: [member("a"), member("b")] },
  );
  await runtime.settle();
}

const interval = (): Promise<void> => runtime.advance(intervalMs);

async function pair(): Promise<[Node, Node]> {
  const [a, b] = [await node("a"), await node("b")];
  await publish(a);
  expect(b.tables.table.epoch).toBe(1);
  // What is published from here on doesn't come to b.
  b.bucket.deaf = true;
  await publish(a);
  expect(b.tables.table.epoch).toBe(1);
  return [a, b];
}

test("a node that can't reach the store learns a table that another has seen, and can publish on it", async () => {
  const [a, b] = await pair();
  const epochs: number[] = [];
  b.tables.subscribe(({ epoch }) => void epochs.push(epoch));
  await interval();
  expect(b.tables.table.epoch).toBe(1);
  b.isCutOff = true;
  await interval();
  expect(b.tables.table.epoch).toBe(2);
  await interval();
  expect(epochs).toEqual([2]);
  b.bucket.deaf = false;
  b.isCutOff = false;
  await publish(b);
  expect([a.tables.table.epoch, b.tables.table.epoch]).toEqual([3, 3]);
});

test("nobody is asked while the store can be reached, and one question at a time is open", async () => {
  const [, b] = await pair();
  for (let i = 0; i < 3; i++) await interval();
  expect(asked).toEqual([]);
  const answer = handlers.get("a")!;
  handlers.set("a", () => {});
  b.isCutOff = true;
  for (let i = 0; i < 3; i++) await interval();
  expect(asked).toEqual(["b a"]);
  handlers.set("a", answer);
});

test("a member that is gone doesn't keep the others from being asked again", async () => {
  const [, b] = await pair();
  handlers.delete("a");
  b.isCutOff = true;
  for (let i = 0; i < 3; i++) await interval();
  expect(asked).toEqual(["b a", "b a", "b a"]);
});

test("a table of another life of the store isn't told: its revisions mean nothing here", async () => {
  const [a, b] = await pair();
  store.wipe();
  await runtime.settle();
  await a.tables.writeBack();
  await runtime.settle();
  expect(a.tables.isRestoring).toBe(false);
  b.isCutOff = true;
  await interval();
  expect(asked).toEqual(["b a"]);
  expect(b.tables.table.epoch).toBe(1);
});

test("a question that is none gets an empty answer", async () => {
  await pair();
  const replies: number[] = [];
  const reply = (answer: Uint8Array): void => void replies.push(answer.length);
  handlers.get("a")!({ from: member("b"), payload: Buffer.of(1, 2), reply });
  handlers.get("a")!({ from: member("b"), payload: Buffer.alloc(40, 1), reply });
  expect(replies).toEqual([0, 0]);
});
