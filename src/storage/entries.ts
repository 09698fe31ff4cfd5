/** The index and the segments of one store, held in step. What isn't about one caller's operation is built on this. */
import { type HashSeed, hashOf } from "./hash.ts";
import { KeyIndex } from "./key-index.ts";
import type { StoreMemory } from "./memory.ts";
import { headerBytesOf, keyLengthAt, Mark } from "./record.ts";
import { type LogQueue, type Segment, Segments } from "./segments.ts";
import { Span } from "./span.ts";

export class Entries {
  readonly memory: StoreMemory;
  readonly index: KeyIndex;
  readonly segments: Segments;
  readonly seed: HashSeed;
  /** How many have an expiry. */
  withTtl = 0;
  readonly #key = new Span();

  constructor(memory: StoreMemory, seed: HashSeed, segmentBytesMax?: number) {
    this.memory = memory;
    this.seed = seed;
    this.index = new KeyIndex(memory);
    this.segments = new Segments(memory, segmentBytesMax);
  }

  hash(key: Buffer): number {
    return hashOf(key, 0, key.length, this.seed);
  }

  /** Of the key of that record. */
  hashAt(ref: number): number {
    const { segments } = this;
    const bytes = segments.bytesOf(ref);
    const at = segments.placeOf(ref);
    const marks = bytes[at]!;
    if ((marks & Mark.own) !== 0) return this.hash(segments.keyOf(ref));
    const from = at + headerBytesOf(marks);
    return hashOf(bytes, from, from + keyLengthAt(bytes, at), this.seed);
  }

  /** Moves a living record; see {@link Segments.move}. */
  move(ref: number, queue: LogQueue, frequency: number, target?: Segment): void {
    this.#seek(ref, this.hashAt(ref));
    this.index.replace(this.segments.move(ref, queue, frequency, target));
  }

  /** Removes the entry of a living record. */
  remove(ref: number, hash: number = this.hashAt(ref)): void {
    this.#seek(ref, hash);
    this.index.remove();
    if (this.#expires(ref)) this.withTtl--;
    this.segments.kill(ref);
  }

  /** Makes a record that lies in a segment already its key's entry, in place of one that there was. */
  adopt(ref: number): void {
    const { index, segments } = this;
    const hash = this.hashAt(ref);
    const before = index.find(hash, segments, this.#key.of(segments.keyOf(ref)));
    if (this.#expires(ref)) this.withTtl++;
    if (before === 0) index.insert(hash, ref);
    else {
      if (this.#expires(before)) this.withTtl--;
      index.replace(ref);
      segments.kill(before);
    }
  }

  clear(): void {
    this.index.clear();
    this.segments.clear();
    this.withTtl = 0;
  }

  #expires(ref: number): boolean {
    return (this.segments.bytesOf(ref)[this.segments.placeOf(ref)]! & Mark.expires) !== 0;
  }

  #seek(ref: number, hash: number): void {
    if (!this.index.seek(hash, ref)) throw new Error("a living record is missing in the index");
  }
}
