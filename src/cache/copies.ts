/**
 * The copies that this node holds of other nodes' partitions: as a backup, or on the way to becoming one. It takes what the
 * partition's owner of the latest known epoch sends, in the order of the writes' numbers, and nothing else.
 */
import { crc32 } from "node:zlib";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { IncomingRequest } from "../peers/messages.ts";
import { planted } from "../planted.ts";
import type { PartitionStore } from "../storage/partition-store.ts";
import type { Partition } from "./owned-partition.ts";
import { Receipts } from "./receipts.ts";
import { decodeEffects } from "./steps/effects.ts";
import type { Effect } from "./steps/keyspace.ts";
import type { Stores } from "./stores.ts";
import {
  applyRecords,
  decodeBegin,
  decodeFinal,
  decodeFixed,
  decodeMessage,
  encodePosition,
  type Fixed,
  no,
  Position,
  Step,
  type TransferMessage,
  yes,
} from "./transfer-wire.ts";
import { encodeRefusals, Refusal, readWrites, type Write, WriteKind } from "./write-wire.ts";

/** Settled keys that stay in a tail before they are cut off together. */
const tailSlack = 1_024;

export class Copy implements Partition {
  readonly store: PartitionStore;
  readonly receipts = new Receipts();
  lsn = 0;
  /** The epoch at which the owner that it follows became the owner. */
  since: number;
  /** That owner's incarnation; empty for a copy that a former owner kept. */
  from: string;
  session: number;
  checksum = 0;
  /** It has everything up to {@link lsn}. */
  whole = false;
  /** The table has named this node as a backup since this copy began. */
  named = false;
  /**
   * What a new owner has sent to bring the copy to its state; none of it has taken effect. At most its receipts, and what it has
   * under the keys that either of the two wrote without knowing that all copies have it.
   */
  fixes: Buffer[] = [];
  /** Keys and numbers of the writes that aren't known to be on all copies, in order, settled ones at the front. */
  #tail: { readonly key: Buffer; readonly lsn: number }[] = [];
  #settled = 0;
  #settledCount = 0;

  constructor(store: PartitionStore, since: number, from: string, session: number) {
    this.store = store;
    this.since = since;
    this.from = from;
    this.session = session;
  }

  /** The keys that may differ between this copy and another one. */
  get tail(): Buffer[] {
    return this.#tail.slice(this.#settledCount).map(({ key }) => key);
  }

  written(key: Buffer, lsn: number, settled: number): void {
    if (settled > this.#settled) {
      this.#settled = settled;
      while (this.#settledCount < this.#tail.length && this.#tail[this.#settledCount]!.lsn <= settled) {
        this.#settledCount++;
      }
      if (this.#settledCount >= tailSlack || this.#settledCount === this.#tail.length) {
        this.#tail = this.#tail.slice(this.#settledCount);
        this.#settledCount = 0;
      }
    }
    if (lsn > settled) this.#tail.push({ key: Buffer.from(key), lsn });
  }
}

/** A copy for a former owner to keep: what it has served. */
export function copyOf(data: Partition, since: number): Copy {
  const copy = new Copy(data.store, since, "", 0);
  return Object.assign(copy, {
    receipts: data.receipts,
    lsn: data.lsn,
    whole: true,
    named: true,
  });
}

export interface CopiesOptions {
  readonly log: Log;
  readonly stores: Stores;
  /** This node owns the partition, as far as it knows, or has left the ring. */
  refuses(partition: number): boolean;
  /** The epoch of the latest owner that this node's table knows. */
  since(partition: number): number;
  /** This node's incarnation. */
  self(): string;
  /** A write that this node's router sent to the owner is on all copies that must have it; see `Write.completes`. */
  completed(sequence: number, found: boolean | Buffer): void;
  /** Whether this node, as the owner since that epoch, may still make a backup of the copy of that session. */
  needs(partition: number, since: number, session: number): boolean;
}

interface Completed {
  readonly sequence: number;
  readonly found: boolean | Buffer;
}

export class Copies {
  readonly #options: CopiesOptions;
  readonly #copies = new Map<number, Copy>();

  constructor(options: CopiesOptions) {
    this.#options = options;
  }

  get(partition: number): Copy | undefined {
    return this.#copies.get(partition);
  }

  /** In place of one that there was: its memory is free. */
  set(partition: number, copy: Copy): void {
    this.delete(partition);
    this.#copies.set(partition, copy);
  }

  delete(partition: number): void {
    this.#copies.get(partition)?.store.clear();
    this.#copies.delete(partition);
  }

  clear(): void {
    for (const copy of this.#copies.values()) copy.store.clear();
    this.#copies.clear();
  }

  entries(): IterableIterator<[partition: number, copy: Copy]> {
    return this.#copies.entries();
  }

  /** Takes the whole copy out, to serve it; undefined if there is none. */
  take(partition: number): Copy | undefined {
    const copy = this.#copies.get(partition);
    if (copy?.whole === false) copy.store.clear();
    this.#copies.delete(partition);
    return copy?.whole === true ? copy : undefined;
  }

  serveTransfer(request: IncomingRequest): void {
    let answer: Buffer = no;
    try {
      answer = this.#transfer(decodeMessage(request.payload), request.from.incarnation);
    } catch (error) {
      this.#options.log.error(
        { event: "transfer-invalid", from: request.from.id, error: messageOf(error) },
        "refused a message about a copy",
      );
    }
    request.reply(answer);
  }

