/** Compare-and-set on a NATS bucket: by the expected last sequence of the key's subject. */
import { JetStreamApiError, type StoredMsg } from "@nats-io/jetstream";
import { type MsgHdrs, headers as newHeaders } from "@nats-io/transport-node";
import type { Bucket, Entry, Watch, WatchHandlers, WriteResult } from "./coordination.ts";
import { requireKey, requireRevision } from "./names.ts";
import { isMarker, operationHeader, type StreamLife, streamOf, subjectOf } from "./nats-layout.ts";
import type { NatsSession } from "./nats-session.ts";
import type { NatsStream } from "./nats-stream.ts";
import { NatsWatch } from "./nats-watch.ts";

const wrongLastSequence = 10071;
/** A clustered server's answer when another write to the subject is still being agreed on; ours was dropped. */
const wrongLastSequenceUnknown = 10164;

/** `create` looks again after each conflict with a delete marker that changed under it; more than this is contention. */
const createAttemptsMax = 4;

export class NatsBucket implements Bucket {
  readonly #stream: NatsStream;
  readonly #session: NatsSession;
  readonly #watches: Set<NatsWatch>;

  constructor(stream: NatsStream, watches: Set<NatsWatch>) {
    this.#stream = stream;
    this.#session = stream.session;
    this.#watches = watches;
  }

  get name(): string {
    return this.#stream.bucket;
  }

  get generation(): string {
    return this.#stream.life?.generation ?? "";
  }

  async get(key: string): Promise<Entry | undefined> {
    requireKey(key);
    return this.#stream.within(async (life) => {
      const message = await this.#last(life, key);
      if (message === null || isMarker(message.header)) return undefined;
      return { key, value: message.data, revision: message.seq };
    });
  }

  async create(key: string, value: Uint8Array): Promise<WriteResult> {
    requireKey(key);
    return this.#stream.within(async (life) => {
      let expected = 0;
      for (let attempt = 0; attempt < createAttemptsMax; attempt += 1) {
        const result = await this.#write(life, key, value, expected);
        if (result.written) return result;
        const message = await this.#last(life, key);
        if (message !== null && !isMarker(message.header)) return result;
        // Only that very marker, or nothing if it is gone by now, may be written over.
        expected = message?.seq ?? 0;
      }
      return { written: false };
    });
  }

  async update(key: string, value: Uint8Array, revision: number): Promise<WriteResult> {
    requireKey(key);
    requireRevision(revision);
    return this.#stream.within((life) => this.#write(life, key, value, revision));
  }

  async remove(key: string, revision: number): Promise<WriteResult> {
    requireKey(key);
    requireRevision(revision);
    const marker = newHeaders();
    marker.set(operationHeader, "DEL");
    return this.#stream.within((life) => this.#write(life, key, new Uint8Array(0), revision, marker));
  }

  watch(handlers: WatchHandlers): Watch {
    const watch = new NatsWatch(this.#stream, handlers, () => this.#watches.delete(watch));
    this.#watches.add(watch);
    watch.start();
    return watch;
  }

  /** Asked of the stream's leader, not of any replica, even if somebody made the bucket with direct gets. */
  #last(life: StreamLife, key: string): Promise<StoredMsg | null> {
    const query = { last_by_subj: subjectOf(life, key) };
    return this.#session.request(() => this.#session.manager.streams.getMessage(streamOf(this.name), query));
  }

  async #write(
    life: StreamLife,
    key: string,
    value: Uint8Array,
    expected: number,
    headers?: MsgHdrs,
  ): Promise<WriteResult> {
    // The bytes are sent when there is a connection, which may be later; the caller may reuse its buffer at once.
    const bytes = value.slice();
    const options = { expect: { lastSubjectSequence: expected }, ...(headers && { headers }) };
    try {
      const ack = await this.#session.request(() =>
        this.#session.jetstream.publish(subjectOf(life, key), bytes, options),
      );
      return { written: true, revision: ack.seq };
    } catch (error) {
      if (isConflict(error)) return { written: false };
      throw error;
    }
  }
}

function isConflict(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  if (!(cause instanceof JetStreamApiError)) return false;
  return cause.code === wrongLastSequence || cause.code === wrongLastSequenceUnknown;
}
