/**
 * Writes on their way from an owner to a backup: many in one message, of any partitions. All integers are big-endian.
 *
 * One write: u32 session, u16 partition, u48 lsn, u48 settled, u8 kind (and {@link completesFlag}), u8 length of the origin, u32 key length, u32 value
 * length, f64 expiry; if there is an origin: u48 sequence, u48 oldest, origin; key, value. A length of 255 stands for the
 * origin of the write with one before, in the same message: most come from the same few routers.
 */

export const WriteKind = {
  set: 1,
  delete: 2,
  /** Another expiry. */
  touch: 3,
  /** Several changes at once, under the first one's key: the value is of `encodeEffects`. */
  run: 4,
} as const;

const headerBytes = 36;
const receiptBytes = 12;
const sameOrigin = 255;
/** Added to the kind of a write that {@link Write.completes}. */
const completesFlag = 0x80;

/** By what a router that sends a write again is told that it was carried out. */
export interface Receipt {
  /** The router's incarnation: 1 to 254 characters of Latin-1. */
  readonly origin: string;
  /** See `Sending`. */
  readonly sequence: number;
  readonly oldest: number;
}

/** One write, as the receiver reads it. Key and value are views into the message. */
export interface Write {
  session: number;
  partition: number;
  /** The number of the write in its partition: one more than that of the write before. */
  lsn: number;
  /** Every write up to this one is on all backups. */
  settled: number;
  kind: number;
  /** Once this backup has it, every copy does that must, and its receipt is of this node's own router: no answer of the owner is needed. */
  completes: boolean;
  expiresAtMs: number;
  key: Buffer;
  value: Buffer;
  receipt: Receipt | undefined;
}

/** One write, as the owner hands it over. The bytes are copied. */
export interface OneWrite extends Readonly<Pick<Write, "kind" | "completes" | "expiresAtMs" | "receipt">> {
  readonly key: Buffer;
  readonly value: Uint8Array;
}

/** At most: less if the origin is the same as that of the write before. */
export function writeSizeBytes(key: Buffer, value: Uint8Array, receipt: Receipt | undefined): number {
  const origin = receipt === undefined ? 0 : receiptBytes + receipt.origin.length;
  return headerBytes + origin + key.length + value.length;
}

/**
 * Writes one write at `at` into `bytes`, which has room for it; returns where it ends. `originBefore`: that of the last write
 * with a receipt in this message; empty if there is none.
 */
export function putWrite(
  bytes: Buffer,
  at: number,
  place: { session: number; partition: number; lsn: number; settled: number },
  write: OneWrite,
  originBefore: string,
): number {
  const { kind, key, value, expiresAtMs, receipt } = write;
  let end = bytes.writeUInt32BE(place.session, at);
  end = bytes.writeUInt16BE(place.partition, end);
  end = bytes.writeUIntBE(place.lsn, end, 6);
  end = bytes.writeUIntBE(place.settled, end, 6);
  bytes[end++] = write.completes ? kind | completesFlag : kind;
  const isSame = receipt !== undefined && receipt.origin === originBefore;
  bytes[end++] = receipt === undefined ? 0 : isSame ? sameOrigin : receipt.origin.length;
  end = bytes.writeUInt32BE(key.length, end);
  end = bytes.writeUInt32BE(value.length, end);
  end = bytes.writeDoubleBE(expiresAtMs, end);
  if (receipt !== undefined) {
    end = bytes.writeUIntBE(receipt.sequence, end, 6);
    end = bytes.writeUIntBE(receipt.oldest, end, 6);
    if (!isSame) end += bytes.write(receipt.origin, end, "latin1");
  }
  bytes.set(key, end);
  end += key.length;
  if (value.length > 0) bytes.set(value, end);
  return end + value.length;
}

/**
 * Calls `visit` with each write, in order; the object, and that of the receipt, is the same every time. Throws a RangeError if
 * they end within one.
 */
export function readWrites(message: Buffer, visit: (write: Write) => void): void {
  const write: Write = {
    session: 0,
    partition: 0,
    lsn: 0,
    settled: 0,
    kind: 0,
    completes: false,
    expiresAtMs: 0,
    key: message,
    value: message,
    receipt: undefined,
  };
  const receipt = { origin: "", sequence: 0, oldest: 0 };
  for (let at = 0; at < message.length; ) {
    write.session = message.readUInt32BE(at);
    write.partition = message.readUInt16BE(at + 4);
    write.lsn = message.readUIntBE(at + 6, 6);
    write.settled = message.readUIntBE(at + 12, 6);
    const kind = message.readUInt8(at + 18);
    write.kind = kind & ~completesFlag;
    write.completes = kind >= completesFlag;
    const originLength = message.readUInt8(at + 19);
    const keyLength = message.readUInt32BE(at + 20);
    const valueLength = message.readUInt32BE(at + 24);
    write.expiresAtMs = message.readDoubleBE(at + 28);
    at += headerBytes;
    write.receipt = undefined;
    if (originLength > 0) {
      receipt.sequence = message.readUIntBE(at, 6);
      receipt.oldest = message.readUIntBE(at + 6, 6);
      at += receiptBytes;
      if (originLength !== sameOrigin) {
        receipt.origin = message.toString("latin1", at, at + originLength);
        at += originLength;
      } else if (receipt.origin === "") throw new RangeError("no write before has an origin");
      write.receipt = receipt;
    }
    const keyEnd = at + keyLength;
    const valueEnd = keyEnd + valueLength;
    if (valueEnd > message.length) throw new RangeError("a write is longer than its message");
    write.key = message.subarray(at, keyEnd);
    write.value = message.subarray(keyEnd, valueEnd);
    at = valueEnd;
    visit(write);
  }
}

/** Why writes of a partition were not taken. */
export const Refusal = {
  /** No copy is here that this stream belongs to, or an owner of a later epoch is known. */
  void: 1,
  /** A write before them is missing: send again from the last confirmed one on. */
  gap: 2,
} as const;

export const allTaken: Buffer = Buffer.alloc(0);

/** u32 session and u8 {@link Refusal} of each stream that was refused; every other was taken whole. */
export function encodeRefusals(refusals: ReadonlyMap<number, number>): Buffer {
  if (refusals.size === 0) return allTaken;
  const answer = Buffer.allocUnsafe(5 * refusals.size);
  let at = 0;
  for (const [session, refusal] of refusals) {
    at = answer.writeUInt32BE(session, at);
    at = answer.writeUInt8(refusal, at);
  }
  return answer;
}

export function decodeRefusals(answer: Buffer): Map<number, number> {
  const refusals = new Map<number, number>();
  for (let at = 0; at + 5 <= answer.length; at += 5)
    refusals.set(answer.readUInt32BE(at), answer.readUInt8(at + 4));
  return refusals;
}
