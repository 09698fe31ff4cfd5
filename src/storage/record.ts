/**
 * How an entry lies in a segment and in an image. Integers are little-endian; a record begins at a multiple of 4 bytes.
 *
 * u8 marks; then, short: u8 key length, u16 value length; or, long: 3 bytes 0, u32 key length, u32 value length; u48 version;
 * if it expires: u56 milliseconds since 1970; if it has flags: u32; key; value; up to 3 bytes of padding. Of a large entry, in
 * place of key and value: u32 how many segments of its own hold them, and the u32 number of each.
 */

export const Mark = {
  /** How often it was asked for lately, 0 to 3. */
  frequency: 0b11,
  long: 0b100,
  expires: 0b1000,
  flags: 0b1_0000,
  /** It was deleted, replaced or moved. */
  dead: 0b10_0000,
  /** Key and value are in segments of their own. */
  own: 0b100_0000,
} as const;

export const versionMax = 2 ** 48 - 1;

const shortKeyMax = 0xff;
const shortValueMax = 0xffff;

/** A record's marks but for its frequency: two with the same marks and lengths have the same layout. */
export function marksOf(keyLength: number, valueLength: number, expiresAtMs: number, flags: number): number {
  return (
    (keyLength > shortKeyMax || valueLength > shortValueMax ? Mark.long : 0) |
    (expiresAtMs === 0 ? 0 : Mark.expires) |
    (flags === 0 ? 0 : Mark.flags)
  );
}

/** Where the key begins, counted from the record's start. */
export function headerBytesOf(marks: number): number {
  return 10 + ((marks & Mark.long) << 1) + ((marks & Mark.expires) >> 3) * 7 + ((marks & Mark.flags) >> 2);
}

export function recordBytesOf(marks: number, keyLength: number, valueLength: number): number {
  return (headerBytesOf(marks) + keyLength + valueLength + 3) & ~3;
}

export function keyLengthAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! & Mark.long) === 0 ? bytes[at + 1]! : uint32At(bytes, at + 4);
}

export function valueLengthAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! & Mark.long) === 0 ? bytes[at + 2]! | (bytes[at + 3]! << 8) : uint32At(bytes, at + 8);
}

export function recordBytesAt(bytes: Uint8Array, at: number): number {
  const marks = bytes[at]!;
  if ((marks & Mark.own) === 0) return recordBytesOf(marks, keyLengthAt(bytes, at), valueLengthAt(bytes, at));
  return recordBytesOf(marks, 4, ownSegmentsAt(bytes, at) * 4);
}

/** How many segments of its own the large entry has; {@link ownSegmentAt} are their numbers. */
export function ownSegmentsAt(bytes: Uint8Array, at: number): number {
  return uint32At(bytes, at + headerBytesOf(bytes[at]!));
}

export function ownSegmentAt(bytes: Uint8Array, at: number, i: number): number {
  return uint32At(bytes, at + headerBytesOf(bytes[at]!) + 4 + i * 4);
}

export function writeOwnSegments(bytes: Uint8Array, at: number, numbers: readonly number[]): void {
  const from = at + headerBytesOf(bytes[at]!);
  writeUint32(bytes, from, numbers.length);
  numbers.forEach((number, i) => {
    writeUint32(bytes, from + 4 + i * 4, number);
  });
}

export function versionAt(bytes: Uint8Array, at: number): number {
  const from = (bytes[at]! & Mark.long) === 0 ? at + 4 : at + 12;
  return uint32At(bytes, from) + (bytes[from + 4]! | (bytes[from + 5]! << 8)) * 2 ** 32;
}

/** 0 for never. */
export function expiresAtMsAt(bytes: Uint8Array, at: number): number {
  const marks = bytes[at]!;
  if ((marks & Mark.expires) === 0) return 0;
  const from = (marks & Mark.long) === 0 ? at + 10 : at + 18;
  return (
    uint32At(bytes, from) + (bytes[from + 4]! | (bytes[from + 5]! << 8) | (bytes[from + 6]! << 16)) * 2 ** 32
  );
}

export function flagsAt(bytes: Uint8Array, at: number): number {
  const marks = bytes[at]!;
  return (marks & Mark.flags) === 0 ? 0 : uint32At(bytes, at + headerBytesOf(marks) - 4);
}

export function isExpiredAt(bytes: Uint8Array, at: number, nowMs: number): boolean {
  return (bytes[at]! & Mark.expires) !== 0 && expiresAtMsAt(bytes, at) <= nowMs;
}

/** Writes the record's header; the marks decide its layout. */
export function writeHeader(
  bytes: Uint8Array,
  at: number,
  marks: number,
  keyLength: number,
  valueLength: number,
  version: number,
  expiresAtMs: number,
  flags: number,
): void {
  bytes[at] = marks;
  let to = at + 4;
  if ((marks & Mark.long) === 0) {
    bytes[at + 1] = keyLength;
    bytes[at + 2] = valueLength;
    bytes[at + 3] = valueLength >> 8;
  } else {
    bytes[at + 1] = 0;
    bytes[at + 2] = 0;
    bytes[at + 3] = 0;
    writeUint32(bytes, at + 4, keyLength);
    writeUint32(bytes, at + 8, valueLength);
    to = at + 12;
  }
  writeVersion(bytes, at, version);
  to += 6;
  if ((marks & Mark.expires) !== 0) {
    writeExpiry(bytes, at, expiresAtMs);
    to += 7;
  }
  if ((marks & Mark.flags) !== 0) writeUint32(bytes, to, flags);
}

export function writeVersion(bytes: Uint8Array, at: number, version: number): void {
  const to = (bytes[at]! & Mark.long) === 0 ? at + 4 : at + 12;
  writeUint32(bytes, to, version);
  const high = Math.floor(version / 2 ** 32);
  bytes[to + 4] = high;
  bytes[to + 5] = high >> 8;
}

function uint32At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16)) + bytes[at + 3]! * 2 ** 24;
}

export function writeExpiry(bytes: Uint8Array, at: number, expiresAtMs: number): void {
  const to = (bytes[at]! & Mark.long) === 0 ? at + 10 : at + 18;
  writeUint32(bytes, to, expiresAtMs);
  const high = Math.floor(expiresAtMs / 2 ** 32);
  bytes[to + 4] = high;
  bytes[to + 5] = high >> 8;
  bytes[to + 6] = high >> 16;
}

/** The value's lowest 32 bits. */
function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
