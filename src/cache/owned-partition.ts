/**
 * A partition that this node owns: applies its commands, numbers its writes, sends them to the backups and lets an answer
 * out only when all of them have what it rests on. The order in which a command is dealt with is: apply, replicate,
 * acknowledge. (PacificA: the primary's side of replication.)
 */
import { RingcacheError } from "../errors.ts";
import { planted } from "../planted.ts";
import type { PartitionStore, SetCondition } from "../storage/partition-store.ts";
import { unconfirmedBytesMax } from "./backup-link.ts";
import type { BackupStream, StreamOwner } from "./backup-stream.ts";
import { type Command, noBytes, Op, type Reply } from "./command.ts";
import type { Receipts } from "./receipts.ts";
import { encodeEffects } from "./steps/effects.ts";
import { Keyspace } from "./steps/keyspace.ts";
import { carryOut } from "./steps/run.ts";
import { decodeSteps, encodeResults, runAdds } from "./steps/step.ts";
import { Unsettled, type Waiting, waitingMax } from "./unsettled.ts";
import { type OneWrite, type Receipt, WriteKind } from "./write-wire.ts";

/** All that a partition is, and that a copy of it has. */
export interface Partition {
  readonly store: PartitionStore;
  readonly receipts: Receipts;
  /** The number of the last write that was applied. */
  lsn: number;
}

export class OwnedPartition implements StreamOwner {
  readonly partition: number;
  readonly since: number;
  readonly data: Partition;
  /** Keys whose last write, as a backup, isn't known to be on all copies; only what a new owner begins with. */
  tail: readonly Buffer[];
  term: number;
  streams: BackupStream[] = [];
  serving = false;
  /** A required backup says that it has no copy. */
  onBroken: () => void = () => {};
  /** Called after each write of a command, with about how many bytes it has added. */
  onWritten: (sizeBytes: number) => void = () => {};
  /** Whether nothing may be added. */
  isFull: () => boolean = () => false;
  /** The last command was not carried out, as it would have added something. */
  refused = false;
  /** The last command's answer rests on a write that not all backups have: it is given to {@link wait}. */
  mustWait = false;
  /** Entries that were removed after their expiry, and before it for want of memory. */
  expired = 0;
  evicted = 0;
  /** Keys that were asked for and there, or not there. */
  hits = 0;
  misses = 0;
  readonly #node: string;
  /** Something has moved: what waits for it looks again. */
  readonly #progress = new Set<() => void>();
  readonly #unsettled = new Unsettled();
  #settled: number;
  #closed = false;
  /** The keys of the last run. */
  #named: readonly Buffer[] = [];

  constructor(node: string, partition: number, since: number, data: Partition, tail: readonly Buffer[] = []) {
    this.#node = node;
    this.partition = partition;
    this.since = since;
    this.term = since;
    this.data = data;
    this.tail = tail;
    this.#settled = data.lsn;
  }

  /** How many answers wait. */
  get waiting(): number {
    return this.#unsettled.waiting;
  }

  /** Every write up to this one is on all backups. */
  get settled(): number {
    return this.#settled;
  }

  /** Too much waits for the backups: no command is taken for now. */
  get isCongested(): boolean {
    if (this.waiting >= waitingMax) return true;
    for (const { required, link } of this.streams) {
      if (required && link.unconfirmedBytes >= unconfirmedBytesMax) return true;
    }
    return false;
  }

  /** Nothing of it is on its way to a backup: whatever is read is everywhere. */
  get isClean(): boolean {
    return this.#unsettled.isEmpty;
  }

  /** No other node is to have its writes. */
  get isAlone(): boolean {
    return this.streams.length === 0;
  }

  /** A write of the number after the last was made in the store, and has added about so many bytes; only while {@link isAlone}. */
  wrote(sizeBytes: number): void {
    this.#settled = ++this.data.lsn;
    this.onWritten(sizeBytes);
  }

  /** Everything is on every backup that is required. */
  get isSettled(): boolean {
    const { lsn } = this.data;
    return (
      this.#settled === lsn &&
      this.streams.every(({ required, live, acked }) => !required || (live && acked >= lsn))
    );
  }

  /** Some required backup says that it has no copy. */
  get broken(): readonly BackupStream[] {
    return this.streams.filter((stream) => stream.required && stream.broken);
  }

