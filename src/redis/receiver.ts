/** Reads from a connection into a buffer that is used again and again; where {@link readAccepted} isn't possible, as a stream. */
import type { Socket } from "node:net";
import { readAccepted } from "../sockets/accepted.ts";

/** At first, and the most: a buffer that was filled is followed by a larger one, and after many reads that need less by a smaller one. */
const sizeBytesMin = 4 * 1024;
const sizeBytesMax = 64 * 1024;
const sizeFactor = 4;
const smallReadsMax = 256;

export interface Reader {
  /**
   * Takes the next `count` bytes. They stay as they are until the read after the next, unless {@link Receiver.keep} is called before.
   * `more`: the next one may come in this very turn.
   */
  receive(chunk: Buffer, count: number, more: boolean): void;
}

export class Receiver {
  readonly socket: Socket;
  reader: Reader | undefined;
  /** Into which the next bytes are read. */
  #buffer: Buffer = Buffer.allocUnsafeSlow(sizeBytesMin);
  /** With those that were read last, if it is to be used again. */
  #last: Buffer | undefined;
  #kept = false;
  /** Of the next buffer. */
  #sizeBytes = sizeBytesMin;
  /** Reads, one after the other, for which a smaller buffer had done. */
  #smallReads = 0;

  /** `accepted` must not have been read from: the server has `pauseOnConnect`. */
  constructor(accepted: Socket) {
    const onread = { buffer: () => this.#buffer, callback: (count: number) => this.#read(count) };
    const socket = readAccepted(accepted, onread, { allowHalfOpen: true });
    this.socket = socket ?? accepted;
    if (socket !== undefined) return;
    accepted.on("data", (chunk: Buffer) => this.reader?.receive(chunk, chunk.length, true));
    accepted.resume();
  }

  /** What was received up to now must stay as it is. */
  keep(): void {
    this.#kept = true;
    this.#last = undefined;
  }

  #read(count: number): boolean {
    const buffer = this.#buffer;
    const isFull = count === buffer.length;
    this.#kept = false;
    // One that isn't full has taken all that was there.
    this.reader?.receive(buffer, count, isFull);
    this.#measure(count, isFull);
    const last = this.#last;
    this.#buffer = last?.length === this.#sizeBytes ? last : Buffer.allocUnsafeSlow(this.#sizeBytes);
    this.#last = this.#kept ? undefined : buffer;
    return true;
  }

  #measure(count: number, isFull: boolean): void {
    if (isFull) this.#sizeBytes = Math.min(Math.max(this.#sizeBytes, count * sizeFactor), sizeBytesMax);
    const isSmall = this.#sizeBytes > sizeBytesMin && count * sizeFactor < this.#sizeBytes;
    this.#smallReads = isSmall ? this.#smallReads + 1 : 0;
    if (this.#smallReads < smallReadsMax) return;
    this.#sizeBytes /= sizeFactor;
    this.#smallReads = 0;
  }
}
