/** The writes of a partition that not all of its backups have yet, and the answers that wait for them. */
import type { RingcacheError } from "../errors.ts";

/** An answer that waits for the backups. One of the two is called, once. */
export interface Waiting {
  readonly deadlineAtMs: number;
  acknowledged(): void;
  /** Of a write the outcome is unknown; a read has simply not been answered. */
  failed(error: RingcacheError): void;
}

interface Place {
  readonly lsn: number;
  /** Undefined: nobody waits for it, any more or at all. */
  waiting: Waiting | undefined;
  /** The key that was written, as the dirty keys name it; empty if it only waits for the writes before it. */
  readonly key: string;
}

/** Answers of one partition that wait for its backups. */
export const waitingMax = 65_536;

export class Unsettled {
  #queue: Place[] = [];
  #head = 0;
  /** By key, the number of the last write that not all backups have. */
  readonly #dirty = new Map<string, number>();

  /** How many answers wait, and writes. */
  get waiting(): number {
    return this.#queue.length - this.#head;
  }

  /** Every key is as all backups have it. */
  get isEmpty(): boolean {
    return this.#dirty.size === 0;
  }

  /** Whether some backup may lack the last write of the key. */
  has(key: Buffer): boolean {
    return this.#dirty.has(nameOf(key));
  }

  /** A write of the key; numbers never go back. */
  add(lsn: number, key: Buffer): void {
    const name = nameOf(key);
    this.#dirty.set(name, lsn);
    this.#queue.push({ lsn, waiting: undefined, key: name });
  }

  /** An answer that rests on the writes up to `lsn`, which is the last one. */
  wait(lsn: number, waiting: Waiting): void {
    const last = this.#queue.at(-1);
    if (last?.lsn === lsn && last.waiting === undefined && this.waiting > 0) last.waiting = waiting;
    else this.#queue.push({ lsn, waiting, key: "" });
  }

  /** All backups have every write up to `lsn`: what waited for it is acknowledged, in order. */
  settle(lsn: number): void {
    while (this.#head < this.#queue.length) {
      const place = this.#queue[this.#head]!;
      if (place.lsn > lsn) break;
      this.#head++;
      if (place.key !== "" && this.#dirty.get(place.key) === place.lsn) this.#dirty.delete(place.key);
      const { waiting } = place;
      place.waiting = undefined;
      waiting?.acknowledged();
    }
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head > 1_024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Fails the answers whose time is over; the writes are still to be settled. */
  expire(nowMs: number, error: () => RingcacheError): void {
    for (let i = this.#head; i < this.#queue.length; i++) {
      const place = this.#queue[i]!;
      if (place.waiting === undefined || place.waiting.deadlineAtMs > nowMs) continue;
      const { waiting } = place;
      place.waiting = undefined;
      waiting.failed(error());
    }
  }

  /** Forgets everything; returns the answers that waited. */
  clear(): Waiting[] {
    const waiting = this.#queue.slice(this.#head).flatMap((place) => place.waiting ?? []);
    this.#queue = [];
    this.#head = 0;
    this.#dirty.clear();
    return waiting;
  }
}

/** One character a byte, so equal exactly if the bytes are. */
function nameOf(key: Buffer): string {
  return key.toString("latin1");
}
