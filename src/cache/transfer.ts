/**
 * How a member gets a copy: {@link fill} makes one from nothing while the partition is served, {@link resume} takes over one
 * that it had as a backup of the owner before. One attempt is one session; whatever goes wrong ends it.
 */
import { crc32 } from "node:zlib";
import { RingcacheError } from "../errors.ts";
import type { Peers } from "../peers/peers.ts";
import { PeerKind } from "../ring/calls.ts";
import { type Runtime, sleep } from "../runtime.ts";
import { cursorEnd } from "../storage/key-index.ts";
import type { BackupStream } from "./backup-stream.ts";
import { noBytes } from "./command.ts";
import type { OwnedPartition } from "./owned-partition.ts";
import {
  decodePosition,
  encodeBegin,
  encodeFinal,
  encodeFixed,
  encodeMessage,
  Position,
  RecordBatch,
  Step,
  yes,
} from "./transfer-wire.ts";

const chunkBytes = 64 * 1024;
const messageTimeoutMs = 5_000;
const resumeTimeoutMs = 1_000;
const retryMs = 10;

/** In bytes. */
export interface CopyTraffic {
  sentBytes: number;
  receivedBytes: number;
}

export interface TransferOptions {
  readonly peers: Peers;
  readonly runtime: Runtime;
  readonly owned: OwnedPartition;
  readonly stream: BackupStream;
  /** Of all fills of this node. */
  readonly pace: Pace;
  readonly traffic: CopyTraffic;
}