  serveWrites(request: IncomingRequest): void {
    const refusals = new Map<number, number>();
    const from = request.from.incarnation;
    const completed: Completed[] = [];
    readWrites(request.payload, (write) => {
      const refusal = this.#write(write, from, completed);
      if (refusal !== 0) refusals.set(write.session, refusal);
    });
    request.reply(encodeRefusals(refusals));
    // Last: whoever is told so may do anything.
    for (const { sequence, found } of completed) this.#options.completed(sequence, found);
  }

  #write(write: Write, from: string, completed: Completed[]): number {
    const { partition, session, lsn } = write;
    const copy = this.#copies.get(partition);
    const isVoid = copy === undefined || copy.session !== session || copy.from !== from;
    if (isVoid || copy.since < this.#options.since(partition)) {
      if (!planted.acceptOlderTerm) return Refusal.void;
      if (copy === undefined) return 0;
    }
    if (lsn <= copy.lsn) return 0;
    if (lsn !== copy.lsn + 1 && !planted.acceptOlderTerm) return Refusal.gap;
    copy.lsn = lsn;
    let found: boolean | Buffer = true;
    if (write.kind !== WriteKind.run) this.#apply(copy, write, write);
    else {
      const { answer, effects } = decodeEffects(write.value);
      found = Buffer.from(answer);
      for (const effect of effects) this.#apply(copy, write, effect);
    }
    if (write.receipt !== undefined) {
      const { origin, sequence, oldest } = write.receipt;
      copy.receipts.record(origin, sequence, oldest, found);
      if (write.completes && origin === this.#options.self()) completed.push({ sequence, found });
    }
    return 0;
  }

  #apply(copy: Copy, { lsn, settled }: Write, { kind, key, value, expiresAtMs }: Effect): void {
    copy.written(key, lsn, settled);
    if (kind === WriteKind.set) copy.store.set(key, value, expiresAtMs, lsn);
    else if (kind === WriteKind.touch) copy.store.touch(key, expiresAtMs, Number.NEGATIVE_INFINITY, lsn);
    // The deletion of what isn't there is none the less done.
    else copy.store.delete(key, 0);
  }

  #transfer(message: TransferMessage, from: string): Buffer {
    const { step, partition, since, session, body } = message;
    if (step === Step.needed) return this.#options.needs(partition, since, session) ? yes : no;
    const copy = this.#copies.get(partition);
    const isOlder = since < Math.max(copy?.since ?? 0, this.#options.since(partition));
    if (step === Step.resume) return this.#resume(message, from, isOlder && !planted.acceptOlderTerm);
    if (isOlder || this.#options.refuses(partition)) return no;
    if (step === Step.begin) {
      // Sessions of one owner count up: this one comes late, over a link that was lost, and is over.
      if (copy?.from === from && copy.session > session) return no;
      const { lsn, seed } = decodeBegin(body);
      const begun = new Copy(this.#options.stores.create(seed), since, from, session);
      begun.lsn = lsn;
      this.set(partition, begun);
      return yes;
    }
    if (copy === undefined || copy.from !== from || copy.session !== session) return no;
    switch (step) {
      case Step.records:
        if (copy.whole) return no;
        copy.checksum = crc32(body, copy.checksum);
        apply(copy, body);
        return yes;
      case Step.image:
        if (copy.whole) return no;
        copy.checksum = crc32(body, copy.checksum);
        copy.store.apply(body);
        return yes;
      case Step.final: {
        const { lsn, entries, checksum } = decodeFinal(body);
        copy.whole = copy.lsn === lsn && copy.store.size === entries && copy.checksum === checksum;
        return copy.whole ? yes : no;
      }
      case Step.fix:
        copy.fixes.push(Buffer.from(body));
        return yes;
      case Step.fixed:
        return this.#fixed(copy, decodeFixed(body));
      default:
        return no;
    }
  }

  /** All at once: a copy that is a part of the one state and a part of the other would be no state at all. */
  #fixed(copy: Copy, { lsn, fixes }: Fixed): Buffer {
    // One that is missing, or of an attempt that was given up.
    if (copy.fixes.length !== fixes) return no;
    // A write that the new owner hasn't seen is undone: nobody must be told that it was carried out.
    copy.receipts.clear();
    for (const records of copy.fixes) {
      // What was fixed here may not be fixed elsewhere yet.
      apply(copy, records, (key) => copy.written(key, lsn, 0));
    }
    copy.fixes = [];
    copy.lsn = lsn;
    return yes;
  }

  /** From here on the copy follows the new owner, and takes nothing from the one before. */
  #resume({ partition, since, session }: TransferMessage, from: string, isOlder: boolean): Buffer {
    if (isOlder) return Buffer.from([Position.stale]);
    if (this.#options.refuses(partition)) return Buffer.from([Position.later]);
    const copy = this.#copies.get(partition);
    if (copy?.whole !== true) return Buffer.from([Position.none]);
    if (copy.from === from && copy.session > session) return Buffer.from([Position.stale]);
    copy.from = from;
    copy.since = since;
    copy.session = session;
    copy.named = true;
    copy.fixes = [];
    return encodePosition(copy.lsn, copy.tail);
  }
}

function apply(copy: Copy, records: Buffer, touched: (key: Buffer) => void = () => {}): void {
  applyRecords(records, {
    set: (key, { value, expiresAtMs, version, flags }) => {
      copy.store.set(key, value, expiresAtMs, version, flags);
      touched(key);
    },
    delete: (key) => {
      copy.store.delete(key, 0);
      touched(key);
    },
    receipts: (encoded) => copy.receipts.add(encoded),
  });
}
