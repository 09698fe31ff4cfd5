/**
 * One connection: its requests in, its replies out in the order of the requests, though some end later than others. What
 * ends in its own turn, with nothing unanswered before it, is written straight into the connection's output; the rest
 * takes its place in a queue. Memory is bounded: with too much unanswered or unsent, nothing more is read or carried out.
 */
import type { Socket } from "node:net";
import { noBytes, Op } from "../cache/command.ts";
import { messageOf } from "../errors.ts";
import type { Timer } from "../runtime.ts";
import { Sender } from "../sockets/sender.ts";
import { type Batch, getName, setName } from "./batch.ts";
import type { Call } from "./call.ts";
import { CallQueue } from "./call-queue.ts";
import type { CommandSpec } from "./command-table.ts";
import type { RedisContext, Turns } from "./context.ts";
import { commandOf, isOfHttp, keyRefusal, refusal } from "./dispatch.ts";
import { Intake } from "./intake.ts";
import { Found } from "./parser.ts";
import type { ReadGroup } from "./read-group.ts";
import { Session } from "./session.ts";
import type { ReplyWriter } from "./writer.ts";

export class Connection extends Session {
  readonly id: number;
  readonly socket: Socket;
  readonly connectedMs: number;
  activeMs: number;
  readonly intake: Intake;
  /** A request that was carried out may have kept views of what was received. */
  #hasKept = false;
  readonly #turns: Turns;
  readonly #sender: Sender;
  readonly #calls: CallQueue;
  /** While a batch is carried out: to which its next GETs belong. */
  group: ReadGroup | undefined;
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
  isClosed = false;
  #linger: Timer | undefined;

  constructor(id: number, accepted: Socket, context: RedisContext, turns: Turns) {
    super(context);
    this.id = id;
    this.intake = new Intake(accepted, context.limits);
    this.intake.authenticated = this.authenticated;
    this.intake.onReceived = (count, now) => this.#received(count, now);
    this.socket = this.intake.socket;
    this.#turns = turns;
    this.#calls = new CallQueue(this, this.out);
    this.connectedMs = context.runtime.monotonicMs();
    this.activeMs = this.connectedMs;
    const { socket } = this;
    this.#sender = new Sender(socket, () => this.#continue());
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

  /** Bytes of replies that the kernel hasn't taken. */
  get unsentBytes(): number {
    return this.out.size + this.#sender.unsentBytes;
  }

  /** Something was asked and isn't answered, or an answer isn't sent. */
  get isBusy(): boolean {
    return this.unanswered > 0 || this.#hasUndone || this.unsentBytes > 0;
  }

  /** Requests were found that aren't carried out. */
  get #hasUndone(): boolean {
    return this.#held !== undefined || this.intake.hasUndone;
  }

  /** After the replies to what was asked up to now, this one's included, the connection is closed. */
  endAfterReply(): void {
    this.#stopReading();
  }

