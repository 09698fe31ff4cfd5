/** NATS comes back without its data: the cluster writes its table back and carries on. */
import { jetstream, type StreamAPI } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Log } from "../../src/log.ts";
import { joinRing, type Ring, type Table } from "../../src/ring/index.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { until } from "../support/recorder.ts";

const partitions = 16;
const options = { partitions, peerHost: "127.0.0.1", advertiseHost: "127.0.0.1", platform: "loss" };

let server: NatsServer;
let rings: Ring[];
let events: string[];

/** Notes the events that a node logs. */
function recording(node: string): Log {
  const note = (fields: object): void => {
    if ("event" in fields) events.push(`${node} ${fields.event}`);
  };
  return { debug: () => {}, info: () => {}, warn: note, error: note };
}

async function start(node: string): Promise<Ring> {
  const ring = await joinRing({ ...options, node, nats: server.url, log: recording(node) });
  rings.push(ring);
  return ring;
}

beforeEach(async () => {
  events = [];
  rings = [];
  server = await startNatsServer();
});

afterEach(async () => {
  await Promise.all(rings.map((ring) => ring.stop()));
  await server.stop();
});

const owners = (table: Table): string[] => table.rows.map((row) => row.owner);
const sinces = (table: Table): number[] => table.rows.map((row) => row.since);
const incarnations = (table: Table): string[] => table.members.map((member) => member.incarnation);
const owned = (): number => rings.reduce((sum, ring) => sum + ring.ownedPartitions().length, 0);

async function cluster(): Promise<Table> {
  for (const node of ["node-1", "node-2", "node-3"]) await start(node);
  await until(
    () => rings.every((ring) => ring.table.epoch === rings[0]!.table.epoch) && isWhole(rings[0]!.table),
    "the cluster has settled",
  );
  await until(() => owned() === partitions, "everything is served");
  return rings[0]!.table;
}

function isWhole({ rows, members }: Table): boolean {
  return rows.every(
    (row) =>
      row.incoming === "" &&
      members.some(({ id }) => id === row.owner) &&
      row.backups.length === row.wanted.length,
  );
}

async function isRestored(before: Table): Promise<void> {
  await until(() => rings.every((ring) => ring.table.epoch > before.epoch), "the table is back", 30_000);
  for (const { table } of rings) {
    expect(incarnations(table)).toEqual(incarnations(before));
    expect(owners(table)).toEqual(owners(before));
    expect(sinces(table)).toEqual(sinces(before));
  }
  await until(() => rings.every((ring) => ring.isMember), "everyone has its lease");
  expect(owned()).toBe(partitions);
  expect(
    events.filter((event) => /died|fenced|undone|restore-waits|partitions-lost|copy-missing/.test(event)),
  ).toEqual([]);
}

async function stillWorks(): Promise<void> {
  const fourth = await start("node-4");
  await fourth.waitForPartitions();
  await until(() => fourth.ownedPartitions().length > 0, "the new node serves");
  await rings.shift()!.close();
  await until(() => rings.every((ring) => isWhole(ring.table) && ring.table.members.length === 3), "moved");
  await until(() => owned() === partitions, "everything is served again");
}

test("killed and started with an empty store: same members, same owners, and joins and leaves go on", async () => {
  const before = await cluster();
  await server.kill();
  server.wipe();
  await server.restart();
  await isRestored(before);
  await stillWorks();
}, 120_000);

test("away for longer than every lease, and then without its data", async () => {
  const before = await cluster();
  await server.kill();
  server.wipe();
  await until(() => rings.every((ring) => !ring.isMember), "every lease has lapsed");
  await server.restart();
  await isRestored(before);
  await stillWorks();
}, 120_000);

test.each(["ring", "members"])(
  "the bucket %s alone is deleted",
  async (name) => {
    const before = await cluster();
    await deleteStream(`KV_loss-${name}`);
    if (name === "ring") await isRestored(before);
    else await until(async () => (await messagesIn("KV_loss-members")) === 3, "all have registered again");
    await stillWorks();
    expect(events.filter((event) => /died|fenced|undone/.test(event))).toEqual([]);
  },
  120_000,
);

test("a node that starts on the empty store before the cluster is back is taken in, and its own platform goes", async () => {
  const before = await cluster();
  await server.kill();
  server.wipe();
  await server.restart();
  const stranger = start("node-9");
  await stranger;
  await until(
    () => rings.length === 4 && rings.every((ring) => ring.table.members.length === 4 && isWhole(ring.table)),
    "all four are members of one ring",
    30_000,
  );
  await until(() => owned() === partitions, "everything is served once", 30_000);
  expect(rings.flatMap((ring) => ring.ownedPartitions()).sort((a, b) => a - b)).toEqual(
    Array.from({ length: partitions }, (_, partition) => partition),
  );
  // Each has a link to each of the others, and those of before are still the ones that they were.
  for (const ring of rings) {
    for (const answer of await ring.broadcast("nothing"))
      expect(answer).toMatchObject({ ok: false, error: { code: "METHOD_UNKNOWN" } });
  }
  expect(incarnations(rings[0]!.table).slice(0, 3)).toEqual(incarnations(before));
}, 120_000);

async function deleteStream(stream: string): Promise<void> {
  await withStreams((streams) => streams.delete(stream));
}

function messagesIn(stream: string): Promise<number> {
  return withStreams(async (streams) => {
    const info = await streams.info(stream).catch(() => undefined);
    return info?.state.messages ?? 0;
  });
}

async function withStreams<T>(use: (streams: StreamAPI) => Promise<T>): Promise<T> {
  const connection = await connect({ servers: server.url });
  try {
    return await use((await jetstream(connection).jetstreamManager()).streams);
  } finally {
    await connection.close();
  }
}
