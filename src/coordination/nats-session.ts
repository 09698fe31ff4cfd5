/** The NATS connection as buckets and watches see it: requests with a deadline, errors in this project's words. */
import { JetStreamApiError, type JetStreamClient, type JetStreamManager } from "@nats-io/jetstream";
import { type NatsConnection, errors as natsErrors } from "@nats-io/transport-node";
import { messageOf, RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime.ts";
import type { CoordinationStatus } from "./coordination.ts";

export interface NatsSessionParts {
  readonly connection: NatsConnection;
  readonly jetstream: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly location: string;
  readonly requestTimeoutMs: number;
}

export class NatsSession {
  readonly connection: NatsConnection;
  readonly jetstream: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly location: string;
  readonly #requestTimeoutMs: number;
  readonly #listeners = new Set<(status: CoordinationStatus) => void>();
  #status: CoordinationStatus = "connected";

  constructor(parts: NatsSessionParts) {
    this.connection = parts.connection;
    this.jetstream = parts.jetstream;
    this.manager = parts.manager;
    this.runtime = parts.runtime;
    this.log = parts.log;
    this.location = parts.location;
    this.#requestTimeoutMs = parts.requestTimeoutMs;
  }

  get status(): CoordinationStatus {
    return this.#status;
  }

  setStatus(status: CoordinationStatus): void {
    if (this.#status === status || this.#status === "closed") return;
    this.#status = status;
    for (const listener of [...this.#listeners]) listener(status);
  }

  onStatus(listener: (status: CoordinationStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Sends once there is a connection and waits for the answer, for `requestTimeoutMs` in all. A connection that breaks
   * meanwhile fails it at once: NATS keeps no answers for later.
   */
  request<T>(send: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let sent = false;
      const finish = (): void => {
        timer.cancel();
        unlisten();
      };
      const fail = (error: unknown): void => {
        finish();
        reject(this.translate(error));
      };
      const start = (): void => {
        sent = true;
        send().then((value) => {
          finish();
          resolve(value);
        }, fail);
      };
      const timer = this.runtime.after(this.#requestTimeoutMs, () => {
        const what = sent ? "didn't answer" : "wasn't reachable";
        fail(
          timeout(
            `NATS at ${this.location} ${what} within ${this.#requestTimeoutMs} ms.`,
            sent ? "unknown" : "none",
          ),
        );
      });
      const unlisten = this.onStatus((status) => {
        if (status === "closed") fail(closedError());
        else if (status === "connected" && !sent) start();
        else if (status === "disconnected" && sent) {
          fail(
            timeout(`The connection to NATS at ${this.location} broke before the answer came.`, "unknown"),
          );
        }
      });
      if (this.#status === "closed") fail(closedError());
      else if (this.#status === "connected") start();
    });
  }

  /** What went wrong, as one of this project's errors. */
  translate(error: unknown): RingcacheError {
    if (error instanceof RingcacheError) return error;
    if (this.#status === "closed" || error instanceof natsErrors.ClosedConnectionError)
      return closedError(error);
    const message = `NATS at ${this.location}: ${messageOf(error)}`;
    if (isAmbiguous(error)) return timeout(message, "unknown", error);
    return new RingcacheError("COORDINATION_UNAVAILABLE", message, { cause: error });
  }
}

function isAmbiguous(error: unknown): boolean {
  if (error instanceof natsErrors.TimeoutError || error instanceof natsErrors.RequestError) return true;
  if (error instanceof natsErrors.NoRespondersError) return true;
  if (error instanceof JetStreamApiError) return error.status === 503 || error.status === 408;
  // The client wraps "no responders" once more, in an error class that it doesn't export.
  return error instanceof Error && error.cause !== undefined && isAmbiguous(error.cause);
}

function timeout(message: string, outcome: "none" | "unknown", cause?: unknown): RingcacheError {
  return new RingcacheError("COORDINATION_TIMEOUT", message, { outcome, cause });
}

export function closedError(cause?: unknown): RingcacheError {
  return new RingcacheError("CLOSED", "The coordination store was closed.", { cause, outcome: "unknown" });
}
