import fc from "fast-check";
import { expect, test } from "vitest";
import { type Command, noBytes, Op } from "./command.ts";
import {
  Answer,
  decodeCommand,
  decodeFound,
  decodeNotOwner,
  encodeCommand,
  encodeFound,
  encodeNotOwner,
} from "./wire.ts";

const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const uint48 = fc.nat(2 ** 48 - 1);
const expiry = fc.constantFrom(0, 1, 1.7e12, 8.64e15);

/** With hex in place of bytes: equal and readable when it fails. */
function readable<C extends Command & { trace: Buffer | undefined }>(command: C): object {
  const { key, value, expected, trace } = command;
  return {
    ...command,
    key: key.toString("hex"),
    value: value.toString("hex"),
    expected: expected?.toString("hex"),
    trace: trace?.toString("hex"),
  };
}

test("a command comes back as it was written; a fraction of a millisecond that is left counts as one", () => {
  fc.assert(
    fc.property(
      fc.record({
        op: fc.constantFrom(...Object.values(Op)),
        key: fc.oneof(bytes(64), fc.constant(Buffer.alloc(5_000, 7))),
        value: fc.oneof(bytes(64), fc.constant(Buffer.alloc(70_000, 9))),
        expiresAtMs: expiry,
        expected: fc.oneof(fc.constant(undefined), bytes(64), fc.constant(Buffer.alloc(6_000, 5))),
      }),
      fc.record({
        partition: fc.nat(16_383),
        epoch: uint48,
        leftMs: fc.double({ min: 0, max: 600_000, noNaN: true }),
        sequence: uint48,
        oldest: uint48,
        trace: fc.oneof(fc.constant(undefined), bytes(64), fc.constant(Buffer.alloc(537, 4))),
      }),
      (command, sending) => {
        const read = decodeCommand(encodeCommand(command, sending));
        expect(readable(read)).toEqual(
          readable({ ...command, ...sending, leftMs: Math.ceil(sending.leftMs) }),
        );
      },
    ),
  );
});

test("without a trace nothing is sent of one", () => {
  const sending = { partition: 1, epoch: 2, leftMs: 3, sequence: 4, oldest: 4 };
  const get = { op: Op.get, key: Buffer.from("key"), value: noBytes, expiresAtMs: 0, expected: undefined };
  const without = Buffer.from(encodeCommand(get, { ...sending, trace: undefined }));
  expect(without[1]).toBe(0);
  expect(without).toHaveLength(38 + 3);
  const trace = Buffer.alloc(25, 1);
  expect(encodeCommand(get, { ...sending, trace })).toHaveLength(without.length + 2 + trace.length);
});

test("a command whose key, expected value or trace is longer than its frame, or that ends early, throws", () => {
  const untraced = { partition: 1, epoch: 2, leftMs: 3, sequence: 4, oldest: 4, trace: undefined };
  const traced = { ...untraced, trace: Buffer.from("trace") };
  const set = { op: Op.set, key: Buffer.from("key"), value: noBytes, expiresAtMs: 0, expected: undefined };
  for (const command of [set, { ...set, op: Op.cas, expected: Buffer.from("before") }]) {
    for (const sending of [untraced, traced]) {
      const frame = Buffer.from(encodeCommand(command, sending));
      for (let end = 0; end < frame.length; end++) {
        expect(() => decodeCommand(frame.subarray(0, end)), `${end} bytes`).toThrow(RangeError);
      }
    }
  }
});

test("the answers that carry something come back as they were written", () => {
  fc.assert(
    fc.property(expiry, fc.oneof(bytes(64), fc.constant(Buffer.alloc(9_000, 3))), (expiresAtMs, value) => {
      const frame = encodeFound(expiresAtMs, value);
      expect(frame[0]).toBe(Answer.found);
      const read = decodeFound(frame, "b");
      expect([read.expiresAtMs, read.value.toString("hex")]).toEqual([expiresAtMs, value.toString("hex")]);
    }),
  );
  fc.assert(
    fc.property(uint48, (epoch) => {
      const frame = encodeNotOwner(epoch);
      expect([frame[0], decodeNotOwner(frame)]).toEqual([Answer.notOwner, epoch]);
    }),
  );
});
