/**
 * What an owner and a member say to each other about a copy of a partition, apart from the writes ({@link file://./write-wire.ts}).
 * All integers are big-endian.
 */
import { encodeSeed, type HashSeed, seedBytes, seedOf } from "../storage/hash.ts";
import type { StoredEntry } from "../storage/partition-store.ts";
import { noBytes } from "./command.ts";

export const Step = {
  /**
   * Forget what came before and take the partition's copy from here on: u48 number of the last write it has, 8 bytes hash seed of
   * its store.
   */
  begin: 1,
  /** Receipts of the snapshot, as records. */
  records: 2,
  /** The snapshot has been sent: u48 number of the last write, u48 entries, u32 checksum of all records and images. */
  final: 3,
  /** The new owner takes over a backup that was there before it: it answers {@link encodePosition}. */
  resume: 4,
  /** Records that bring the backup's copy to the new owner's state, all receipts among them. It keeps them for `fixed`. */
  fix: 5,
  /** That was all, and now it takes effect: u48 number of the last write, u32 how many `fix` there were. */
  fixed: 6,
  /** Might the receiver, the owner, still make a backup of the sender's copy? */
  needed: 7,
  /** Entries of the snapshot, as an image of the store. */
  image: 8,
} as const;

export const yes: Buffer = Buffer.from([1]);
export const no: Buffer = Buffer.from([0]);

/** u8 step, u16 partition, u48 since, u32 session; what belongs to the step follows. */
const headerBytes = 13;

export interface TransferMessage {
  readonly step: number;
  readonly partition: number;
  /** The epoch at which the sender became the owner. */
  readonly since: number;
  /** Told apart within the owner's process: one per attempt to make or take over a copy. */
  readonly session: number;
  readonly body: Buffer;
}

export function encodeMessage(message: TransferMessage): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + message.body.length);
  frame[0] = message.step;
  frame.writeUInt16BE(message.partition, 1);
  frame.writeUIntBE(message.since, 3, 6);
  frame.writeUInt32BE(message.session, 9);
  frame.set(message.body, headerBytes);
  return frame;
}

export function decodeMessage(frame: Buffer): TransferMessage {
  return {
    step: frame.readUInt8(0),
    partition: frame.readUInt16BE(1),
    since: frame.readUIntBE(3, 6),
    session: frame.readUInt32BE(9),
    body: frame.subarray(headerBytes),
  };
}

const numberBytes = 6;

export function encodeBegin(lsn: number, seed: HashSeed): Buffer {
  const number = Buffer.allocUnsafe(numberBytes);
  number.writeUIntBE(lsn, 0, numberBytes);
  return Buffer.concat([number, encodeSeed(seed)]);
}

/** Throws a RangeError if it is too short. */
export function decodeBegin(body: Buffer): { lsn: number; seed: HashSeed } {
  const lsn = body.readUIntBE(0, numberBytes);
  return { lsn, seed: seedOf(body.subarray(numberBytes, numberBytes + seedBytes)) };
}

export interface Fixed {
  readonly lsn: number;
  readonly fixes: number;
}

export function encodeFixed({ lsn, fixes }: Fixed): Buffer {
  const body = Buffer.allocUnsafe(10);
  body.writeUIntBE(lsn, 0, 6);
  body.writeUInt32BE(fixes, 6);
  return body;
}

/** Throws a RangeError if it is too short. */
export function decodeFixed(body: Buffer): Fixed {
  return { lsn: body.readUIntBE(0, 6), fixes: body.readUInt32BE(6) };
}

export interface Final {
  readonly lsn: number;
  readonly entries: number;
  readonly checksum: number;
}

export function encodeFinal({ lsn, entries, checksum }: Final): Buffer {
  const body = Buffer.allocUnsafe(16);
  body.writeUIntBE(lsn, 0, 6);
  body.writeUIntBE(entries, 6, 6);
  body.writeUInt32BE(checksum, 12);
  return body;
}

