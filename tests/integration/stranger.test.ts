/** Strangers on a node's peer port: whatever they send or don't, they get nothing and nobody else notices. */
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeFrame, FrameType, frameSizeBytesMax } from "../../src/peers/frames.ts";
import { encodeHello } from "../../src/peers/handshake.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, eventually, type NodeProcess, settled } from "../support/node-process.ts";

let nats: NatsServer;
let cluster: Cluster;
let nodes: NodeProcess[];
let peerPort: number;

beforeAll(async () => {
  nats = await startNatsServer();
  cluster = new Cluster(nats.url);
  nodes = await Promise.all(["node-1", "node-2"].map((id) => cluster.start(id)));
  await settled(nodes);
  // From here on nothing but a stranger could bring about a new table.
  const { members } = await eventually(
    () => nodes[0]!.status(),
    ({ copies, moving_partitions }) => copies[2] === 64 && moving_partitions === 0,
    "every partition has its copies",
  );
  peerPort = Number(
    members
      .find(({ id }) => id === "node-1")!
      .peer.split(":")
      .at(-1),
  );
});
afterAll(async () => {
  await cluster.end();
  await nats.stop();
});

interface Visit {
  /** Everything that the node answered. */
  readonly answer: Buffer;
  readonly tookMs: number;
}

/** Connects, sends, and waits until the node has closed the connection. */
function visit(bytes: Uint8Array | undefined, options: { end?: boolean } = {}): Promise<Visit> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    const chunks: Buffer[] = [];
    const socket = connect(peerPort, "127.0.0.1");
    socket.setTimeout(20_000, () => {
      socket.destroy();
      reject(new Error("the node left the connection open"));
    });
    socket.on("connect", () => {
      if (bytes !== undefined) socket.write(bytes);
      if (options.end === true) socket.end();
    });
    socket.on("data", (chunk) => chunks.push(chunk));
    // A reset is an end like any other here.
    socket.on("error", () => {});
    socket.on("close", () => resolve({ answer: Buffer.concat(chunks), tookMs: performance.now() - startMs }));
  });
}

/** The links between the nodes and the cluster itself are as before: routed operations work, at the same epoch. */
async function expectUndisturbed(epoch: number): Promise<void> {
  for (let i = 0; i < 20; i++) {
    expect((await nodes[i % 2]!.http.set(`key:${i}`, "v")).status).toBe(200);
    expect((await nodes[(i + 1) % 2]!.http.get(`key:${i}`)).body).toMatchObject({ value: "v" });
  }
  for (const node of nodes) {
    expect((await node.status()).epoch).toBe(epoch);
    expect(node.isRunning).toBe(true);
    expect(node.log.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);
  }
}

const someone = { id: "node-2", incarnation: "0123456789abcdef" };
const hello = encodeHello(
  Buffer.alloc(32, 1),
  { platform: "cache-platform", from: someone, to: { id: "node-1", incarnation: "fedcba9876543210" } },
  Buffer.alloc(32, 2),
);

function prefixed(length: number, rest: Uint8Array = Buffer.alloc(0)): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(length);
  return Buffer.concat([prefix, rest]);
}

test("whoever says nothing gets nothing and is turned away", { timeout: 30_000 }, async () => {
  const { epoch } = await nodes[0]!.status();
  const { answer, tookMs } = await visit(undefined);
  expect(answer.length).toBe(0);
  console.log(`stranger: silence was turned away after ${Math.round(tookMs)} ms`);
  await expectUndisturbed(epoch);
});

test("what isn't a handshake closes that connection and nothing else", { timeout: 60_000 }, async () => {
  const { epoch } = await nodes[0]!.status();
  const cases: Record<string, Uint8Array> = {
    "an HTTP request": Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    zeros: Buffer.alloc(64),
    ones: Buffer.alloc(64, 255),
    "a frame of the largest length there is": prefixed(0xffff_ffff, Buffer.alloc(1_024)),
    "a frame larger than any handshake": prefixed(frameSizeBytesMax - 4, Buffer.alloc(64 * 1_024, 1)),
    "a frame too short for its header": prefixed(3, Buffer.alloc(3, 1)),
    "a request before the handshake": encodeFrame(FrameType.request, 2, 1, Buffer.alloc(40)),
    "a proof before the hello": encodeFrame(FrameType.proof, 0, 0, Buffer.alloc(32)),
    "an unknown type": encodeFrame(9 as FrameType, 0, 0, Buffer.alloc(8)),
    "a hello under another secret": encodeFrame(FrameType.hello, 0, 0, hello),
    "a hello that isn't one": encodeFrame(FrameType.hello, 0, 0, Buffer.alloc(200, 7)),
    "a megabyte of noise": Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 2_654_435_761) >>> 24)),
  };
  for (const [what, bytes] of Object.entries(cases)) {
    const { answer } = await visit(bytes);
    expect([what, answer.length]).toEqual([what, 0]);
  }
  await expectUndisturbed(epoch);
});

test("a truncated frame, whether its sender stays or goes", { timeout: 60_000 }, async () => {
  const { epoch } = await nodes[0]!.status();
  const frame = encodeFrame(FrameType.hello, 0, 0, hello);
  const cuts = [1, 3, 4, 5, 9, 10, frame.length - 1];
  const visits = cuts.flatMap((cut) => [
    visit(frame.subarray(0, cut)),
    visit(frame.subarray(0, cut), { end: true }),
  ]);
  for (const { answer } of await Promise.all(visits)) expect(answer.length).toBe(0);
  await expectUndisturbed(epoch);
});

test("a crowd of strangers doesn't keep the nodes from each other", { timeout: 60_000 }, async () => {
  const { epoch } = await nodes[0]!.status();
  const crowd = Array.from({ length: 300 }, (_, i) => visit(i % 2 === 0 ? undefined : Buffer.alloc(3)));
  await expectUndisturbed(epoch);
  for (const { answer } of await Promise.all(crowd)) expect(answer.length).toBe(0);
  await expectUndisturbed(epoch);
});
