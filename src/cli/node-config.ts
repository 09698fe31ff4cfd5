/** From the options of the command line to the configuration of one node. */
import type { NodeConfig } from "../config.ts";
import { defaultHttpLimits, type HttpLimits } from "../http/limits.ts";
import { chooseHosts, type Interfaces, isSpecific } from "../ring/advertise.ts";
import type { Values } from "./options.ts";
import { type Address, formatAddress, natsHost } from "./values.ts";

/** `http` and `redis` are where the doors really listen, with the ports that were found. */
export function nodeConfig(
  values: Values,
  http: Address,
  redis: Address | undefined,
  interfaces: Interfaces,
): NodeConfig {
  const given = { advertiseHost: values.advertise, peerHost: values["peer-port"].host };
  const natsHosts = values.nats.split(",").map((server) => natsHost(server) ?? "");
  const { advertiseHost, peerHost } = chooseHosts(given, natsHosts, interfaces);
  const reachedAt = ({ host, port }: Address): string =>
    formatAddress({ host: isSpecific(host) ? host : advertiseHost, port });
  return {
    node: values.node,
    platform: values.platform,
    partitions: values.partitions,
    peerHost,
    peerPort: values["peer-port"].port,
    advertiseHost,
    advertiseHttp: reachedAt(http),
    advertiseRedis: redis === undefined ? "" : reachedAt(redis),
    backups: values.backups,
    zone: values.zone,
    maxMemoryBytes: values["max-memory"],
    eviction: values.eviction,
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
