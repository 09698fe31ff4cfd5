/**
 * The writes of all partitions that this node sends to one backup: collected during a turn, sent as one message, kept until
 * they are confirmed. When the link breaks they are all sent again, in order; the backup knows by their numbers which it
 * has. So a stream of writes has no gap and no repetition, whatever happens to the connections under it.
 */
import type { CallHandler, PeerAddress } from "../peers/messages.ts";
import type { Peers } from "../peers/peers.ts";
import { PeerKind } from "../ring/calls.ts";
import type { Runtime, Timer } from "../runtime.ts";
import { FillWindow } from "./fill-window.ts";
import { decodeRefusals, type OneWrite, putWrite, Refusal, writeSizeBytes } from "./write-wire.ts";

const batchBytes = 64 * 1024;
/** Batches of the common size that are kept for use again. */
const spareMax = 16;
/** Writes that aren't confirmed; past it the partitions that have a backup there take no more for now. */
export const unconfirmedBytesMax = 48 * 1024 * 1024;
/** Handed to the peer link and not answered; the rest waits here, so that a slow backup isn't asked twice for the same. */
const windowBytes = 4 * 1024 * 1024;
/** Far longer than a window takes: what has broken is known sooner. */
const sendTimeoutMs = 10_000;
const resendMsMin = 5;
const resendMsMax = 200;

/** The writes of one partition on their way to one backup. */
export interface WriteStream {
  readonly session: number;
  /** The backup has every write up to this one. */
  confirmed(lsn: number): void;
  /** The backup has no copy that this stream belongs to. */
  refused(): void;
}

export interface BackupLinkOptions {
  readonly peers: Peers;
  readonly runtime: Runtime;
  readonly to: PeerAddress;
}

interface Batch {
  readonly bytes: Buffer;
  sizeBytes: number;
  /** Of the last write in it that has a receipt; empty if none has. */
  origin: string;
  /** The last write of each stream in it. */
  readonly last: Map<WriteStream, number>;
  confirmed: boolean;
  /** Which attempt to send everything it went out with: the answer to an earlier one says nothing any more. */
  attempt: number;
}

/** The call that carries a batch, in one of the attempts to send it. */
class BatchCall implements CallHandler {
  readonly #link: BackupLink;
  readonly #batch: Batch;
  readonly #attempt: number;

  constructor(link: BackupLink, batch: Batch) {
    this.#link = link;
    this.#batch = batch;
    this.#attempt = batch.attempt;
  }