  /** Carries the command out; see {@link mustWait}. `nowMs`: milliseconds since 1970. */
  apply(command: Command, nowMs: number, receipt: Receipt | undefined): Reply {
    if (receipt !== undefined) {
      const before = this.data.receipts.find(receipt.origin, receipt.sequence);
      if (before !== "new") {
        this.mustWait = this.#settled < this.data.lsn;
        return Buffer.isBuffer(before) ? this.#reply(true, before) : this.#reply(before === true);
      }
    }
    const adds = mayAdd(command);
    this.refused = adds && this.isFull();
    if (this.refused) {
      this.mustWait = false;
      return this.#reply(false);
    }
    const lsn = this.data.lsn;
    let reply = this.#apply(command, nowMs, receipt);
    if (receipt !== undefined) {
      const found = command.op === Op.run ? reply.value : reply.found;
      this.data.receipts.record(receipt.origin, receipt.sequence, receipt.oldest, found);
    }
    this.mustWait =
      this.data.lsn > lsn
        ? this.#settled < this.data.lsn
        : !this.#unsettled.isEmpty && this.#isDirty(command);
    // A value is a view of what the next write may change.
    if (this.mustWait && reply.value.length > 0) reply = { ...reply, value: Buffer.from(reply.value) };
    if (this.mustWait && (this.data.lsn > lsn ? planted.ackBeforeBackups : planted.readUnreplicated)) {
      this.mustWait = false;
    }
    if (adds && this.data.lsn > lsn) this.onWritten(sizeOf(command));
    return reply;
  }

  /** Whether a write of this number was given up by its sender, who waits for no answer. */
  isOver(receipt: Receipt): boolean {
    return this.data.receipts.find(receipt.origin, receipt.sequence) === "over";
  }

  /**
   * Calls one of `waiting`'s ends once all that was written so far is on all backups, or can't be any more. To be called
   * in the turn of the {@link apply} that must wait.
   */
  wait(waiting: Waiting): void {
    this.#unsettled.wait(this.data.lsn, waiting);
  }

  /** Removes expired entries, as a write of the owner's own; returns how many entries were looked at. */
  sweep(nowMs: number, limit: number): number {
    return this.data.store.sweep(nowMs, limit, (key) => {
      this.expired++;
      this.#replicate(WriteKind.delete, key, noBytes, 0, undefined);
    });
  }

  /** Evicts as a write of the owner's own; see `PartitionStore.evict`. Returns how many entries were looked at. */
  evict(limit: number, nowMs: number): number {
    return this.data.store.evict(limit, nowMs, (key, hasExpired) => {
      if (hasExpired) this.expired++;
      else this.evicted++;
      this.#replicate(WriteKind.delete, key, noBytes, 0, undefined);
    });
  }

  /** Fails the answers whose time is over: the writes themselves go on. */
  expire(nowMs: number): void {
    const why = `the backups of partition ${this.partition} did not confirm in time`;
    this.#unsettled.expire(nowMs, () => new RingcacheError("DEADLINE_EXCEEDED", why, { outcome: "unknown" }));
  }

