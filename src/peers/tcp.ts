/** Byte streams over TCP. */
import { connect, createServer, type OnReadOpts, type Server, type Socket } from "node:net";
import { messageOf, RingcacheError } from "../errors.ts";
import { readAccepted } from "../sockets/accepted.ts";
import { Sender } from "../sockets/sender.ts";
import type { ByteStream, CloseReason, Listener, StreamHandlers, Transport } from "./transport.ts";

/** After this much silence the kernel asks whether the other host is still there. */
const keepAliveInitialDelay = 5_000;
const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay } as const;

const whyUnusable: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process listens there",
  EACCES: "this user may not listen there",
  EADDRNOTAVAIL: "this machine doesn't have that address",
  ENOTFOUND: "that host name isn't known",
  EAI_AGAIN: "that host name can't be looked up now",
  ERR_SOCKET_BAD_PORT: "a port is a number from 0 to 65535",
};

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function isRefusal(error: Error | undefined): boolean {
  // A host name with several addresses fails with all their errors; one that wasn't refused proves nothing.
  if (error instanceof AggregateError) {
    return error.errors.length > 0 && error.errors.every((each) => codeOf(each) === "ECONNREFUSED");
  }
  return codeOf(error) === "ECONNREFUSED";
}

/** In which reads lie one after the other. Whoever keeps a part of one keeps all of it from being collected. */
const slabSizeBytes = 64 * 1024;
/** With less room than that a new one is begun. */
const readSizeBytesMin = 16 * 1024;

/** Where the next read goes: over what was read last, unless that is kept. */
class Slab implements OnReadOpts {
  readonly #received: (bytes: Buffer) => boolean;
  #free: Buffer = Buffer.allocUnsafeSlow(slabSizeBytes);

  /** `received`: returns whether the bytes are kept. */
  constructor(received: (bytes: Buffer) => boolean) {
    this.#received = received;
  }

  readonly buffer = (): Buffer => this.#free;

  readonly callback = (count: number): boolean => {
    const free = this.#free;
    if (!this.#received(free.subarray(0, count))) return true;
    const isSpent = free.length - count < readSizeBytesMin;
    this.#free = isSpent ? Buffer.allocUnsafeSlow(slabSizeBytes) : free.subarray(count);
    return true;
  };
}

class TcpStream implements ByteStream {
  readonly #socket: Socket;
  readonly #sender: Sender;
  readonly remote: string;

  constructor(socket: Socket, remote: string) {
    this.#socket = socket;
    this.#sender = new Sender(socket);
    this.remote = remote;
  }

  get queuedBytes(): number {
    return this.#sender.unsentBytes;
  }

  write(bytes: Buffer): boolean {
    return this.#socket.writable && this.#sender.send(bytes);
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** All but what is read. */
function wire(socket: Socket, handlers: StreamHandlers): void {
  let error: Error | undefined;
  socket.on("error", (thrown: Error) => {
    error = thrown;
  });
  socket.on("close", () => handlers.close({ refused: isRefusal(error), error }));
}

/** Stands for a stream that could not even be tried, such as one to port 70000. */
function failedStream(remote: string, handlers: StreamHandlers, error: Error): ByteStream {
  const reason: CloseReason = { refused: false, error };
  queueMicrotask(() => handlers.close(reason));
  return { remote, queuedBytes: 0, write: () => false, end() {}, destroy() {} };
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: unknown): void => {
      const why = whyUnusable[codeOf(error)] ?? messageOf(error);
      reject(
        new RingcacheError("PORT_UNUSABLE", `can't listen on ${host}:${port}: ${why}`, { cause: error }),
      );
    };
    server.once("error", failed);
    try {
      server.listen({ host, port }, () => {
        server.off("error", failed);
        resolve();
      });
    } catch (error) {
      failed(error);
    }
  });
}

export const tcpTransport: Transport = {
  async listen(host, port, accept): Promise<Listener> {
    const server = createServer({ ...socketOptions, pauseOnConnect: true }, (accepted) => {
      let handlers: StreamHandlers | undefined;
      const slab = new Slab((bytes) => handlers!.data(bytes));
      const socket = readAccepted(accepted, slab, { allowHalfOpen: false }) ?? accepted;
      handlers = accept(new TcpStream(socket, `${socket.remoteAddress}:${socket.remotePort}`));
      wire(socket, handlers);
      if (socket !== accepted) return;
      accepted.on("data", (bytes: Buffer) => void handlers.data(bytes));
      accepted.resume();
    });
    await listening(server, host, port);
    // An accept that fails, for want of file descriptors say, concerns one connection; the listener goes on.
    server.on("error", () => {});
    const address = server.address();
    return {
      host,
      port: typeof address === "object" && address !== null ? address.port : port,
      // Not its callback: that one waits until every connection has closed.
      close: async () => void server.close(),
    };
  },

  connect(host, port, handlers): ByteStream {
    const remote = `${host}:${port}`;
    try {
      const onread = new Slab((bytes) => handlers.data(bytes));
      const socket = connect({ host, port, ...socketOptions, onread });
      socket.once("connect", () => handlers.open?.());
      wire(socket, handlers);
      return new TcpStream(socket, remote);
    } catch (error) {
      return failedStream(remote, handlers, error instanceof Error ? error : new Error(String(error)));
    }
  },
};
