import fc from "fast-check";
import { expect, test } from "vitest";
import { applyRecords, decodeMessage, encodeMessage, RecordBatch } from "./transfer-wire.ts";

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const record = fc.oneof(
  fc.record({
    kind: fc.constant("set" as const),
    key: bytes,
    value: bytes,
    expiresAtMs: fc.constantFrom(0, 1, 1.7e12, 8.64e15),
    version: fc.constantFrom(0, 1, 2 ** 48 - 1),
    flags: fc.constantFrom(0, 2 ** 32 - 1),
    /** Whether a message ends here. */
    cut: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("delete" as const), key: bytes, cut: fc.boolean() }),
);

function read(messages: readonly Buffer[]): unknown[] {
  const seen: unknown[] = [];
  for (const message of messages) {
    applyRecords(message, {
      set: (key, { value, expiresAtMs, version, flags }) => {
        seen.push(["set", key.toString("hex"), value.toString("hex"), expiresAtMs, version, flags]);
      },
      delete: (key) => void seen.push(["delete", key.toString("hex")]),
      receipts: (encoded) => void seen.push(["receipts", encoded.toString("hex")]),
    });
  }
  return seen;
}

test("records come back in their order, however they are split into messages", () => {
  fc.assert(
    fc.property(fc.array(record), bytes, (records, receipts) => {
      const batch = new RecordBatch();
      const messages: Buffer[] = [];
      const wanted: unknown[] = [];
      for (const item of records) {
        if (item.kind === "set") {
          batch.set(item.key, item);
          const { key, value, expiresAtMs, version, flags } = item;
          wanted.push(["set", key.toString("hex"), value.toString("hex"), expiresAtMs, version, flags]);
        } else {
          batch.delete(item.key);
          wanted.push(["delete", item.key.toString("hex")]);
        }
        if (item.cut) messages.push(batch.take());
      }
      batch.receipts(receipts);
      wanted.push(["receipts", receipts.toString("hex")]);
      const { sizeBytes } = batch;
      messages.push(batch.take());
      expect(messages.at(-1)!.length).toBe(sizeBytes);
      expect(batch.sizeBytes).toBe(0);
      expect(read(messages)).toEqual(wanted);
    }),
  );
});

test("bytes that end within a record throw, wherever they end", () => {
  const batch = new RecordBatch();
  batch.set(Buffer.from("key"), { value: Buffer.from("value"), expiresAtMs: 5, version: 6, flags: 7 });
  const whole = batch.take();
  for (let end = 1; end < whole.length; end++) {
    expect(() => read([whole.subarray(0, end)]), `${end} bytes`).toThrow(RangeError);
  }
  expect(() => read([Buffer.alloc(whole.length)])).toThrow(RangeError);
});

test("a message comes back as it was written", () => {
  const message = fc.record({
    step: fc.nat(255),
    partition: fc.nat(16_383),
    since: fc.nat(2 ** 48 - 1),
    session: fc.nat(2 ** 32 - 1),
    body: bytes,
  });
  fc.assert(
    fc.property(message, (written) => {
      const read = decodeMessage(encodeMessage(written));
      expect({ ...read, body: read.body.toString("hex") }).toEqual({
        ...written,
        body: written.body.toString("hex"),
      });
    }),
  );
});
