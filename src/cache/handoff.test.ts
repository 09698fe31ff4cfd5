import fc from "fast-check";
import { expect, test } from "vitest";
import { silentLog } from "../log.ts";
import type { PeerAddress } from "../peers/messages.ts";
import type { Peers } from "../peers/peers.ts";
import { systemRuntime } from "../runtime.ts";
import { PartitionStore } from "../storage/partition-store.ts";
import { HandoffReceiver } from "./handoff-receiver.ts";
import { HandoffSender } from "./handoff-sender.ts";
import { decodeMessage, encodeFinal, encodeMessage, no, RecordBatch, Step, yes } from "./handoff-wire.ts";
import { Receipts } from "./receipts.ts";

const to: PeerAddress = { id: "b", incarnation: "b1", host: "h", port: 1 };
const from = { id: "a", incarnation: "a1" };
const partition = 3;

function newReceiver(extra: { active?: boolean; refuses?: boolean } = {}): HandoffReceiver {
  return new HandoffReceiver({
    log: silentLog,
    isActive: () => extra.active ?? false,
    refuses: () => extra.refuses ?? false,
  });
}

/** Hands one message to the receiver; whether it was taken. */
function tell(receiver: HandoffReceiver, payload: Buffer, sender = from): boolean {
  let answer: Uint8Array | undefined;
  receiver.serve({
    from: sender,
    payload,
    reply: (bytes) => {
      expect(answer).toBeUndefined();
      answer = bytes;
    },
  });
  return yes.equals(answer!);
}

/** A link that delivers in order, a turn later, unless `meddle` answers in the receiver's stead. */
function linkTo(
  receiver: HandoffReceiver,
  meddle: (payload: Buffer) => Buffer | undefined = () => undefined,
): Peers {
  const requestPromise = (_to: PeerAddress, _kind: number, payload: Uint8Array): Promise<Buffer> =>
    new Promise((resolve) => {
      const bytes = Buffer.from(payload);
      setImmediate(() => resolve(meddle(bytes) ?? (tell(receiver, bytes) ? yes : no)));
    });
  return { requestPromise } as unknown as Peers;
}

function senderOf(peers: Peers, store: PartitionStore, move = 7, session = 1): HandoffSender {
  const data = { store, receipts: new Receipts() };
  data.receipts.record("origin", 9, 4, true);
  return new HandoffSender({ peers, runtime: systemRuntime, data, partition, to, move, session });
}

function contents(store: PartitionStore): [string, string, number][] {
  return [...store.entries()]
    .map(([key, { value, expiresAtMs }]): [string, string, number] => [
      key.toString("hex"),
      value.toString("hex"),
      expiresAtMs,
    ])
    .sort((a, b) => (a[0] < b[0] ? -1 : 1));
}

function message(
  step: number,
  sequence: number,
  body: Buffer = Buffer.alloc(0),
  session = 1,
  move = 7,
): Buffer {
  return encodeMessage({ step, partition, move, session, sequence, body });
}

function oneRecord(key = "k", value = "v"): { body: Buffer; final: (sequence: number) => Buffer } {
  const batch = new RecordBatch();
  batch.set(Buffer.from(key), Buffer.from(value), 0);
  const body = batch.take();
  return { body, final: (sequence) => message(Step.final, sequence, encodeFinal(1, checksum(body))) };
}

