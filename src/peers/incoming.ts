/** A connection that another node made to this one: it authenticates, then brings requests in and takes replies. */
import { messageOf, RingcacheError } from "../errors.ts";
import type { Timer } from "../runtime.ts";
import type { LinkContext } from "./context.ts";
import {
  FrameDecoder,
  type FrameHandler,
  FrameType,
  FrameWriter,
  frameSizeBytesMax,
  handshakeFrameSizeBytesMax,
  payloadSizeBytesMax,
} from "./frames.ts";
import { decodeHello, encodeWelcome, nonceBytes, proofIsRight, sameIdentity } from "./handshake.ts";
import type { IncomingRequest, PeerIdentity } from "./messages.ts";
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

class Request implements IncomingRequest {
  readonly payload: Buffer;
  readonly #link: IncomingLink;
  readonly #kind: number;
  readonly #callId: number;
  #answered = false;

  constructor(link: IncomingLink, kind: number, callId: number, payload: Buffer) {
    this.#link = link;
    this.#kind = kind;
    this.#callId = callId;
    this.payload = payload;
  }

  get from(): PeerIdentity {
    return this.#link.from;
  }

  reply(payload: Uint8Array): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#link.reply(this.#kind, this.#callId, payload);
  }
}

export class IncomingLink implements StreamHandlers, FrameHandler {
  readonly writer: FrameWriter;
  readonly #context: LinkContext;
  readonly #stream: ByteStream;
  readonly #owner: IncomingOwner;
  readonly #decoder: FrameDecoder;
  readonly #timeout: Timer;
  /** Whom the link was meant for; a link meant for another carries no requests. */
  readonly #self: PeerIdentity;
  #challenge: Challenge | undefined;
  #from: PeerIdentity | undefined;
  #over = false;
  #inFlight = 0;
  #bytesIn = 0;
  #closed: (() => void) | undefined;

  constructor(context: LinkContext, stream: ByteStream, owner: IncomingOwner) {
    this.#context = context;
    this.#stream = stream;
    this.#owner = owner;
    this.#self = context.self;
    this.#decoder = new FrameDecoder(this, handshakeFrameSizeBytesMax);
    this.writer = new FrameWriter(context.runtime, stream);
    this.#timeout = context.runtime.after(authenticationTimeoutMs, () => {
      // What it has to say may be among the input that is ready, if this event loop stalled.
      context.runtime.soon(() => {
        if (this.#from === undefined) this.destroy();
      });
    });
  }

  /** Only for an authenticated link. */
  get from(): PeerIdentity {
    return this.#from!;
  }

  /** Requests that have not been answered. */
  get inFlight(): number {
    return this.#inFlight;
  }

  get bytesIn(): number {
    return this.#bytesIn;
  }

  data(bytes: Buffer): void {
    if (this.#over) return;
    this.#bytesIn += bytes.length;
    try {
      this.#decoder.push(bytes);
    } catch (error) {
      this.#invalid("FRAME_INVALID", messageOf(error));
    }
  }

  frame(type: FrameType, kind: number, callId: number, payload: Buffer): void {
    if (this.#from !== undefined && type === FrameType.request) this.#request(kind, callId, payload);
    else if (this.#challenge === undefined && type === FrameType.hello) this.#hello(payload);
    else if (this.#from === undefined && this.#challenge !== undefined && type === FrameType.proof) {
      this.#proof(this.#challenge, payload);
    } else throw new RingcacheError("FRAME_INVALID", `a frame of type ${type} out of turn`);
  }

  close(): void {
    this.#stop();
    this.#owner.closed(this);
    this.#closed?.();
    this.#closed = undefined;
  }

  reply(kind: number, callId: number, payload: Uint8Array): void {
    if (this.#over) return;
    this.#inFlight--;
    if (payload.length > payloadSizeBytesMax) {
      this.#invalid("VALUE_TOO_LARGE", `a reply of ${payload.length} bytes to a request of kind ${kind}`);
      return;
    }
    this.writer.write(FrameType.reply, kind, callId, payload);
    const { queuedBytesMax } = this.#context;
    if (this.writer.queuedBytes > queuedBytesMax) {
      this.#invalid(
        "OVERLOADED",
        `the peer doesn't take its replies: more than ${queuedBytesMax} bytes wait`,
      );
    }
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
  #invalid(code: "FRAME_INVALID" | "OVERLOADED" | "VALUE_TOO_LARGE" | "INTERNAL", why: string): void {
    if (this.#over) return;
    const from = this.#from;
    const fields = { peer: from?.id, remote: this.#stream.remote, code };
    if (from === undefined) this.#context.log.debug(fields, `turned a stranger away: ${why}`);
    else this.#context.log.error(fields, `closing the link: ${why}`);
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
    this.#from = from;
    this.#timeout.cancel();
    this.#decoder.sizeBytesMax = frameSizeBytesMax;
    this.#owner.authenticated(this);
  }

  #request(kind: number, callId: number, payload: Buffer): void {
    const { handlers, inFlightCallsMax } = this.#context;
    const handler = handlers[kind];
    if (handler === undefined) {
      throw new RingcacheError("FRAME_INVALID", `a request of the unknown kind ${kind}`);
    }
    if (++this.#inFlight > inFlightCallsMax) {
      this.#invalid("OVERLOADED", `more than ${inFlightCallsMax} requests wait for an answer`);
      return;
    }
    try {
      handler(new Request(this, kind, callId, payload));
    } catch (error) {
      this.#invalid("INTERNAL", `the handler of kind ${kind} threw: ${messageOf(error)}`);
    }
  }

  #stop(): void {
    this.#over = true;
    this.#timeout.cancel();
    this.#decoder.stop();
    this.writer.close();
  }
}
