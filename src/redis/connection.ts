/**
 * One connection: its requests in, its replies out in the order of the requests, though some end later than others. What
 * ends in its own turn, with nothing unanswered before it, is written straight into the connection's output; the rest
 * takes its place in a queue. Memory is bounded: with too much unanswered or unsent, nothing more is read or carried out.
 */
import type { Socket } from "node:net";
import { keySizeBytesMax, noBytes, Op } from "../cache/command.ts";
import type { Timer } from "../runtime.ts";
import { Call } from "./call.ts";
import type { CommandSpec } from "./command-table.ts";
import type { RedisContext } from "./context.ts";
import { commandOf, refusal } from "./dispatch.ts";
import { Found, RequestParser } from "./parser.ts";
import { PendingKeys } from "./pending-keys.ts";
import type { Protocol } from "./writer.ts";
import { ReplyWriter } from "./writer.ts";

/** What was sent between MULTI and EXEC. */
export interface Transaction {
  readonly queued: { readonly spec: CommandSpec; readonly args: readonly Buffer[] }[];
  /** Of what is queued. */
  sizeBytes: number;
  /** A command was refused: EXEC answers EXECABORT. */
  aborted: boolean;
}

const get = (0x47 << 16) | (0x45 << 8) | 0x54;
const set = (0x53 << 16) | (0x45 << 8) | 0x54;
/** Calls that are kept for the requests to come. */
const spareMax = 32;

export class Connection {
  readonly id: number;
  readonly socket: Socket;
  readonly context: RedisContext;
  /** What is to be sent with the next write. */
  readonly out = new ReplyWriter();
  authenticated: boolean;
  /** It has shown that it knows Redis Cluster, or all are taken to. */
  clusterAware: boolean;
  name = "";
  libraryName = "";
  libraryVersion = "";
  noEvict = false;
  noTouch = false;
  /** Between MULTI and EXEC. */
  transaction: Transaction | undefined;
  /** Channels and patterns. */
  subscriptions = 0;
  /** `skip`: the next request gets no reply. */
  replies: "on" | "off" | "skip" = "on";
  lastCommand = "";
  readonly connectedMs: number;
  activeMs: number;
  /** What holds something of this connection, a subscription or a watched key, lets it go: on RESET and when it closes. */
  readonly cleanups = new Set<() => void>();
  readonly #parser: RequestParser;
  readonly #scheduleFlush: (connection: Connection) => void;
  /** Calls without an answer, in the order of their requests; from `#head` on. */
  #queue: Call[] = [];
  #head = 0;
  #queuedBytes = 0;
  readonly #spare: Call[] = [];
  #current: Call | undefined;
  readonly #pending = new PendingKeys();
  /** Everything waits until this one has ended. */
  #alone: Call | undefined;
  /** A request that waits for earlier ones. */
  #held: { readonly spec: CommandSpec; readonly args: readonly Buffer[] } | undefined;
  #processing = false;
  #paused = false;
  #ending = false;
  #inputEnded = false;
  #closed = false;
  #linger: Timer | undefined;

