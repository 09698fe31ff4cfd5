/**
 * One connection: its requests in, its replies out in the order of the requests, though some end later than others. What
 * ends in its own turn, with nothing unanswered before it, is written straight into the connection's output; the rest
 * takes its place in a queue. Memory is bounded: with too much unanswered or unsent, nothing more is read or carried out.
 */
import type { Socket } from "node:net";
import { keySizeBytesMax, noBytes, Op } from "../cache/command.ts";
import { messageOf } from "../errors.ts";
import type { Timer } from "../runtime.ts";
import type { Call } from "./call.ts";
import { CallQueue } from "./call-queue.ts";
import type { CommandSpec } from "./command-table.ts";
import type { RedisContext } from "./context.ts";
import { commandOf, isOfHttp, refusal } from "./dispatch.ts";
import { Found, RequestParser } from "./parser.ts";
import { type Reader, Receiver } from "./receiver.ts";
import { Session } from "./session.ts";
import type { ReplyWriter } from "./writer.ts";

const get = (0x47 << 16) | (0x45 << 8) | 0x54;
const set = (0x53 << 16) | (0x45 << 8) | 0x54;

export class Connection extends Session implements Reader {
  readonly id: number;
  readonly socket: Socket;
  readonly connectedMs: number;
  activeMs: number;
  readonly #receiver: Receiver;
  readonly #parser: RequestParser;
  /** A request that was carried out may have kept views of what was received. */
  #hasKept = false;
  readonly #scheduleTurn: (connection: Connection) => void;
  readonly #calls: CallQueue;
  /** The kernel hasn't taken all that was written. */
  #isBackedUp = false;
  /** The server knows that its turn is to come. */
  #isDue = false;
  /** A request that waits for earlier ones. */
  #held: { readonly spec: CommandSpec; readonly args: readonly Buffer[] } | undefined;
  #processing = false;
  #paused = false;
  #ending = false;
  #inputEnded = false;
  #closed = false;
  #linger: Timer | undefined;