/** Keeps fills to half of this node's time, however many there are: each pauses for as long as they all have worked. */
export class Pace {
  readonly #runtime: Runtime;
  #restUntilMs = Number.NEGATIVE_INFINITY;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** The caller has worked in this turn since `fromMs`, on the monotonic clock; resolves when it may go on, in a later one. */
  async rest(fromMs: number): Promise<void> {
    const nowMs = this.#runtime.monotonicMs();
    this.#restUntilMs = Math.max(this.#restUntilMs, nowMs) + nowMs - fromMs;
    const restMs = this.#restUntilMs - nowMs;
    // A shorter pause than a timer can be is made up for later.
    if (restMs >= 1) await sleep(this.#runtime, restMs);
    else await new Promise<void>((resolve) => this.#runtime.soon(resolve));
  }
}

/**
 * Resolves when the stream's member has everything, and from that turn on is required. Rejects if it can't be reached,
 * refuses, or the stream is closed.
 */
export async function fill(options: TransferOptions): Promise<void> {
  const { owned, stream } = options;
  const { store, receipts } = owned.data;
  const snapshot = new Snapshot(options);
  snapshot.send(Step.begin, encodeBegin(owned.data.lsn, store.seed));
  // From this turn on every write goes there too, behind what was sent before it.
  stream.startAt(owned.data.lsn);
  for (const encoded of receipts.encode()) snapshot.receipts(encoded);
  snapshot.flush();
  // An image has what its entries are at its moment; whatever changes later comes as a write, behind it.
  for (let cursor = 0; cursor < cursorEnd; ) {
    const { image, next } = store.image(cursor, chunkBytes);
    await snapshot.image(image);
    cursor = next;
  }
  await snapshot.final();
  stream.required = true;
  // What the snapshot has must be on the other backups too: this copy names no keys of before it as being in doubt, so as
  // the next owner's it could not tell the others what they lack.
  const { lsn } = owned.data;
  // And it must have what was settled without it: that has been acknowledged, but may still be on its way to here.
  const has = (): boolean => stream.acked >= lsn && owned.settled >= lsn;
  const settled = await owned.until(() => stream.closed || stream.broken || has());
  if (!settled || stream.closed || stream.broken)
    throw new RingcacheError("CLOSED", "the copy was called off");
}

/** The messages of one fill that aren't writes. */
class Snapshot {
  readonly #options: TransferOptions;
  readonly #batch = new RecordBatch();
  #checksum = 0;
  #unconfirmedBytes = 0;
  #failure: Error | undefined;
  /** When the work of this turn began. */
  #fromMs: number;

  constructor(options: TransferOptions) {
    this.#options = options;
    this.#fromMs = options.runtime.monotonicMs();
  }

  receipts(encoded: Buffer): void {
    this.#batch.receipts(encoded);
    if (this.#batch.sizeBytes >= chunkBytes) this.flush();
  }

  /** Waits after each, so that requests get their turns, and while the receiver doesn't keep up. */
  async image(image: Buffer): Promise<void> {
    const { pace, stream } = this.#options;
    this.#checksum = crc32(image, this.#checksum);
    this.send(Step.image, image);
    await pace.rest(this.#fromMs);
    await stream.link.fillWindow.room();
    // Somebody else may have it.
    if (this.#isOver) stream.link.fillWindow.ended(0);
    this.#check();
    this.#fromMs = this.#options.runtime.monotonicMs();
  }

  async final(): Promise<void> {
    const { owned, stream } = this.#options;
    this.flush();
    await this.#until(() => this.#unconfirmedBytes === 0);
    // The writes so far arrive before the message that counts them.
    stream.link.flush();
    const { store, lsn } = owned.data;
    this.send(Step.final, encodeFinal({ lsn, entries: store.size, checksum: this.#checksum }));
    await this.#until(() => this.#unconfirmedBytes === 0);
  }

  flush(): void {
    if (this.#batch.sizeBytes === 0) return;
    const records = this.#batch.take();
    this.#checksum = crc32(records, this.#checksum);
    this.send(Step.records, records);
  }

  send(step: number, body: Buffer): void {
    const { peers, owned, stream, traffic } = this.#options;
    const { partition, since } = owned;
    const message = encodeMessage({ step, partition, since, session: stream.session, body });
    this.#unconfirmedBytes += message.length;
    traffic.sentBytes += message.length;
    const { fillWindow } = stream.link;
    fillWindow.sent(message.length);
    const ended = (): void => {
      this.#unconfirmedBytes -= message.length;
      fillWindow.ended(message.length);
      owned.progressed();
    };
    peers.requestPromise(stream.to, PeerKind.handoff, message, messageTimeoutMs).then(
      (answer) => {
        if (!answer.equals(yes)) {
          this.#failure ??= new RingcacheError(
            "LINK_LOST",
            `${stream.to.id} did not take step ${step} of the copy`,
          );
        }
        ended();
      },
      (error: Error) => {
        this.#failure ??= error;
        ended();
      },
    );
  }

  async #until(holds: () => boolean): Promise<void> {
    const { owned } = this.#options;
    const open = await owned.until(() => this.#isOver || holds());
    this.#check();
    if (!open) throw new RingcacheError("CLOSED", "the copy was called off");
  }

  get #isOver(): boolean {
    const { stream } = this.#options;
    return this.#failure !== undefined || stream.closed || stream.broken;
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isOver) throw new RingcacheError("CLOSED", "the copy was called off");
  }
}

/**
 * Brings a backup of the owner before to this owner's state, before the partition is served here. Both have all that was
 * acknowledged, and each may have writes beyond that which the other lacks: the keys of those get what this owner has.
 * Tries until it succeeds, the stream is closed, or the backup says that it has no copy, which makes the stream `broken`.
 */
export async function resume(options: TransferOptions): Promise<void> {
  const { stream, runtime } = options;
  while (!stream.closed && !stream.broken) {
    try {
      if (await attempt(options)) return;
    } catch {
      // It can't be reached just now: either it will be again, or it leaves the table.
    }
    await sleep(runtime, retryMs * (1 + runtime.random()));
  }
}

async function attempt({ peers, owned, stream }: TransferOptions): Promise<boolean> {
  const { partition, since, data } = owned;
  const { session, to } = stream;
  const ask = (step: number, body: Buffer): Promise<Buffer> => {
    const message = encodeMessage({ step, partition, since, session, body });
    return peers.requestPromise(to, PeerKind.handoff, message, resumeTimeoutMs);
  };
  const answer = await ask(Step.resume, noBytes);
  if (stream.closed) return false;
  if (answer[0] === Position.none) {
    stream.refused();
    return false;
  }
  if (answer[0] !== Position.known) return false;
  const { lsn, keys } = decodePosition(answer);
  if (lsn !== data.lsn) {
    let sent = 0;
    for (const body of fixes(owned, keys)) {
      if (!(await ask(Step.fix, body)).equals(yes)) return false;
      sent++;
      // What is owned no more has nothing under any key.
      if (stream.closed) return false;
    }
    const fixed = encodeFixed({ lsn: data.lsn, fixes: sent });
    if (!(await ask(Step.fixed, fixed)).equals(yes)) return false;
  }
  if (stream.closed) return false;
  stream.startAt(data.lsn);
  owned.progressed();
  return true;
}

/** What this owner has under the keys on which the two copies may differ, and all that it knows of answered writes. */
function* fixes({ data, tail }: OwnedPartition, keys: readonly Buffer[]): Generator<Buffer> {
  const batch = new RecordBatch();
  for (const encoded of data.receipts.encode()) batch.receipts(encoded);
  for (const key of [...tail, ...keys]) {
    const entry = data.store.peek(key, Number.NEGATIVE_INFINITY);
    if (entry === undefined) batch.delete(key);
    else batch.set(key, entry);
    if (batch.sizeBytes >= chunkBytes) yield batch.take();
  }
  if (batch.sizeBytes > 0) yield batch.take();
}
