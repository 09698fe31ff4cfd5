/** This node's calls to one peer: dials it, again when the connection is lost, and ends every call exactly once. */
import { messageOf, type Outcome, RingcacheError } from "../errors.ts";
import type { Timer } from "../runtime.ts";
import { CallQueue } from "./call-queue.ts";
import { type Carrier, type CarrierUser, deliverReply, outOfTurn } from "./carrier.ts";
import type { LinkContext } from "./context.ts";
import { Dial, type DialEnd, type DialOwner } from "./dial.ts";
import { FrameType, type FrameWriter, payloadSizeBytesMax } from "./frames.ts";
import type { CallHandler, PeerAddress } from "./messages.ts";
import { type EndedCall, notWritten, PendingCalls } from "./pending.ts";

/** Calls end within this time after their deadline. */
const sweepMs = 10;
const backoffMsMin = 50;
const backoffMsMax = 1_000;

/** How long calls are held for the change to the peer's connection, and until it is tried again. */
const changeMsMax = 5;
const changeAgainMs = 1_000;

export class OutgoingLink implements DialOwner, CarrierUser {
  readonly peer: PeerAddress;
  /** Calls that ended without an answer. */
  failedCalls = 0;
  /** How often the link broke after it had been open. */
  lostLinks = 0;
  readonly #context: LinkContext;
  /** Called when nothing keeps this link: it isn't retained, and it isn't connected. */
  readonly #idle: (link: OutgoingLink) => void;
  #retained = false;
  #closed = false;
  #dial: Dial | undefined;
  /** Where calls go: that of the open connection, or of the carrier. */
  #writer: FrameWriter | undefined;
  /** While calls are held, as those under way over this node's own connection are the last there. */
  #holding: Timer | undefined;
  #changeAgain: Timer | undefined;
  /** The peer's connection, if calls go over that. */
  #carrier: Carrier | undefined;
  #retry: Timer | undefined;
  /** Attempts that failed in a row. */
  #failures = 0;
  #upAtMs = 0;
  #pending: PendingCalls;
  /** Calls that wait for the connection, or for the change to the peer's. */
  readonly #queue = new CallQueue();
  #sweepTimer: Timer | undefined;
  #sweepAtMs = Number.POSITIVE_INFINITY;
  readonly #sweepSoon: () => void;
  /** The time at which this turn's batch was begun: the clock is read once per turn, not once per call. */
  #turnMs = 0;
  /** Which batch of the writer that was. */
  #turnBatch = -1;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(context: LinkContext, peer: PeerAddress, idle: (link: OutgoingLink) => void) {
    this.#context = context;
    this.peer = peer;
    this.#idle = idle;
    this.#pending = new PendingCalls(context.inFlightCallsMax);
    // Replies that are ready to be read come before the judgement that they are late.
    const sweep = (): void => this.#sweep();
    this.#sweepSoon = () => context.runtime.soon(sweep);
  }

  get retained(): boolean {
    return this.#retained;
  }

  get up(): boolean {
    return this.#writer !== undefined;
  }

  get inFlight(): number {
    return this.#pending.waiting;
  }

  /** The peer's requests over this node's connection that have not been answered. */
  get inFlightIncoming(): number {
    return this.#dial?.inFlightIncoming ?? 0;
  }

  get bytesIn(): number {
    return this.#bytesIn + (this.#dial?.bytesIn ?? 0);
  }

  get bytesOut(): number {
    return this.#bytesOut + (this.#dial?.writer.bytes ?? 0);
  }

  get queuedBytes(): number {
    return this.#queue.bytes + (this.#dial?.writer.queuedBytes ?? 0);
  }

  /** Keeps the connection up from now on. */
  retain(): void {
    this.#retained = true;
    this.#connect();
  }

  call(kind: number, payload: Uint8Array, timeoutMs: number, handler: CallHandler): void {
    const { runtime, queuedBytesMax } = this.#context;
    const writer = this.#holding === undefined ? this.#writer : undefined;
    if (payload.length > payloadSizeBytesMax) {
      const message = `a request of ${payload.length} bytes; at most ${payloadSizeBytesMax} can be sent`;
      failSoon(this.#context, handler, new RingcacheError("VALUE_TOO_LARGE", message));
      return;
    }
    const queuedBytes = writer === undefined ? this.#queue.bytes : writer.queuedBytes;
    if (queuedBytes + payload.length > queuedBytesMax) {
      this.#overloaded(handler, `${queuedBytes} bytes wait to be sent`);
      return;
    }
    if (writer === undefined || !writer.batching || writer.batches !== this.#turnBatch) {
      this.#turnMs = runtime.monotonicMs();
      this.#turnBatch = writer?.batches ?? -1;
    }
    const deadlineMs = this.#turnMs + timeoutMs;
    const frame = writer === undefined ? notWritten : writer.framesWritten + 1;
    const callId = this.#pending.add(handler, deadlineMs, frame);
    if (callId < 0) {
      this.#full(handler);
      return;
    }
    if (deadlineMs + sweepMs < this.#sweepAtMs) this.#armSweep(deadlineMs);
    if (writer !== undefined) {
      writer.write(FrameType.request, kind, callId, payload);
      return;
    }
    this.#queue.add(callId, kind, payload);
    this.#connect();
  }

  /** See {@link FrameWriter.atTurnEnd}. */
  atTurnEnd(fn: () => void): void {
    if (this.#writer === undefined) this.#context.runtime.soon(fn);
    else this.#writer.atTurnEnd(fn);
  }

  /** Ends every call with `code` and closes the connection; the link is not to be used again. */
  destroy(code: "LINK_LOST" | "CLOSED", why: string): void {
    const wasUp = this.up;
    const dial = this.#shut(code, why);
    dial?.destroy();
    if (wasUp && code === "LINK_LOST") this.#context.linkEvent(this.peer, "down");
  }

  /** Ends every call with CLOSED, closes after what was written has been sent, then calls `closed`. */
  end(closed: () => void): Dial | undefined {
    // Flushed first: what goes out below has been sent as far as its caller must know.
    this.#writer?.flush();
    const dial = this.#shut("CLOSED", "this node is closing its links");
    if (dial === undefined) closed();
    else dial.end(closed);
    return dial;
  }

  opened(): void {
    this.#writer = this.#dial!.writer;
    this.#upAtMs = this.#context.runtime.monotonicMs();
    // A connection that is lost again and again is dialed with a pause; a first loss is looked into at once.
    this.#failures = Math.min(this.#failures, 1);
    this.changeOver();
    this.#sendQueued();
    this.#context.linkEvent(this.peer, "up");
  }

  reply(callId: number, payload: Buffer): void {
    if (this.#carrier !== undefined) throw outOfTurn(FrameType.reply);
    deliverReply(this.#context, this.#pending, callId, payload);
    if (this.#holding !== undefined) this.changeOver();
  }

  /**
   * Takes the peer's connection, if there is one for it, for all further calls. Those under way over this node's own are
   * waited for: what is called later arrives later. If that takes long, it is tried again later.
   */
  changeOver(): void {
    if (this.#writer === undefined || this.#carrier !== undefined) return;
    const carrier = this.#context.carrierFrom(this.peer);
    if (carrier === undefined) return;
    const { runtime } = this.#context;
    if (this.#pending.size > this.#queue.size) {
      if (this.#changeAgain !== undefined) return;
      this.#holding ??= runtime.after(changeMsMax, () => {
        this.#holding = undefined;
        this.#sendQueued();
        this.#changeAgain = runtime.after(changeAgainMs, () => {
          this.#changeAgain = undefined;
          this.changeOver();
        });
      });
      return;
    }
    this.#stopChange();
    carrier.carry(this);
    this.#carrier = carrier;
    this.#writer = carrier.writer;
    this.#sendQueued();
  }

  carrierLost(): void {
    this.#dial!.destroy();
    this.ended("lost", undefined);
  }

  ended(end: DialEnd, error: Error | undefined): void {
    const { runtime, linkEvent } = this.#context;
    const wasUp = this.up;
    const { id, host, port } = this.peer;
    const flushed = this.#disconnect();
    const where = `${id} at ${host}:${port}`;
    const cause = error === undefined ? {} : { cause: error };
    if (wasUp) {
      this.lostLinks++;
      this.#failAll(flushed, "LINK_LOST", `the link to ${where} broke`, cause);
      if (runtime.monotonicMs() - this.#upAtMs >= backoffMsMax) this.#failures = 0;
    } else if (end === "lost") {
      const why = error === undefined ? "" : `: ${messageOf(error)}`;
      this.#failAll(flushed, "PEER_UNREACHABLE", `can't reach ${where}${why}`, cause);
    } else {
      const why = end === "refused" ? "nobody listens there" : "another node or incarnation answers there";
      this.#failAll(flushed, "PEER_REFUSED", `can't reach ${where}: ${why}`, cause);
    }
    if (!this.#retained) this.#idle(this);
    else if (wasUp && this.#failures++ === 0) this.#connect();
    else {
      if (!wasUp) this.#failures++;
      const backoffMs = Math.min(backoffMsMin * 2 ** (this.#failures - 1), backoffMsMax);
      this.#retry = runtime.after(backoffMs * (0.5 + runtime.random() / 2), () => {
        this.#retry = undefined;
        this.#connect();
      });
    }
    linkEvent(this.peer, end === "lost" ? "down" : end);
  }

  /** Makes the calls that waited, where calls go now. */
  #sendQueued(): void {
    const writer = this.#writer!;
    const before = this.#pending;
    const now = this.#carrier?.calls ?? before;
    this.#pending = now;
    for (const { callId, kind, payload } of this.#queue.takeAll()) {
      const call = before.withdraw(callId);
      if (call === undefined) continue;
      const id = now.add(call.handler, call.deadlineMs, writer.framesWritten + 1);
      if (id < 0) this.#full(call.handler);
      else writer.write(FrameType.request, kind, id, payload);
    }
  }

  #stopChange(): void {
    this.#holding?.cancel();
    this.#changeAgain?.cancel();
    this.#holding = undefined;
    this.#changeAgain = undefined;
  }

  /** Dials, unless that is done, under way or about to be tried again. */
  #connect(): void {
    if (this.#closed || this.#dial !== undefined || this.#retry !== undefined) return;
    this.#dial = new Dial(this.#context, this.peer, this.#context.connectTimeoutMs, this);
  }

  /** Forgets the connection; returns the number of the last frame that was handed to it. */
  #disconnect(): number {
    const dial = this.#dial;
    this.#bytesIn += dial?.bytesIn ?? 0;
    this.#bytesOut += dial?.writer.bytes ?? 0;
    // What was written to the peer's own connection will be sent, unless that is over.
    this.#carrier?.writer.flush();
    this.#carrier?.carry(undefined);
    const flushed = (this.#carrier?.writer ?? dial?.writer)?.framesFlushed ?? 0;
    this.#carrier = undefined;
    this.#stopChange();
    this.#dial = undefined;
    this.#writer = undefined;
    return flushed;
  }

  #shut(code: "LINK_LOST" | "CLOSED", why: string): Dial | undefined {
    const dial = this.#dial;
    const wasUp = this.up;
    this.#closed = true;
    this.#retained = false;
    this.#retry?.cancel();
    const flushed = this.#disconnect();
    this.#failAll(flushed, code === "LINK_LOST" && !wasUp ? "PEER_UNREACHABLE" : code, why, {});
    return dial;
  }

  /** Ends all calls, in a later turn: their callers may be on the stack. */
  #failAll(
    flushed: number,
    code: "LINK_LOST" | "PEER_UNREACHABLE" | "PEER_REFUSED" | "CLOSED",
    why: string,
    cause: { cause?: unknown },
  ): void {
    const calls = this.#pending.abandonAll();
    this.#pending = new PendingCalls(this.#context.inFlightCallsMax);
    this.#queue.takeAll();
    this.#disarmSweep();
    if (calls.length === 0) return;
    this.#context.runtime.soon(() => {
      for (const call of calls) {
        this.#fail(call, code, why, call.frame <= flushed ? "unknown" : "none", cause);
      }
    });
  }

  #fail(
    call: EndedCall,
    code: "LINK_LOST" | "PEER_UNREACHABLE" | "PEER_REFUSED" | "CLOSED" | "DEADLINE_EXCEEDED",
    why: string,
    outcome: Outcome,
    cause: { cause?: unknown },
  ): void {
    this.failedCalls++;
    try {
      call.handler.failed(new RingcacheError(code, why, { ...cause, outcome }));
    } catch (error) {
      this.#defect(error);
    }
  }

  #overloaded(handler: CallHandler, why: string): void {
    this.failedCalls++;
    const message = `the link to ${this.peer.id} is overloaded: ${why}`;
    failSoon(this.#context, handler, new RingcacheError("OVERLOADED", message));
  }

  #full(handler: CallHandler): void {
    const { runtime, inFlightCallsMax } = this.#context;
    this.#overloaded(handler, `${inFlightCallsMax} calls have not been answered`);
    // A peer that let half of them pass their deadline unanswered won't answer those: start over with a new link.
    const connection = this.#carrier ?? this.#dial;
    if (connection !== undefined && this.#pending.abandoned * 2 >= inFlightCallsMax) {
      runtime.soon(() => connection.invalid("FRAME_INVALID", "it leaves calls unanswered"));
    }
  }

  #armSweep(deadlineMs: number): void {
    const { runtime } = this.#context;
    this.#sweepTimer?.cancel();
    this.#sweepAtMs = deadlineMs + sweepMs;
    this.#sweepTimer = runtime.after(this.#sweepAtMs - runtime.monotonicMs(), this.#sweepSoon);
  }

  #disarmSweep(): void {
    this.#sweepTimer?.cancel();
    this.#sweepTimer = undefined;
    this.#sweepAtMs = Number.POSITIVE_INFINITY;
  }

  #sweep(): void {
    this.#disarmSweep();
    const expired = this.#pending.expire(this.#context.runtime.monotonicMs());
    const next = this.#pending.nextDeadlineMs();
    if (next !== Number.POSITIVE_INFINITY) this.#armSweep(next);
    if (expired.length === 0) return;
    if (this.#queue.size > 0) this.#queue.keep((callId) => this.#pending.has(callId));
    for (const call of expired) {
      const outcome = call.frame === notWritten ? "none" : "unknown";
      this.#fail(call, "DEADLINE_EXCEEDED", `${this.peer.id} didn't answer in time`, outcome, {});
    }
  }

  #defect(error: unknown): void {
    this.#context.log.error(
      { event: "defect-survived", where: "peers", peer: this.peer.id, err: error },
      "a call's handler threw",
    );
  }
}

/** Fails one call in a later turn, as `call` itself must not. */
export function failSoon(context: LinkContext, handler: CallHandler, error: RingcacheError): void {
  context.runtime.soon(() => {
    try {
      handler.failed(error);
    } catch (thrown) {
      context.log.error({ event: "defect-survived", where: "peers", err: thrown }, "a call's handler threw");
    }
  });
}
