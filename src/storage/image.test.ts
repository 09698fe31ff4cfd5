import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { hashOf } from "./hash.ts";
import { cursorEnd } from "./key-index.ts";
import { StoreMemory } from "./memory.ts";
import { PartitionStore } from "./partition-store.ts";
import { Mark, marksOf, recordBytesAt, recordBytesOf, writeHeader } from "./record.ts";

const seed = { low: 3, high: -4 };

/** A store whose memory is its own, and by itself counted. */
class Subject {
  readonly memory = new StoreMemory();
  readonly store: PartitionStore;

  constructor(segmentBytesMax: number) {
    this.store = new PartitionStore({ memory: this.memory, seed, segmentBytesMax });
  }

  /** What it holds, as text; that its numbers agree is checked on the way. */
  content(): string[] {
    const lines: string[] = [];
    const visit: Parameters<PartitionStore["scan"]>[3] = (key, { value, expiresAtMs, version, flags }) => {
      const bytes = `${shown(key)} ${shown(value)}`;
      lines.push(`${bytes} ${expiresAtMs} ${version} ${flags}`);
    };
    for (let cursor = 0; cursor < cursorEnd; ) cursor = this.store.scan(cursor, 100, 0, visit);
    strictEqual(this.memory.usedBytes, this.store.allocatedBytes);
    ok(this.store.liveBytes <= this.store.allocatedBytes);
    return lines.sort();
  }

  checkSizes(): void {
    strictEqual(this.store.size, this.content().length);
    this.store.clear();
    strictEqual(this.memory.usedBytes, 0);
  }
}

function shown(bytes: Buffer): string {
  return bytes.length <= 32 ? bytes.toString("hex") : `${bytes.length}:${crc32(bytes)}`;
}

interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly expiresAtMs: number;
  readonly version: number;
  readonly flags: number;
}

const bytesOfSize = (max: number): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.uint8Array({ maxLength: 30 }) },
    {
      weight: 1,
      arbitrary: fc.integer({ min: 0, max }).map((length) => new Uint8Array(length).fill(length)),
    },
  );

const entry: fc.Arbitrary<Entry> = fc.record({
  key: bytesOfSize(65_536),
  value: bytesOfSize(200_000),
  expiresAtMs: fc.constantFrom(0, 0, 5, 2 ** 32, 8.64e15),
  version: fc.constantFrom(0, 1, 2 ** 48 - 1),
  flags: fc.constantFrom(0, 0, 1, 2 ** 32 - 1),
});
const segmentSizes = fc.constantFrom(1_024, 4_096, 65_536);

function fill(store: PartitionStore, entries: readonly Entry[]): void {
  for (const { key, value, expiresAtMs, version, flags } of entries) {
    store.set(Buffer.from(key), value, expiresAtMs, version, flags);
  }
}

test("images carry everything over, to stores of other segment sizes too, over what is there", () => {
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 60, size: "max" }),
      fc.array(entry, { maxLength: 10 }),
      segmentSizes,
      segmentSizes,
      fc.constantFrom(1, 700, 900, 4_000, 60_000, 10_000_000),
      (entries, before, fromSize, toSize, sizeBytes) => {
        const [from, to] = [new Subject(fromSize), new Subject(toSize)];
        fill(from.store, entries);
        // The same keys, and others that stay.
        fill(to.store, before);
        fill(from.store, before);
        for (const { key } of entries.slice(0, 5)) to.store.set(Buffer.from(key), Buffer.from("old"), 9);
        for (let cursor = 0; cursor < cursorEnd; ) {
          const { image, next } = from.store.image(cursor, sizeBytes);
          expect(next).toBeGreaterThan(cursor);
          expect(image.length % 4).toBe(0);
          // More than asked for only for the sake of a single record.
          if (image.length > sizeBytes) expect(recordBytesAt(image, 0)).toBe(image.length);
          to.store.apply(image);
          cursor = next;
        }
        expect(to.content()).toEqual(from.content());
        expect(to.store.digest()).toBe(from.store.digest());
        expect(to.store.sizeWithTtl).toBe(from.store.sizeWithTtl);
        from.checkSizes();
        to.checkSizes();
      },
    ),
    { numRuns: 40 },
  );
}, 120_000);

