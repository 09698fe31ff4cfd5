/**
 * The old owner's side of a handoff: a snapshot in chunks, while a tap carries every change made meanwhile over the
 * same link and so in order. One attempt is one session; whatever goes wrong ends it, and the next begins anew.
 */
import { crc32 } from "node:zlib";
import { messageOf, RingcacheError } from "../errors.ts";
import type { PeerAddress } from "../peers/messages.ts";
import type { Peers } from "../peers/peers.ts";
import { PeerKind } from "../ring/calls.ts";
import type { Runtime } from "../runtime.ts";
import { encodeFinal, encodeMessage, RecordBatch, Step, yes } from "./handoff-wire.ts";
import type { Partition, Tap } from "./partitions.ts";

const chunkBytes = 64 * 1024;
/**
 * Snapshot bytes that have been sent and not confirmed; the tap may add to them. Several copies share a link with
 * operations and with the last messages of sealed partitions, and all of these wait behind what is in flight.
 */
const windowBytes = 256 * 1024;
/** The copy counts as caught up when no more than this is unconfirmed. */
const smallLagBytes = 64 * 1024;
const messageTimeoutMs = 5_000;
const finishTimeoutMs = 1_000;

export interface SenderOptions {
  readonly peers: Peers;
  readonly runtime: Runtime;
  readonly data: Partition;
  readonly partition: number;
  readonly to: PeerAddress;
  readonly move: number;
  readonly session: number;
}

export class HandoffSender implements Tap {
  readonly #options: SenderOptions;
  readonly #batch = new RecordBatch();
  #sequence = 0;
  #checksum = 0;
  #unconfirmedBytes = 0;
  #flushing = false;
  /** Everything was sent: what expires here from now on expires in the copy by itself. */
  #finished = false;
  #failure: RingcacheError | undefined;
  /** Called whenever something was confirmed or the session failed. */
  #progress: (() => void) | undefined;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** Resolves when the snapshot has arrived and the lag of the tap is small. The tap must be set before. */
  async copy(): Promise<void> {
    const { store } = this.#options.data;
    this.#send(Step.begin, Buffer.alloc(0));
    // What is set from now on comes through the tap and, in the order of the store, behind what was there before.
    let left = store.size;
    for (const [key, entry] of store.entries()) {
      if (left-- === 0) break;
      this.#batch.set(key, entry.value, entry.expiresAtMs);
      if (this.#batch.sizeBytes < chunkBytes) continue;
      this.#flush();
      // One chunk a turn, so that requests get theirs; and no more than the receiver keeps up with.
      await this.#nextTurn();
      await this.#until(() => this.#unconfirmedBytes < windowBytes);
    }
    this.#flush();
    await this.#until(() => this.#unconfirmedBytes < smallLagBytes);
  }

  /**
   * To be called once no more commands are carried out: resolves when the receiver has confirmed to hold everything.
   * Changes that the tap brings later aren't sent, as nothing may follow what the receiver has confirmed.
   */
  async finish(): Promise<void> {
    const { store, receipts } = this.#options.data;
    for (const encoded of receipts.encode()) {
      this.#batch.receipts(encoded);
      if (this.#batch.sizeBytes >= chunkBytes) this.#flush();
    }
    this.#flush();
    this.#finished = true;
    this.#send(Step.final, encodeFinal(store.size, this.#checksum));
    // Operations wait meanwhile: a receiver that doesn't answer soon must not make them miss their deadlines.
    const timer = this.#options.runtime.after(finishTimeoutMs, () =>
      this.#fail(
        new RingcacheError("LINK_LOST", `${this.#options.to.id} did not confirm in ${finishTimeoutMs} ms`),
      ),
    );
    await this.#until(() => this.#unconfirmedBytes === 0).finally(() => timer.cancel());
  }

  abort(): void {
    this.#fail(new RingcacheError("CLOSED", "the handoff was called off"));
  }

  set(key: Buffer, value: Uint8Array, expiresAtMs: number): void {
    if (this.#finished) return;
    this.#batch.set(key, value, expiresAtMs);
    this.#flushSoon();
  }

  delete(key: Buffer): void {
    if (this.#finished) return;
    this.#batch.delete(key);
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#batch.sizeBytes >= chunkBytes) this.#flush();
    if (this.#flushing) return;
    this.#flushing = true;
    this.#options.runtime.soon(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#batch.sizeBytes === 0) return;
    const records = this.#batch.take();
    this.#checksum = crc32(records, this.#checksum);
    this.#send(Step.records, records);
  }

  #send(step: number, body: Buffer): void {
    if (this.#failure !== undefined) return;
    const { peers, to, partition, move, session } = this.#options;
    const message = encodeMessage({ step, partition, move, session, sequence: this.#sequence++, body });
    this.#unconfirmedBytes += message.length;
    peers.requestPromise(to, PeerKind.handoff, message, messageTimeoutMs).then(
      (answer) => {
        this.#unconfirmedBytes -= message.length;
        if (!answer.equals(yes))
          this.#fail(new RingcacheError("LINK_LOST", `${to.id} did not take step ${step} of the handoff`));
        else this.#progress?.();
      },
      (error: unknown) => this.#fail(new RingcacheError("LINK_LOST", messageOf(error), { cause: error })),
    );
  }

  #fail(error: RingcacheError): void {
    this.#failure ??= error;
    this.#progress?.();
  }

  async #until(holds: () => boolean): Promise<void> {
    while (this.#failure === undefined && !holds()) {
      await new Promise<void>((resolve) => {
        this.#progress = resolve;
      });
    }
    this.#progress = undefined;
    if (this.#failure !== undefined) throw this.#failure;
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#options.runtime.soon(resolve));
  }
}
