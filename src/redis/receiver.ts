/**
 * Reads from a connection into a buffer that is used again and again: a buffer of 64 KiB for each read, as a stream makes them, costs
 * as much as all else that Node does for a read. Node has this for sockets that one makes oneself (`onread`), but not for those
 * that a server accepts; so an accepted socket's handle is given to a new socket. Where that isn't possible it is read as a stream.
 */
import { Socket } from "node:net";

/** At first, and the most: a buffer that was filled is followed by a larger one. */
const sizeBytesMin = 4 * 1024;
const sizeBytesMax = 64 * 1024;

export interface Reader {
  /**
   * Takes the next bytes. They may be overwritten after this has returned, unless {@link Receiver.keep} was called since the
   * one before.
   */
  receive(chunk: Buffer): void;
}

/** What Node has of an accepted socket, and takes for a new one, without saying so in its documentation. */
interface Handled {
  _handle?: object | null;
}

export class Receiver {
  readonly socket: Socket;
  reader: Reader | undefined;
  #kept = false;
  #buffer = Buffer.allocUnsafeSlow(sizeBytesMin);

  /** `accepted` must not have been read from: the server has `pauseOnConnect`. */
  constructor(accepted: Socket) {
    const handle = (accepted as Handled)._handle;
    if (handle === undefined || handle === null) {
      this.socket = accepted;
      accepted.on("data", (chunk: Buffer) => this.reader?.receive(chunk));
      accepted.resume();
      return;
    }
    (accepted as Handled)._handle = null;
    const options = {
      handle,
      allowHalfOpen: true,
      onread: { buffer: () => this.#buffer, callback: (count: number) => this.#read(count) },
    };
    this.socket = new Socket(options);
    // The server counts the one that it knows.
    this.socket.on("close", () => accepted.destroy());
  }

  /** What was received last, in this turn, must stay as it is. */
  keep(): void {
    this.#kept = true;
  }

  #read(count: number): boolean {
    const buffer = this.#buffer;
    this.reader?.receive(buffer.subarray(0, count));
    const isFull = count === buffer.length;
    if (isFull && count < sizeBytesMax) this.#buffer = Buffer.allocUnsafeSlow(count * 4);
    else if (this.#kept) this.#buffer = Buffer.allocUnsafeSlow(isFull ? count : sizeBytesMin);
    this.#kept = false;
    return true;
  }
}
