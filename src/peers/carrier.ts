/**
 * A connection that the other side made, used for this node's calls to it as well. Two nodes dial each other, so that each
 * knows whom it reaches and learns at once when the other is gone; but what either says goes over the one connection that
 * the node with the lower id made. So calls, answers and acknowledgements of one turn leave in one write, and wake the
 * other process once.
 */
import { RingcacheError } from "../errors.ts";
import type { LinkContext } from "./context.ts";
import type { FrameType, FrameWriter } from "./frames.ts";
import type { PeerIdentity } from "./messages.ts";
import type { PendingCalls } from "./pending.ts";

export interface CarrierUser {
  /** The connection is over; nothing that was written since its last flush has been sent. */
  carrierLost(): void;
}

export interface Carrier {
  readonly writer: FrameWriter;
  /** The calls made over this connection; they outlive their user, as their replies may still come. */
  readonly calls: PendingCalls;
  /** Tells `user` from now on when the connection is lost; undefined: nobody. */
  carry(user: CarrierUser | undefined): void;
  /** Closes the connection and says why. */
  invalid(code: "FRAME_INVALID", why: string): void;
}

/** Whether this node's calls to `peer` go over the connection that `peer` made. */
export function goesOverTheirs(self: PeerIdentity, peer: PeerIdentity): boolean {
  return self.id > peer.id;
}

/** Hands a reply to the caller. Throws FRAME_INVALID if there is no such call. */
export function deliverReply(context: LinkContext, calls: PendingCalls, callId: number, reply: Buffer): void {
  const handler = calls.take(callId);
  if (handler === undefined)
    throw new RingcacheError("FRAME_INVALID", `a reply to the unknown call ${callId}`);
  try {
    handler.reply(reply);
  } catch (error) {
    context.log.error({ event: "defect-survived", where: "peers", err: error }, "a call's handler threw");
  }
}

export function outOfTurn(type: FrameType): RingcacheError {
  return new RingcacheError("FRAME_INVALID", `a frame of type ${type} out of turn`);
}
