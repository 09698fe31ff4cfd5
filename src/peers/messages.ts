/** Who a peer is: an id that was chosen and an incarnation that was drawn at its start. */
export interface PeerIdentity {
  readonly id: string;
  readonly incarnation: string;
}

/** A peer and the address its links are made to. */
export interface PeerAddress extends PeerIdentity {
  readonly host: string;
  readonly port: number;
}

/** A request that came in over an authenticated link. */
export interface IncomingRequest {
  readonly from: PeerIdentity;
  /** A view into the bytes received: copy what outlives the operation. */
  readonly payload: Buffer;
  /** Answers, at most once; does nothing when the link has closed meanwhile. The bytes are copied or sent at once. */
  reply(payload: Uint8Array): void;
}

/** Serves the requests of one kind. It must not throw; a throw is a defect, closes the link and is logged. */
export type RequestHandler = (request: IncomingRequest) => void;

/** The two possible ends of a call; exactly one of them is called, exactly once, never within `call` itself. */
export interface CallHandler {
  /** A view that is valid during the call only: copy what is kept. */
  reply(payload: Buffer): void;
  /**
   * PEER_REFUSED, PEER_UNREACHABLE, OVERLOADED, CLOSED: the request was never sent, outcome `none`.
   * LINK_LOST, DEADLINE_EXCEEDED: outcome `unknown` if the request had been handed to the network, else `none`.
   */
  failed(error: import("../errors.ts").RingcacheError): void;
}

/** What is known of a link to a peer. */
export type LinkEvent =
  /** Authenticated and open. */
  | "up"
  /** It was open and has closed, or an attempt ended without proof of anything. */
  | "down"
  /** The peer's address refuses connections: its process is dead. */
  | "refused"
  /** The address answers as another node or incarnation: the process meant is dead. */
  | "replaced";
