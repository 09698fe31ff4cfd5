/** One connection that this node makes: it connects, authenticates, and then carries requests and replies, of both sides. */
import { messageOf, RingcacheError } from "../errors.ts";
import type { Timer } from "../runtime.ts";
import { outOfTurn } from "./carrier.ts";
import type { LinkContext } from "./context.ts";
import {
  FrameDecoder,
  type FrameHandler,
  FrameType,
  FrameWriter,
  frameSizeBytesMax,
  handshakeFrameSizeBytesMax,
} from "./frames.ts";
import { decodeWelcome, encodeHello, encodeProof, nonceBytes, sameIdentity } from "./handshake.ts";
import type { PeerAddress } from "./messages.ts";
import { Requests, type RequestsOwner } from "./requests.ts";
import type { ByteStream, CloseReason, StreamHandlers } from "./transport.ts";

/**
 * Why a connection is over. `refused` and `replaced` prove that the process meant is dead; `lost` proves nothing,
 * whether the connection had been open or not.
 */
export type DialEnd = "refused" | "replaced" | "lost";

export interface DialOwner {
  /** Authenticated: requests may be written. */
  opened(): void;
  reply(callId: number, payload: Buffer): void;
  /** At most once, and not after `destroy` or `end`. */
  ended(end: DialEnd, error: Error | undefined): void;
}

export class Dial implements StreamHandlers, FrameHandler, RequestsOwner {
  readonly writer: FrameWriter;
  readonly #context: LinkContext;
  readonly #peer: PeerAddress;
  readonly #owner: DialOwner;
  readonly #stream: ByteStream;
  readonly #decoder: FrameDecoder;
  readonly #timeout: Timer;
  /** What was sent; the welcome's MAC covers it. */
  readonly #hello: Buffer;
  #open = false;
  #over = false;
  #closed: (() => void) | undefined;
  #bytesIn = 0;
  /** The peer's, once the connection is open. */
  readonly #requests: Requests;

  constructor(context: LinkContext, peer: PeerAddress, timeoutMs: number, owner: DialOwner) {
    const { runtime, platform, secret, self } = context;
    this.#context = context;
    this.#peer = peer;
    this.#owner = owner;
    this.#decoder = new FrameDecoder(this, handshakeFrameSizeBytesMax);
    this.#hello = encodeHello(secret, { platform, from: self, to: peer }, runtime.randomBytes(nonceBytes));
    this.#timeout = runtime.after(timeoutMs, () => {
      // The answer may be among the input that is ready: an event loop that stalled isn't the peer's silence.
      runtime.soon(() => {
        if (!this.#open) this.#finish("lost", new Error(`no answer within ${timeoutMs} ms`));
      });
    });
    this.#stream = context.transport.connect(peer.host, peer.port, this);
    this.writer = new FrameWriter(runtime, this.#stream);
    this.#requests = new Requests(context, peer, this);
  }

  /** The peer's requests that have not been answered. */
  get inFlightIncoming(): number {
    return this.#requests.inFlight;
  }

  get bytesIn(): number {
    return this.#bytesIn;
  }

  open(): void {
    if (this.#over) return;
    this.writer.write(FrameType.hello, 0, 0, this.#hello);
    this.writer.flush();
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
    if (this.#open) {
      if (type === FrameType.reply) this.#owner.reply(callId, payload);
      else if (type === FrameType.request) this.#requests.request(kind, callId, payload);
      else throw outOfTurn(type);
    } else if (type === FrameType.welcome) this.#welcome(payload);
    else throw outOfTurn(type);
  }

  close(reason: CloseReason): void {
    this.#finish(reason.refused && !this.#open ? "refused" : "lost", reason.error);
    this.#closed?.();
    this.#closed = undefined;
  }

  /** The peer broke the protocol, or a request of its couldn't be dealt with: closes the connection and says so. */
  invalid(code: "FRAME_INVALID" | "OVERLOADED" | "VALUE_TOO_LARGE" | "INTERNAL", why: string): void {
    if (this.#over) return;
    const { id, host, port } = this.#peer;
    const remote = `${host}:${port}`;
    this.#context.log.warn({ event: "link-closed", peer: id, remote, code }, `closing the link: ${why}`);
    this.#finish("lost", new RingcacheError(code, why));
  }

  /** Closes at once; the owner is not told. */
  destroy(): void {
    this.#stop();
    this.#stream.destroy();
  }

  /** Closes after what was written has been sent, then calls `closed`; the owner is not told. */
  end(closed: () => void): void {
    if (!this.#open || this.#over) {
      this.destroy();
      closed();
      return;
    }
    this.#closed = closed;
    this.writer.flush();
    this.#stop();
    this.#stream.end();
  }

  #welcome(payload: Buffer): void {
    const { secret } = this.#context;
    const who = decodeWelcome(secret, payload, this.#hello);
    if (who === undefined) {
      throw new RingcacheError("FRAME_INVALID", "the other side doesn't know the platform's secret");
    }
    if (!sameIdentity(who, this.#peer)) {
      this.#finish("replaced", new Error(`${who.id} (${who.incarnation}) answers there`));
      return;
    }
    this.writer.write(FrameType.proof, 0, 0, encodeProof(secret, this.#hello, payload));
    this.#open = true;
    this.#timeout.cancel();
    this.#decoder.sizeBytesMax = frameSizeBytesMax;
    this.#owner.opened();
  }

  #finish(end: DialEnd, error: Error | undefined): void {
    if (this.#over) return;
    this.destroy();
    this.#owner.ended(end, error);
  }

  #stop(): void {
    this.#over = true;
    this.#timeout.cancel();
    this.#decoder.stop();
    this.#requests.stop();
    this.writer.close();
  }
}
