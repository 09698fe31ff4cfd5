/** From the options of the command line to the configuration of one node. */
import { isIPv6 } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";
import type { NodeConfig } from "../config.ts";
import { defaultHttpLimits, type HttpLimits } from "../http/limits.ts";
import type { Values } from "./options.ts";
import { type Address, formatAddress, natsHost } from "./values.ts";

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/** `http` is where the HTTP door really listens, with the port that was found. */
export function nodeConfig(values: Values, http: Address, interfaces: Interfaces): NodeConfig {
  const advertiseHost = chooseAdvertiseHost(values, interfaces);
  return {
    node: values.node,
    platform: values.platform,
    partitions: values.partitions,
    peerHost: choosePeerHost(values["peer-port"].host, advertiseHost),
    peerPort: values["peer-port"].port,
    advertiseHost,
    advertiseHttp: formatAddress({
      host: isSpecific(http.host) ? http.host : advertiseHost,
      port: http.port,
    }),
    zone: values.zone,
    requestDeadlineMs: values["request-deadline"],
    heartbeatMs: values.heartbeat,
    leaseMs: values.lease,
    drainTimeoutMs: values["drain-timeout"],
  };
}

/** The bounds of the HTTP door that follow from how long an operation may wait. */
export function httpLimits(requestDeadlineMs: number): Partial<HttpLimits> {
  return {
    inactivityMs: Math.max(defaultHttpLimits.inactivityMs, 2 * requestDeadlineMs),
    // Whatever was accepted before the door closes is answered.
    closeTimeoutMs: requestDeadlineMs + defaultHttpLimits.closeTimeoutMs,
  };
}

function chooseAdvertiseHost(values: Values, interfaces: Interfaces): string {
  if (values.advertise !== "") return values.advertise;
  const bound = values["peer-port"].host;
  if (isSpecific(bound)) return bound;
  // With NATS on this machine's loopback address every node is on this machine too.
  if (values.nats.split(",").every((server) => isLoopback(natsHost(server) ?? ""))) return "127.0.0.1";
  const external = Object.values(interfaces)
    .flatMap((list) => list ?? [])
    .find((info) => info.family === "IPv4" && !info.internal);
  return external?.address ?? "127.0.0.1";
}

/** A port that is only ever reached over loopback isn't opened to the network. */
function choosePeerHost(asked: string, advertiseHost: string): string {
  if (asked !== "") return asked;
  if (isLoopback(advertiseHost)) return advertiseHost;
  return isIPv6(advertiseHost) ? "::" : "0.0.0.0";
}

function isSpecific(host: string): boolean {
  return host !== "" && host !== "0.0.0.0" && host !== "::";
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
