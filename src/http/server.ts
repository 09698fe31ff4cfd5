/** The HTTP front door: listens, hands requests to the routes, and closes without cutting anyone off. */
import { type IncomingMessage, Server, type ServerOptions, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Door } from "../cache/command.ts";
import { messageOf, RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime.ts";
import type { Spans } from "../tracing.ts";
import { BodyReader } from "./body.ts";
import type { NodeControl } from "./control.ts";
import { EventStreams } from "./event-streams.ts";
import { defaultHttpLimits, type HttpLimits } from "./limits.ts";
import { Outbox } from "./outbox.ts";
import { noPages, type Pages } from "./pages.ts";
import { errorOfConnection, refuseBody, refuseConnection, responseUnderWay } from "./refusal.ts";
import { handleRequest, type RouteContext } from "./routes.ts";
import { StallWatch } from "./stalls.ts";

export interface HttpOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly door: Door;
  readonly log: Log;
  readonly runtime: Runtime;
  readonly limits?: Partial<HttpLimits>;
  readonly control?: NodeControl;
  /** What `/metrics` shows beside the node's own. */
  readonly moreMetrics?: () => Promise<string>;
  /** Requests are parts of the traces that their headers name; absent: they are not. */
  readonly spans?: Spans | undefined;
  /** Served as they are. */
  readonly pages?: Pages;
}

export interface HttpDoor {
  readonly host: string;
  /** The actual port, also when 0 was asked for. */
  readonly port: number;
  /**
   * Stops accepting, answers what is under way (for at most `closeTimeoutMs`), then closes every connection. The
   * door must go on executing until this has resolved.
   */
  close(): Promise<void>;
}

/** Throws PORT_UNUSABLE. */
export async function startHttp(options: HttpOptions): Promise<HttpDoor> {
  const server = new HttpServer(options);
  const port = await server.open();
  return { host: options.host, port, close: () => server.drain() };
}

class HttpServer extends Server {
  readonly #options: HttpOptions;
  readonly #limits: HttpLimits;
  readonly #context: RouteContext;
  readonly #sockets = new Set<Socket>();
  /** Sockets whose last answer is decided: requests that come in behind it are not carried out. */
  readonly #ending = new WeakSet<Socket>();
  /** Whether {@link #ending} may hold anything: spares the usual request the look. */
  #anyEnding = false;
  readonly #stalls: StallWatch;
  #draining: Promise<void> | undefined;