  /** Resolves once `holds`, looked at whenever a backup has made progress; false if the partition was closed. */
  until(holds: () => boolean): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false);
    if (holds()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const look = (): void => {
        if (!this.#closed && !holds()) return;
        this.#progress.delete(look);
        resolve(!this.#closed);
      };
      this.#progress.add(look);
    });
  }

  progressed(): void {
    let settled = this.data.lsn;
    for (const { required, acked } of this.streams) if (required && acked < settled) settled = acked;
    if (settled > this.#settled) this.#settled = settled;
    this.#unsettled.settle(this.#settled);
    for (const look of [...this.#progress]) look();
  }

  refusedBy(stream: BackupStream): void {
    this.progressed();
    if (stream.required) this.onBroken();
  }

  /** This node owns it no more: what wasn't acknowledged has an unknown outcome. */
  close(error: RingcacheError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.serving = false;
    // First: a stream that closes is needed no more, and what waits for it must not be acknowledged therefore.
    const waiting = this.#unsettled.clear();
    for (const stream of this.streams) stream.close();
    this.streams = [];
    for (const one of waiting) one.failed(error);
    for (const look of [...this.#progress]) look();
  }

  #apply(command: Command, nowMs: number, receipt: Receipt | undefined): Reply {
    const { store } = this.data;
    const { key, value, expiresAtMs } = command;
    switch (command.op) {
      case Op.get: {
        const entry = store.get(key, nowMs);
        this.#lookedUp(entry !== undefined);
        return entry === undefined ? this.#reply(false) : this.#reply(true, entry.value, entry.expiresAtMs);
      }
      case Op.has: {
        const found = store.get(key, nowMs) !== undefined;
        this.#lookedUp(found);
        return this.#reply(found);
      }
      case Op.set:
        store.set(key, value, expiresAtMs, this.data.lsn + 1);
        this.#replicate(WriteKind.set, key, value, expiresAtMs, receipt);
        return this.#reply(true);
      case Op.cas: {
        const { expected } = command;
        const condition: SetCondition = expected === undefined ? { if: "absent" } : { value: expected };
        const stored = store.setIf(condition, key, value, expiresAtMs, nowMs, this.data.lsn + 1);
        if (!stored) return this.#reply(false);
        this.#replicate(WriteKind.set, key, value, expiresAtMs, receipt);
        return this.#reply(true);
      }
      case Op.delete: {
        const { size } = store;
        const found = store.delete(key, nowMs);
        // One that had expired is removed too, and must go everywhere.
        if (store.size !== size)
          this.#replicate(WriteKind.delete, key, noBytes, 0, found ? receipt : undefined);
        return this.#reply(found);
      }
      case Op.run:
        return this.#run(command, nowMs, receipt);
    }
  }

  #run(command: Command, nowMs: number, receipt: Receipt | undefined): Reply {
    const space = new Keyspace(this.data.store, nowMs, this.data.lsn + 1);
    const { results, keys } = carryOut(command.steps ?? decodeSteps(command.value), space);
    this.#named = keys;
    this.hits += space.hits;
    this.misses += space.misses;
    // Whoever asked in this process takes the results as they are.
    const isLocal = command.steps !== undefined && receipt === undefined;
    const answer = isLocal ? noBytes : encodeResults(results);
    const { effects } = space;
    const [first, ...others] = effects;
    if (first !== undefined) {
      if (receipt === undefined && others.length === 0) {
        this.#replicate(first.kind, first.key, first.value, first.expiresAtMs, undefined);
      } else {
        this.#replicate(WriteKind.run, first.key, encodeEffects(answer, effects), 0, receipt);
        for (const { key } of others) this.#soil(key);
      }
    }
    const reply = this.#reply(true, answer);
    return isLocal ? { ...reply, results } : reply;
  }

  #lookedUp(found: boolean): void {
    if (found) this.hits++;
    else this.misses++;
  }

  /** Whether the command has read what not all backups have. */
  #isDirty({ op, key }: Command): boolean {
    if (op !== Op.run) return this.#unsettled.has(key);
    return this.#named.length === 0 || this.#named.some((one) => this.#unsettled.has(one));
  }

  /** The last write has changed this key too. */
  #soil(key: Buffer): void {
    const { lsn } = this.data;
    if (this.#settled < lsn) this.#unsettled.add(lsn, key);
  }

  #replicate(
    kind: number,
    key: Buffer,
    value: Uint8Array,
    expiresAtMs: number,
    receipt: Receipt | undefined,
  ): void {
    const lsn = ++this.data.lsn;
    if (this.streams.length > 0) {
      const completes = receipt !== undefined && this.#isOnlyBackup(receipt.origin);
      const write: OneWrite = { kind, completes, key, value, expiresAtMs, receipt };
      for (const stream of this.streams) stream.write(this.partition, lsn, this.#settled, write);
    }
    if (this.streams.some(isRequired)) this.#unsettled.add(lsn, key);
    else this.#settled = lsn;
  }

  /** Whether this incarnation holds the only copy that a write waits for, and the table says so: nobody else could be promoted. */
  #isOnlyBackup(incarnation: string): boolean {
    let only: BackupStream | undefined;
    for (const stream of this.streams) {
      if (!stream.required) continue;
      if (only !== undefined) return false;
      only = stream;
    }
    return only?.named === true && only.to.incarnation === incarnation;
  }

  #reply(found: boolean, value: Buffer = noBytes, expiresAtMs = 0): Reply {
    return { found, value, expiresAtMs, node: this.#node };
  }
}

function isRequired({ required }: BackupStream): boolean {
  return required;
}

/** About how much it adds. */
function sizeOf({ key, value, steps }: Command): number {
  if (steps === undefined) return key.length + value.length;
  let sizeBytes = 0;
  for (const step of steps) for (const bytes of [...step.keys, ...step.args]) sizeBytes += bytes.length;
  return sizeBytes;
}

/** Whether the command may need memory. */
function mayAdd(command: Command): boolean {
  const { op } = command;
  return op === Op.set || op === Op.cas || (op === Op.run && runAdds(command));
}
