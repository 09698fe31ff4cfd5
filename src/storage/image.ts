/**
 * Entries on their way from one store to another: records as they lie in a segment, gathered in the order of the index, so that the
 * receiver can take an image over as a segment of its own.
 */
import type { Entries } from "./entries.ts";
import { cursorEnd } from "./key-index.ts";
import { blockBytes } from "./memory.ts";
import {
  expiresAtMsAt,
  flagsAt,
  headerBytesOf,
  keyLengthAt,
  Mark,
  recordBytesAt,
  recordBytesOf,
  valueLengthAt,
  versionAt,
} from "./record.ts";
import { Queue, type Segments } from "./segments.ts";

/** Entries that are taken from the index at once. */
const entriesAtOnce = 256;
/** Of a block; an image that would fill less of one is taken over record by record. */
const filledShareMin = 0.75;

/** See `PartitionStore.image`. */
export function imageOf(
  { index, segments }: Entries,
  cursor: number,
  sizeBytes: number,
): { image: Buffer; next: number } {
  const parts: Buffer[] = [];
  let total = 0;
  for (let from = cursor; from < cursorEnd; ) {
    const found = { hash: [] as number[], ref: [] as number[] };
    const next = index.range(from, entriesAtOnce, found);
    for (let i = 0; i < found.ref.length; i++) {
      const record = recordOf(segments, found.ref[i]!);
      // Entries of one hash come together, so that no cursor lies between them.
      const isFirstOfHash = i === 0 || found.hash[i] !== found.hash[i - 1];
      if (total > 0 && total + record.length > sizeBytes && isFirstOfHash) {
        return { image: Buffer.concat(parts, total), next: found.hash[i]! };
      }
      parts.push(record);
      total += record.length;
    }
    from = next;
  }
  return { image: Buffer.concat(parts, total), next: cursorEnd };
}

/** A view, or of a large entry a copy with key and value in place. */
function recordOf(segments: Segments, ref: number): Buffer {
  const bytes = segments.bytesOf(ref);
  const at = segments.placeOf(ref);
  const marks = bytes[at]!;
  if ((marks & Mark.own) === 0) return bytes.subarray(at, at + recordBytesAt(bytes, at));
  const key = segments.keyOf(ref);
  const value = segments.valueOf(ref);
  const record = Buffer.alloc(recordBytesOf(marks, key.length, value.length));
  const headerBytes = headerBytesOf(marks);
  record.set(bytes.subarray(at, at + headerBytes), 0);
  record[0] = marks & ~Mark.own;
  record.set(key, headerBytes);
  record.set(value, headerBytes + key.length);
  return record;
}

type SetRecord = (key: Buffer, value: Buffer, expiresAtMs: number, version: number, flags: number) => void;

/** See `PartitionStore.apply`; `set` is that of the store. */
export function applyImage(entries: Entries, image: Buffer, set: SetRecord): void {
  const isWhole = check(entries.segments, image);
  if (isWhole) adopt(entries, image);
  else {
    for (let at = 0; at < image.length; at += recordBytesAt(image, at)) {
      const keyFrom = at + headerBytesOf(image[at]!);
      const valueFrom = keyFrom + keyLengthAt(image, at);
      const key = image.subarray(keyFrom, valueFrom);
      const value = image.subarray(valueFrom, valueFrom + valueLengthAt(image, at));
      set(key, value, expiresAtMsAt(image, at), versionAt(image, at), flagsAt(image, at));
    }
  }
}

/** Whether the image is good as a segment. Throws a RangeError if it isn't one of whole, living records. */
function check(segments: Segments, image: Buffer): boolean {
  const block = blockBytes.find((one) => one >= image.length) ?? Number.POSITIVE_INFINITY;
  let isWhole = block <= segments.sizeBytesMax && image.length >= block * filledShareMin;
  for (let at = 0; at < image.length; ) {
    const marks = image[at]!;
    const isKnown = (marks & (Mark.dead | Mark.own | 0x80)) === 0;
    const contentFrom = at + headerBytesOf(marks);
    if (!isKnown || contentFrom > image.length)
      throw new RangeError("an image has a record of no known form");
    if ((marks & Mark.expires) !== 0 && expiresAtMsAt(image, at) === 0) {
      throw new RangeError("an image has a record that expires at no time");
    }
    const contentBytes = keyLengthAt(image, at) + valueLengthAt(image, at);
    // Before the record's size is asked for, which is an integer of 32 bits.
    if (contentBytes > image.length - contentFrom) throw new RangeError("an image ends within a record");
    isWhole &&= !segments.isLarge(contentBytes);
    at += recordBytesAt(image, at);
    if (at > image.length) throw new RangeError("an image ends within a record");
  }
  return isWhole;
}

function adopt(entries: Entries, image: Buffer): void {
  const { segments } = entries;
  const segment = segments.adopt(Queue.main, image);
  for (let at = 0; at < image.length; at += recordBytesAt(image, at)) {
    const expiresAtMs = expiresAtMsAt(image, at);
    if (expiresAtMs !== 0) segments.due(segment, expiresAtMs);
    entries.adopt(segments.refAt(segment.number, at));
  }
}
