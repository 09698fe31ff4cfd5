/** Byte streams within one process: what `Peers` may rely on of a transport, and nothing that only TCP gives. */
import { RingcacheError } from "../../src/errors.ts";
import type { ByteStream, Listener, StreamHandlers, Transport } from "../../src/peers/transport.ts";
import type { Runtime } from "../../src/runtime.ts";

class MemoryStream implements ByteStream {
  readonly remote: string;
  readonly #runtime: Runtime;
  handlers: StreamHandlers | undefined;
  other: MemoryStream | undefined;
  queuedBytes = 0;
  #ending = false;
  #over = false;

  constructor(runtime: Runtime, remote: string) {
    this.#runtime = runtime;
    this.remote = remote;
  }

  write(bytes: Buffer): boolean {
    if (this.#ending || this.#over) return false;
    this.queuedBytes += bytes.length;
    this.#runtime.soon(() => {
      this.queuedBytes -= bytes.length;
      // Read only now, as TCP may: whoever reuses bytes that were written is found out.
      if (!this.#over) this.other?.receive(Buffer.from(bytes));
    });
    return false;
  }

  receive(bytes: Buffer): void {
    if (this.#over) return;
    // As the next read would write over them.
    if (this.handlers?.data(bytes) === false) bytes.fill(0xee);
  }

  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#runtime.soon(() => this.destroy());
  }

  destroy(): void {
    this.finish(false);
    this.#runtime.soon(() => this.other?.end());
  }

  finish(refused: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#runtime.soon(() => this.handlers?.close({ refused, error: undefined }));
  }
}

export class MemoryTransport implements Transport {
  readonly #runtime: Runtime;
  readonly #listeners = new Map<string, (stream: ByteStream) => StreamHandlers>();
  #nextPort = 1;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  async listen(
    host: string,
    port: number,
    accept: (stream: ByteStream) => StreamHandlers,
  ): Promise<Listener> {
    const actual = port === 0 ? this.#nextPort++ : port;
    const key = `${host}:${actual}`;
    if (this.#listeners.has(key)) throw new RingcacheError("PORT_UNUSABLE", `can't listen on ${key}`);
    this.#listeners.set(key, accept);
    return { host, port: actual, close: async () => void this.#listeners.delete(key) };
  }

  connect(host: string, port: number, handlers: StreamHandlers): ByteStream {
    const near = new MemoryStream(this.#runtime, `${host}:${port}`);
    near.handlers = handlers;
    this.#runtime.soon(() => {
      const accept = this.#listeners.get(near.remote);
      if (accept === undefined) {
        near.finish(true);
        return;
      }
      const far = new MemoryStream(this.#runtime, "memory");
      near.other = far;
      far.other = near;
      far.handlers = accept(far);
      handlers.open?.();
    });
    return near;
  }
}
