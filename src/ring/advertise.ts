/** Where a node tells the others to reach it, and where it listens for them. */
import { isIPv6 } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";
import { RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerAddress } from "../peers/messages.ts";
import type { Peers } from "../peers/peers.ts";

export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

export interface Hosts {
  /** Empty: to be chosen. */
  readonly advertiseHost: string;
  readonly peerHost: string;
}

const probeTimeoutMs = 1_000;

/**
 * Fills in what isn't given. Advertised: the host that is listened on if that is one address; 127.0.0.1 if every NATS
 * server is on this machine's loopback, as then every node is on this machine; else the first external IPv4 address.
 */
export function chooseHosts(given: Hosts, natsHosts: readonly string[], interfaces: Interfaces): Hosts {
  const advertiseHost = given.advertiseHost || chooseAdvertised(given.peerHost, natsHosts, interfaces);
  return { advertiseHost, peerHost: given.peerHost || choosePeerHost(advertiseHost) };
}

/**
 * Throws PORT_UNUSABLE if the advertised address refuses connections or is another node's: the others would take this
 * node for dead. An address that only others can reach answers nothing here, and is let pass with a warning.
 */
export async function requireReachable(peers: Peers, self: PeerAddress, log: Log): Promise<void> {
  const answer = await peers.probe(self, probeTimeoutMs);
  const where = `${self.host}:${self.port}`;
  if (answer === "refused" || answer === "replaced") {
    const why = answer === "refused" ? "nothing listens there" : "another node answers there";
    throw new RingcacheError("PORT_UNUSABLE", `the advertised address ${where} isn't this node's: ${why}`);
  }
  if (answer === "silent") {
    log.warn(
      { event: "advertised-silent", address: where },
      `nothing answers at the advertised address ${where} from here`,
    );
  }
}

export function isSpecific(host: string): boolean {
  return host !== "" && host !== "0.0.0.0" && host !== "::";
}

function chooseAdvertised(bound: string, natsHosts: readonly string[], interfaces: Interfaces): string {
  if (isSpecific(bound)) return bound;
  if (natsHosts.every(isLoopback)) return "127.0.0.1";
  const external = Object.values(interfaces)
    .flatMap((list) => list ?? [])
    .find((info) => info.family === "IPv4" && !info.internal);
  return external?.address ?? "127.0.0.1";
}

/** A port that is only ever reached over loopback isn't opened to the network. */
function choosePeerHost(advertiseHost: string): string {
  if (isLoopback(advertiseHost)) return advertiseHost;
  return isIPv6(advertiseHost) ? "::" : "0.0.0.0";
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