  constructor(options: HttpOptions) {
    const limits = { ...defaultHttpLimits, ...options.limits };
    super(serverOptions(limits));
    this.#options = options;
    this.#limits = limits;
    const { door, log, runtime, control } = options;
    this.#stalls = new StallWatch(runtime, limits.inactivityMs, this.#sockets);
    this.#context = {
      door,
      log,
      runtime,
      control,
      spans: options.spans,
      bodies: new BodyReader(limits),
      outbox: new Outbox(runtime, log),
      streams: new EventStreams(door, log),
      pages: options.pages ?? noPages,
      moreMetrics: options.moreMetrics,
      refuse: (req, res, error) => {
        this.#end(req.socket);
        refuseBody(runtime, limits.lingerMs, req, res, error);
      },
    };
    this.on("request", (req, res) => this.#handle(req, res));
    this.on("checkContinue", (req, res) => this.#handleExpecting(req, res));
    // HTTP allows a server to pass over expectations that it doesn't know.
    this.on("checkExpectation", (req, res) => this.#handle(req, res));
    this.on("connect", (_req, socket) => {
      const error = new RingcacheError("PATH_UNKNOWN", "This server is no proxy.");
      socket.on("error", () => socket.destroy());
      this.#refuseConnection(socket as Socket, error);
    });
    this.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      if (error.code === "ECONNRESET" || error.code === "EPIPE") socket.destroy();
      else this.#refuseConnection(socket as Socket, errorOfConnection(error));
    });
    this.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  async open(): Promise<number> {
    const { host, port, log } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const fail = (cause: unknown): void => {
        this.#stalls.stop();
        reject(unusable(host, port, cause));
      };
      this.once("error", fail);
      try {
        this.listen({ host, port }, () => {
          this.off("error", fail);
          resolve();
        });
      } catch (cause) {
        fail(cause);
      }
    });
    this.on("error", (error) =>
      log.error(
        { event: "door-failed", door: "http", err: error },
        "the HTTP port can't accept a connection",
      ),
    );
    const address = this.address();
    return typeof address === "object" && address !== null ? address.port : port;
  }

  #handle(req: IncomingMessage, res: ServerResponse): void {
    if (this.#anyEnding && this.#ending.has(req.socket)) return;
    if (this.#draining !== undefined) {
      // Tells the client to take its next request elsewhere.
      res.shouldKeepAlive = false;
      this.#end(req.socket);
    }
    const { spans } = this.#context;
    if (spans === undefined) handleRequest(this.#context, req, res);
    else spans.within(req.headers, () => handleRequest(this.#context, req, res));
  }

  /** `Expect: 100-continue`: the client waits to hear whether its body is welcome. */
  #handleExpecting(req: IncomingMessage, res: ServerResponse): void {
    if (this.#context.bodies.announcedTooLarge(req) === undefined) res.writeContinue();
    this.#handle(req, res);
  }

  #end(socket: Socket): void {
    this.#anyEnding = true;
    this.#ending.add(socket);
  }

  #refuseConnection(socket: Socket, error: RingcacheError): void {
    // The parser that failed would fail again on whatever comes: from here on bytes are dropped.
    socket.removeAllListeners("data");
    socket.on("data", () => {});
    if (this.#ending.has(socket)) return;
    this.#end(socket);
    refuseConnection(this.#options.runtime, this.#limits.lingerMs, socket, error);
  }

  drain(): Promise<void> {
    this.#draining ??= new Promise<void>((resolve) => {
      const { runtime } = this.#options;
      const deadlineMs = runtime.monotonicMs() + this.#limits.closeTimeoutMs;
      let closed = false;
      this.#stalls.stop();
      this.#context.streams.close();
      this.close(() => {
        closed = true;
        resolve();
      });
      const quietSinceMs = new WeakMap<Socket, number>();
      const sweep = (): void => {
        if (closed) return;
        if (runtime.monotonicMs() >= deadlineMs) this.closeAllConnections();
        else this.#closeQuiet(quietSinceMs);
        runtime.after(20, sweep);
      };
      sweep();
    });
    return this.#draining;
  }

  /**
   * `close` calls this, and Node's own version cuts off answers that are complete but not yet sent. `drain` closes
   * idle connections itself, when their grace has passed.
   */
  override closeIdleConnections(): void {}

  /**
   * A client may be sending on a connection that looks idle from here. Left open a moment longer, such a request is
   * answered and told to go elsewhere, rather than cut off.
   */
  #closeQuiet(quietSinceMs: WeakMap<Socket, number>): void {
    const nowMs = this.#options.runtime.monotonicMs();
    for (const socket of this.#sockets) {
      const sinceMs = quietSinceMs.get(socket) ?? nowMs;
      if (responseUnderWay(socket) !== undefined || socket.writableLength > 0) quietSinceMs.delete(socket);
      else if (nowMs - sinceMs >= this.#limits.closeGraceMs) socket.destroy();
      else quietSinceMs.set(socket, sinceMs);
    }
  }
}

function serverOptions(limits: HttpLimits): ServerOptions {
  return {
    maxHeaderSize: limits.headersSizeBytesMax,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: limits.timeoutCheckMs,
    keepAliveTimeout: limits.keepAliveMs,
    // Node would answer a request without Host on its own, without a JSON body; nothing here needs one.
    requireHostHeader: false,
    // Finds out about clients that vanished without closing.
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  };
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is already in use",
  EACCES: "this user may not listen on that port",
  EADDRNOTAVAIL: "this machine has no such address",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "the host's name can't be resolved",
};

function unusable(host: string, port: number, cause: unknown): RingcacheError {
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const reason = reasons[code] ?? messageOf(cause);
  return new RingcacheError("PORT_UNUSABLE", `HTTP can't listen on ${address}: ${reason}.`, { cause });
}
