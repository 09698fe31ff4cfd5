/** What the two sides of a handoff say to each other. All integers are big-endian. */

import { noBytes } from "./command.ts";

export const Step = {
  /** Forget what came before and take the partition's copy from here on. */
  begin: 1,
  /** Records of the snapshot or of the tap, in the order in which they must be applied. */
  records: 2,
  /** Everything has been sent: u48 entries, u32 checksum of all records. */
  final: 3,
  /** Does the receiver serve the partition by now? */
  active: 4,
} as const;

export const yes: Buffer = Buffer.from([1]);
export const no: Buffer = Buffer.from([0]);

/** u8 step, u16 partition, u48 move, u32 session, u32 sequence; what belongs to the step follows. */
const headerBytes = 17;

export interface HandoffMessage {
  readonly step: number;
  readonly partition: number;
  readonly move: number;
  /** Told apart within the sender's process: one per attempt to copy. */
  readonly session: number;
  /** Counts the messages of a session from 0. */
  readonly sequence: number;
  readonly body: Buffer;
}

export function encodeMessage(message: HandoffMessage): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + message.body.length);
  frame[0] = message.step;
  frame.writeUInt16BE(message.partition, 1);
  frame.writeUIntBE(message.move, 3, 6);
  frame.writeUInt32BE(message.session, 9);
  frame.writeUInt32BE(message.sequence, 13);
  frame.set(message.body, headerBytes);
  return frame;
}

export function decodeMessage(frame: Buffer): HandoffMessage {
  return {
    step: frame.readUInt8(0),
    partition: frame.readUInt16BE(1),
    move: frame.readUIntBE(3, 6),
    session: frame.readUInt32BE(9),
    sequence: frame.readUInt32BE(13),
    body: frame.subarray(headerBytes),
  };
}

export function encodeFinal(entries: number, checksum: number): Buffer {
  const body = Buffer.allocUnsafe(10);
  body.writeUIntBE(entries, 0, 6);
  body.writeUInt32BE(checksum, 6);
  return body;
}

export function decodeFinal(body: Buffer): { entries: number; checksum: number } {
  return { entries: body.readUIntBE(0, 6), checksum: body.readUInt32BE(6) };
}

/** u8 kind, u32 key length, u32 value length, f64 expiry, key, value. */
const recordHeaderBytes = 17;
const RecordKind = { set: 1, delete: 2, receipts: 3 } as const;

/** Collects records; `take` hands over what was collected. */
export class RecordBatch {
  #parts: Buffer[] = [];
  #sizeBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  set(key: Buffer, value: Uint8Array, expiresAtMs: number): void {
    this.#add(RecordKind.set, key, value, expiresAtMs);
  }

  delete(key: Buffer): void {
    this.#add(RecordKind.delete, key, noBytes, 0);
  }

  /** {@link Receipts} in their encoded form, in place of a value. */
  receipts(encoded: Buffer): void {
    this.#add(RecordKind.receipts, noBytes, encoded, 0);
  }

  take(): Buffer {
    const bytes = Buffer.concat(this.#parts, this.#sizeBytes);
    this.#parts = [];
    this.#sizeBytes = 0;
    return bytes;
  }

  #add(kind: number, key: Buffer, value: Uint8Array, expiresAtMs: number): void {
    const record = Buffer.allocUnsafe(recordHeaderBytes + key.length + value.length);
    record[0] = kind;
    record.writeUInt32BE(key.length, 1);
    record.writeUInt32BE(value.length, 5);
    record.writeDoubleBE(expiresAtMs, 9);
    record.set(key, recordHeaderBytes);
    record.set(value, recordHeaderBytes + key.length);
    this.#parts.push(record);
    this.#sizeBytes += record.length;
  }
}

export interface RecordSink {
  set(key: Buffer, value: Uint8Array, expiresAtMs: number): void;
  delete(key: Buffer): void;
  receipts(encoded: Buffer): void;
}

/** Applies records in order. Throws a RangeError if the bytes end within one. */
export function applyRecords(bytes: Buffer, sink: RecordSink): void {
  for (let at = 0; at < bytes.length; ) {
    const keyStart = at + recordHeaderBytes;
    const keyEnd = keyStart + bytes.readUInt32BE(at + 1);
    const valueEnd = keyEnd + bytes.readUInt32BE(at + 5);
    if (valueEnd > bytes.length) throw new RangeError("a record is longer than its message");
    const key = bytes.subarray(keyStart, keyEnd);
    const value = bytes.subarray(keyEnd, valueEnd);
    if (bytes[at] === RecordKind.set) sink.set(key, value, bytes.readDoubleBE(at + 9));
    else if (bytes[at] === RecordKind.delete) sink.delete(key);
    else if (bytes[at] === RecordKind.receipts) sink.receipts(value);
    else throw new RangeError("a record is of no known kind");
    at = valueEnd;
  }
}
