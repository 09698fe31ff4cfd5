import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Sender, sendsDirectly } from "./sender.ts";

let server: Server;
let near: Socket;
let far: Socket;
let drains: number;
let sender: Sender;

beforeEach(async () => {
  server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  far = connect((server.address() as AddressInfo).port, "127.0.0.1");
  [near] = (await once(server, "connection")) as [Socket];
  drains = 0;
  sender = new Sender(near, () => drains++);
  for (const socket of [near, far]) socket.on("error", () => {});
});

afterEach(() => {
  for (const socket of [near, far]) socket.destroy();
  server.close();
});

/** Every byte tells its place. */
function numbered(from: number, count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, i) => (from + i) % 251));
}

async function received(count: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  while (size < count) {
    const chunk = far.read() as Buffer | null;
    if (chunk === null) await once(far, "readable");
    else size += chunks[chunks.push(chunk) - 1]!.length;
  }
  return Buffer.concat(chunks);
}

/** More than the kernel takes for a client that doesn't read. */
const muchBytes = 16 * 1024 * 1024;

test("this version of Node lets writes go to the handle", () => {
  expect(sendsDirectly).toBe(true);
});

test("what the kernel takes may be used again at once, and the stream knows nothing of it", async () => {
  const bytes = numbered(0, 100);
  for (let i = 0; i < 50; i++) {
    bytes.set(numbered(100 * i, 100));
    expect(sender.send(bytes)).toBe(true);
    expect(sender.unsentBytes).toBe(0);
  }
  expect((await received(5_000)).equals(numbered(0, 5_000))).toBe(true);
  expect(near.writableNeedDrain).toBe(false);
  expect(drains).toBe(0);
});

test("what it doesn't take is sent later, what follows comes after it, and both may be followed by the end", async () => {
  far.pause();
  expect(sender.send(numbered(0, muchBytes))).toBe(false);
  expect(sender.unsentBytes).toBeGreaterThan(0);
  const before = sender.unsentBytes;
  expect(sender.send(numbered(muchBytes, 1_000))).toBe(false);
  expect(sender.unsentBytes).toBe(before + 1_000);
  near.end();
  const all = await received(muchBytes + 1_000);
  expect(all.equals(numbered(0, muchBytes + 1_000))).toBe(true);
  far.resume();
  await once(far, "end");
  expect(sender.unsentBytes).toBe(0);
});

test("once all is written it is told, and writes go to the handle again", async () => {
  far.pause();
  sender.send(numbered(0, muchBytes));
  await received(muchBytes);
  while (drains === 0) await new Promise(setImmediate);
  expect(drains).toBe(1);
  expect(sender.unsentBytes).toBe(0);
  expect(sender.send(numbered(0, 10))).toBe(true);
  expect((await received(10)).equals(numbered(0, 10))).toBe(true);
});

test.each([0, muchBytes])(
  "a connection that the client has reset is closed, with %d bytes to be sent later",
  async (count) => {
    far.pause();
    sender.send(numbered(0, count));
    const closed = new Promise((resolve) => near.once("close", resolve));
    far.resetAndDestroy();
    while (!near.destroyed) {
      if (count === 0) sender.send(numbered(0, 10));
      await new Promise(setImmediate);
    }
    await closed;
    sender.send(numbered(0, 10));
    expect(drains).toBe(0);
  },
);

test("what is sent before the connection is there goes once it is", async () => {
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, "connection");
  const young = connect(port, "127.0.0.1");
  const early = new Sender(young);
  expect(early.send(numbered(0, 100))).toBe(false);
  expect(early.unsentBytes).toBe(100);
  const [other] = (await accepted) as [Socket];
  const [chunk] = (await once(other, "data")) as [Buffer];
  expect(chunk.equals(numbered(0, 100))).toBe(true);
  expect(early.unsentBytes).toBe(0);
  expect(early.send(numbered(100, 10))).toBe(true);
  for (const socket of [young, other]) socket.destroy();
});