export function decodeFinal(body: Buffer): Final {
  return { lsn: body.readUIntBE(0, 6), entries: body.readUIntBE(6, 6), checksum: body.readUInt32BE(12) };
}

/** What a backup answers to `resume`. */
export const Position = {
  /** An owner of a later epoch is known here. */
  stale: 0,
  /** It has a copy: u48 number of its last write, then u32 length and bytes of each key that isn't known to be settled. */
  known: 1,
  /** It has no copy. */
  none: 2,
  /** It has not seen yet that it isn't the owner any more. */
  later: 3,
} as const;

export function encodePosition(lsn: number, keys: readonly Buffer[]): Buffer {
  const sizeBytes = keys.reduce((sum, key) => sum + 4 + key.length, 7);
  const answer = Buffer.allocUnsafe(sizeBytes);
  answer[0] = Position.known;
  let at = answer.writeUIntBE(lsn, 1, 6);
  for (const key of keys) {
    at = answer.writeUInt32BE(key.length, at);
    answer.set(key, at);
    at += key.length;
  }
  return answer;
}

/** Throws a RangeError if the bytes end within a key. */
export function decodePosition(answer: Buffer): { lsn: number; keys: Buffer[] } {
  const keys: Buffer[] = [];
  for (let at = 7; at < answer.length; ) {
    const end = at + 4 + answer.readUInt32BE(at);
    if (end > answer.length) throw new RangeError("a key is longer than its message");
    keys.push(answer.subarray(at + 4, end));
    at = end;
  }
  return { lsn: answer.readUIntBE(1, 6), keys };
}

/** u8 kind, u32 key length, u32 value length, f64 expiry, u48 version, u32 flags, key, value. */
const recordHeaderBytes = 27;
const RecordKind = { set: 1, delete: 2, receipts: 3 } as const;

/** Collects records; `take` hands over what was collected. */
export class RecordBatch {
  #parts: Buffer[] = [];
  #sizeBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  set(key: Buffer, entry: Omit<StoredEntry, "value"> & { value: Uint8Array }): void {
    const { value, expiresAtMs, version, flags } = entry;
    this.#add(RecordKind.set, key, value, expiresAtMs, version, flags);
  }

  delete(key: Buffer): void {
    this.#add(RecordKind.delete, key, noBytes, 0, 0, 0);
  }

  /** {@link Receipts} in their encoded form, in place of a value. */
  receipts(encoded: Buffer): void {
    this.#add(RecordKind.receipts, noBytes, encoded, 0, 0, 0);
  }

  take(): Buffer {
    const bytes = Buffer.concat(this.#parts, this.#sizeBytes);
    this.#parts = [];
    this.#sizeBytes = 0;
    return bytes;
  }

  #add(
    kind: number,
    key: Buffer,
    value: Uint8Array,
    expiresAtMs: number,
    version: number,
    flags: number,
  ): void {
    const record = Buffer.allocUnsafe(recordHeaderBytes + key.length + value.length);
    record[0] = kind;
    record.writeUInt32BE(key.length, 1);
    record.writeUInt32BE(value.length, 5);
    record.writeDoubleBE(expiresAtMs, 9);
    record.writeUIntBE(version, 17, 6);
    record.writeUInt32BE(flags, 23);
    record.set(key, recordHeaderBytes);
    record.set(value, recordHeaderBytes + key.length);
    this.#parts.push(record);
    this.#sizeBytes += record.length;
  }
}

export interface RecordSink {
  set(key: Buffer, entry: StoredEntry): void;
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
    if (bytes[at] === RecordKind.set) {
      const expiresAtMs = bytes.readDoubleBE(at + 9);
      const version = bytes.readUIntBE(at + 17, 6);
      sink.set(key, { value, expiresAtMs, version, flags: bytes.readUInt32BE(at + 23) });
    } else if (bytes[at] === RecordKind.delete) sink.delete(key);
    else if (bytes[at] === RecordKind.receipts) sink.receipts(value);
    else throw new RangeError("a record is of no known kind");
    at = valueEnd;
  }
}