  constructor(id: number, socket: Socket, context: RedisContext, scheduleFlush: (of: Connection) => void) {
    this.id = id;
    this.socket = socket;
    this.context = context;
    this.#scheduleFlush = scheduleFlush;
    this.authenticated = context.password === "";
    this.clusterAware = context.cluster === "always";
    this.#parser = new RequestParser(context.limits);
    this.connectedMs = context.runtime.monotonicMs();
    this.activeMs = this.connectedMs;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("drain", () => this.#continue());
    socket.on("end", () => {
      this.#inputEnded = true;
      this.#continue();
    });
    // "close" follows.
    socket.on("error", () => {});
    socket.on("close", () => this.#cleanUp());
  }

  get protocol(): Protocol {
    return this.out.protocol;
  }

  set protocol(protocol: Protocol) {
    this.out.protocol = protocol;
  }

  /** Requests without an answer. */
  get unanswered(): number {
    return this.#queue.length - this.#head;
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
    if (this.unanswered === 0) write(this.out);
    else {
      const call = this.#take();
      call.direct = false;
      write(call.out);
      call.ended = true;
      this.#queue.push(call);
    }
    if (this.unsentBytes > this.context.limits.pubsubOutputBytesMax) this.#overflow();
    else this.#scheduleFlush(this);
  }

  /** The client has asked for what only one that knows Redis Cluster asks for. */
  showClusterAware(): void {
    if (this.context.cluster === "auto") this.clusterAware = true;
  }

  /** As after connecting, for RESET; the reply mode and the name included. */
  reset(): void {
    this.#runCleanups();
    this.transaction = undefined;
    this.subscriptions = 0;
    this.protocol = 2;
    this.name = "";
    this.replies = "on";
    this.noEvict = false;
    this.noTouch = false;
    this.authenticated = this.context.password === "";
    this.clusterAware = this.context.cluster === "always";
  }

  #receive(chunk: Buffer): void {
    this.context.statistics.bytesIn += chunk.length;
    if (this.#ending) return;
    this.activeMs = this.context.runtime.monotonicMs();
    this.#parser.feed(chunk);
    this.#continue();
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
    if (this.out.size > 0 || this.#ending || this.#inputEnded) this.#scheduleFlush(this);
  }

  #process(): void {
    while (!this.#ending && !this.#closed) {
      if (!this.#mayGoOn()) {
        this.#pause();
        return;
      }
      const held = this.#held;
      if (held !== undefined) {
        if (this.#mustWait(held.spec, held.args)) {
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
    if (this.#alone !== undefined) return false;
    if (this.unanswered >= limits.unansweredMax || this.#queuedBytes >= limits.unansweredBytesMax)
      return false;
    if (this.unsentBytes < limits.unsentBytesMax) return true;
    this.flush();
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
      this.replies === "on" &&
      this.#pending.isEmpty
    );
  }

  /** GET and SET without options, which most requests are; false: they have to go the usual way. */
  #quick(name: string, op: Op): boolean {
    const key = this.#parser.arg(1);
    if (key.length === 0 || key.length > keySizeBytesMax) return false;
    const { ring, door } = this.context;
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
    } else if (this.#mustWait(spec, args)) this.#held = { spec, args };
    else this.#run(spec, args);
  }

  /** An earlier request might be overtaken. */
  #mustWait(spec: CommandSpec, args: readonly Buffer[]): boolean {
    if (this.unanswered === 0 || spec.order === "free") return false;
    return spec.order === "alone" || this.#pending.has(spec, args);
  }

  #run(spec: CommandSpec, args: readonly Buffer[]): void {
    this.lastCommand = spec.name;
    const call = this.#begin();
    call.spec = spec;
    call.args = args;
    spec.handler!(call);
    this.#leave(call, undefined);
  }

  #refuse(error: string): void {
    if (this.transaction !== undefined) this.transaction.aborted = true;
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

  #take(): Call {
    const call = this.#spare.pop() ?? new Call(this);
    call.ended = false;
    call.muted = false;
    return call;
  }

  #begin(): Call {
    const call = this.#take();
    if (this.replies !== "on") {
      call.muted = true;
      if (this.replies === "skip") this.replies = "on";
    }
    call.direct = this.unanswered === 0 && !call.muted;
    this.#current = call;
    return call;
  }

  /** The turn of the request is over: either it has its reply, or it takes its place in the queue. */
  #leave(call: Call, key: Buffer | undefined): void {
    this.#current = undefined;
    if (call.ended && this.unanswered === 0) {
      if (!call.direct) call.takeOwn(call.muted ? undefined : this.out);
      this.#giveBack(call);
      return;
    }
    if (!call.ended) {
      call.sizeBytes = this.#parser.requestBytes;
      this.#queuedBytes += call.sizeBytes;
      if (call.spec?.order === "alone") this.#alone = call;
      else this.#pending.add(call, key);
      if (this.unanswered === 0 && !call.muted) call.direct = true;
    }
    this.#queue.push(call);
  }

  /** For {@link Call}: its reply is written. */
  callEnded(call: Call): void {
    if (call === this.#current || this.#closed) return;
    if (call === this.#alone) this.#alone = undefined;
    this.#pending.delete(call);
    if (call !== this.#queue[this.#head]) return;
    this.#advance();
    // What waits for this may go on, together with what else has come in this turn.
    this.#scheduleFlush(this);
  }

  /** Takes the calls that have ended from the front of the queue. */
  #advance(): void {
    for (let call = this.#queue[this.#head]; call?.ended === true; call = this.#queue[this.#head]) {
      this.#head++;
      call.takeOwn(call.muted ? undefined : this.out);
      this.#queuedBytes -= call.sizeBytes;
      this.#giveBack(call);
    }
    const first = this.#queue[this.#head];
    if (first === undefined) {
      this.#queue = [];
      this.#head = 0;
    } else {
      if (!first.muted) first.direct = true;
      if (this.#head >= 1024) {
        this.#queue = this.#queue.slice(this.#head);
        this.#head = 0;
      }
    }
  }

  #giveBack(call: Call): void {
    call.forget();
    if (this.#spare.length < spareMax) this.#spare.push(call);
  }

  /** For the server, once per turn: carries out what had to wait, then sends everything in one write. */
  turn(): void {
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
    if (socket.writableLength === 0) out.reset();
    else out.abandon();
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
    this.socket.end();
    if (this.#inputEnded) return;
    this.socket.once("end", () => this.destroy());
  }

  destroy(): void {
    this.socket.destroy();
    this.#cleanUp();
  }

  #cleanUp(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#linger?.cancel();
    this.#queue = [];
    this.#head = 0;
    this.#held = undefined;
    this.#runCleanups();
  }

  #runCleanups(): void {
    const cleanups = [...this.cleanups];
    this.cleanups.clear();
    for (const cleanup of cleanups) cleanup();
  }
}
