/** What an operator may ask of a node over HTTP: to hand everything over and leave, and to have a plan made. */
import type { IncomingMessage } from "node:http";
import { BlockList } from "node:net";
import { RingcacheError } from "../errors.ts";

/**
 * From where a node may be told to leave. `loopback`: from its own machine or pod only, by no browser and through no
 * proxy; `anywhere`: by whoever reaches the port; `nowhere`: by signals only.
 */
export const drainSources = ["loopback", "anywhere", "nowhere"] as const;
export type DrainSource = (typeof drainSources)[number];

/** The process around a node, as the HTTP door may ask it. */
export interface NodeControl {
  readonly drainFrom: DrainSource;
  /** How long the node gives itself to hand over. */
  readonly drainTimeoutMs: number;
  /**
   * Leaves and ends, as on SIGTERM; nothing new if it does already. Resolves when everything has been handed over, or the time for
   * that is over; soon after the process ends. Throws NOT_READY while the node is joining.
   */
  drain(): Promise<void>;
  /** Resolves when the coordinator has looked at the whole ring. Throws NOT_READY, and what `Ring.call` throws. */
  plan(): Promise<void>;
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** What a proxy adds, and what every browser sends with a POST. Whoever really asks is somebody else then. */
const headersOfOthers = ["origin", "sec-fetch-site", "forwarded", "x-forwarded-for", "x-real-ip", "via"];

/** Throws FORBIDDEN unless whoever sent `req` may have this node leave. */
export function checkMayDrain(drainFrom: DrainSource, req: IncomingMessage): void {
  if (drainFrom === "anywhere") return;
  if (drainFrom === "nowhere") {
    throw new RingcacheError(
      "FORBIDDEN",
      "This node leaves on signals only: it runs with --drain-from nowhere.",
    );
  }
  const header = headersOfOthers.find((name) => req.headers[name] !== undefined);
  if (header !== undefined) {
    throw new RingcacheError(
      "FORBIDDEN",
      `This node leaves only when it is asked on its own machine, by no browser and through no proxy; the request has the header "${header}".`,
    );
  }
  if (!isLoopback(req.socket.remoteAddress ?? "")) {
    throw new RingcacheError(
      "FORBIDDEN",
      "This node leaves only when it is asked on its own machine, at a loopback address; --drain-from anywhere would allow more.",
    );
  }
}

/** Also of IPv4 addresses as a socket for both families shows them: `::ffff:127.0.0.1`. */
export function isLoopback(address: string): boolean {
  if (address === "") return false;
  return loopback.check(address, address.includes(":") ? "ipv6" : "ipv4");
}