  constructor(id: number, accepted: Socket, context: RedisContext, scheduleTurn: (of: Connection) => void) {
    super(context);
    this.id = id;
    this.#receiver = new Receiver(accepted);
    this.#receiver.reader = this;
    this.socket = this.#receiver.socket;
    this.#scheduleTurn = scheduleTurn;
    this.#parser = new RequestParser(context.limits);
    this.#parser.authenticated = this.authenticated;
    this.#calls = new CallQueue(this, this.out);
    this.connectedMs = context.runtime.monotonicMs();
    this.activeMs = this.connectedMs;
    const { socket } = this;
    socket.on("drain", () => this.#continue());
    socket.on("end", () => {
      this.#inputEnded = true;
      this.#continue();
    });
    // "close" follows.
    socket.on("error", () => {});
    socket.on("close", () => this.#cleanUp());
  }

  /** Requests without an answer. */
  get unanswered(): number {
    return this.#calls.length;
  }

  /** Bytes of requests that are here and not carried out. */
  get heldBytes(): number {
    return this.#parser.heldBytes;
  }

  /** Bytes of replies that the kernel hasn't taken. */
  get unsentBytes(): number {
    return this.out.size + this.socket.writableLength;
  }

  /** Something was asked and isn't answered, or an answer isn't sent. */
  get isBusy(): boolean {
    return this.unanswered > 0 || this.#held !== undefined || this.unsentBytes > 0;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** After the replies to what was asked up to now, this one's included, the connection is closed. */
  endAfterReply(): void {
    this.#ending = true;
  }

  /** Sends something that wasn't asked for, after the replies to what was asked up to now. */
  push(write: (out: ReplyWriter) => void): void {
    if (this.#closed) return;
    this.#calls.push(write);
    if (this.unsentBytes > this.context.limits.pubsubOutputBytesMax) this.#overflow();
    else this.#schedule();
  }

  /** For its {@link Receiver}. */
  receive(chunk: Buffer): void {
    this.context.statistics.bytesIn += chunk.length;
    if (this.#ending) return;
    this.#parser.feed(chunk);
    try {
      this.#continue();
    } catch (thrown) {
      this.fail(thrown);
    }
    const inUse = this.#calls.length > 0 || this.#held !== undefined || this.transaction !== undefined;
    if (inUse || this.#hasKept || this.#parser.holdsChunk) this.#receiver.keep();
    this.#hasKept = false;
  }

  /** Goes on with what was received, as far as the bounds allow. */
  #continue(): void {
    if (this.#processing || this.#closed) return;
    this.#processing = true;
    try {
      this.#process();
    } finally {
      this.#processing = false;
    }
    if (this.out.size > 0 || this.#ending || this.#inputEnded) this.#schedule();
  }

  #process(): void {
    while (!this.#ending && !this.#closed) {
      if (!this.#mayGoOn()) {
        this.#pause();
        return;
      }
      const held = this.#held;
      if (held !== undefined) {
        if (this.#calls.mustWait(held.spec, held.args)) {
          this.#pause();
          return;
        }
        this.#held = undefined;
        this.#run(held.spec, held.args);
        continue;
      }
      const found = this.#parser.next();
      if (found === Found.request) this.#request();
      else if (found === Found.nothing) {
        this.#resume();
        return;
      } else this.#unreadable(found);
    }
  }

  /** Whether another request may be carried out; sends what is ready if there is much of it. */
  #mayGoOn(): boolean {
    const { limits } = this.context;
    const calls = this.#calls;
    if (calls.isBlocked || calls.length >= limits.unansweredMax) return false;
    if (calls.sizeBytes >= limits.unansweredBytesMax) return false;
    if (!this.#isBackedUp && this.out.size < limits.unsentBytesMax) return true;
    this.flush();
    this.#isBackedUp = this.socket.writableLength > 0;
    return this.unsentBytes < limits.unsentBytesMax;
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.socket.pause();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.socket.resume();
  }

  #request(): void {
    const parser = this.#parser;
    this.context.statistics.commands++;
    if (parser.argc === 2 && parser.isNamed(get) && this.#isPlain()) {
      if (this.#quick("get", Op.get)) return;
    } else if (parser.argc === 3 && parser.isNamed(set) && this.#isPlain()) {
      if (this.#quick("set", Op.set)) return;
    }
    const args = parser.args();
    parser.authenticated = this.authenticated;
    if (isOfHttp(args[0]!)) {
      const { log } = this.context;
      log.warn(
        { event: "redis-http", client: this.id },
        "an HTTP request came in at the Redis port: refused",
      );
      this.destroy();
      return;
    }
    const spec = commandOf(this.context.commands, args);
    const refused = typeof spec === "string" ? spec : refusal(this, spec, args);
    if (refused !== undefined) this.#refuse(refused);
    else if (typeof spec !== "string") this.#admit(spec, args);
    parser.authenticated = this.authenticated;
  }

  /** Nothing stands between a GET or SET and the cache. */
  #isPlain(): boolean {
    return (
      this.authenticated &&
      this.transaction === undefined &&
      (this.subscriptions === 0 || this.protocol === 3) &&
      this.replies === "on"
    );
  }

  /** GET and SET without options, which most requests are; false: they have to go the usual way. */
  #quick(name: string, op: Op): boolean {
    const key = this.#parser.arg(1);
    if (key.length === 0 || key.length > keySizeBytesMax) return false;
    const { ring, door } = this.context;
    if (this.#calls.isPending(key)) return false;
    if (this.clusterAware && ring?.serves(ring.partitionFor(key)) !== true) return false;
    this.lastCommand = name;
    const call = this.#begin();
    const isGet = op === Op.get;
    const value = isGet ? noBytes : this.#parser.arg(2);
    door.execute({ op, key, value, expiresAtMs: 0, expected: undefined }, isGet ? call.onValue : call.onOk);
    this.#leave(call, key);
    return true;
  }

  #admit(spec: CommandSpec, args: readonly Buffer[]): void {
    if (this.transaction !== undefined && !spec.runsInMulti) {
      this.transaction.sizeBytes += this.#parser.requestBytes;
      if (this.transaction.sizeBytes > this.context.limits.requestBytesMax) {
        this.transaction.queued.length = 0;
        this.#refuse("ERR the transaction is too large");
        return;
      }
      this.transaction.queued.push({ spec, args });
      this.#answer((call) => call.simple("QUEUED"));
    } else if (this.#calls.mustWait(spec, args)) this.#held = { spec, args };
    else this.#run(spec, args);
  }

  #run(spec: CommandSpec, args: readonly Buffer[]): void {
    this.lastCommand = spec.name;
    const call = this.#begin();
    call.spec = spec;
    call.args = args;
    spec.handler!(call);
    if (spec.mayKeep) this.#hasKept = true;
    this.#leave(call, undefined);
  }

  #refuse(error: string): void {
    if (this.transaction !== undefined) this.transaction.aborted = true;
    this.context.statistics.errors++;
    this.#answer((call) => {
      call.out.errorLatin1(error);
      call.end();
    });
  }

  #answer(write: (call: Call) => void): void {
    const call = this.#begin();
    write(call);
    this.#leave(call, undefined);
  }

  #unreadable(found: Found): void {
    if (found === Found.refused) {
      this.context.statistics.commands++;
      this.#refuse(
        `ERR the request or a value in it is too large: at most ${this.context.limits.bulkBytesMax} bytes`,
      );
      return;
    }
    this.#answer((call) => {
      call.muted = false;
      call.out.errorLatin1(`ERR ${this.#parser.error}`);
      call.end();
    });
    this.#ending = true;
  }

  #begin(): Call {
    const muted = this.replies !== "on";
    if (this.replies === "skip") this.replies = "on";
    return this.#calls.begin(muted);
  }

  #leave(call: Call, key: Buffer | undefined): void {
    this.#calls.leave(call, key, this.#parser.requestBytes);
  }

  /** For {@link Call}: its reply is written. */
  callEnded(call: Call): void {
    // What waits for it may go on, together with what else has come in this turn.
    if (!this.#closed && this.#calls.ended(call)) this.#schedule();
  }

  #schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#scheduleTurn(this);
  }

  /** For the server, at most once per turn, `nowMs` on the monotonic clock: carries out what had to wait, then sends everything in one write. */
  turn(nowMs: number): void {
    this.#isDue = false;
    this.activeMs = nowMs;
    if (this.#closed) return;
    this.#continue();
    this.flush();
    if (this.unanswered > 0 || this.#held !== undefined) return;
    if (this.#ending || (this.#inputEnded && !this.#paused)) this.#end();
  }

  flush(): void {
    const { out, socket } = this;
    if (out.size === 0 || this.#closed) return;
    this.context.statistics.bytesOut += out.size;
    socket.write(out.bytes);
    this.#isBackedUp = socket.writableLength > 0;
    if (this.#isBackedUp) out.abandon();
    else out.reset();
    if (socket.writableLength > this.context.limits.outputBytesMax) this.#overflow();
  }

  #overflow(): void {
    const { log } = this.context;
    const unsent = this.unsentBytes;
    log.warn(
      { event: "redis-output", client: this.id, unsent },
      "a Redis client that doesn't read was closed",
    );
    this.destroy();
  }

  /** Sends the end and drops what still comes, so that the client can read its last reply. */
  #end(): void {
    if (this.#linger !== undefined) return;
    const { runtime, limits } = this.context;
    this.#ending = true;
    this.#linger = runtime.after(limits.lingerMs, () => this.destroy());
    this.#resume();
    // Closed once the client has ended its side too.
    this.socket.end();
  }

  /** A defect met in serving this client: the others aren't to pay for it. */
  fail(thrown: unknown): void {
    this.context.log.error(
      { event: "defect-survived", where: "redis", err: thrown },
      `defect while serving a Redis client: ${messageOf(thrown)}`,
    );
    this.destroy();
  }

  destroy(): void {
    this.socket.destroy();
    this.#cleanUp();
  }

  #cleanUp(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#linger?.cancel();
    this.#held = undefined;
    this.runCleanups();
  }
}
