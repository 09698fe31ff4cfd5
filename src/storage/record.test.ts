import fc from "fast-check";
import { expect, test } from "vitest";
import {
  expiresAtMsAt,
  flagsAt,
  headerBytesOf,
  isExpiredAt,
  keyLengthAt,
  Mark,
  marksOf,
  ownSegmentAt,
  ownSegmentsAt,
  recordBytesAt,
  recordBytesOf,
  valueLengthAt,
  versionAt,
  versionMax,
  writeExpiry,
  writeHeader,
  writeOwnSegments,
  writeVersion,
} from "./record.ts";

const expiryMax = 8.64e15;
const keyLengthMax = 65_536;
const valueLengthMax = 16 * 1024 * 1024;

/** Any number up to `max`, its bounds and those of the bytes that it is made of more often than chance would have it. */
function upTo(max: number): fc.Arbitrary<number> {
  const edges = [8, 16, 24, 31, 32, 40, 47, 48].flatMap((bits) => [2 ** bits - 1, 2 ** bits, 2 ** bits + 1]);
  return fc.oneof(fc.constantFrom(0, 1, max - 1, max, ...edges.filter((edge) => edge <= max)), fc.nat(max));
}

const header = fc.record({
  keyLength: upTo(keyLengthMax),
  valueLength: upTo(valueLengthMax),
  version: upTo(versionMax),
  expiresAtMs: upTo(expiryMax),
  flags: upTo(2 ** 32 - 1),
  frequency: fc.nat(3),
  at: fc.nat(16).map((units) => units * 4),
});

test("every field comes back as it was written, up to its bounds, and nothing beside the header is touched", () => {
  fc.assert(
    fc.property(header, ({ keyLength, valueLength, version, expiresAtMs, flags, frequency, at }) => {
      const marks = marksOf(keyLength, valueLength, expiresAtMs, flags);
      const bytes = Buffer.alloc(256, 0xa5);
      writeHeader(bytes, at, marks | frequency, keyLength, valueLength, version, expiresAtMs, flags);
      expect({
        marks: bytes[at],
        keyLength: keyLengthAt(bytes, at),
        valueLength: valueLengthAt(bytes, at),
        version: versionAt(bytes, at),
        expiresAtMs: expiresAtMsAt(bytes, at),
        flags: flagsAt(bytes, at),
      }).toEqual({ marks: marks | frequency, keyLength, valueLength, version, expiresAtMs, flags });
      expect(recordBytesAt(bytes, at)).toBe(recordBytesOf(marks, keyLength, valueLength));
      const end = at + headerBytesOf(marks);
      expect(bytes.subarray(0, at).every((byte) => byte === 0xa5)).toBe(true);
      expect(bytes.subarray(end).every((byte) => byte === 0xa5)).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});

test("version and expiry can be written anew, and nothing else changes with them", () => {
  fc.assert(
    fc.property(
      header,
      upTo(versionMax),
      upTo(expiryMax).filter((ms) => ms > 0),
      (fields, version, expiresAtMs) => {
        const { keyLength, valueLength, flags, at } = fields;
        const marks = marksOf(keyLength, valueLength, 1, flags);
        const bytes = Buffer.alloc(256, 0xa5);
        writeHeader(bytes, at, marks, keyLength, valueLength, fields.version, fields.expiresAtMs, flags);
        const wanted = Buffer.alloc(256, 0xa5);
        writeHeader(wanted, at, marks, keyLength, valueLength, version, expiresAtMs, flags);
        writeVersion(bytes, at, version);
        writeExpiry(bytes, at, expiresAtMs);
        expect(bytes.equals(wanted)).toBe(true);
      },
    ),
  );
});

test("the layout is the one that the file describes", () => {
  const write = (keyLength: number, valueLength: number, expiresAtMs: number, flags: number): string => {
    const marks = marksOf(keyLength, valueLength, expiresAtMs, flags);
    const bytes = Buffer.alloc(headerBytesOf(marks));
    writeHeader(bytes, 0, marks, keyLength, valueLength, 0x0605_0403_0201, expiresAtMs, flags);
    return bytes.toString("hex");
  };
  expect(write(0x0b, 0x1234, 0, 0)).toBe("000b3412010203040506");
  expect(write(0xff, 0xffff, 0x10_0f0e_0d0c_0b0a, 0)).toBe("08ffffff0102030405060a0b0c0d0e0f10");
  expect(write(0, 0, 0, 0x04030201)).toBe("1000000001020304050601020304");
  expect(write(256, 0, 1, 2)).toBe("1c0000000001000000000000010203040506" + "01000000000000" + "02000000");
  expect(write(0, 65_536, 0, 0)).toBe("040000000000000000000100010203040506");
});

test("a record takes its header, key and value, in whole units of 4 bytes", () => {
  const sizes = [0, 1, 2, 3, 4, 5, 6].map((valueLength) => recordBytesOf(0, 0, valueLength));
  expect(sizes).toEqual([12, 12, 12, 16, 16, 16, 16]);
  expect(recordBytesOf(marksOf(11, 100, 0, 0), 11, 100)).toBe(124);
  expect(recordBytesOf(marksOf(keyLengthMax, valueLengthMax, 1, 1), keyLengthMax, valueLengthMax)).toBe(
    32 + keyLengthMax + valueLengthMax,
  );
});

test("it has expired from its millisecond on, not before", () => {
  for (const expiresAtMs of [1, 2 ** 32 - 1, 2 ** 32, 1_780_000_000_000, expiryMax]) {
    const bytes = Buffer.alloc(32);
    writeHeader(bytes, 0, marksOf(0, 0, expiresAtMs, 0), 0, 0, 0, expiresAtMs, 0);
    const expired = [-1, 0, 1].map((later) => isExpiredAt(bytes, 0, expiresAtMs + later));
    expect(expired).toEqual([false, true, true]);
  }
  expect(isExpiredAt(Buffer.alloc(16), 0, expiryMax)).toBe(false);
});

test("a large entry's record lists the segments that hold it", () => {
  fc.assert(
    fc.property(header, fc.array(upTo(2 ** 18 - 1), { maxLength: 40 }), (fields, numbers) => {
      const { keyLength, valueLength, version, expiresAtMs, flags } = fields;
      const marks = marksOf(keyLength, valueLength, expiresAtMs, flags) | Mark.own;
      const bytes = Buffer.alloc(256, 0xa5);
      writeHeader(bytes, 0, marks, keyLength, valueLength, version, expiresAtMs, flags);
      writeOwnSegments(bytes, 0, numbers);
      expect(ownSegmentsAt(bytes, 0)).toBe(numbers.length);
      expect(numbers.map((_, i) => ownSegmentAt(bytes, 0, i))).toEqual(numbers);
      expect([keyLengthAt(bytes, 0), valueLengthAt(bytes, 0)]).toEqual([keyLength, valueLength]);
      const end = headerBytesOf(marks) + 4 + numbers.length * 4;
      expect(recordBytesAt(bytes, 0)).toBe(Math.ceil(end / 4) * 4);
      expect(bytes.subarray(end).every((byte) => byte === 0xa5)).toBe(true);
    }),
  );
});
