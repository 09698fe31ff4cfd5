/** What the other side asks over one connection: each request goes to the handler of its kind, and its reply back. */
import { messageOf, RingcacheError } from "../errors.ts";
import type { LinkContext } from "./context.ts";
import { FrameType, type FrameWriter, payloadSizeBytesMax } from "./frames.ts";
import type { IncomingRequest, PeerIdentity } from "./messages.ts";

/** The connection that carries them. */
export interface RequestsOwner {
  readonly writer: FrameWriter;
  /** Closes the connection and says why. */
  invalid(code: "OVERLOADED" | "VALUE_TOO_LARGE" | "INTERNAL", why: string): void;
}

class Request implements IncomingRequest {
  readonly payload: Buffer;
  readonly #requests: Requests;
  readonly #kind: number;
  readonly #callId: number;
  #answered = false;

  constructor(requests: Requests, kind: number, callId: number, payload: Buffer) {
    this.#requests = requests;
    this.#kind = kind;
    this.#callId = callId;
    this.payload = payload;
  }

  get from(): PeerIdentity {
    return this.#requests.from;
  }

  reply(payload: Uint8Array): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#requests.reply(this.#kind, this.#callId, payload);
  }
}

export class Requests {
  /** Who asks: the other side has proved that it is this one. */
  readonly from: PeerIdentity;
  readonly #context: LinkContext;
  readonly #owner: RequestsOwner;
  #inFlight = 0;
  #over = false;

  constructor(context: LinkContext, from: PeerIdentity, owner: RequestsOwner) {
    this.#context = context;
    this.#owner = owner;
    this.from = from;
  }

  /** Requests that have not been answered. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Throws FRAME_INVALID for a kind that nobody serves. */
  request(kind: number, callId: number, payload: Buffer): void {
    const { handlers, inFlightCallsMax } = this.#context;
    const handler = handlers[kind];
    if (handler === undefined) {
      throw new RingcacheError("FRAME_INVALID", `a request of the unknown kind ${kind}`);
    }
    if (++this.#inFlight > inFlightCallsMax) {
      this.#owner.invalid("OVERLOADED", `more than ${inFlightCallsMax} requests wait for an answer`);
      return;
    }
    try {
      handler(new Request(this, kind, callId, payload));
    } catch (error) {
      this.#owner.invalid("INTERNAL", `the handler of kind ${kind} threw: ${messageOf(error)}`);
    }
  }

  reply(kind: number, callId: number, payload: Uint8Array): void {
    if (this.#over) return;
    this.#inFlight--;
    if (payload.length > payloadSizeBytesMax) {
      const what = `a reply of ${payload.length} bytes to a request of kind ${kind}`;
      this.#owner.invalid("VALUE_TOO_LARGE", what);
      return;
    }
    const { writer } = this.#owner;
    writer.write(FrameType.reply, kind, callId, payload);
    // This node's calls may share the connection, and are refused at the bound: what is there beyond it is replies.
    const queuedBytesMax = 2 * this.#context.queuedBytesMax;
    if (writer.queuedBytes > queuedBytesMax) {
      const why = `the peer doesn't take its replies: more than ${queuedBytesMax} bytes wait`;
      this.#owner.invalid("OVERLOADED", why);
    }
  }

  /** Replies go nowhere from now on. */
  stop(): void {
    this.#over = true;
  }
}
