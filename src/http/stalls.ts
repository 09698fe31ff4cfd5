/**
 * Finds connections on which nothing moves. Node's own socket time-out arms two timers per request for the same;
 * one look at every connection now and then costs a request nothing.
 */
import type { Socket } from "node:net";
import type { Runtime, Timer } from "../runtime.ts";

interface Progress {
  bytes: number;
  queuedBytes: number;
  sinceMs: number;
}

export class StallWatch {
  readonly #runtime: Runtime;
  readonly #inactivityMs: number;
  readonly #sockets: ReadonlySet<Socket>;
  readonly #progress = new WeakMap<Socket, Progress>();
  #timer: Timer;

  /** Destroys a socket of `sockets` after `inactivityMs`, or up to a quarter more, without a byte in or out. */
  constructor(runtime: Runtime, inactivityMs: number, sockets: ReadonlySet<Socket>) {
    this.#runtime = runtime;
    this.#inactivityMs = inactivityMs;
    this.#sockets = sockets;
    this.#timer = runtime.after(inactivityMs / 4, () => this.#look());
  }

  stop(): void {
    this.#timer.cancel();
  }

  #look(): void {
    const nowMs = this.#runtime.monotonicMs();
    for (const socket of this.#sockets) {
      const bytes = socket.bytesRead + socket.bytesWritten;
      const queuedBytes = socket.writableLength;
      const known = this.#progress.get(socket);
      if (known === undefined || known.bytes !== bytes || known.queuedBytes !== queuedBytes) {
        this.#progress.set(socket, { bytes, queuedBytes, sinceMs: nowMs });
      } else if (nowMs - known.sinceMs >= this.#inactivityMs) {
        socket.destroy();
      }
    }
    this.#timer = this.#runtime.after(this.#inactivityMs / 4, () => this.#look());
  }
}