/** CRC-32, bit by bit. */
function checksum(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

const change = fc.record({
  kind: fc.constantFrom("set" as const, "delete" as const, "expire" as const),
  key: fc.nat(40),
  sizeBytes: fc.constantFrom(0, 1, 100, 60_000),
  expiresAtMs: fc.constantFrom(0, 0, 500, 2_000),
  turn: fc.boolean(),
});

test("after finish the copy is what the store was at the seal, whatever was written during the copy", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(60), fc.array(change, { maxLength: 60 }), async (before, changes) => {
      const store = new PartitionStore();
      for (let i = 0; i < before; i++)
        store.set(Buffer.from(`k${i}`), Buffer.alloc(i % 7 === 0 ? 50_000 : i, i), 0);
      const receiver = newReceiver();
      const sender = senderOf(linkTo(receiver), store);
      const copied = sender.copy();
      for (const { kind, key, sizeBytes, expiresAtMs, turn } of changes) {
        const name = Buffer.from(`k${key}`);
        if (kind === "set") {
          const value = Buffer.alloc(sizeBytes, key);
          store.set(name, value, expiresAtMs);
          sender.set(name, value, expiresAtMs);
        } else if (kind === "delete") {
          store.delete(name, 1_000);
          sender.delete(name);
        } else {
          store.sweep(1_000, 1_000, (expired) => sender.delete(expired));
        }
        if (turn) await new Promise((resolve) => setImmediate(resolve));
      }
      await copied;
      await sender.finish();
      expect(contents(receiver.take(partition, 7)!.store)).toEqual(contents(store));
    }),
    { numRuns: 60 },
  );
});

test("what expires at the old owner after the seal leaves the copy whole", async () => {
  const store = new PartitionStore();
  store.set(Buffer.from("short"), Buffer.from("1"), 500);
  store.set(Buffer.from("long"), Buffer.from("2"), 0);
  const receiver = newReceiver();
  const sender = senderOf(linkTo(receiver), store);
  await sender.copy();
  const finished = sender.finish();
  store.sweep(1_000, 10, (key) => sender.delete(key));
  await finished;
  store.sweep(1_000, 10, (key) => sender.delete(key));
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  const moved = receiver.take(partition, 7);
  const copy = moved?.store;
  // The answers to writes that may be sent again move with the data.
  expect(moved?.receipts.find("origin", 9)).toBe(true);
  expect(moved?.receipts.find("origin", 3)).toBe("over");
  expect(copy?.get(Buffer.from("long"), 1_000)?.value.toString()).toBe("2");
});

test("a message that the receiver doesn't take, or that gets no answer, fails the copy and not the process", async () => {
  const store = new PartitionStore();
  for (let i = 0; i < 100; i++) store.set(Buffer.from(`k${i}`), Buffer.alloc(10_000), 0);
  for (const at of [0, 2]) {
    let count = 0;
    const sender = senderOf(
      linkTo(newReceiver(), () => (count++ === at ? no : undefined)),
      store,
    );
    const copied = sender.copy();
    await expect(copied.then(() => sender.finish())).rejects.toMatchObject({ code: "LINK_LOST" });
    await expect(sender.finish()).rejects.toMatchObject({ code: "LINK_LOST" });
  }
  const dead = { requestPromise: () => Promise.reject(new Error("gone")) } as unknown as Peers;
  await expect(senderOf(dead, store).copy()).rejects.toMatchObject({ code: "LINK_LOST", message: "gone" });
});

test("a copy that is called off ends at once, whatever it waits for", async () => {
  const store = new PartitionStore();
  for (let i = 0; i < 300; i++) store.set(Buffer.from(`k${i}`), Buffer.alloc(10_000), 0);
  const silent = { requestPromise: () => new Promise<Buffer>(() => {}) } as unknown as Peers;
  const sender = senderOf(silent, store);
  const copied = sender.copy();
  setImmediate(() => sender.abort());
  await expect(copied).rejects.toMatchObject({ code: "CLOSED" });
});

test("a copy with a byte changed on the way isn't whole", async () => {
  const store = new PartitionStore();
  store.set(Buffer.from("k"), Buffer.from("value"), 0);
  const receiver = newReceiver();
  const sender = senderOf(
    linkTo(receiver, (payload) => {
      if (decodeMessage(payload).step === Step.records) payload[payload.length - 1]! ^= 1;
      return undefined;
    }),
    store,
  );
  await sender.copy();
  await expect(sender.finish()).rejects.toMatchObject({ code: "LINK_LOST" });
  expect(receiver.take(partition, 7)).toBeUndefined();
});

