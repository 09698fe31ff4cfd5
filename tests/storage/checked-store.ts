/**
 * A store beside its model: every operation is done on both, and what they answer must be equal; after each, so must be what they
 * count. Assertions are Node's own, since there are millions of them.
 */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { cursorEnd } from "../../src/storage/key-index.ts";
import type { StoreMemory } from "../../src/storage/memory.ts";
import {
  PartitionStore,
  type SetCondition,
  type StoredEntry,
  type StoreOptions,
} from "../../src/storage/partition-store.ts";
import {
  expiresAtMsAt,
  flagsAt,
  headerBytesOf,
  keyLengthAt,
  recordBytesAt,
  valueLengthAt,
  versionAt,
} from "../../src/storage/record.ts";
import { Span } from "../../src/storage/span.ts";
import { WarmUp } from "../../src/storage/warm-up.ts";
import { keyOf, type ModelEntry, nameOf, StoreModel } from "./model.ts";

export interface CheckedOptions extends StoreOptions {
  readonly memory: StoreMemory;
  readonly segmentBytesMax: number;
}

/** Before every expiry: what has expired is shown as well. */
const beforeAllMs = -1;
const warmUp = new WarmUp(2);
const counterMax = 2n ** 63n - 1n;

export class CheckedStore {
  readonly store: PartitionStore;
  readonly model: StoreModel;
  readonly options: CheckedOptions;
  /** Being filled from this one; every write goes there too, in the order in which images are taken. */
  #copy: CheckedStore | undefined;
  #copyCursor = 0;
  /** During a scan: what nobody has removed since it began. */
  #throughout: Set<string> | undefined;
  /** Since it was empty. */
  #sizeMax = 0;

  constructor(options: CheckedOptions) {
    this.options = options;
    this.store = new PartitionStore(options);
    this.model = new StoreModel(options.segmentBytesMax);
  }

  get copy(): CheckedStore | undefined {
    return this.#copy;
  }

  get(key: Buffer, nowMs: number): void {
    const wanted = this.model.alive(key, nowMs);
    this.#same(this.store.get(key, nowMs), wanted);
    const { access } = this.store;
    const [span, found] = [within(key), new Span()];
    const hash = access.hash(span.bytes, span.from, span.to);
    // Asks for memory only: changes nothing, whether the key is there or not.
    for (let i = 0; i < 2; i++) warmUp.add(access, hash);
    warmUp.run();
    strictEqual(access.get(hash, span, nowMs, found), wanted !== undefined);
    if (wanted !== undefined) ok(wanted.value.equals(found.view(0, found.length)));
  }

  peek(key: Buffer, nowMs: number): void {
    this.#same(this.store.peek(key, nowMs), this.model.alive(key, nowMs));
  }

  has(key: Buffer, nowMs: number): void {
    strictEqual(this.store.has(key, nowMs), this.model.alive(key, nowMs) !== undefined);
  }

  set(key: Buffer, { value, expiresAtMs, version, flags }: ModelEntry): void {
    if (flags === 0 && version % 2 === 1) {
      const span = within(key);
      const hash = this.store.access.hash(span.bytes, span.from, span.to);
      this.store.access.set(hash, span, within(value), expiresAtMs, version);
    } else this.store.set(key, value, expiresAtMs, version, flags);
    this.model.put(key, value, expiresAtMs, version, flags);
    this.#changed(key);
  }

  setIf(condition: SetCondition, key: Buffer, entry: ModelEntry, nowMs: number): void {
    const { value, expiresAtMs, version, flags } = entry;
    const before = this.model.alive(key, nowMs);
    const holds =
      (condition.if === undefined || (condition.if === "present") === (before !== undefined)) &&
      (condition.value === undefined || before?.value.equals(condition.value) === true) &&
      (condition.version === undefined || before?.version === condition.version);
    strictEqual(this.store.setIf(condition, key, value, expiresAtMs, nowMs, version, flags), holds);
    if (!holds) return;
    const kept = condition.keepExpiry === true && before !== undefined ? before.expiresAtMs : expiresAtMs;
    this.model.put(key, value, kept, version, flags);
    this.#changed(key);
  }

  delete(key: Buffer, nowMs: number): void {
    const wasAlive = this.model.alive(key, nowMs) !== undefined;
    strictEqual(this.store.delete(key, nowMs), wasAlive);
    this.model.drop(key);
    this.#changed(key);
  }

  touch(key: Buffer, expiresAtMs: number, nowMs: number, version: number): void {
    const before = this.model.alive(key, nowMs);
    strictEqual(this.store.touch(key, expiresAtMs, nowMs, version), before !== undefined);
    if (before === undefined) return;
    this.model.put(key, before.value, expiresAtMs, version, before.flags);
    this.#changed(key);
  }

