/** The requests of a connection from when they are carried out until their replies, in their order, are in its output. */
import { Call } from "./call.ts";
import type { CommandSpec } from "./command-table.ts";
import type { Connection } from "./connection.ts";
import { PendingKeys } from "./pending-keys.ts";
import type { ReadGroup } from "./read-group.ts";
import type { ReplyWriter } from "./writer.ts";

/** Calls that are kept for the requests to come. */
const spareMax = 32;
/** So many places at the front may be empty before they are given up. */
const emptyMax = 1_024;

export class CallQueue {
  /** About how many bytes the requests in it have. */
  sizeBytes = 0;
  readonly #connection: Connection;
  readonly #out: ReplyWriter;
  /** In the order of their requests, from `#head` on; the first has not ended. */
  #calls: Call[] = [];
  #head = 0;
  readonly #spare: Call[] = [];
  /** The one that is in its first turn: not in the queue yet. */
  #current: Call | undefined;
  readonly #pending = new PendingKeys();
  /** Everything waits until this one has ended. */
  #alone: Call | undefined;

  constructor(connection: Connection, out: ReplyWriter) {
    this.#connection = connection;
    this.#out = out;
  }

  get length(): number {
    return this.#calls.length - this.#head;
  }

  /** Nothing may be carried out for now. */
  get isBlocked(): boolean {
    return this.#alone !== undefined;
  }

  /** Whether a request with that key might overtake one that is in the queue. */
  isPending(key: Buffer): boolean {
    return this.#pending.hasKey(key);
  }

  /** Whether the request might overtake one that is in the queue. */
  mustWait(spec: CommandSpec, args: readonly Buffer[]): boolean {
    if (this.length === 0 || spec.order === "free") return false;
    return spec.order === "alone" || this.#pending.has(spec, args);
  }

  /** For the next request, which is carried out now; {@link leave} follows in the same turn. */
  begin(muted: boolean): Call {
    const call = this.#spare.pop() ?? new Call(this.#connection);
    call.ended = false;
    call.muted = muted;
    call.direct = this.length === 0 && !muted;
    this.#current = call;
    return call;
  }

  /**
   * The request's first turn is over: either it has its reply, or it takes its place in the queue. `key`: its only one, if it
   * isn't in its arguments; `sizeBytes`: the request's.
   */
  leave(call: Call, key: Buffer | undefined, sizeBytes: number): void {
    this.#current = undefined;
    if (call.ended && this.length === 0) {
      if (!call.direct) call.takeOwn(call.muted ? undefined : this.#out);
      this.#giveBack(call);
      return;
    }
    if (!call.ended) {
      if (call.spec?.order === "alone") this.#alone = call;
      else this.#pending.add(call, key);
      if (this.length === 0 && !call.muted) call.direct = true;
    }
    call.sizeBytes = sizeBytes;
    this.sizeBytes += sizeBytes;
    this.#calls.push(call);
  }

  /** The call, which was just begun, becomes that of a group of reads. */
  group(call: Call): ReadGroup {
    const group = call.startReads();
    this.leave(call, undefined, 0);
    return group;
  }

  /** What wasn't asked for goes behind the replies to what was asked before. */
  push(write: (out: ReplyWriter) => void): void {
    if (this.length === 0) {
      write(this.#out);
      return;
    }
    const call = this.#spare.pop() ?? new Call(this.#connection);
    call.muted = false;
    call.direct = false;
    write(call.out);
    call.ended = true;
    this.#calls.push(call);
  }

  /** A call's reply is written; true if it wasn't in its first turn, so that there may be something to send or go on with. */
  ended(call: Call): boolean {
    if (call === this.#current) return false;
    if (call === this.#alone) this.#alone = undefined;
    this.#pending.delete(call);
    if (call !== this.#calls[this.#head]) return false;
    this.#advance();
    return true;
  }

  /** Takes the calls that have ended from the front. */
  #advance(): void {
    for (let call = this.#calls[this.#head]; call?.ended === true; call = this.#calls[this.#head]) {
      this.#head++;
      call.takeOwn(call.muted ? undefined : this.#out);
      this.sizeBytes -= call.sizeBytes;
      this.#giveBack(call);
    }
    const first = this.#calls[this.#head];
    if (first !== undefined && !first.muted) first.direct = true;
    if (first === undefined || this.#head >= emptyMax) {
      this.#calls = this.#calls.slice(this.#head);
      this.#head = 0;
    }
  }

  #giveBack(call: Call): void {
    call.forget();
    if (this.#spare.length < spareMax) this.#spare.push(call);
  }
}