test("the receiver refuses what is out of sequence, and the whole copy with it", () => {
  const receiver = newReceiver();
  const { body, final } = oneRecord();
  expect(tell(receiver, message(Step.begin, 0))).toBe(true);
  expect(tell(receiver, message(Step.records, 2, body))).toBe(false);
  expect(tell(receiver, message(Step.records, 1, body))).toBe(false);
  expect(tell(receiver, message(Step.begin, 0, undefined, 2))).toBe(true);
  expect(tell(receiver, message(Step.records, 1, body, 2))).toBe(true);
  expect(tell(receiver, message(Step.records, 1, body, 2))).toBe(false);
  expect(tell(receiver, final(2))).toBe(false);
  expect(receiver.take(partition, 7)).toBeUndefined();
});

test("the receiver refuses another session, another move, another sender and a wrong checksum", () => {
  const receiver = newReceiver();
  const { body, final } = oneRecord();
  const right = message(Step.records, 1, body);
  expect(tell(receiver, right)).toBe(false);
  expect(tell(receiver, message(Step.begin, 0))).toBe(true);
  expect(tell(receiver, message(Step.records, 1, body, 2))).toBe(false);
  expect(tell(receiver, message(Step.records, 1, body, 1, 8))).toBe(false);
  expect(tell(receiver, right, { id: "a", incarnation: "a2" })).toBe(false);
  expect(tell(receiver, right)).toBe(true);
  expect(tell(receiver, message(Step.final, 2, encodeFinal(1, 1)))).toBe(false);
  expect(receiver.take(partition, 7)).toBeUndefined();

  expect(tell(receiver, message(Step.begin, 0))).toBe(true);
  expect(tell(receiver, right)).toBe(true);
  expect(tell(receiver, message(Step.final, 2, encodeFinal(2, checksum(body))))).toBe(false);
  expect(tell(receiver, message(Step.begin, 0))).toBe(true);
  expect(tell(receiver, right)).toBe(true);
  expect(tell(receiver, final(2))).toBe(true);
  expect(receiver.take(partition, 7)?.store.size).toBe(1);
  expect(receiver.take(partition, 7)).toBeUndefined();
});

test("records that come late from an earlier session, or begin it anew, don't touch the copy that is whole", () => {
  const receiver = newReceiver();
  const { body } = oneRecord();
  const whole = (session: number): void => {
    expect(tell(receiver, message(Step.begin, 0, undefined, session))).toBe(true);
    expect(tell(receiver, message(Step.records, 1, body, session))).toBe(true);
    expect(tell(receiver, message(Step.final, 2, encodeFinal(1, checksum(body)), session))).toBe(true);
  };
  whole(5);
  expect(tell(receiver, message(Step.records, 1, body, 4))).toBe(false);
  expect(tell(receiver, message(Step.begin, 0, undefined, 4))).toBe(false);
  expect(tell(receiver, message(Step.begin, 0, undefined, 9, 6))).toBe(false);
  expect(receiver.take(partition, 7)?.store.size).toBe(1);
});

test("only the copy of the very move is taken, and what isn't coming any more is dropped", () => {
  const receiver = newReceiver();
  const { body, final } = oneRecord();
  const fill = (): void => {
    expect(tell(receiver, message(Step.begin, 0))).toBe(true);
    expect(tell(receiver, message(Step.records, 1, body))).toBe(true);
    expect(tell(receiver, final(2))).toBe(true);
  };
  fill();
  expect(receiver.take(partition, 8)).toBeUndefined();
  expect(receiver.take(partition, 7)).toBeUndefined();
  fill();
  receiver.retain((p, move) => p === partition && move === 7);
  expect(receiver.take(partition, 7)?.store.size).toBe(1);
  fill();
  receiver.retain(() => false);
  expect(receiver.take(partition, 7)).toBeUndefined();
});

test("an owner takes no copy, says whether it serves, and survives a message that ends early", () => {
  expect(tell(newReceiver({ refuses: true }), message(Step.begin, 0))).toBe(false);
  expect(tell(newReceiver({ refuses: true, active: true }), message(Step.active, 0))).toBe(true);
  expect(tell(newReceiver(), message(Step.active, 0))).toBe(false);
  expect(tell(newReceiver(), Buffer.from([1, 0]))).toBe(false);
});