  add(key: Buffer, delta: bigint, nowMs: number, version: number): void {
    const before = this.model.alive(key, nowMs);
    const wanted = sumOf(before?.value.toString("latin1") ?? "0", delta);
    if (!this.#addSmall(key, delta, nowMs, version, wanted)) {
      strictEqual(this.store.add(key, delta, nowMs, version), wanted);
    }
    if (typeof wanted === "string") return;
    this.model.put(key, Buffer.from(`${wanted}`), before?.expiresAtMs ?? 0, version, before?.flags ?? 0);
    this.#changed(key);
  }

  /** The way of small numbers: whether it was done by that one. */
  #addSmall(key: Buffer, delta: bigint, nowMs: number, version: number, wanted: bigint | string): boolean {
    if (delta > 10n ** 15n || delta < -(10n ** 15n)) return false;
    const span = within(key);
    const hash = this.store.access.hash(span.bytes, span.from, span.to);
    const sum = this.store.access.add(hash, span, Number(delta), nowMs, version);
    if (Number.isNaN(sum)) return false;
    strictEqual(BigInt(sum), wanted);
    return true;
  }

  append(key: Buffer, tail: Buffer, nowMs: number, version: number): void {
    const before = this.model.alive(key, nowMs);
    const value = before === undefined ? tail : Buffer.concat([before.value, tail]);
    strictEqual(this.store.append(key, tail, nowMs, version), value.length);
    this.model.put(key, value, before?.expiresAtMs ?? 0, version, before?.flags ?? 0);
    this.#changed(key);
  }

  sweep(nowMs: number, limit: number): number {
    const gone: Buffer[] = [];
    const looked = this.store.sweep(nowMs, limit, (key) => {
      strictEqual(this.model.alive(key, nowMs), undefined);
      strictEqual(this.model.drop(key), true);
      gone.push(Buffer.from(key));
    });
    ok(looked >= gone.length);
    for (const key of gone) this.#changed(key);
    this.check();
    return looked;
  }

  evict(nowMs: number, limit: number): number {
    const gone: Buffer[] = [];
    const looked = this.store.evict(limit, nowMs, (key, hasExpired) => {
      strictEqual(hasExpired, this.model.alive(key, nowMs) === undefined);
      strictEqual(this.model.drop(key), true);
      gone.push(Buffer.from(key));
    });
    ok(looked >= gone.length && looked <= limit);
    ok(looked > 0 || limit === 0 || this.store.size === 0);
    for (const key of gone) this.#changed(key);
    this.check();
    return looked;
  }

  compact(limit: number): void {
    ok(this.store.compact(limit) <= limit);
    this.check();
  }

  /** Compacts until there is nothing to be done, and asserts what may be left. */
  drain(): void {
    // Each time only some of the segments are compared.
    for (let idle = 0; idle < 20; ) idle = this.store.compact(1_000) === 0 ? idle + 1 : 0;
    this.check();
    this.#checkBytes(1.5, 8);
  }

  /** Goes through all entries, `limit` at a time; `between` may change them. */
  scan(limit: number, nowMs: number, between: () => void): void {
    const throughout = new Set<string>();
    for (const name of this.model.entries.keys()) {
      if (this.model.alive(name, nowMs) !== undefined) throughout.add(name);
    }
    this.#throughout = throughout;
    const seen = new Set<string>();
    for (let cursor = 0; ; ) {
      const next = this.store.scan(cursor, limit, nowMs, (key, entry) => {
        const name = nameOf(key);
        strictEqual(seen.has(name), false);
        seen.add(name);
        this.#same(entry, this.model.alive(name, nowMs));
      });
      ok(next > cursor && next <= cursorEnd);
      cursor = next;
      if (cursor === cursorEnd) break;
      between();
    }
    this.#throughout = undefined;
    for (const name of throughout) ok(seen.has(name));
  }

  /** Begins to fill a copy, if none is being filled. */
  beginCopy(segmentBytesMax: number): void {
    if (this.#copy !== undefined) return;
    this.#copy = new CheckedStore({ ...this.options, segmentBytesMax });
    this.#copyCursor = 0;
  }

  /** Brings the next image over. Returns the copy, which is this one's no more, once it is whole. */
  stepCopy(sizeBytes: number): CheckedStore | undefined {
    const copy = this.#copy;
    if (copy === undefined) return undefined;
    const { image, next } = this.store.image(this.#copyCursor, sizeBytes);
    ok(next > this.#copyCursor);
    ok(image.length > 0 || next === cursorEnd);
    copy.#apply(image, this.model);
    this.#copyCursor = next;
    if (next < cursorEnd) return undefined;
    this.#copy = undefined;
    strictEqual(copy.store.digest(), this.store.digest());
    deepStrictEqual([copy.store.size, copy.store.sizeWithTtl], [this.store.size, this.store.sizeWithTtl]);
    return copy;
  }

  clear(): void {
    this.#copy?.clear();
    this.#copy = undefined;
    this.store.clear();
    this.model.clear();
    strictEqual(this.store.allocatedBytes, 0);
    this.check();
  }

  /** What can be asked after every operation. */
  check(): void {
    const { store, model } = this;
    this.#sizeMax = model.size === 0 ? 0 : Math.max(this.#sizeMax, model.size);
    strictEqual(store.size, model.size);
    strictEqual(store.sizeWithTtl, model.sizeWithTtl);
    strictEqual(store.liveBytes, model.liveBytes);
    this.#checkBytes(2, 16);
  }

  /** Everything, entry by entry. */
  audit(): void {
    const { store, model } = this;
    this.check();
    const seen = new Set<string>();
    for (const [name, entry] of model.entries) this.#same(store.peek(keyOf(name), beforeAllMs), entry);
    for (let cursor = 0; cursor < cursorEnd; ) {
      cursor = store.scan(cursor, 100, beforeAllMs, (key, entry) => {
        const name = nameOf(key);
        strictEqual(seen.has(name), false);
        seen.add(name);
        this.#same(entry, model.entries.get(name));
      });
    }
    strictEqual(seen.size, model.size);
  }

  /** A store that got the same entries one by one has the same digest. */
  checkDigest(): void {
    const other = new PartitionStore({ seed: this.options.seed, segmentBytesMax: 4_096 });
    for (const [name, { value, expiresAtMs, version, flags }] of this.model.entries) {
      other.set(keyOf(name), value, expiresAtMs, version, flags);
    }
    strictEqual(this.store.digest(), other.digest());
  }

  /**
   * What is allocated is: the blocks of large entries, to the byte; the index, less than 30 bytes for each entry and what its pages
   * take at least; and segments, of whose bytes a stated part is live.
   */
  #checkBytes(factor: number, segmentsOfSlack: number): void {
    const { store, model, options } = this;
    const others = model.ownBlockBytes + 30 * model.size + this.#sizeMax + 1_024;
    const log = factor * model.logBytes + segmentsOfSlack * options.segmentBytesMax;
    ok(store.allocatedBytes >= model.liveBytes);
    ok(
      store.allocatedBytes <= others + log,
      `${store.allocatedBytes} B for ${model.logBytes} B of records, ${model.ownBlockBytes} B of large entries, ${model.size} entries`,
    );
  }

  #apply(image: Buffer, from: StoreModel): void {
    this.store.apply(image);
    for (let at = 0; at < image.length; at += recordBytesAt(image, at)) {
      const keyFrom = at + headerBytesOf(image[at]!);
      const valueFrom = keyFrom + keyLengthAt(image, at);
      const name = nameOf(image.subarray(keyFrom, valueFrom));
      const value = Buffer.from(image.subarray(valueFrom, valueFrom + valueLengthAt(image, at)));
      const [expiresAtMs, version, flags] = [
        expiresAtMsAt(image, at),
        versionAt(image, at),
        flagsAt(image, at),
      ];
      this.#same({ value, expiresAtMs, version, flags }, from.entries.get(name));
      this.model.put(name, value, expiresAtMs, version, flags);
    }
    this.check();
  }

  #changed(key: Buffer): void {
    this.check();
    const entry = this.model.entries.get(nameOf(key));
    if (entry === undefined) this.#throughout?.delete(nameOf(key));
    const copy = this.#copy;
    if (copy === undefined) return;
    if (entry === undefined) copy.delete(key, beforeAllMs);
    else copy.set(key, entry);
  }

  #same(found: StoredEntry | undefined, wanted: ModelEntry | undefined): void {
    strictEqual(found !== undefined, wanted !== undefined);
    if (found === undefined || wanted === undefined) return;
    ok(found.value.equals(wanted.value));
    strictEqual(found.expiresAtMs, wanted.expiresAtMs);
    strictEqual(found.version, wanted.version);
    strictEqual(found.flags, wanted.flags);
  }
}

