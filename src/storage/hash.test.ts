import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type HashSeed, hashOf, seedOf } from "./hash.ts";

const word = 2n ** 32n;

function rotated(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (32n - bits))) % word;
}

/** HalfSipHash-c-d with 32 bits of output, written from its description and with none of the code under test. */
function reference(message: Uint8Array, key: readonly [bigint, bigint], c: number, d: number): number {
  const v: [bigint, bigint, bigint, bigint] = [key[0], key[1], key[0] ^ 0x6c796765n, key[1] ^ 0x74656462n];
  const round = () => {
    v[0] = (v[0] + v[1]) % word;
    v[2] = (v[2] + v[3]) % word;
    v[1] = rotated(v[1], 5n) ^ v[0];
    v[3] = rotated(v[3], 8n) ^ v[2];
    v[0] = rotated(v[0], 16n);
    v[0] = (v[0] + v[3]) % word;
    v[2] = (v[2] + v[1]) % word;
    v[3] = rotated(v[3], 7n) ^ v[0];
    v[1] = rotated(v[1], 13n) ^ v[2];
    v[2] = rotated(v[2], 16n);
  };
  // Whole words; the last one ends with the length, modulo 256.
  const padded = Buffer.alloc(Math.floor(message.length / 4) * 4 + 4);
  padded.set(message);
  padded[padded.length - 1] = message.length % 256;
  for (let at = 0; at < padded.length; at += 4) {
    const m = BigInt(padded.readUInt32LE(at));
    v[3] ^= m;
    for (let i = 0; i < c; i++) round();
    v[0] ^= m;
  }
  v[2] ^= 0xffn;
  for (let i = 0; i < d; i++) round();
  return Number(v[1] ^ v[3]);
}

/** SHA-256 of the hashes of the messages "", 00, 00 01, … of 0 to 63 bytes under the key 00 01 … 07, each little-endian. */
function digestOfVectors(hash: (message: Uint8Array) => number): string {
  const digest = createHash("sha256");
  for (let length = 0; length < 64; length++) {
    const hashed = Buffer.alloc(4);
    hashed.writeUInt32LE(hash(Uint8Array.from({ length }, (_, i) => i)));
    digest.update(hashed);
  }
  return digest.digest("hex");
}

const vectorKey = [0x03020100n, 0x07060504n] as const;
/** Of `vectors_hsip32` in the authors' reference implementation (github.com/veorq/SipHash, vectors.h): HalfSipHash-2-4. */
const digestOf24 = "1278fd35e24d66c6634d7d8b4daab8ca9016fbf61fe237f20e6e9abe7bc27323";
/** Of the table for 32-bit machines in the Linux kernel's lib/tests/siphash_kunit.c: HalfSipHash-1-3. */
const digestOf13 = "0e23982f6fe69843413df9284d15e77a65bf3158f26bb9706426076acc7929b6";

test("the reference gives the published hashes", () => {
  expect(digestOfVectors((message) => reference(message, vectorKey, 2, 4))).toBe(digestOf24);
  expect(digestOfVectors((message) => reference(message, vectorKey, 1, 3))).toBe(digestOf13);
});

test("the hash is HalfSipHash-1-3", () => {
  const seed = seedOf(Buffer.from([0, 1, 2, 3, 4, 5, 6, 7]));
  expect(digestOfVectors((message) => hashOf(message, 0, message.length, seed) >>> 0)).toBe(digestOf13);
});

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const seeds: fc.Arbitrary<HashSeed> = fc.record({ low: int32, high: int32 });

test("it is that of a part of the bytes, under any seed", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 600 }),
      fc.nat(8),
      fc.nat(8),
      seeds,
      (message, before, after, seed) => {
        const bytes = Buffer.alloc(before + message.length + after, 0xa5);
        bytes.set(message, before);
        const hash = hashOf(bytes, before, before + message.length, seed);
        expect(hash).toBe(hash | 0);
        const key = [BigInt(seed.low >>> 0), BigInt(seed.high >>> 0)] as const;
        expect(hash >>> 0).toBe(reference(message, key, 1, 3));
      },
    ),
  );
});

test("lengths around the words and around 256, where the length's byte wraps", () => {
  const seed = { low: 0x12345678, high: -2 };
  for (const length of [0, 1, 2, 3, 4, 5, 7, 8, 255, 256, 257, 511, 512, 65_536]) {
    const message = Buffer.alloc(length, 0xff);
    const hash = hashOf(message, 0, length, seed) >>> 0;
    expect(hash).toBe(reference(message, [0x12345678n, 0xfffffffen], 1, 3));
  }
});

test("seeds with one bit of difference put the same keys in another order", () => {
  const keys = Array.from({ length: 100 }, (_, i) => Buffer.from(`k${i}`));
  const order = (seed: HashSeed): string => {
    const hashes = keys.map((key) => hashOf(key, 0, key.length, seed) >>> 0);
    return keys
      .map((_, i) => i)
      .sort((a, b) => hashes[a]! - hashes[b]!)
      .join();
  };
  const orders = new Set([order({ low: 0, high: 0 })]);
  for (let bit = 0; bit < 32; bit++) {
    orders.add(order({ low: 1 << bit, high: 0 }));
    orders.add(order({ low: 0, high: 1 << bit }));
  }
  expect(orders.size).toBe(65);
});

test("every bit of the hash is about as often 1 as 0", () => {
  const ones = new Array<number>(32).fill(0);
  for (let i = 0; i < 4_096; i++) {
    const key = Buffer.from(`user:${i}`);
    const hash = hashOf(key, 0, key.length, { low: 1, high: 2 });
    for (let bit = 0; bit < 32; bit++) ones[bit] = ones[bit]! + ((hash >>> bit) & 1);
  }
  // Five standard deviations of 32 each.
  for (const count of ones) expect(Math.abs(count - 2_048)).toBeLessThan(160);
});