test("a full image becomes a segment as it is", () => {
  const [from, to] = [new Subject(65_536), new Subject(65_536)];
  for (let i = 0; i < 2_000; i++) from.store.set(Buffer.from(`k${i}`), Buffer.alloc(100, i), 0);
  const { image } = from.store.image(0, 65_536);
  expect(image.length).toBeGreaterThan(65_000);
  to.store.apply(image);
  // The segment, and the index: none of it is empty.
  expect(to.store.allocatedBytes).toBeLessThan(65_536 + to.store.size * 8 * 4);
  expect(to.store.liveBytes).toBe(image.length);
});

test("keys of one hash come together, however small the image or the step of a scan", () => {
  const byHash = new Map<number, Buffer[]>();
  // Of so many keys some pairs have the same hash.
  for (let i = 0; i < 200_000; i++) {
    const key = Buffer.from(`k${i}`);
    const hash = hashOf(key, 0, key.length, seed);
    const others = byHash.get(hash);
    if (others === undefined) byHash.set(hash, [key]);
    else others.push(key);
  }
  const same = [...byHash.values()].filter((keys) => keys.length > 1);
  expect(same.length).toBeGreaterThan(0);
  const [from, to] = [new Subject(1_024), new Subject(1_024)];
  for (const key of same.flat()) from.store.set(key, key, 0);
  for (let cursor = 0; cursor < cursorEnd; ) {
    const { image, next } = from.store.image(cursor, 1);
    ok(next > cursor);
    to.store.apply(image);
    cursor = next;
  }
  expect(to.content()).toEqual(from.content());
  const seen: string[] = [];
  for (let cursor = 0; cursor < cursorEnd; ) {
    const next = from.store.scan(cursor, 1, 0, (key) => seen.push(key.toString()));
    ok(next > cursor);
    cursor = next;
  }
  expect(seen.sort()).toEqual(same.flat().map(String).sort());
}, 120_000);

test("the image changes with nothing that happens to the store later", () => {
  const subject = new Subject(1_024);
  for (let i = 0; i < 100; i++) subject.store.set(Buffer.from(`k${i}`), Buffer.alloc(10, i), 0);
  const { image } = subject.store.image(0, 10_000);
  const copy = Buffer.from(image);
  for (let i = 0; i < 100; i++) subject.store.set(Buffer.from(`k${i}`), Buffer.alloc(10, 255 - i), 0);
  subject.store.clear();
  for (let i = 0; i < 200; i++) subject.store.set(Buffer.from(`n${i}`), Buffer.alloc(50), 0);
  expect(image.equals(copy)).toBe(true);
});

/** Whether the store took it. If it refused, then with a RangeError, and nothing has changed. */
function isTaken(subject: Subject, image: Buffer): boolean {
  const before = subject.content();
  try {
    subject.store.apply(image);
    return true;
  } catch (error) {
    ok(error instanceof RangeError);
    deepStrictEqual(subject.content(), before);
    return false;
  }
}

function imageOfAll(entries: readonly Entry[]): Buffer {
  const subject = new Subject(65_536);
  fill(subject.store, entries);
  return subject.store.image(0, 10_000_000).image;
}

const allKinds: readonly Entry[] = [0, 1_700_000_000_000].flatMap((expiresAtMs) =>
  [0, 7].flatMap((flags) =>
    [0, 3, 256].map((length) => ({
      key: Buffer.alloc(length, `${expiresAtMs}${flags}`),
      value: Buffer.alloc(length + 5, length),
      expiresAtMs,
      version: length,
      flags,
    })),
  ),
);