/** What the stores of a memory take is all that it has given out. */
export function checkMemory(memory: StoreMemory, stores: readonly CheckedStore[]): void {
  let allocatedBytes = 0;
  for (const { store, copy } of stores) {
    allocatedBytes += store.allocatedBytes + (copy?.store.allocatedBytes ?? 0);
  }
  strictEqual(memory.usedBytes, allocatedBytes);
}

/** Written otherwise than in the store: a number is what is spelled as JavaScript spells it. */
function sumOf(text: string, delta: bigint): bigint | "not-an-integer" | "out-of-range" {
  let number: bigint;
  // The longest that may be one has 20 digits and sign.
  if (text.length > 20) return "not-an-integer";
  try {
    number = BigInt(text);
  } catch {
    return "not-an-integer";
  }
  const isCounter = `${number}` === text && number <= counterMax && number >= -counterMax - 1n;
  if (!isCounter) return "not-an-integer";
  const sum = number + delta;
  return sum > counterMax || sum < -counterMax - 1n ? "out-of-range" : sum;
}

/** The bytes in the middle of others. */
function within(bytes: Uint8Array): Span {
  const around = Buffer.alloc(bytes.length + 5, 0x39);
  around.set(bytes, 3);
  return new Span().of(around, 3, 3 + bytes.length);
}
