/** A run's changes and answer as one write to the backups: they get all of it or nothing. All integers are big-endian. */
import type { Effect } from "./keyspace.ts";

/** u8 kind, u32 key length, u32 value length, f64 expiry; key, value. */
const headerBytes = 17;

/** u32 length of the answer, the answer, then the effects. */
export function encodeEffects(answer: Buffer, effects: readonly Effect[]): Buffer {
  let sizeBytes = 4 + answer.length;
  for (const { key, value } of effects) sizeBytes += headerBytes + key.length + value.length;
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let at = bytes.writeUInt32BE(answer.length, 0);
  bytes.set(answer, at);
  at += answer.length;
  for (const { kind, key, value, expiresAtMs } of effects) {
    bytes[at] = kind;
    bytes.writeUInt32BE(key.length, at + 1);
    bytes.writeUInt32BE(value.length, at + 5);
    bytes.writeDoubleBE(expiresAtMs, at + 9);
    bytes.set(key, at + headerBytes);
    bytes.set(value, at + headerBytes + key.length);
    at += headerBytes + key.length + value.length;
  }
  return bytes;
}

/** Views into `bytes`. Throws a RangeError if it ends within an effect. */
export function decodeEffects(bytes: Buffer): { answer: Buffer; effects: Effect[] } {
  let at = 4 + bytes.readUInt32BE(0);
  const answer = bytes.subarray(4, at);
  const effects: Effect[] = [];
  while (at < bytes.length) {
    const keyFrom = at + headerBytes;
    const valueFrom = keyFrom + bytes.readUInt32BE(at + 1);
    const end = valueFrom + bytes.readUInt32BE(at + 5);
    if (end > bytes.length) throw new RangeError("an effect is longer than its write");
    const expiresAtMs = bytes.readDoubleBE(at + 9);
    const key = bytes.subarray(keyFrom, valueFrom);
    effects.push({ kind: bytes[at]!, key, value: bytes.subarray(valueFrom, end), expiresAtMs });
    at = end;
  }
  return { answer, effects };
}
