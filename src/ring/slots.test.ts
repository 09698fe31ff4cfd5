import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc16, partitionOf, slotCount, slotOf, slotRange } from "./slots.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);

/** Bit by bit, without a table. */
function crc16Slow(input: Uint8Array): number {
  let crc = 0;
  for (const byte of input) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc;
}

describe("slotOf", () => {
  test("the check value of CRC16-XMODEM", () => {
    expect(crc16(bytes("123456789"))).toBe(0x31c3);
    expect(slotOf(bytes("123456789"))).toBe(0x31c3);
  });

  test.each([
    ["foo", 12182],
    ["bar", 5061],
    ["hello", 866],
    ["", 0],
  ])("CLUSTER KEYSLOT %j is %i", (key, slot) => {
    expect(slotOf(bytes(key))).toBe(slot);
  });

  test.each([
    ["{user1000}.following", "user1000"],
    ["{user1000}.followers", "user1000"],
    ["foo{{bar}}zap", "{bar"],
    ["foo{bar}{zap}", "bar"],
    ["a}b{c}d", "c"],
  ])("%j counts as %j alone", (key, tag) => {
    expect(slotOf(bytes(key))).toBe(crc16(bytes(tag)) % slotCount);
  });

  test.each(["foo{}{bar}", "{}", "{", "}{", "foo{bar", "a{}"])("%j counts as a whole", (key) => {
    expect(slotOf(bytes(key))).toBe(crc16(bytes(key)) % slotCount);
  });

  test("the table agrees with the definition", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (input) => {
        expect(crc16(input)).toBe(crc16Slow(input));
        expect(slotOf(input)).toBeLessThan(slotCount);
      }),
    );
  });

  test("a view into a larger buffer counts as its own bytes", () => {
    expect(slotOf(bytes("xxfooxx").subarray(2, 5))).toBe(12182);
  });
});

describe("partitionOf and slotRange", () => {
  test.each([1, 2, 3, 7, 64, 1000, 16_383, 16_384])(
    "%i partitions share the slots without a gap",
    (partitions) => {
      let next = 0;
      // One assertion for all: 16,384 times four of them take seconds.
      const wrong: number[] = [];
      for (let partition = 0; partition < partitions; partition++) {
        const [first, last] = slotRange(partition, partitions);
        if (first !== next || last < first) wrong.push(partition);
        if (partitionOf(first, partitions) !== partition) wrong.push(partition);
        if (partitionOf(last, partitions) !== partition) wrong.push(partition);
        next = last + 1;
      }
      expect(wrong).toEqual([]);
      expect(next).toBe(slotCount);
    },
  );
});
