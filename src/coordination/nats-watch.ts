/**
 * A watch as an ordered consumer: an ephemeral, unacknowledged push consumer that is made anew, from the revision after
 * the last one delivered, whenever the connection came back, a message is missing or the server fell silent. The
 * client library has one too, but it notices a restarted server only after missed heartbeats, 10 to 60 s later.
 */
import { AckPolicy, DeliverPolicy, JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { createInbox, type Msg, nanos, type Subscription } from "@nats-io/transport-node";
import { messageOf, RingcacheError } from "../errors.ts";
import type { Timer } from "../runtime.ts";
import type { Watch, WatchHandlers } from "./coordination.ts";
import { isMarker, keyOf, type StreamLife, streamOf } from "./nats-layout.ts";
import { closedError, type NatsSession } from "./nats-session.ts";
import type { NatsStream, StreamUser } from "./nats-stream.ts";

const heartbeatMs = 1_000;
const silenceMsMax = 2_500;
const retryMsMin = 100;
const retryMsMax = 1_000;
/** A new leader may not know the stream, or its last messages, for a moment: that they are gone must show this often. */
const goneSightings = 4;

export class NatsWatch implements Watch, StreamUser {
  readonly #stream: NatsStream;
  readonly #session: NatsSession;
  readonly #bucket: string;
  readonly #handlers: WatchHandlers;
  readonly #onEnd: () => void;
  #unlisten: (() => void) | undefined;
  #subscription: Subscription | undefined;
  #timer: Timer | undefined;
  /** Grows with every new consumer; whatever belongs to an older one is ignored. */
  #generation = 0;
  #stopped = false;
  #attached = false;
  #current = false;
  #failures = 0;
  #gone = 0;
  /** The last message that was there when the consumer was made. */
  #initialRevision = 0;
  #lastRevision = 0;
  #lastDelivery = 0;
  #heardAtMs = 0;

  constructor(stream: NatsStream, handlers: WatchHandlers, onEnd: () => void) {
    this.#stream = stream;
    this.#session = stream.session;
    this.#bucket = stream.bucket;
    this.#handlers = handlers;
    this.#onEnd = onEnd;
  }

  start(): void {
    if (this.#session.status === "closed") {
      this.#session.runtime.soon(() => this.end(closedError()));
      return;
    }
    this.#stream.users.add(this);
    this.#unlisten = this.#session.onStatus((status) => {
      if (status === "connected") this.#restart();
      else this.#detach();
    });
    this.#restart();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#detach();
    this.#unlisten?.();
    this.#stream.users.delete(this);
    this.#onEnd();
  }

  suspend(): void {
    this.#detach();
  }

  lost(): void {
    if (this.#stopped) return;
    this.#lastRevision = 0;
    this.#gone = 0;
    this.#call(() => this.#handlers.lost());
    // Unless the connection is gone again: then this is done when it is back.
    if (this.#session.status === "connected") this.#restart();
  }

  look(): void {
    if (this.#attached) this.#restart();
  }

  end(error: Error): void {
    if (this.#stopped) return;
    this.stop();
    this.#handlers.ended?.(error);
  }

  /** The server drops the consumer by itself once nobody listens. */
  #detach(): void {
    this.#generation += 1;
    this.#attached = false;
    this.#timer?.cancel();
    if (this.#session.status !== "closed") this.#subscription?.unsubscribe();
    this.#subscription = undefined;
  }

  #restart(): void {
    if (this.#stopped) return;
    this.#detach();
    const generation = this.#generation;
    this.#attach(generation).then(
      () => {
        if (generation === this.#generation) this.#failures = 0;
      },
      (error: unknown) => {
        if (generation === this.#generation) this.#failed(error);
      },
    );
  }

  async #attach(generation: number): Promise<void> {
    const { manager, connection, runtime } = this.#session;
    const stream = streamOf(this.#bucket);
    const info = await this.#session.request(() => manager.streams.info(stream));
    if (generation !== this.#generation) return;
    const life = this.#stream.life;
    if (!this.#stream.isPresent(info) || life === undefined) {
      // If another life begins, that restarts this watch; otherwise the answer was old.
      if (generation !== this.#generation) return;
      throw new RingcacheError("COORDINATION_TIMEOUT", "an answer about a stream that is gone");
    }
    if (info.state.last_seq < this.#lastRevision) throw wentBackError(this.#bucket);
    this.#gone = 0;
    this.#lastDelivery = 0;
    this.#initialRevision = info.state.last_seq;
    this.#heardAtMs = runtime.monotonicMs();
    const inbox = createInbox();
    this.#subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        if (generation !== this.#generation) return;
        if (error === null) this.#receive(message, life);
        else this.#failed(error);
      },
    });
    const consumer = await this.#session.request(() =>
      manager.consumers.add(stream, {
        deliver_subject: inbox,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: this.#lastRevision + 1,
        ack_policy: AckPolicy.None,
        flow_control: true,
        idle_heartbeat: nanos(heartbeatMs),
        inactive_threshold: nanos(5_000),
        mem_storage: true,
        num_replicas: 1,
      }),
    );
    if (generation !== this.#generation) return;
    this.#attached = true;
    if (consumer.num_pending === 0 && consumer.delivered.consumer_seq === this.#lastDelivery)
      this.#becomeCurrent();
    this.#listenForSilence(generation);
  }

  #failed(error: unknown): void {
    if (this.#stopped) return;
    this.#detach();
    const generation = this.#generation;
    if (isGone(error) || isWentBack(error)) this.#gone += 1;
    else {
      this.#session.log.debug(
        { event: "watch-retry", bucket: this.#bucket, error: messageOf(error) },
        "A watch couldn't be resumed; trying again.",
      );
    }
    if (this.#gone >= goneSightings) {
      this.#gone = 0;
      if (isWentBack(error)) this.#stream.wentBack();
      else {
        void this.#stream.remake().then(
          () => this.#retry(generation),
          (failure: unknown) => {
            if (generation === this.#generation) this.#failed(failure);
          },
        );
      }
      return;
    }
    this.#retry(generation);
  }

  #retry(generation: number): void {
    if (generation !== this.#generation) return;
    this.#failures += 1;
    const delayMs = Math.min(retryMsMin * 2 ** Math.min(this.#failures - 1, 8), retryMsMax);
    this.#timer = this.#session.runtime.after(delayMs, () => this.#restart());
  }

  #listenForSilence(generation: number): void {
    this.#timer = this.#session.runtime.after(heartbeatMs, () => {
      if (generation !== this.#generation) return;
      if (this.#session.runtime.monotonicMs() - this.#heardAtMs > silenceMsMax) this.#restart();
      else this.#listenForSilence(generation);
    });
  }

  #receive(message: Msg, life: StreamLife): void {
    this.#heardAtMs = this.#session.runtime.monotonicMs();
    const code = message.headers?.code ?? 0;
    if (code === 100) this.#receiveControl(message);
    else if (code !== 0) this.#restart();
    else this.#receiveChange(message, life);
  }

  #receiveControl(message: Msg): void {
    if (message.reply !== undefined && message.reply !== "") {
      // Flow control: the server sends on once it sees this answer.
      message.respond();
      return;
    }
    const stalled = message.headers?.get("Nats-Consumer-Stalled") ?? "";
    if (stalled !== "") {
      this.#session.connection.publish(stalled);
      return;
    }
    // A heartbeat says how many messages were sent; it comes only when none is left to send.
    if (Number(message.headers?.get("Nats-Last-Consumer")) !== this.#lastDelivery) this.#restart();
    else if (this.#attached) this.#becomeCurrent();
  }

  #receiveChange(message: Msg, life: StreamLife): void {
    const { revision, delivery, pending } = parseReply(message.reply ?? "");
    if (delivery !== this.#lastDelivery + 1) {
      this.#restart();
      return;
    }
    this.#lastDelivery = delivery;
    if (revision > this.#lastRevision) {
      this.#lastRevision = revision;
      const value = isMarker(message.headers) ? undefined : message.data.slice();
      this.#call(() => this.#handlers.change({ key: keyOf(life, message.subject), value, revision }));
    }
    if (pending === 0 || revision >= this.#initialRevision) this.#becomeCurrent();
  }

  #becomeCurrent(): void {
    if (this.#current || this.#stopped) return;
    this.#current = true;
    this.#call(() => this.#handlers.current?.());
  }

  /** A handler that throws is a defect of its owner: it surfaces as uncaught, and not inside the NATS client's parser. */
  #call(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#session.runtime.soon(() => {
        throw error;
      });
    }
  }
}

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<revision>.<delivery>.<time>.<pending>`; newer servers put a domain and an
 * account before the stream and a random token at the end.
 */
function parseReply(reply: string): { revision: number; delivery: number; pending: number } {
  const tokens = reply.split(".");
  const at = tokens.length === 9 ? 5 : 7;
  return { revision: Number(tokens[at]), delivery: Number(tokens[at + 1]), pending: Number(tokens[at + 3]) };
}

function wentBackError(bucket: string): RingcacheError {
  const message = `The bucket ${bucket} has forgotten its last revisions.`;
  return new RingcacheError("COORDINATION_UNAVAILABLE", message);
}

function isWentBack(error: unknown): boolean {
  return (
    error instanceof RingcacheError && error.code === "COORDINATION_UNAVAILABLE" && error.cause === undefined
  );
}

function isGone(error: unknown): boolean {
  const cause = error instanceof RingcacheError ? error.cause : undefined;
  return cause instanceof JetStreamApiError && cause.code === JetStreamApiCodes.StreamNotFound;
}
