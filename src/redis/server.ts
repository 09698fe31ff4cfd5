/** The Redis front door: listens, makes a connection of each client, and closes without cutting anyone off. */
import { Server, type Socket } from "node:net";
import type { Door } from "../cache/command.ts";
import { messageOf, RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime.ts";
import { Batch } from "./batch.ts";
import { CommandTable } from "./command-table.ts";
import { handlers } from "./commands/index.ts";
import { Connection } from "./connection.ts";
import type { ClusterMode, RedisContext, RingView, Statistics, Turns } from "./context.ts";
import { defaultRedisLimits, type RedisLimits } from "./limits.ts";

export interface RedisOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly door: Door;
  /** Undefined until the node has joined. */
  readonly ring: () => RingView | undefined;
  readonly log: Log;
  readonly runtime: Runtime;
  /** See {@link ClusterMode}; `auto` if not given. */
  readonly cluster?: ClusterMode;
  /** What AUTH must bring; empty or not given: nothing. */
  readonly password?: string;
  readonly limits?: Partial<RedisLimits>;
  /** DEBUG SLEEP is there; for tests. */
  readonly debug?: boolean;
}

export interface RedisDoor {
  readonly host: string;
  /** The actual port, also when 0 was asked for. */
  readonly port: number;
  /**
   * Stops accepting, answers what is under way (for at most `closeTimeoutMs`), then closes every connection. The door
   * must go on executing until this has resolved.
   */
  close(): Promise<void>;
}

/** Throws PORT_UNUSABLE. */
export async function startRedis(options: RedisOptions): Promise<RedisDoor> {
  const server = new RedisServer(options);
  const port = await server.open();
  return { host: options.host, port, close: () => server.drain() };
}

class RedisServer implements RedisContext, Turns {
  readonly door: Door;
  readonly log: Log;
  readonly runtime: Runtime;
  readonly limits: RedisLimits;
  readonly commands = new CommandTable(handlers);
  readonly cluster: ClusterMode;
  readonly password: string;
  readonly host: string;
  readonly debug: boolean;
  readonly connections = new Map<number, Connection>();
  readonly statistics: Statistics;
  port: number;
  readonly #ring: () => RingView | undefined;
  readonly #server: Server;
  #lastId = 0;
  /** Once the node has joined. */
  #batch: Batch | undefined;
  /** Connections that have something to send, or to go on with, once this turn's input has been read. */
  #due: Connection[] = [];
  #draining: Promise<void> | undefined;

  constructor(options: RedisOptions) {
    const { door, log, runtime, host, port } = options;
    this.door = door;
    this.log = log;
    this.runtime = runtime;
    this.host = host;
    this.port = port;
    this.limits = { ...defaultRedisLimits, ...options.limits };
    this.cluster = options.cluster ?? "auto";
    this.password = options.password ?? "";
    this.debug = options.debug ?? false;
    this.#ring = options.ring;
    const [startedMs, startedWallMs] = [runtime.monotonicMs(), runtime.wallMs()];
    const counted = { connections: 0, rejected: 0, commands: 0, errors: 0, bytesIn: 0, bytesOut: 0 };
    this.statistics = { startedMs, startedWallMs, ...counted };
    const settings = {
      ...{ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 },
      // A client that has sent its last request still gets its replies.
      allowHalfOpen: true,
      // Each connection chooses how it is read.
      pauseOnConnect: true,
    };
    this.#server = new Server(settings, (socket) => this.#accept(socket));
  }

  get ring(): RingView | undefined {
    return this.#ring();
  }

  async open(): Promise<number> {
    const { host, port, log } = this;
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      const fail = (cause: unknown): void => reject(unusable(host, port, cause));
      server.once("error", fail);
      try {
        server.listen({ host, port, backlog: 511 }, () => {
          server.off("error", fail);
          resolve();
        });
      } catch (cause) {
        fail(cause);
      }
    });
    server.on("error", (error) =>
      log.error(
        { event: "door-failed", door: "redis", err: error },
        "the Redis port can't accept a connection",
      ),
    );
    const address = server.address();
    if (typeof address === "object" && address !== null) this.port = address.port;
    return this.port;
  }

  #accept(socket: Socket): void {
    if (this.#draining !== undefined || this.connections.size >= this.limits.clientsMax) {
      this.statistics.rejected++;
      socket.on("error", () => {});
      socket.end("-ERR max number of clients reached\r\n");
      this.runtime.after(this.limits.lingerMs, () => socket.destroy());
      socket.resume();
      return;
    }
    this.statistics.connections++;
    const id = ++this.#lastId;
    const connection = new Connection(id, socket, this, this);
    this.connections.set(id, connection);
    connection.socket.on("close", () => this.connections.delete(id));
  }

  schedule(connection: Connection): void {
    if (this.#due.push(connection) === 1) this.runtime.soon(this.#takeTurn);
  }

  readonly #takeTurn = (): void => {
    const due = this.#due;
    this.#due = [];
    const nowMs = this.runtime.monotonicMs();
    this.carryOut(due);
    for (const connection of due) {
      try {
        connection.turn(nowMs);
      } catch (thrown) {
        connection.fail(thrown);
      }
    }
  };

  carryOut(connections: readonly Connection[]): void {
    const lane = this.#batch === undefined ? this.door.lane() : undefined;
    if (lane !== undefined) this.#batch = new Batch(lane);
    const batch = this.#batch;
    if (batch === undefined) return;
    let isFull: boolean;
    do {
      isFull = false;
      for (const connection of connections) isFull = connection.offer(batch) || isFull;
      if (!batch.isEmpty) batch.run();
    } while (isFull);
  }

  drain(): Promise<void> {
    this.#draining ??= new Promise<void>((resolve) => {
      const deadlineMs = this.runtime.monotonicMs() + this.limits.closeTimeoutMs;
      let closed = false;
      this.#server.close(() => {
        closed = true;
        resolve();
      });
      const quietSinceMs = new WeakMap<Connection, number>();
      const sweep = (): void => {
        if (closed) return;
        const nowMs = this.runtime.monotonicMs();
        for (const connection of this.connections.values()) {
          const sinceMs = quietSinceMs.get(connection) ?? nowMs;
          if (nowMs >= deadlineMs) connection.destroy();
          else if (connection.isBusy) quietSinceMs.delete(connection);
          else if (nowMs - sinceMs >= this.limits.closeGraceMs) connection.destroy();
          else quietSinceMs.set(connection, sinceMs);
        }
        this.runtime.after(20, sweep);
      };
      sweep();
    });
    return this.#draining;
  }
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
  return new RingcacheError("PORT_UNUSABLE", `Redis can't listen on ${address}: ${reason}.`, { cause });
}
