import fc from "fast-check";
import { expect, test } from "vitest";
import { Op } from "./command.ts";
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

test("a command comes back as it was written; a fraction of a millisecond that is left counts as one", () => {
  fc.assert(
    fc.property(
      fc.record({
        op: fc.constantFrom(...Object.values(Op)),
        key: fc.oneof(bytes(64), fc.constant(Buffer.alloc(5_000, 7))),
        value: fc.oneof(bytes(64), fc.constant(Buffer.alloc(70_000, 9))),
        expiresAtMs: expiry,
      }),
      fc.record({
        partition: fc.nat(16_383),
        epoch: uint48,
        leftMs: fc.double({ min: 0, max: 600_000, noNaN: true }),
        sequence: uint48,
        oldest: uint48,
      }),
      (command, sending) => {
        const read = decodeCommand(encodeCommand(command, sending));
        expect({ ...read, key: read.key.toString("hex"), value: read.value.toString("hex") }).toEqual({
          ...command,
          ...sending,
          leftMs: Math.ceil(sending.leftMs),
          key: command.key.toString("hex"),
          value: command.value.toString("hex"),
        });
      },
    ),
  );
});

test("a command whose key is longer than its frame, or that ends early, throws", () => {
  const sending = { partition: 1, epoch: 2, leftMs: 3, sequence: 4, oldest: 4 };
  const command = { op: Op.set, key: Buffer.from("key"), value: Buffer.alloc(0), expiresAtMs: 0 };
  const frame = Buffer.from(encodeCommand(command, sending));
  for (let end = 0; end < frame.length; end++) {
    expect(() => decodeCommand(frame.subarray(0, end)), `${end} bytes`).toThrow(RangeError);
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
