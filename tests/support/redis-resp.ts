/** The Redis protocol as bytes: a connection that hands back every reply exactly as it came, and a way to look into one. */
import { connect, type Socket } from "node:net";

export type Argument = string | Buffer;

/** A reply taken apart. `text` of lengths and counts is left out: what is compared byte by byte is the raw reply. */
export interface Node {
  /** The byte it begins with: `+ - : $ *`, and of RESP3 `_ , # ( = % ~ > !`. */
  readonly type: string;
  /** Of what isn't an aggregate: its text, one character per byte. Undefined for null. */
  readonly text: string | undefined;
  /** Of an aggregate: its elements; of a map, keys and values in turn. */
  readonly elements: readonly Node[] | undefined;
}

export function encode(args: readonly Argument[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = typeof arg === "string" ? Buffer.from(arg) : arg;
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
  }
  return Buffer.concat(parts);
}

/** The reply that begins at `at`, and where it ends; undefined while it isn't there whole. */
export function decode(bytes: Buffer, at = 0): { node: Node; end: number } | undefined {
  const lineEnd = bytes.indexOf("\r\n", at);
  if (lineEnd === -1) return undefined;
  const type = String.fromCharCode(bytes[at]!);
  const line = bytes.toString("latin1", at + 1, lineEnd);
  const next = lineEnd + 2;
  if ("+-:_,#(".includes(type)) {
    return { node: { type, text: type === "_" ? undefined : line, elements: undefined }, end: next };
  }
  const length = Number(line);
  if (!Number.isInteger(length)) throw new Error(`not a reply: ${JSON.stringify(type + line)}`);
  if (length === -1) return { node: { type, text: undefined, elements: undefined }, end: next };
  if ("$=!".includes(type)) {
    const end = next + length + 2;
    if (bytes.length < end) return undefined;
    return { node: { type, text: bytes.toString("latin1", next, end - 2), elements: undefined }, end };
  }
  if (!"*%~>".includes(type)) throw new Error(`not a reply: ${JSON.stringify(type + line)}`);
  const elements: Node[] = [];
  let end = next;
  for (let i = 0; i < (type === "%" ? 2 * length : length); i++) {
    const element = decode(bytes, end);
    if (element === undefined) return undefined;
    elements.push(element.node);
    end = element.end;
  }
  return { node: { type, text: undefined, elements }, end };
}

/** One to show in a failure: as JSON, with what isn't printable escaped. */
export function shown(reply: Buffer): string {
  return JSON.stringify(reply.toString("latin1").slice(0, 2_000));
}

const replyMsMax = 20_000;

export class RespConnection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #closed = false;
  #notify: () => void = () => {};

  static connect(port: number): Promise<RespConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new RespConnection(socket));
      });
    });
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#notify();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#closed = true;
      this.#notify();
    });
  }

  /** `byByte`: every byte in a write and a turn of its own. */
  async send(bytes: Buffer, byByte = false): Promise<void> {
    if (!byByte) {
      this.#socket.write(bytes);
      return;
    }
    for (let i = 0; i < bytes.length; i++) {
      this.#socket.write(bytes.subarray(i, i + 1));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** The next reply, as it came. Fails if the connection closes first, or nothing comes for 20 s. */
  async reply(): Promise<Buffer> {
    const giveUpAt = performance.now() + replyMsMax;
    for (;;) {
      const decoded = this.#received.length === 0 ? undefined : decode(this.#received);
      if (decoded !== undefined) {
        const reply = this.#received.subarray(0, decoded.end);
        this.#received = this.#received.subarray(decoded.end);
        return reply;
      }
      const rest = shown(this.#received);
      if (this.#closed) throw new Error(`closed before a reply; received: ${rest}`);
      const leftMs = giveUpAt - performance.now();
      if (leftMs <= 0) throw new Error(`no reply within ${replyMsMax} ms; received: ${rest}`);
      await this.#change(leftMs);
    }
  }

  async command(...args: readonly Argument[]): Promise<Buffer> {
    await this.send(encode(args));
    return this.reply();
  }

  /** All that comes until the other side closes. */
  async rest(): Promise<Buffer> {
    const giveUpAt = performance.now() + replyMsMax;
    while (!this.#closed) {
      if (performance.now() > giveUpAt) throw new Error(`not closed within ${replyMsMax} ms`);
      await this.#change(giveUpAt - performance.now());
    }
    return this.#received;
  }

  close(): void {
    this.#socket.destroy();
  }

  #change(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, waitMs);
      this.#notify = done;
      function done(): void {
        clearTimeout(timer);
        resolve();
      }
    });
  }
}
