/**
 * Writes to a connection. The kernel nearly always takes all at once, and yet a stream makes an object for each write to
 * wait for its end: that costs as much as finding a key. So writes go to the socket's handle, with one such object for all of them; only
 * one that the kernel didn't take keeps it. What follows such a one goes through the stream, and where Node isn't as
 * expected everything does.
 */
import { Socket } from "node:net";
import { getSystemErrorName } from "node:util";

/** Node's own object for a write, which it doesn't export. */
interface WriteRequest {
  oncomplete: (status: number) => void;
  /** Kept from being collected. */
  buffer: Buffer | undefined;
}

/** What Node has under a socket, without saying so in its documentation. */
interface Handle {
  /** 0, or an error of libuv. What the kernel doesn't take is written later, in order. */
  writeBuffer(request: WriteRequest, bytes: Buffer): number;
  /** Bytes that are to be written later. */
  readonly writeQueueSize: number;
}

export class Sender {
  readonly #socket: Socket;
  readonly #drained: (() => void) | undefined;
  /** Given to the handle, for later. */
  #laterBytes = 0;

  /** `drained`: what the kernel had not taken has been written. */
  constructor(socket: Socket, drained?: () => void) {
    this.#socket = socket;
    this.#drained = drained;
    if (drained !== undefined) socket.on("drain", drained);
  }

  /** Bytes that the kernel hasn't taken. */
  get unsentBytes(): number {
    return this.#laterBytes + this.#socket.writableLength;
  }

  /** True: `bytes` has been taken, and may be used again. A failure closes the socket. */
  send(bytes: Buffer): boolean {
    const socket = this.#socket;
    const handle = (socket as unknown as { _handle?: Handle | null })._handle;
    const isIdle = this.#laterBytes === 0 && socket.writableLength === 0;
    const isNext = isIdle && !socket.writableEnded && !socket.connecting;
    if (!isNext || handle === undefined || handle === null || spare === undefined) {
      socket.write(bytes);
      return socket.writableLength === 0;
    }
    const request = spare;
    const failure = handle.writeBuffer(request, bytes);
    if (failure !== 0) {
      socket.destroy(failedWrite(failure));
      return true;
    }
    this.#laterBytes = handle.writeQueueSize;
    if (this.#laterBytes === 0) return true;
    spare = newRequest();
    request.buffer = bytes;
    request.oncomplete = (status) => {
      this.#laterBytes = 0;
      if (status < 0) socket.destroy(failedWrite(status));
      else this.#drained?.();
    };
    return false;
  }
}

const Request = requestClass();
/** For the next write. */
let spare: WriteRequest | undefined = newRequest();

/** Whether writes go to the handle in this version of Node. */
export const sendsDirectly: boolean = spare !== undefined;

function newRequest(): WriteRequest | undefined {
  return Request && new Request();
}

/** Taken from a write to a handle of our own. */
function requestClass(): (new () => WriteRequest) | undefined {
  let made: object | undefined;
  const handle = {
    readStart: () => 0,
    writeBuffer(request: object): number {
      made = request;
      return 0;
    },
  };
  try {
    new Socket({ handle } as object)._write(Buffer.of(0), "buffer" as BufferEncoding, () => {});
  } catch {
    return undefined;
  }
  const isKnown = made?.constructor.name === "WriteWrap";
  return isKnown ? (made!.constructor as new () => WriteRequest) : undefined;
}

function failedWrite(status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`write ${code}`), { code });
}