  #stopReading(): void {
    this.#ending = true;
    this.intake.isOver = true;
  }

  /** Sends something that wasn't asked for, after the replies to what was asked up to now. */
  push(write: (out: ReplyWriter) => void): void {
    if (this.isClosed) return;
    this.#calls.push(write);
    if (this.unsentBytes > this.context.limits.pubsubOutputBytesMax) this.#overflow();
    else this.#schedule();
  }

  #received(count: number, now: boolean): void {
    this.context.statistics.bytesIn += count;
    if (!now) {
      this.#schedule();
      return;
    }
    this.#turns.carryOut([this]);
    try {
      this.#continue();
    } catch (thrown) {
      this.fail(thrown);
    }
    this.#settle();
  }

  #settle(): void {
    const inUse = this.#calls.length > 0 || this.#held !== undefined || this.transaction !== undefined;
    this.intake.settle(inUse || this.#hasKept);
    this.#hasKept = false;
  }

  /** Gives the batch what it takes of the next requests; whether it has no room for more of them. */
  offer(batch: Batch): boolean {
    if (!this.isDirect || this.#processing || this.#ending || !this.isPlain) return false;
    const taken = this.intake.offer(this, batch);
    this.context.statistics.commands += taken < 0 ? -1 - taken : taken;
    return taken < 0;
  }

  /** For GETs that another node is asked for. */
  startGroup(): ReadGroup {
    this.group = this.#calls.group(this.#begin());
    return this.group;
  }

  /** What is carried out now may be answered now. */
  get isDirect(): boolean {
    const isFree = this.#calls.length === 0 && this.#held === undefined && !this.intake.hasBack;
    return isFree && !this.#isBackedUp && this.out.size < this.context.limits.unsentBytesMax;
  }

  /** Goes on with what was received, as far as the bounds allow. */
  #continue(): void {
    if (this.#processing || this.isClosed) return;
    this.#processing = true;
    try {
      this.#process();
    } finally {
      this.#processing = false;
    }
    if (this.out.size > 0 || this.#ending || this.#inputEnded) this.#schedule();
  }

  #process(): void {
    while (!this.#ending && !this.isClosed) {
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
      const found = this.intake.next();
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
    this.#isBackedUp = this.#sender.unsentBytes > 0;
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
    const intake = this.intake;
    const { args } = intake;
    this.context.statistics.commands++;
    if (intake.isGivenBack && this.#quick(args)) return;
    intake.authenticated = this.authenticated;
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
    intake.authenticated = this.authenticated;
  }

  /** GET and SET without options, of those that a batch gave back; false: they have to go the usual way. */
  #quick(args: readonly Buffer[]): boolean {
    const [name, key, value] = args as readonly [Buffer, Buffer, Buffer | undefined];
    const isGet = name === getName;
    if ((!isGet && name !== setName) || keyRefusal(key) !== undefined) return false;
    const { ring, door } = this.context;
    if (this.#calls.isPending(key)) return false;
    if (this.clusterAware && ring?.serves(ring.partitionFor(key)) !== true) return false;
    this.lastCommand = isGet ? "get" : "set";
    const call = this.#begin();
    const command = {
      op: isGet ? Op.get : Op.set,
      key,
      value: value ?? noBytes,
      expiresAtMs: 0,
      expected: undefined,
    };
    door.execute(command, isGet ? call.onValue : call.onOk);
    this.#calls.leave(call, key, this.intake.requestBytes);
    return true;
  }

  #admit(spec: CommandSpec, args: readonly Buffer[]): void {
    if (this.transaction !== undefined && !spec.runsInMulti) {
      this.transaction.sizeBytes += this.intake.requestBytes;
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
    this.#calls.leave(call, undefined, this.intake.requestBytes);
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
    this.#calls.leave(call, undefined, this.intake.requestBytes);
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
      call.out.errorLatin1(`ERR ${this.intake.error}`);
      call.end();
    });
    this.#stopReading();
  }

  #begin(): Call {
    const muted = this.replies !== "on";
    if (this.replies === "skip") this.replies = "on";
    return this.#calls.begin(muted);
  }

  /** For {@link Call}: its reply is written. */
  callEnded(call: Call): void {
    // What waits for it may go on, together with what else has come in this turn.
    if (!this.isClosed && this.#calls.ended(call)) this.#schedule();
  }

  #schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#turns.schedule(this);
  }

  /** For the server, at most once per turn, `nowMs` on the monotonic clock: carries out what had to wait, then sends everything in one write. */
  turn(nowMs: number): void {
    this.#isDue = false;
    this.activeMs = nowMs;
    if (this.isClosed) return;
    // Nearly always a batch has carried everything out.
    const mayRest = !this.#paused && !this.#ending && !this.#inputEnded && this.#held === undefined;
    if (!mayRest || !this.intake.isEmpty) this.#continue();
    this.#settle();
    this.flush();
    if (this.unanswered > 0 || this.#hasUndone) return;
    if (this.#ending || (this.#inputEnded && !this.#paused)) this.#end();
  }

  flush(): void {
    const { out } = this;
    if (out.size === 0 || this.isClosed) return;
    this.context.statistics.bytesOut += out.size;
    this.#isBackedUp = !this.#sender.send(out.bytes);
    if (!this.#isBackedUp) {
      out.reset();
      return;
    }
    out.abandon();
    if (this.#sender.unsentBytes > this.context.limits.outputBytesMax) this.#overflow();
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
    this.#stopReading();
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
    if (this.isClosed) return;
    this.isClosed = true;
    this.#linger?.cancel();
    this.#held = undefined;
    this.intake.forget();
    this.runCleanups();
  }
}
