/** What a store must hold and how many bytes that takes, kept plainly: a `Map`, and sums that every change corrects. */
import { Mark, marksOf, recordBytesOf } from "../../src/storage/record.ts";

export interface ModelEntry {
  readonly value: Buffer;
  readonly expiresAtMs: number;
  readonly version: number;
  readonly flags: number;
}

interface Held extends ModelEntry {
  readonly marks: number;
  /** Of the record. */
  readonly sizeBytes: number;
  /** Of key and value, if they are in segments of their own; else 0. */
  readonly ownBytes: number;
}

const smallestBlockBytes = 1_024;

export class StoreModel {
  readonly #largeBytes: number;
  readonly #segmentBytesMax: number;
  /** By the key in latin1, one character for each byte. */
  readonly #entries = new Map<string, Held>();
  /** Of the records in the logs. */
  logBytes = 0;
  /** Of keys and values in segments of their own, and what these segments take. */
  ownBytes = 0;
  ownBlockBytes = 0;
  sizeWithTtl = 0;

  constructor(segmentBytesMax: number) {
    this.#segmentBytesMax = segmentBytesMax;
    this.#largeBytes = segmentBytesMax / 8;
  }

  get size(): number {
    return this.#entries.size;
  }

  get liveBytes(): number {
    return this.logBytes + this.ownBytes;
  }

  /** Expired ones too. */
  get entries(): ReadonlyMap<string, ModelEntry> {
    return this.#entries;
  }

  alive(key: Buffer | string, nowMs: number): ModelEntry | undefined {
    const entry = this.#entries.get(nameOf(key));
    return entry === undefined || (entry.expiresAtMs !== 0 && entry.expiresAtMs <= nowMs) ? undefined : entry;
  }

  put(key: Buffer | string, value: Buffer, expiresAtMs: number, version: number, flags: number): void {
    const name = nameOf(key);
    const marks = marksOf(name.length, value.length, expiresAtMs, flags);
    const contentBytes = name.length + value.length;
    const before = this.#entries.get(name);
    this.drop(name);
    let sizeBytes = recordBytesOf(marks, name.length, value.length);
    // A record of the same layout and size is written over, whatever a new one would be.
    const stays = before?.ownBytes === 0 && before.marks === marks && before.sizeBytes === sizeBytes;
    const isOwn = !stays && contentBytes > this.#largeBytes;
    if (isOwn) sizeBytes = recordBytesOf(marks | Mark.own, 4, this.#ownSegments(contentBytes) * 4);
    const ownBytes = isOwn ? contentBytes : 0;
    this.#entries.set(name, { value, expiresAtMs, version, flags, marks, sizeBytes, ownBytes });
    this.logBytes += sizeBytes;
    this.ownBytes += ownBytes;
    this.ownBlockBytes += blockBytesOf(ownBytes);
    if (expiresAtMs !== 0) this.sizeWithTtl++;
  }

  /** Whether it was there, expired or not. */
  drop(key: Buffer | string): boolean {
    const name = nameOf(key);
    const entry = this.#entries.get(name);
    if (entry === undefined) return false;
    this.#entries.delete(name);
    this.logBytes -= entry.sizeBytes;
    this.ownBytes -= entry.ownBytes;
    this.ownBlockBytes -= blockBytesOf(entry.ownBytes);
    if (entry.expiresAtMs !== 0) this.sizeWithTtl--;
    return true;
  }

  clear(): void {
    this.#entries.clear();
    this.logBytes = 0;
    this.ownBytes = 0;
    this.ownBlockBytes = 0;
    this.sizeWithTtl = 0;
  }

  #ownSegments(contentBytes: number): number {
    let count = 0;
    let left = contentBytes;
    for (let block = this.#segmentBytesMax; block >= smallestBlockBytes; block /= 4) {
      count += Math.floor(left / block);
      left %= block;
    }
    return left > 0 ? count + 1 : count;
  }
}

/** The key as the model has it. */
export function nameOf(key: Buffer | string): string {
  return typeof key === "string" ? key : key.toString("latin1");
}

export function keyOf(name: string): Buffer {
  return Buffer.from(name, "latin1");
}

function blockBytesOf(contentBytes: number): number {
  return Math.ceil(contentBytes / smallestBlockBytes) * smallestBlockBytes;
}
