/** The cache as an application sees it: typed values over a node that lives in its process. */
import { RingcacheError } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import {
  type Command,
  expiresAtMsMax,
  keySizeBytesMax,
  noBytes,
  Op,
  type Reply,
  valueSizeBytesMax,
} from "./command.ts";
import type { CacheNode } from "./node.ts";

/** Turns values into bytes and back. `decode` gets a view that is valid only during the call. */
export interface Serializer<V> {
  encode(value: V): Uint8Array;
  decode(bytes: Buffer): V;
}

/** Any JSON value; `undefined` at the top can't be stored. */
export const jsonSerializer: Serializer<unknown> = {
  encode(value) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new RingcacheError("FIELD_INVALID", "this value has no JSON form");
    return Buffer.from(text);
  },
  decode: (bytes) => JSON.parse(bytes.toString("utf8")) as unknown,
};

/** Bytes as they are. */
export const bytesSerializer: Serializer<Uint8Array> = {
  encode: (value) => value,
  decode: (bytes) => Buffer.from(bytes),
};

export interface SetOptions {
  /** Seconds until the entry expires, fractions allowed; absent or 0: never. */
  readonly ttl?: number;
}

export class Cache<V = unknown> {
  /** The node behind it: the ring, its events and its statistics. */
  readonly node: CacheNode;
  readonly #serializer: Serializer<V>;
  readonly #runtime: Runtime;
  readonly #release: () => Promise<void>;
  #closing: Promise<void> | undefined;

  constructor(node: CacheNode, serializer: Serializer<V>, runtime: Runtime, release: () => Promise<void>) {
    this.node = node;
    this.#serializer = serializer;
    this.#runtime = runtime;
    this.#release = release;
  }

  /**
   * The value, or undefined if there is none. A key has 1 to 65,536 bytes of UTF-8. All operations throw
   * KEY_MISSING, KEY_TOO_LONG, DEADLINE_EXCEEDED, OVERLOADED, LINK_LOST, CLOSED; the error's `outcome` says whether
   * it may have been carried out.
   */
  get(key: string): Promise<V | undefined> {
    return this.#run(Op.get, key, noBytes, 0, (reply) =>
      reply.found ? this.#serializer.decode(reply.value) : undefined,
    );
  }

  /** Also throws VALUE_TOO_LARGE (more than 16 MiB) and TTL_INVALID. */
  async set(key: string, value: V, options: SetOptions = {}): Promise<void> {
    const bytes = this.#encode(value);
    if (bytes.length > valueSizeBytesMax) {
      throw new RingcacheError(
        "VALUE_TOO_LARGE",
        `a value has at most ${valueSizeBytesMax} bytes, this one has ${bytes.length}`,
      );
    }
    await this.#run(Op.set, key, bytes, this.#expiry(options.ttl), () => undefined);
  }

  /**
   * Stores `value` if the key's value is `expected`, or, with `expected` undefined, if the key isn't there; resolves with
   * whether it did. What is compared are the serialized bytes: a serializer that writes equal values differently (JSON
   * with another order of fields) makes them different. The ttl is that of the new value: absent or 0, none. Also
   * throws VALUE_TOO_LARGE (both together more than 16 MiB) and TTL_INVALID.
   */
  async compareAndSet(
    key: string,
    expected: V | undefined,
    value: V,
    options: SetOptions = {},
  ): Promise<boolean> {
    const before = expected === undefined ? undefined : this.#encode(expected);
    const bytes = this.#encode(value);
    const sizeBytes = bytes.length + (before?.length ?? 0);
    if (sizeBytes > valueSizeBytesMax) {
      throw new RingcacheError(
        "VALUE_TOO_LARGE",
        `the expected and the new value together have at most ${valueSizeBytesMax} bytes, these have ${sizeBytes}`,
      );
    }
    const expiresAtMs = this.#expiry(options.ttl);
    return this.#run(Op.cas, key, bytes, expiresAtMs, (reply) => reply.found, before);
  }

  /** Whether there was an entry. */
  delete(key: string): Promise<boolean> {
    return this.#run(Op.delete, key, noBytes, 0, (reply) => reply.found);
  }

  /** Whether there is an entry, without fetching its value. */
  has(key: string): Promise<boolean> {
    return this.#run(Op.has, key, noBytes, 0, (reply) => reply.found);
  }

  /** Hands over what this process holds, leaves the ring and closes what `createCache` opened. */
  close(): Promise<void> {
    this.#closing ??= this.node.leave().then(this.#release);
    return this.#closing;
  }

  #expiry(ttl = 0): number {
    if (ttl === 0) return 0;
    const expiresAtMs = Math.ceil(this.#runtime.wallMs() + ttl * 1000);
    if (!(ttl > 0) || !(expiresAtMs <= expiresAtMsMax)) {
      throw new RingcacheError(
        "TTL_INVALID",
        `a ttl is a number of seconds from 0 to the end of dates, not ${ttl}`,
      );
    }
    return expiresAtMs;
  }

  #encode(value: V): Buffer {
    const bytes = this.#serializer.encode(value);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #run<T>(
    op: Op,
    key: string,
    value: Buffer,
    expiresAtMs: number,
    result: (reply: Reply) => T,
    expected?: Buffer,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const bytes = keyBytes(key);
      const command: Command = { op, key: bytes, value, expiresAtMs, expected };
      this.node.execute(command, (error, reply) => {
        if (error !== undefined) return reject(error);
        try {
          resolve(result(reply!));
        } catch (thrown) {
          reject(thrown);
        }
      });
    });
  }
}

function keyBytes(key: string): Buffer {
  if (typeof key !== "string" || key.length === 0)
    throw new RingcacheError("KEY_MISSING", "a key is a string that isn't empty");
  const bytes = Buffer.from(key);
  if (bytes.length > keySizeBytesMax) {
    throw new RingcacheError(
      "KEY_TOO_LONG",
      `a key has at most ${keySizeBytesMax} bytes of UTF-8, this one has ${bytes.length}`,
    );
  }
  return bytes;
}
