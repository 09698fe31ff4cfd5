/** One request of a connection, until its reply is written: what a handler gets. */
import { type Done, keySizeBytesMax } from "../cache/command.ts";
import type { RingcacheError } from "../errors.ts";
import type { CommandSpec } from "./command-table.ts";
import type { Connection } from "./connection.ts";
import type { RedisContext } from "./context.ts";
import { errorText } from "./error-text.ts";
import { ReadGroup } from "./read-group.ts";
import { ReplyWriter } from "./writer.ts";

/** As long as nothing else is said, a small reply. */
const ownSizeBytes = 256;
const noArgs: readonly Buffer[] = [];

export class Call {
  readonly connection: Connection;
  /** What was asked for, the command's name first; views that stay as they are until the call has ended. */
  args: readonly Buffer[] = noArgs;
  /** Undefined for a request that is answered before it has led to a command. */
  spec: CommandSpec | undefined;
  /** For an operation of one key that ends with its value, or null. */
  readonly onValue: Done;
  /** For one that ends with OK. */
  readonly onOk: Done;
  /** For one that ends with 1 if the key was there, else 0. */
  readonly onFound: Done;
  /** The connection's own: no earlier request is unanswered. */
  direct = false;
  ended = true;
  /** Nobody is to see the reply. */
  muted = false;
  /** About how many bytes it holds while it waits. */
  sizeBytes = 0;
  /** The hashes of its keys, if another request with one of them has to wait for it. */
  pendingKeys: readonly number[] | undefined;
  /** It stands for several GETs. */
  reads: ReadGroup | undefined;
  /** For {@link reads}, again and again. */
  #group: ReadGroup | undefined;
  #own: ReplyWriter | undefined;
  #sink: ReplyWriter | undefined;
  #sinkEnded: (() => void) | undefined;

  constructor(connection: Connection) {
    this.connection = connection;
    this.onValue = (error, reply) => {
      if (error !== undefined) this.fail(error);
      else if (reply!.found) this.bulk(reply!.value);
      else this.null();
    };
    this.onOk = (error) => {
      if (error !== undefined) this.fail(error);
      else this.ok();
    };
    this.onFound = (error, reply) => {
      if (error !== undefined) this.fail(error);
      else this.integer(reply!.found ? 1 : 0);
    };
  }

  get context(): RedisContext {
    return this.connection.context;
  }

  /** Where the reply goes. To be asked for anew after every wait: it changes as earlier requests are answered. */
  get out(): ReplyWriter {
    if (this.direct) return this.connection.out;
    if (this.#sink !== undefined) return this.#sink;
    this.#own ??= new ReplyWriter(2, ownSizeBytes);
    this.#own.protocol = this.connection.protocol;
    return this.#own;
  }

  /** The reply is written. */
  end(): void {
    if (this.ended) throw new Error("a call was ended twice");
    this.ended = true;
    const sinkEnded = this.#sinkEnded;
    if (sinkEnded === undefined) this.connection.callEnded(this);
    else {
      this.#sink = undefined;
      this.#sinkEnded = undefined;
      sinkEnded();
    }
  }

  ok(): void {
    this.out.ok();
    this.end();
  }

  simple(text: string): void {
    this.out.simple(text);
    this.end();
  }

  integer(value: number | bigint): void {
    this.out.integer(value);
    this.end();
  }

  bulk(bytes: Buffer): void {
    this.out.bulk(bytes);
    this.end();
  }

  text(text: string): void {
    this.out.text(text);
    this.end();
  }

  null(): void {
    this.out.null();
    this.end();
  }

  /** `text` begins with its code, as in `ERR syntax error`. */
  error(text: string): void {
    this.context.statistics.errors++;
    this.out.error(text);
    this.end();
  }

  /** What the cache layer could not do. */
  fail(error: RingcacheError): void {
    this.error(errorText(error, this.connection.clusterAware));
  }

  /** Whether the key can be stored; if not, the call is answered with an error. */
  checkKey(key: Buffer): boolean {
    if (key.length > 0 && key.length <= keySizeBytesMax) return true;
    this.error(key.length === 0 ? emptyKey : longKey);
    return false;
  }

  /**
   * Carries another request out as part of this one, as EXEC does: its reply goes to `sink`, then `ended` is called, now
   * or later. The checks of the dispatch (arity, key sizes, redirections) have been passed before.
   */
  run(spec: CommandSpec, args: readonly Buffer[], sink: ReplyWriter, ended: () => void): void {
    const call = new Call(this.connection);
    call.spec = spec;
    call.args = args;
    call.ended = false;
    call.#sink = sink;
    call.#sinkEnded = ended;
    spec.handler!(call);
  }

  /** It is to stand for several GETs. */
  startReads(): ReadGroup {
    this.#group ??= new ReadGroup(this);
    this.reads = this.#group.begin();
    return this.reads;
  }

  /** For the connection: lets go of what it held. */
  forget(): void {
    this.args = noArgs;
    this.spec = undefined;
    this.reads = undefined;
    this.sizeBytes = 0;
    this.direct = false;
    if (this.#own !== undefined && this.#own.size > 0) this.#own.reset();
  }

  /** For the connection: what was written while earlier requests were unanswered; then it is forgotten. */
  takeOwn(into: ReplyWriter | undefined): void {
    if (this.#own === undefined || this.#own.size === 0) return;
    into?.raw(this.#own.bytes);
    this.#own.reset();
  }
}

export const emptyKey = "ERR the key is empty";
export const longKey = "ERR the key is longer than 64 KiB";
