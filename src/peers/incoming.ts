/**
 * A connection that another node made to this one: it authenticates, then brings requests in and takes replies. It can be the
 * {@link Carrier} of this node's own calls as well.
 */
import { messageOf, RingcacheError } from "../errors.ts";
import type { Timer } from "../runtime.ts";
import { type Carrier, type CarrierUser, deliverReply, outOfTurn } from "./carrier.ts";
import type { LinkContext } from "./context.ts";
import {
  FrameDecoder,
  type FrameHandler,
  FrameType,
  FrameWriter,
  frameSizeBytesMax,
  handshakeFrameSizeBytesMax,
} from "./frames.ts";
import { decodeHello, encodeWelcome, nonceBytes, proofIsRight, sameIdentity } from "./handshake.ts";
import type { PeerIdentity } from "./messages.ts";
import { PendingCalls } from "./pending.ts";
import { Requests, type RequestsOwner } from "./requests.ts";
import type { ByteStream, StreamHandlers } from "./transport.ts";

/** How long a stranger may stay without proving that it is none. */
export const authenticationTimeoutMs = 2_000;

export interface IncomingOwner {
  /** The other side has proved who it is. */
  authenticated(link: IncomingLink): void;
  /** Once. */
  closed(link: IncomingLink): void;
}

/** A hello that was welcomed and whose proof is awaited. */
interface Challenge {
  readonly from: PeerIdentity;
  readonly to: PeerIdentity;
  readonly hello: Buffer;
  readonly welcome: Buffer;
}

export class IncomingLink implements StreamHandlers, FrameHandler, RequestsOwner, Carrier {
  readonly writer: FrameWriter;
  readonly calls: PendingCalls;
  readonly #context: LinkContext;
  readonly #stream: ByteStream;
  readonly #owner: IncomingOwner;
  readonly #decoder: FrameDecoder;
  readonly #timeout: Timer;
  /** Whom the link was meant for; a link meant for another carries no requests. */
  readonly #self: PeerIdentity;
  #challenge: Challenge | undefined;
  /** Once it is authenticated. */
  #requests: Requests | undefined;
  #user: CarrierUser | undefined;
  #over = false;
  #bytesIn = 0;
  #closed: (() => void) | undefined;

  constructor(context: LinkContext, stream: ByteStream, owner: IncomingOwner) {
    this.#context = context;
    this.#stream = stream;
    this.#owner = owner;
    this.#self = context.self;
    this.#decoder = new FrameDecoder(this, handshakeFrameSizeBytesMax);
    this.writer = new FrameWriter(context.runtime, stream);
    this.calls = new PendingCalls(context.inFlightCallsMax);
    this.#timeout = context.runtime.after(authenticationTimeoutMs, () => {
      // What it has to say may be among the input that is ready, if this event loop stalled.
      context.runtime.soon(() => {
        if (this.#requests === undefined) this.destroy();
      });
    });
  }

  /** Who the other side has proved to be; undefined while it hasn't, and once the connection is over. */
  get from(): PeerIdentity | undefined {
    return this.#over ? undefined : this.#requests?.from;
  }

  /** Who the other side has proved to be, also once the connection is over. */
  get peer(): PeerIdentity | undefined {
    return this.#requests?.from;
  }

  /** Requests that have not been answered. */
  get inFlight(): number {
    return this.#requests?.inFlight ?? 0;
  }

  get bytesIn(): number {
    return this.#bytesIn;
  }

  data(bytes: Buffer): boolean {
    if (this.#over) return false;
    this.#bytesIn += bytes.length;
    try {
      return this.#decoder.push(bytes);
    } catch (error) {
      this.invalid("FRAME_INVALID", messageOf(error));
      return true;
    }
  }

  frame(type: FrameType, kind: number, callId: number, payload: Buffer): void {
    if (this.#requests !== undefined) {
      if (type === FrameType.request) this.#requests.request(kind, callId, payload);
      else if (type === FrameType.reply) deliverReply(this.#context, this.calls, callId, payload);
      else throw outOfTurn(type);
    } else if (this.#challenge === undefined && type === FrameType.hello) this.#hello(payload);
    else if (this.#challenge !== undefined && type === FrameType.proof) this.#proof(this.#challenge, payload);
    else throw outOfTurn(type);
  }

  close(): void {
    this.#stop();
    this.#owner.closed(this);
    this.#closed?.();
    this.#closed = undefined;
  }

  /** Whether it carries calls of this node's already. */
  get carries(): boolean {
    return this.#user !== undefined;
  }

  carry(user: CarrierUser | undefined): void {
    this.#user = user;
  }

  /** Closes at once. */
  destroy(): void {
    this.#stop();
    this.#stream.destroy();
  }

  /** Closes after what was written has been sent, then calls `closed`. Takes no more requests. */
  end(closed: () => void): void {
    this.#closed = closed;
    this.writer.flush();
    this.#stop();
    this.#stream.end();
  }

  /** A stranger gets no byte, and no line in the log that it could fill the disk with. */
  invalid(code: "FRAME_INVALID" | "OVERLOADED" | "VALUE_TOO_LARGE" | "INTERNAL", why: string): void {
    if (this.#over) return;
    const from = this.#requests?.from;
    const { log } = this.#context;
    const { remote } = this.#stream;
    if (from === undefined) log.debug({ event: "stranger", remote, code }, `turned a stranger away: ${why}`);
    else log.warn({ event: "link-closed", peer: from.id, remote, code }, `closing the link: ${why}`);
    this.destroy();
  }

  #hello(payload: Buffer): void {
    const { secret, platform, runtime } = this.#context;
    const hello = decodeHello(secret, platform, payload);
    if (hello === undefined) throw new RingcacheError("FRAME_INVALID", "not a hello of this platform");
    // Copied: the view would hold the whole chunk it came in.
    const message = Buffer.from(payload);
    const welcome = encodeWelcome(secret, this.#self, runtime.randomBytes(nonceBytes), message);
    this.#challenge = { from: hello.from, to: hello.to, hello: message, welcome };
    this.writer.write(FrameType.welcome, 0, 0, welcome);
    this.writer.flush();
  }

  #proof({ from, to, hello, welcome }: Challenge, payload: Buffer): void {
    if (!sameIdentity(to, this.#self) || !proofIsRight(this.#context.secret, payload, hello, welcome)) {
      throw new RingcacheError("FRAME_INVALID", "not a proof of who it is");
    }
    this.#requests = new Requests(this.#context, from, this);
    this.#timeout.cancel();
    this.#decoder.sizeBytesMax = frameSizeBytesMax;
    this.#owner.authenticated(this);
  }

  #stop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#timeout.cancel();
    this.#decoder.stop();
    this.#requests?.stop();
    this.writer.close();
    const user = this.#user;
    this.#user = undefined;
    user?.carrierLost();
  }
}
