/**
 * The small key-value store through which nodes agree: who is alive, who owns what. Two implementations, NATS
 * JetStream KV and in-process memory, pass one contract suite (`tests/contract/coordination.ts`).
 *
 * What a caller may rely on, and no more:
 * - a compare-and-set (`create`, `update`, `remove`) that answers `written: true` was applied exactly once, on
 *   exactly the named revision; this is the only authoritative read there is;
 * - `written: false` means another revision is there;
 * - a throw with code `COORDINATION_TIMEOUT` says nothing: the write may have been stored or still be;
 * - `get` and `watch` may be stale, but a watch delivers the changes of one key in the order of their revisions,
 *   and in the end the last one;
 * - revisions grow with every write to the bucket for as long as it lives. A bucket that lost its data (its stream was
 *   deleted, the server came back with an empty disk) begins another life: it is made anew by whoever notices first,
 *   `generation` changes, every watch is told `lost`, and revisions start over. No write that was given a revision
 *   before that, nor a `create`, takes effect in the new life, and no answer of the old life comes after `lost`.
 */

/** One stored value. Revisions are positive and grow within a bucket. */
export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
}

/** What a watch delivers. `value` undefined: the key was removed or expired. */
export interface Change {
  readonly key: string;
  readonly value: Uint8Array | undefined;
  readonly revision: number;
}

export type WriteResult = { readonly written: true; readonly revision: number } | { readonly written: false };

export interface WatchHandlers {
  /** Each key's present value first, then every change. Intermediate revisions of a key may be skipped. */
  change(change: Change): void;
  /** All values that were there when the watch began have been delivered. Called once. */
  current?(): void;
  /**
   * The bucket has lost all its data: what was known of revisions is void from here on, and what is in the bucket now
   * follows as changes. All watches of one bucket object are told in the same turn, before it takes another call.
   */
  lost(): void;
  /**
   * The watch has ended for good, because the store was closed, and the caller didn't stop it. A lost connection is not
   * an end: the watch resumes by itself and delivers what it missed.
   */
  ended?(error: Error): void;
}

export interface Watch {
  stop(): void;
}

/** A loss is noticed by the bucket's watches; a bucket object without any finds out by calls that fail. */
export interface Bucket {
  readonly name: string;
  /** Names the present life of the bucket, the same on every node; empty while it is changing. */
  readonly generation: string;
  /** May be stale. Throws COORDINATION_TIMEOUT or COORDINATION_UNAVAILABLE. */
  get(key: string): Promise<Entry | undefined>;
  /** Writes if the key has no value: never had one, was removed or expired. */
  create(key: string, value: Uint8Array): Promise<WriteResult>;
  /** Writes if the key's latest revision is `revision`. */
  update(key: string, value: Uint8Array, revision: number): Promise<WriteResult>;
  /** Removes the value if the key's latest revision is `revision`; watchers see a change without a value. */
  remove(key: string, revision: number): Promise<WriteResult>;
  watch(handlers: WatchHandlers): Watch;
}

export interface BucketOptions {
  /** Old entries are collected this many milliseconds after their write; absent: never. No proof of anything. */
  readonly ttlMs?: number;
}

export type CoordinationStatus = "connected" | "disconnected" | "closed";

/** Messages of at most {@link channelMessageBytesMax}. */
export interface Channel {
  /** Resolves when what others send from now on is heard; never rejects. */
  readonly ready: Promise<void>;
  /** Whether it was sent: not after this was closed. Throws INTERNAL if it is too long. */
  send(message: Uint8Array): boolean;
  close(): void;
}

/** 1 MiB, which NATS takes unless it is told otherwise, less what names the sender. */
export const channelMessageBytesMax = 1024 * 1024 - 64;

export interface Coordination {
  /** Where the store is, for messages: a NATS URL without credentials, or "memory". */
  readonly location: string;
  readonly status: CoordinationStatus;
  /** Opens the bucket, making it if it isn't there. Names: letters, digits, `-` and `_`. */
  openBucket(name: string, options?: BucketOptions): Promise<Bucket>;
  /**
   * Opens a channel: what one who has it open sends, all the others receive, if they are connected at that moment; nothing is
   * kept, and nothing is sent again. Names: letters, digits, `-` and `_`.
   */
  openChannel(name: string, receive: (message: Uint8Array) => void): Channel;
  /** Calls `listener` at every change of {@link status}; the returned function ends that. */
  onStatus(listener: (status: CoordinationStatus) => void): () => void;
  /** Ends every watch and, where there is one, the connection. Calls under way fail with CLOSED. */
  close(): Promise<void>;
}
