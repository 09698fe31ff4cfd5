/** Calls that wait for their link, in order. */

export interface QueuedCall {
  readonly callId: number;
  readonly kind: number;
  readonly payload: Buffer;
}

export class CallQueue {
  #calls: QueuedCall[] = [];
  #bytes = 0;

  get size(): number {
    return this.#calls.length;
  }

  /** Of the payloads. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Copies the payload. */
  add(callId: number, kind: number, payload: Uint8Array): void {
    this.#calls.push({ callId, kind, payload: Buffer.from(payload) });
    this.#bytes += payload.length;
  }

  /** Drops the calls that have ended meanwhile. */
  keep(waits: (callId: number) => boolean): void {
    this.#calls = this.#calls.filter(({ callId }) => waits(callId));
    this.#bytes = this.#calls.reduce((sum, { payload }) => sum + payload.length, 0);
  }

  /** Empties it. */
  takeAll(): QueuedCall[] {
    const calls = this.#calls;
    this.#calls = [];
    this.#bytes = 0;
    return calls;
  }
}
