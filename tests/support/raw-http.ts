/** HTTP over a bare socket: tests send exactly the bytes they mean to, and see exactly what comes back. */
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export class RawClient {
  readonly socket: Socket;
  #chunks: Buffer[] = [];
  /** Don't look before this many bytes are here: a large answer isn't joined anew with each of its chunks. */
  #neededBytes = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.socket.on("data", (chunk) => {
      this.#chunks.push(chunk);
      this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    this.socket.on("end", end);
    this.socket.on("close", end);
    // A reset shows as an answer that never came.
    this.socket.on("error", end);
  }

  /** Resolves once the bytes have been handed to the network. */
  send(bytes: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => this.socket.write(bytes, () => resolve()));
  }

  /** The next answer. `head`: it answers a HEAD request, so that no body follows. Throws if the server closes first. */
  async answer(head = false): Promise<RawAnswer> {
    for (;;) {
      const parsed = this.#take(head);
      if (parsed !== undefined) return parsed;
      if (this.#ended) throw new Error(`closed after: ${JSON.stringify(this.#joined().toString("latin1"))}`);
      await this.#more();
    }
  }

  /** Resolves with what came beyond the answers that were read, once the server has closed its side. */
  async untilClosed(): Promise<string> {
    while (!this.#ended) await this.#more();
    return this.#joined().toString("latin1");
  }

  close(): void {
    this.socket.destroy();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #joined(): Buffer {
    if (this.#chunks.length !== 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!;
  }

  #take(head: boolean): RawAnswer | undefined {
    if (this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0) < this.#neededBytes) return undefined;
    const bytes = this.#joined();
    const end = bytes.indexOf("\r\n\r\n");
    if (end === -1) return undefined;
    const [first = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n");
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const status = Number(first.split(" ")[1]);
    const size = head || status === 100 ? 0 : Number(headers["content-length"] ?? 0);
    const start = end + 4;
    this.#neededBytes = start + size;
    if (bytes.length < start + size) return undefined;
    const body = bytes.toString("utf8", start, start + size);
    this.#chunks = [bytes.subarray(start + size)];
    this.#neededBytes = 0;
    return { status, headers, body };
  }
}

/** One request on a connection of its own. */
export async function rawRequest(port: number, bytes: string | Uint8Array, head = false): Promise<RawAnswer> {
  const client = new RawClient(port);
  try {
    // Not awaited: the server may answer, and close, before it has read everything.
    void client.send(bytes);
    return await client.answer(head);
  } finally {
    client.close();
  }
}