  reply(answer: Buffer): void {
    if (this.#batch.attempt === this.#attempt) this.#link.answered(this.#batch, answer);
  }

  failed(): void {
    if (this.#batch.attempt === this.#attempt) this.#link.failed();
  }
}

export class BackupLink {
  readonly to: PeerAddress;
  /** Of all fills to that node. */
  readonly fillWindow = new FillWindow();
  readonly #peers: Peers;
  readonly #runtime: Runtime;
  readonly #spare: Buffer[] = [];
  /** Full or flushed, and not confirmed, in order. */
  #batches: Batch[] = [];
  /** How many of them, from the front, have been sent in the present attempt, and their bytes that aren't answered. */
  #sent = 0;
  #inFlightBytes = 0;
  #open: Batch | undefined;
  #flushing = false;
  #unconfirmedBytes = 0;
  #attempt = 0;
  #failures = 0;
  #resend: Timer | undefined;
  #closed = false;

  constructor({ peers, runtime, to }: BackupLinkOptions) {
    this.#peers = peers;
    this.#runtime = runtime;
    this.to = to;
  }

  get unconfirmedBytes(): number {
    return this.#unconfirmedBytes;
  }

  /** Sends the write at the end of this turn, or when what is under way has been answered. Copies the bytes. */
  add(stream: WriteStream, partition: number, lsn: number, settled: number, write: OneWrite): void {
    if (this.#closed) return;
    const sizeBytes = writeSizeBytes(write.key, write.value, write.receipt);
    let batch = this.#open;
    if (batch !== undefined && batch.sizeBytes + sizeBytes > batch.bytes.length) {
      this.flush();
      batch = undefined;
    }
    if (batch === undefined) {
      const bytes = this.#buffer(sizeBytes);
      batch = { bytes, sizeBytes: 0, origin: "", last: new Map(), confirmed: false, attempt: 0 };
      this.#open = batch;
    }
    const place = { session: stream.session, partition, lsn, settled };
    const from = batch.sizeBytes;
    batch.sizeBytes = putWrite(batch.bytes, from, place, write, batch.origin);
    batch.origin = write.receipt?.origin ?? batch.origin;
    batch.last.set(stream, lsn);
    this.#unconfirmedBytes += batch.sizeBytes - from;
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#peers.atTurnEnd(this.to, this.#flushNow);
  }

  readonly #flushNow = (): void => {
    this.#flushing = false;
    // What comes while a message is under way waits for its answer, or until it fills one: the messages are what costs most,
    // as each wakes the other process, and its answer this one.
    if (this.#inFlightBytes === 0) this.flush();
  };

  /** Hands over to the peer link what was collected; what is sent there afterwards arrives afterwards. */
  flush(): void {
    const batch = this.#open;
    if (batch === undefined || this.#closed) return;
    this.#open = undefined;
    this.#batches.push(batch);
    this.#pump();
  }

  /** Forgets everything; nothing more is confirmed. */
  close(): void {
    this.#closed = true;
    this.#resend?.cancel();
    this.#batches = [];
    this.#open = undefined;
  }

  answered(batch: Batch, answer: Buffer): void {
    if (this.#closed) return;
    const refusals = decodeRefusals(answer);
    for (const refusal of refusals.values()) {
      if (refusal !== Refusal.gap) continue;
      this.#again();
      return;
    }
    this.#failures = 0;
    this.#done(batch);
    if (this.#open !== undefined) this.#flushSoon();
    for (const [stream, lsn] of batch.last) {
      if (refusals.size > 0 && refusals.has(stream.session)) stream.refused();
      else stream.confirmed(lsn);
    }
  }

  failed(): void {
    if (!this.#closed) this.#again();
  }

  #pump(): void {
    if (this.#resend !== undefined) return;
    while (this.#sent < this.#batches.length) {
      const batch = this.#batches[this.#sent]!;
      if (this.#inFlightBytes > 0 && this.#inFlightBytes + batch.sizeBytes > windowBytes) return;
      this.#sent++;
      if (batch.confirmed) continue;
      batch.attempt = this.#attempt;
      this.#inFlightBytes += batch.sizeBytes;
      const bytes = batch.bytes.subarray(0, batch.sizeBytes);
      this.#peers.call(this.to, PeerKind.replica, bytes, sendTimeoutMs, new BatchCall(this, batch));
    }
  }

  #done(batch: Batch): void {
    batch.confirmed = true;
    this.#unconfirmedBytes -= batch.sizeBytes;
    this.#inFlightBytes -= batch.sizeBytes;
    while (this.#batches[0]?.confirmed === true) {
      const { bytes } = this.#batches.shift()!;
      this.#sent--;
      if (bytes.length === batchBytes && this.#spare.length < spareMax) this.#spare.push(bytes);
    }
    this.#pump();
  }

  /** Everything that isn't confirmed is sent anew, after a pause that grows. */
  #again(): void {
    this.#attempt++;
    for (const batch of this.#batches) batch.attempt = this.#attempt;
    this.#sent = 0;
    this.#inFlightBytes = 0;
    if (this.#resend !== undefined) return;
    const delayMs = Math.min(resendMsMin * 2 ** Math.min(this.#failures++, 10), resendMsMax);
    this.#resend = this.#runtime.after(delayMs, () => {
      this.#resend = undefined;
      this.#pump();
    });
  }

  #buffer(sizeBytes: number): Buffer {
    if (sizeBytes > batchBytes) return Buffer.allocUnsafeSlow(sizeBytes);
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(batchBytes);
  }
}
