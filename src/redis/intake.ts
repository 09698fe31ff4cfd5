/**
 * What a connection's client has sent, from the bytes to the requests. All that came in a turn is dealt with at its end, together with
 * what other connections got; what a {@link Batch} took and gives back comes first then.
 */
import type { Socket } from "node:net";
import { type Batch, Taken } from "./batch.ts";
import type { Connection } from "./connection.ts";
import type { RedisLimits } from "./limits.ts";
import { Found, RequestParser } from "./parser.ts";
import { type Reader, Receiver } from "./receiver.ts";

const noArgs: readonly Buffer[] = [];

export class Intake implements Reader {
  readonly socket: Socket;
  /** Of the request that {@link next} has found. */
  args: readonly Buffer[] = noArgs;
  requestBytes = 0;
  /** What still comes is not to be read. */
  isOver = false;
  /** A batch had taken it. */
  isGivenBack = false;
  /** Bytes were received; `now`: they are not to wait for the end of the turn. */
  onReceived: (count: number, now: boolean) => void = () => {};
  readonly #receiver: Receiver;
  readonly #parser: RequestParser;
  /** What the parser has found, and isn't dealt with yet. */
  #found: Found = Found.nothing;
  /** Requests that a batch gave back, from `#backAt` on. */
  #back: (readonly Buffer[])[] = [];
  #backAt = 0;
  /** Something was received in this turn, and waits for its end. */
  #waits = false;

  constructor(accepted: Socket, limits: RedisLimits) {
    this.#receiver = new Receiver(accepted);
    this.#receiver.reader = this;
    this.socket = this.#receiver.socket;
    this.#parser = new RequestParser(limits);
  }

  set authenticated(authenticated: boolean) {
    this.#parser.authenticated = authenticated;
  }

  /** What the client is told when {@link next} has found that the protocol is broken. */
  get error(): string {
    return this.#parser.error;
  }

  /** Bytes of requests that are here and not dealt with. */
  get heldBytes(): number {
    return this.#parser.heldBytes;
  }

  /** Requests were found that aren't dealt with. */
  get hasUndone(): boolean {
    return this.hasBack || this.#found !== Found.nothing;
  }

  /** Nothing of what was received is left. */
  get isEmpty(): boolean {
    return !this.hasUndone && this.#parser.heldBytes === 0;
  }

  /** Requests were given back that aren't dealt with. */
  get hasBack(): boolean {
    return this.#backAt < this.#back.length;
  }

  /** For its {@link Receiver}. */
  receive(chunk: Buffer, count: number, more: boolean): void {
    if (this.isOver) return;
    // What came before was the last of its read, and yet this turn has another.
    const isLate = this.#waits;
    if (isLate) this.#receiver.keep();
    this.#parser.feed(chunk, count);
    this.#waits = true;
    this.onReceived(count, more || isLate);
  }

  /** Finds the next request: its arguments are in {@link args} then. */
  next(): Found {
    this.isGivenBack = this.hasBack;
    if (this.isGivenBack) {
      this.args = this.#back[this.#backAt++]!;
      if (!this.hasBack) this.forget();
      this.requestBytes = 0;
      for (const { length } of this.args) this.requestBytes += length;
      return Found.request;
    }
    const found = this.#found === Found.nothing ? this.#parser.next() : this.#found;
    this.#found = Found.nothing;
    this.requestBytes = this.#parser.requestBytes;
    this.args = found === Found.request ? this.#parser.args() : noArgs;
    return found;
  }

  /** Gives the batch what it takes of the next requests, of which nothing was given back. Returns how many; negative: it is full. */
  offer(connection: Connection, batch: Batch): number {
    for (let count = 0; ; count++) {
      if (this.#found === Found.nothing) this.#found = this.#parser.next();
      if (this.#found !== Found.request) return count;
      const taken = batch.take(connection, this.#parser);
      if (taken !== Taken.yes) return taken === Taken.full ? -1 - count : count;
      this.#found = Found.nothing;
    }
  }

  giveBack(args: readonly Buffer[]): void {
    this.#back.push(args);
  }

  /** The end of the turn: what was received stays as it is if something may refer to it. */
  settle(inUse: boolean): void {
    this.#waits = false;
    if (inUse || this.hasUndone || this.#parser.holdsChunk) this.#receiver.keep();
  }

  /** Nothing that was given back is to be dealt with. */
  forget(): void {
    this.#back = [];
    this.#backAt = 0;
  }
}
