/**
 * The stream behind a bucket, in its present life. A stream that is gone is made anew by whoever notices; that another
 * one stands in its place is told to everyone who uses it, in one turn in which nobody can write.
 */
import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  type StreamInfo,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { RingcacheError } from "../errors.ts";
import type { BucketOptions } from "./coordination.ts";
import { lifeOf, type StreamLife, streamOf, subjectsOf } from "./nats-layout.ts";
import type { NatsSession } from "./nats-session.ts";

const tokenSizeBytes = 6;
/** Lives that are remembered as over. */
const pastMax = 16;

/** A watch on the stream. */
export interface StreamUser {
  /** What still comes of the present life isn't delivered any more. */
  suspend(): void;
  /** Another life has begun. */
  lost(): void;
  /** Something suggests that the stream is gone: look. */
  look(): void;
}

export class NatsStream {
  readonly session: NatsSession;
  readonly bucket: string;
  readonly users = new Set<StreamUser>();
  readonly #options: BucketOptions;
  /** Undefined between two lives. */
  #life: StreamLife | undefined;
  #past: string[] = [];

  static async open(session: NatsSession, bucket: string, options: BucketOptions): Promise<NatsStream> {
    const info = await session.request(() => openStream(session, bucket, options));
    return new NatsStream(session, bucket, options, lifeOf(bucket, info));
  }

  private constructor(session: NatsSession, bucket: string, options: BucketOptions, life: StreamLife) {
    this.session = session;
    this.bucket = bucket;
    this.#options = options;
    this.#life = life;
  }

  get life(): StreamLife | undefined {
    return this.#life;
  }

  /** True if that is the stream of the present life; if it is one of another life, that begins. */
  isPresent(info: StreamInfo): boolean {
    const life = lifeOf(this.bucket, info);
    if (life.generation === this.#life?.generation) return true;
    // A server that lags behind may still show a stream that is gone.
    if (!this.#past.includes(life.generation)) this.#begin(life);
    return false;
  }

  /** The stream is gone: makes it anew, unless somebody has. */
  async remake(): Promise<void> {
    this.isPresent(await this.session.request(() => openStream(this.session, this.bucket, this.#options)));
  }

  /** The stream is the same, but has forgotten its last revisions: as bad as another one. */
  wentBack(): void {
    if (this.#life !== undefined) this.#begin(this.#life);
  }

  /**
   * Runs one request, in which `life` stands for all of its time: what it comes to is thrown away if another one has
   * begun meanwhile.
   */
  async within<T>(run: (life: StreamLife) => Promise<T>): Promise<T> {
    const life = this.#life;
    if (life === undefined) throw this.#lostError("none");
    let failure: unknown;
    let result: T | undefined;
    try {
      result = await run(life);
    } catch (error) {
      failure = error;
      if (isNoSuchStream(error)) for (const user of [...this.users]) user.look();
    }
    if (this.#life !== life) throw this.#lostError("unknown");
    if (failure !== undefined) throw failure;
    return result as T;
  }

  #begin(life: StreamLife): void {
    const before = this.#life;
    if (before === undefined) return;
    this.#life = undefined;
    if (before !== life) this.#past = [...this.#past, before.generation].slice(-pastMax);
    for (const user of this.users) user.suspend();
    this.session.log.error(
      { event: "bucket-lost", bucket: this.bucket },
      "The bucket has lost its data in NATS; it begins anew.",
    );
    // By then those who wait for an answer of the life before have seen it, and a write can't be based on it any more.
    this.session.runtime.soon(() => {
      this.#life = { ...life };
      for (const user of [...this.users]) user.lost();
    });
  }

  #lostError(outcome: "none" | "unknown"): RingcacheError {
    return new RingcacheError("COORDINATION_TIMEOUT", `The bucket ${this.bucket} has lost its data.`, {
      outcome,
    });
  }
}

/** No stream took the message, or there is none of the name. Without JetStream nobody answers either. */
function isNoSuchStream(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof JetStreamApiError) return error.code === JetStreamApiCodes.StreamNotFound;
  return (
    error.name === "NoRespondersError" || error.name === "JetStreamNotEnabled" || isNoSuchStream(error.cause)
  );
}

/** On a clustered NATS a bucket outlives the loss of one server. */
const clusterReplicas = 3;

/** Several nodes do this at once: the bucket is the first one's, as a stream's name is taken only once. */
async function openStream(
  { manager, connection, runtime }: NatsSession,
  name: string,
  options: BucketOptions,
): Promise<StreamInfo> {
  const clustered = connection.info?.cluster !== undefined;
  const token = runtime.randomBytes(tokenSizeBytes).toString("hex");
  const stream = streamOf(name);
  const find = async (): Promise<StreamInfo | undefined> => {
    try {
      return await manager.streams.info(stream);
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound)
        return undefined;
      throw error;
    }
  };
  const found = await find();
  if (found !== undefined) return found;
  const add = (replicas: number): Promise<StreamInfo> =>
    manager.streams.add({
      name: stream,
      subjects: [subjectsOf(name, token)],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      max_msgs_per_subject: 1,
      num_replicas: replicas,
      allow_rollup_hdrs: true,
      deny_delete: true,
      // A replica that answers by itself may be behind; reads go to the leader.
      allow_direct: false,
      ...(options.ttlMs !== undefined && { max_age: nanos(options.ttlMs) }),
    });
  try {
    if (!clustered) return await add(1);
    // A cluster of fewer than three servers can't place three replicas.
    return await add(clusterReplicas).catch(() => add(1));
  } catch (error) {
    const made = await find();
    if (made === undefined) throw error;
    return made;
  }
}
