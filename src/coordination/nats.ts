/** Coordination through NATS JetStream. */
import { type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection, errors as natsErrors } from "@nats-io/transport-node";
import { messageOf, RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime.ts";
import type { Bucket, BucketOptions, Channel, Coordination, CoordinationStatus } from "./coordination.ts";
import { requireBucketName } from "./names.ts";
import { NatsBucket } from "./nats-bucket.ts";
import { openNatsChannel } from "./nats-channel.ts";
import { closedError, NatsSession } from "./nats-session.ts";
import { NatsStream } from "./nats-stream.ts";
import { type NatsServers, parseNatsUrls } from "./nats-url.ts";
import type { NatsWatch } from "./nats-watch.ts";

export interface NatsOptions {
  /** One or several comma-separated `nats://` or `tls://` URLs, with `user:password@` or `token@` if need be. */
  readonly url: string;
  readonly runtime: Runtime;
  readonly log: Log;
  /** For reaching a server and finding its JetStream, in all. */
  readonly connectTimeoutMs?: number;
  /** For one request, the wait for a connection included. */
  readonly requestTimeoutMs?: number;
  /** How the connection is called in the server's monitoring. */
  readonly name?: string;
}

const reconnectMsMin = 100;
const reconnectMsMax = 1_000;
/** Two pings unanswered and the connection counts as broken: a stopped server is noticed within 6 s. */
const pingIntervalMs = 2_000;
/** Before this, a *clustered* server can let two concurrent compare-and-sets both succeed. */
const clusterVersionMin = [2, 12, 3] as const;

/** Throws OPTION_INVALID for the URL, COORDINATION_UNAVAILABLE with one sentence for everything else. */
export async function connectNats(options: NatsOptions): Promise<NatsCoordination> {
  const { runtime, log, connectTimeoutMs = 3_500, requestTimeoutMs = 2_000 } = options;
  const servers = parseNatsUrls(options.url);
  const deadlineMs = runtime.monotonicMs() + connectTimeoutMs;
  const connection = await dial(servers, options, connectTimeoutMs);
  let manager: JetStreamManager;
  try {
    const timeout = Math.max(deadlineMs - runtime.monotonicMs(), 100);
    await jetstreamManager(connection, { timeout });
    manager = await jetstreamManager(connection, { timeout: requestTimeoutMs, checkAPI: false });
  } catch (error) {
    await connection.close();
    throw jetstreamMissing(servers.location, error);
  }
  const session = new NatsSession({
    connection,
    jetstream: jetstream(connection, { timeout: requestTimeoutMs }),
    manager,
    runtime,
    log,
    location: servers.location,
    requestTimeoutMs,
  });
  const coordination = new NatsCoordination(session);
  warnOfOldCluster(connection, log, servers.location);
  return coordination;
}

export class NatsCoordination implements Coordination {
  readonly location: string;
  /** Of the server that was connected to first. */
  readonly serverVersion: string;
  readonly #session: NatsSession;
  readonly #watches = new Set<NatsWatch>();

  constructor(session: NatsSession) {
    this.#session = session;
    this.location = session.location;
    this.serverVersion = session.connection.info?.version ?? "unknown";
    void this.#follow();
    void session.connection.closed().then((error) => this.#closed(error));
  }

  get status(): CoordinationStatus {
    return this.#session.status;
  }

  /** `ttlMs`: at least 100, or NATS refuses it. A bucket that is there already keeps the options it was made with. */
  async openBucket(name: string, options: BucketOptions = {}): Promise<Bucket> {
    requireBucketName(name);
    return new NatsBucket(await NatsStream.open(this.#session, name, options), this.#watches);
  }

  onStatus(listener: (status: CoordinationStatus) => void): () => void {
    return this.#session.onStatus(listener);
  }

  openChannel(name: string, receive: (message: Uint8Array) => void): Channel {
    requireBucketName(name);
    return openNatsChannel(this.#session, name, receive);
  }

  async close(): Promise<void> {
    this.#closed();
    await this.#session.connection.close();
  }

  async #follow(): Promise<void> {
    const { connection, log, location } = this.#session;
    for await (const status of connection.status()) {
      if (status.type === "disconnect") {
        this.#session.setStatus("disconnected");
        log.warn({ event: "nats-disconnected", location }, "The connection to NATS is lost; reconnecting.");
      } else if (status.type === "reconnect") {
        this.#session.setStatus("connected");
        log.info({ event: "nats-reconnected", location }, "Connected to NATS again.");
      } else if (status.type === "error") {
        log.warn({ event: "nats-error", location, error: status.error.message }, "NATS reported an error.");
      }
    }
  }

  #closed(error?: unknown): void {
    if (this.#session.status === "closed") return;
    if (error) {
      this.#session.log.error(
        { event: "nats-closed", location: this.location, error: messageOf(error) },
        "The NATS connection was closed.",
      );
    }
    this.#session.setStatus("closed");
    for (const watch of [...this.#watches]) watch.end(closedError(error));
  }
}

async function dial(servers: NatsServers, options: NatsOptions, timeoutMs: number): Promise<NatsConnection> {
  const { runtime } = options;
  let attempts = 0;
  const connecting = connect({
    servers: servers.servers,
    ...(servers.tls && { tls: {} }),
    ...(servers.user !== undefined && { user: servers.user, pass: servers.password ?? "" }),
    ...(servers.token !== undefined && { token: servers.token }),
    name: options.name ?? "ringcache",
    // So that one server that accepts and says nothing leaves time for the next.
    timeout: Math.max(timeoutMs / servers.servers.length, 250),
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    pingInterval: pingIntervalMs,
    maxPingOut: 2,
    noAsyncTraces: true,
    reconnectDelayHandler: () => {
      // Asked again in each round of a wait, so the growth is gentle.
      attempts += 1;
      const delayMs = Math.min(reconnectMsMin * 1.2 ** Math.min(attempts, 20), reconnectMsMax);
      return Math.round(delayMs * (0.75 + runtime.random() / 4));
    },
  });
  let timer: { cancel(): void } | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = runtime.after(timeoutMs, () => reject(new Error(`no answer within ${timeoutMs} ms`)));
  });
  try {
    const connection = await Promise.race([connecting, late]);
    void (async () => {
      for await (const status of connection.status()) if (status.type === "reconnect") attempts = 0;
    })();
    return connection;
  } catch (error) {
    // If it still comes about, nobody wants it any more.
    connecting.then((connection) => connection.close()).catch(() => {});
    throw unreachable(servers.location, error);
  } finally {
    timer?.cancel();
  }
}

function unreachable(location: string, error: unknown): RingcacheError {
  if (error instanceof natsErrors.AuthorizationError) {
    return new RingcacheError(
      "COORDINATION_UNAVAILABLE",
      `The NATS server at ${location} refused the credentials in its URL, or needs some.`,
      { cause: error },
    );
  }
  return new RingcacheError(
    "COORDINATION_UNAVAILABLE",
    `No NATS server can be reached at ${location} (${messageOf(error)}): start one with \`nats-server -js\`, or use \`ringcache dev\`, which needs none.`,
    { cause: error },
  );
}

function jetstreamMissing(location: string, error: unknown): RingcacheError {
  const disabled = error instanceof Error && error.name === "JetStreamNotEnabled";
  const what = disabled ? "has no JetStream" : `has a JetStream that doesn't answer (${messageOf(error)})`;
  return new RingcacheError(
    "COORDINATION_UNAVAILABLE",
    `The NATS server at ${location} ${what}: start it with \`nats-server -js\`, or use \`ringcache dev\`, which needs none.`,
    { cause: error },
  );
}

function warnOfOldCluster(connection: NatsConnection, log: Log, location: string): void {
  const { version = "", cluster = "" } = connection.info ?? {};
  if (cluster === "" || !isOlder(version, clusterVersionMin)) return;
  log.warn(
    { event: "nats-old", location, version, cluster },
    `The clustered NATS server is ${version}: before ${clusterVersionMin.join(".")} two concurrent writes can both succeed, so upgrade it.`,
  );
}

/** Whether a version like `2.9.10` or `2.12.0-RC.1` comes before `than`. An unreadable one counts as older. */
export function isOlder(version: string, than: readonly [number, number, number]): boolean {
  const parts = version.split(/[.-]/, 3).map(Number);
  for (const [index, least] of than.entries()) {
    const part = parts[index];
    if (part === undefined || Number.isNaN(part)) return true;
    if (part !== least) return part < least;
  }
  return false;
}
