/** What every link of a node shares. */
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime.ts";
import type { LinkEvent, PeerAddress, PeerIdentity, RequestHandler } from "./messages.ts";
import type { Transport } from "./transport.ts";

export interface LinkContext {
  readonly runtime: Runtime;
  readonly transport: Transport;
  readonly log: Log;
  readonly platform: string;
  /** The platform's; see `Peers.setSecret`. */
  readonly secret: Uint8Array;
  readonly self: PeerIdentity;
  /** By kind. */
  readonly handlers: readonly (RequestHandler | undefined)[];
  /** Per link and direction: calls that have not been answered. */
  readonly inFlightCallsMax: number;
  /** Per link and direction: bytes that wait to be handed to the network. */
  readonly queuedBytesMax: number;
  /** For connecting and the handshake together. */
  readonly connectTimeoutMs: number;
  linkEvent(peer: PeerAddress, event: LinkEvent): void;
}
