/** One end of a simulated TCP connection, with what its kernel does. */
import type { ByteStream, CloseReason, StreamHandlers } from "../../src/peers/transport.ts";
import type { SimNode } from "./sim-runtime.ts";

/** Sent and not yet read by the other process: what the two kernels hold between them. */
const windowBytes = 256 * 1024;

export const closedWell: CloseReason = { refused: false, error: undefined };

export function failure(code: string, refused = false): CloseReason {
  return { refused, error: Object.assign(new Error(code), { code }) };
}

/** What a stream needs of the network. */
export interface Wire {
  /** The same bytes in pieces, in order; they are given away. */
  cut(bytes: Buffer): Buffer[];
  /** Runs `arrive` at the other end once `sizeBytes` have travelled there, after all that this end sent before. */
  carry(from: SimStream, sizeBytes: number, arrive: (other: SimStream) => void): void;
  /** The stream has closed. What it has sent still arrives. */
  forget(stream: SimStream): void;
}

/** One end of a stream. What it sends goes through {@link Wire.carry}, which keeps the order. */
export class SimStream implements ByteStream {
  readonly node: SimNode;
  readonly remoteHost: string;
  readonly remote: string;
  readonly #network: Wire;
  handlers: StreamHandlers | undefined;
  /** The other end; absent until the connection's first packet has reached it. */
  other: SimStream | undefined;
  queuedBytes = 0;
  #pending: Buffer[] = [];
  #inWindowBytes = 0;
  #pumping = false;
  #writes = 0;
  /** Some of the pending bytes are still the writer's. */
  #keeps = false;
  #open = false;
  #ending = false;
  #finSent = false;
  #finReceived = false;
  #closed = false;
  /** When the last piece sent arrives: the next one can't be earlier. */
  arrivesAtMs = 0;
  /** How many pieces were sent, and up to which of them they are lost. */
  sent = 0;
  lostUpTo = 0;
  /** Pieces that wait for a cut to heal, in order. */
  readonly stuck: (() => void)[] = [];

  constructor(network: Wire, node: SimNode, remoteHost: string, port: number) {
    this.#network = network;
    this.node = node;
    this.remoteHost = remoteHost;
    this.remote = `${remoteHost}:${port}`;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  write(bytes: Buffer): boolean {
    if (this.#closed || this.#ending) return false;
    this.queuedBytes += bytes.length;
    // A kernel may have no room for them: every second time they, and what follows, are read later.
    this.#keeps ||= this.#writes++ % 2 === 1;
    const isTaken = !this.#keeps;
    if (bytes.length > 0) this.#pending.push(isTaken ? Buffer.from(bytes) : bytes);
    this.pump();
    return isTaken;
  }

  end(): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    this.pump();
  }

  destroy(): void {
    if (this.#closed) return;
    this.sendClose(closedWell);
    this.close(closedWell);
  }

  /** Both kernels know of the connection. */
  opened(): void {
    this.#open = true;
    this.pump();
  }

  /** Hands what was written to the network once this turn ends, all of it together, if the stream is open and the other side reads. */
  pump(): void {
    if (this.#pumping || this.#closed || !this.#open) return;
    this.#pumping = true;
    this.node.atTurnEnd(() => {
      this.#pumping = false;
      if (!this.#closed) this.#send();
    });
  }

  #send(): void {
    const sizeBytes = Math.min(this.queuedBytes, windowBytes - this.#inWindowBytes);
    if (sizeBytes > 0) {
      this.queuedBytes -= sizeBytes;
      this.#inWindowBytes += sizeBytes;
      for (const piece of this.#network.cut(this.#take(sizeBytes))) {
        this.#network.carry(this, piece.length, (other) => {
          // The window opens when the process reads, not when its kernel has received.
          this.#inWindowBytes -= piece.length;
          if (this.queuedBytes > 0) this.pump();
          // As the next read would write over it.
          if (other.handlers?.data(piece) === false) piece.fill(0xee);
        });
      }
    }
    if (this.queuedBytes > 0) return;
    this.#keeps = false;
    if (this.#ending && !this.#finSent) {
      this.#finSent = true;
      this.#network.carry(this, 0, (other) => other.receiveFin());
      if (this.#finReceived) this.close(closedWell);
    }
  }

  /** The next bytes, copied only now, as a kernel may: whoever reuses what it wrote is found out. */
  #take(sizeBytes: number): Buffer {
    const taken = Buffer.allocUnsafe(sizeBytes);
    let filled = 0;
    while (filled < sizeBytes) {
      const first = this.#pending[0]!;
      const part = first.subarray(0, sizeBytes - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length === first.length) this.#pending.shift();
      else this.#pending[0] = first.subarray(part.length);
    }
    return taken;
  }

  /** The other side has ended: this one sends what it still has, ends too, and then both are closed. */
  receiveFin(): void {
    this.#finReceived = true;
    if (this.#finSent) {
      this.close(closedWell);
      return;
    }
    this.#ending = true;
    this.pump();
  }

  /** Tells the other side, behind what is on its way already. */
  sendClose(reason: CloseReason): void {
    this.#network.carry(this, 0, (other) => other.close(reason));
  }

  close(reason: CloseReason): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pending = [];
    this.queuedBytes = 0;
    this.#network.forget(this);
    this.node.after(0, () => this.handlers?.close(reason));
  }
}
