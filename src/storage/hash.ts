/**
 * HalfSipHash-1-3: a keyed hash in 32-bit arithmetic, made for hash tables whose keys an adversary may choose. (Aumasson and
 * Bernstein, "SipHash: a fast short-input PRF", 2012; the half-width variant as in the Linux kernel's `hsiphash`.)
 */

/** 64 random bits, as two 32-bit integers. Entries hashed with the same seed have the same order. */
export interface HashSeed {
  readonly low: number;
  readonly high: number;
}

export const seedBytes = 8;

/** Of {@link seedBytes} random bytes. */
export function seedOf(bytes: Buffer): HashSeed {
  return { low: bytes.readInt32LE(0), high: bytes.readInt32LE(4) };
}

export function encodeSeed({ low, high }: HashSeed): Buffer {
  const bytes = Buffer.allocUnsafe(seedBytes);
  bytes.writeInt32LE(low, 0);
  bytes.writeInt32LE(high, 4);
  return bytes;
}

/** The hash of `bytes[start..end)`, as a signed 32-bit integer. */
export function hashOf(bytes: Uint8Array, start: number, end: number, seed: HashSeed): number {
  let v0 = seed.low;
  let v1 = seed.high;
  let v2 = seed.low ^ 0x6c796765;
  let v3 = seed.high ^ 0x74656462;
  let at = start;
  for (const last = end - 3; at < last; at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  // The bytes that are left, and the length in the highest byte; then three more rounds.
  let tail = (end - start) << 24;
  if (at < end) tail |= bytes[at]!;
  if (at + 1 < end) tail |= bytes[at + 1]! << 8;
  if (at + 2 < end) tail |= bytes[at + 2]! << 16;
  v3 ^= tail;
  for (let round = 0; round < 4; round++) {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    if (round === 0) {
      v0 ^= tail;
      v2 ^= 0xff;
    }
  }
  return v1 ^ v3;
}
