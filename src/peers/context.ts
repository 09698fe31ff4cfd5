/** What every link of a node shares. */
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime.ts";
import type { Carrier } from "./carrier.ts";
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
  /** Per connection: bytes that wait to be handed to the network. Calls are refused beyond it; replies may add as many. */
  readonly queuedBytesMax: number;
  /** For connecting and the handshake together. */
  readonly connectTimeoutMs: number;
  /** A connection that this peer made and that this node's calls to it are to go over, if there is one that nobody uses. */
  carrierFrom(peer: PeerIdentity): Carrier | undefined;
  linkEvent(peer: PeerAddress, event: LinkEvent): void;
}
