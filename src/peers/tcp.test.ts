import { afterEach, expect, test } from "vitest";
import { tcpTransport } from "./tcp.ts";
import type { ByteStream, Listener, StreamHandlers } from "./transport.ts";

/** Keeps what it is given, as it is given, or a copy of it. */
class End implements StreamHandlers {
  keeps = true;
  readonly chunks: Buffer[] = [];
  readonly places = new Set<number>();
  size = 0;
  isOpen = false;
  isClosed = false;

  open(): void {
    this.isOpen = true;
  }

  data(bytes: Buffer): boolean {
    this.chunks.push(this.keeps ? bytes : Buffer.from(bytes));
    this.places.add(bytes.byteOffset);
    this.size += bytes.length;
    return this.keeps;
  }

  close(): void {
    this.isClosed = true;
  }
}

const opened: { listener?: Listener; stream?: ByteStream } = {};

afterEach(async () => {
  opened.stream?.destroy();
  await opened.listener?.close();
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

async function pair(): Promise<{ near: End; far: End; nearStream: ByteStream; farStream: ByteStream }> {
  const [near, far] = [new End(), new End()];
  let farStream: ByteStream | undefined;
  opened.listener = await tcpTransport.listen("127.0.0.1", 0, (stream) => {
    farStream = stream;
    return far;
  });
  opened.stream = tcpTransport.connect("127.0.0.1", opened.listener.port, near);
  await until(() => near.isOpen && farStream !== undefined);
  return { near, far, nearStream: opened.stream, farStream: farStream! };
}

function numbered(from: number, count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, i) => (from + i) % 251));
}

test("what was read stays as it is, whatever comes after it, on both ends", async () => {
  const { near, far, nearStream, farStream } = await pair();
  const total = 400_000;
  for (let sent = 0, size = 1; sent < total; sent += size) {
    size = Math.min(1 + ((size * 7) % 9_000), total - sent);
    nearStream.write(numbered(sent, size));
    farStream.write(numbered(sent, size));
    if (size % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => near.size === total && far.size === total);
  const expected = numbered(0, total);
  for (const end of [near, far]) expect(Buffer.concat(end.chunks).equals(expected)).toBe(true);
});

test("small reads share their memory", async () => {
  const { far, nearStream } = await pair();
  for (let i = 1; i <= 1_000; i++) {
    nearStream.write(Buffer.alloc(20));
    await until(() => far.size === 20 * i);
  }
  expect(far.chunks.length).toBe(1_000);
  expect(new Set(far.chunks.map(({ buffer }) => buffer)).size).toBe(1);
});

test("an end that closes is told to the other one", async () => {
  const { near, far, nearStream } = await pair();
  nearStream.write(Buffer.from("last"));
  nearStream.end();
  await until(() => far.isClosed && near.isClosed);
  expect(Buffer.concat(far.chunks).toString()).toBe("last");
});

test("what isn't kept is written over by the next read, on both ends", async () => {
  const { near, far, nearStream, farStream } = await pair();
  for (const end of [near, far]) end.keeps = false;
  const total = 100_000;
  for (let sent = 0; sent < total; sent += 1_000) {
    nearStream.write(numbered(sent, 1_000));
    farStream.write(numbered(sent, 1_000));
    await until(() => near.size === sent + 1_000 && far.size === sent + 1_000);
  }
  for (const end of [near, far]) {
    expect(Buffer.concat(end.chunks).equals(numbered(0, total))).toBe(true);
    expect(end.places.size).toBe(1);
  }
});

test("what is written once the stream ends is not taken, and leaves alone what is still to be sent", async () => {
  const { far, nearStream } = await pair();
  const sent = numbered(0, 16 * 1024 * 1024);
  expect(nearStream.write(sent)).toBe(false);
  nearStream.end();
  expect(nearStream.write(numbered(0, 10))).toBe(false);
  await until(() => far.isClosed);
  expect(far.size).toBe(sent.length);
  expect(Buffer.concat(far.chunks).equals(sent)).toBe(true);
});