test("an image that was cut off anywhere but between two records is refused as a whole", () => {
  const image = imageOfAll(allKinds);
  const ends = new Set([0]);
  for (let at = 0; at < image.length; ends.add(at)) at += recordBytesAt(image, at);
  expect(ends.size).toBeGreaterThan(8);
  for (const segmentBytesMax of [1_024, 65_536]) {
    const refusing = new Subject(segmentBytesMax);
    refusing.store.set(Buffer.from("here before"), Buffer.from("v"), 0);
    for (let length = 0; length <= image.length; length++) {
      const subject = ends.has(length) ? new Subject(segmentBytesMax) : refusing;
      strictEqual(isTaken(subject, image.subarray(0, length)), ends.has(length));
    }
    refusing.checkSizes();
  }
}, 120_000);

/** A record of these lengths, with no more bytes behind its header than stated. */
function recordClaiming(keyLength: number, valueLength: number, contentBytes: number): Buffer {
  const record = Buffer.alloc(18 + contentBytes);
  writeHeader(record, 0, Mark.long, keyLength, valueLength, 0, 0, 0);
  return record;
}

test("lengths up to 4 GiB, and sums that pass 31, 32 and 33 bits, are refused", () => {
  const lengths = [2 ** 31 - 40, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 40, 2 ** 32 - 18, 2 ** 32 - 1, 70_000];
  for (const one of [0, 1, 4, ...lengths]) {
    for (const other of lengths) {
      for (const [keyLength, valueLength] of [
        [one, other],
        [other, one],
      ] as const) {
        const subject = new Subject(1_024);
        expect(isTaken(subject, recordClaiming(keyLength, valueLength, 62))).toBe(false);
      }
    }
  }
});

test("records that are dead, refer to segments or have marks of no meaning are refused", () => {
  const image = imageOfAll(allKinds);
  for (const mark of [Mark.dead, Mark.own, 0x80]) {
    for (let at = 0; at < image.length; at += recordBytesAt(image, at)) {
      const wrong = Buffer.from(image);
      wrong[at] = wrong[at]! | mark;
      expect(isTaken(new Subject(65_536), wrong)).toBe(false);
    }
  }
});

test("an entry that expires does so at some time: 0 is refused", () => {
  const marks = marksOf(1, 1, 1, 0);
  const record = Buffer.alloc(recordBytesOf(marks, 1, 1));
  writeHeader(record, 0, marks, 1, 1, 0, 0, 0);
  expect(isTaken(new Subject(65_536), record)).toBe(false);
});

test("no garbage breaks a store: it is refused whole, or is entries", () => {
  const damage = fc.array(fc.record({ at: fc.nat(), byte: fc.constantFrom(0, 1, 4, 8, 0x7f, 0x80, 0xff) }), {
    minLength: 1,
    maxLength: 6,
  });
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 400, size: "max" }).map((bytes) => Buffer.from(bytes)),
    // Mostly what a record may begin with.
    fc
      .array(fc.constantFrom(0, 0, 0, 0, 1, 4, 8, 16, 28, 255), { maxLength: 3_000, size: "max" })
      .map((bytes) => Buffer.from(bytes)),
    fc.tuple(fc.array(entry, { minLength: 1, maxLength: 20 }), damage).map(([entries, damage]) => {
      const image = imageOfAll(entries);
      for (const { at, byte } of damage) image[at % image.length] = byte;
      return image;
    }),
  );
  fc.assert(
    fc.property(garbage, segmentSizes, (image, segmentBytesMax) => {
      const [one, other] = [new Subject(segmentBytesMax), new Subject(segmentBytesMax)];
      fill(one.store, allKinds);
      fill(other.store, allKinds);
      // What lies beside the image doesn't matter: it isn't read.
      const within = (byte: number): Buffer => {
        const bytes = Buffer.alloc(image.length + 128, byte);
        image.copy(bytes, 64);
        return bytes.subarray(64, 64 + image.length);
      };
      expect(isTaken(one, within(0))).toBe(isTaken(other, within(0xff)));
      expect(one.content()).toEqual(other.content());
      one.store.sweep(8.64e15, 100_000, () => {});
      one.store.delete(Buffer.from("000"), 0);
      while (one.store.compact(100) > 0);
      one.checkSizes();
      other.checkSizes();
    }),
    { numRuns: 200 },
  );
}, 120_000);
