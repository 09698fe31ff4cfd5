/**
 * From a key to its slot and from a slot to its partition. The slot is that of Redis Cluster, so that cluster-aware
 * clients find the owner by themselves. Source: Redis Cluster specification, "Key distribution model" and "Hash tags".
 */

/** 2^14, as in Redis Cluster; also the largest number of partitions. */
export const slotCount = 16_384;

const openBrace = 0x7b;
const closeBrace = 0x7d;

/** CRC16-XMODEM: polynomial 0x1021, initial value 0, not reflected. In each 256 places: of a byte with 0, 1, 2 or 3 zeros behind it. */
const crcTable = new Uint16Array(1024);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  crcTable[byte] = crc;
}
for (let i = 256; i < 1024; i++) {
  const shorter = crcTable[i - 256]!;
  crcTable[i] = (shorter << 8) ^ crcTable[shorter >> 8]!;
}

/** CRC16-XMODEM of `bytes[from..to)`: four bytes at a time, as each step has to wait for the one before. */
export function crc16(bytes: Uint8Array, from = 0, to = bytes.length): number {
  let crc = 0;
  let i = from;
  for (const last = to - 3; i < last; i += 4) {
    crc =
      crcTable[768 + ((crc >> 8) ^ bytes[i]!)]! ^
      crcTable[512 + ((crc & 0xff) ^ bytes[i + 1]!)]! ^
      crcTable[256 + bytes[i + 2]!]! ^
      crcTable[bytes[i + 3]!]!;
  }
  for (; i < to; i++) crc = ((crc << 8) & 0xffff) ^ crcTable[(crc >> 8) ^ bytes[i]!]!;
  return crc;
}

/**
 * The slot of the key `[from, to)`, 0 to 16383. If the key holds `{…}` with something between its first `{` and the first `}` after
 * that, only what stands between counts: keys with the same tag live together.
 */
export function slotOf(key: Uint8Array, from = 0, to: number = key.length): number {
  // Plain loops: for keys of usual length they beat the call into native code that `indexOf` is.
  let open = from;
  while (open < to && key[open] !== openBrace) open++;
  if (open < to) {
    let close = open + 1;
    while (close < to && key[close] !== closeBrace) close++;
    if (close < to && close > open + 1) return crc16(key, open + 1, close) & (slotCount - 1);
  }
  return crc16(key, from, to) & (slotCount - 1);
}

/** The partition that holds `slot` when there are `partitions` (1 to {@link slotCount}) of them. */
export function partitionOf(slot: number, partitions: number): number {
  return Math.floor((slot * partitions) / slotCount);
}

/** The first and the last slot of a partition, both inclusive. */
export function slotRange(partition: number, partitions: number): [first: number, last: number] {
  const first = Math.ceil((partition * slotCount) / partitions);
  const next = Math.ceil(((partition + 1) * slotCount) / partitions);
  return [first, next - 1];
}
