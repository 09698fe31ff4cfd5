/** From an application's options to what a node needs: validated settings and a connection to agree through. */
import { networkInterfaces } from "node:os";
import {
  backupsMax,
  defaultNodeConfig,
  evictionPolicies,
  maxMemoryBytesMin,
  type NodeConfig,
} from "../config.ts";
import type { Coordination } from "../coordination/coordination.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { connectNats } from "../coordination/nats.ts";
import { parseNatsUrls } from "../coordination/nats-url.ts";
import { RingcacheError } from "../errors.ts";
import { type Log, silentLog } from "../log.ts";
import { tcpTransport } from "../peers/tcp.ts";
import type { Transport } from "../peers/transport.ts";
import { type Runtime, systemRuntime } from "../runtime.ts";
import { chooseHosts } from "./advertise.ts";

/** A cluster without NATS: every node that is given the same instance, all in one process, is a member of it. */
export class Embedded {
  /** What the nodes agree through. */
  readonly store: MemoryStore = new MemoryStore(systemRuntime);
}

/**
 * All optional; `docs/library.md` has defaults and bounds. `advertiseHost` is chosen if it isn't given: 127.0.0.1 if
 * NATS is on this machine, else its first external IPv4 address. One that isn't this node's is refused.
 */
export interface MemberOptions extends Partial<NodeConfig> {
  /** A NATS URL, several separated by commas, or an embedded cluster. Default nats://localhost:4222. */
  readonly nats?: string | Embedded;
  /** A pino logger fits. Default: nothing is logged. */
  readonly log?: Log;
}

export interface OpenMembership {
  readonly config: NodeConfig;
  readonly coordination: Coordination;
  readonly runtime: Runtime;
  readonly transport: Transport;
  readonly log: Log;
  /** Closes the coordination. */
  release(): Promise<void>;
}

/** Throws OPTION_INVALID and COORDINATION_UNAVAILABLE. */
export async function openMembership(options: MemberOptions): Promise<OpenMembership> {
  const { nats = "nats://localhost:4222", log = silentLog, ...given } = options;
  const embedded = nats instanceof Embedded;
  const known = Object.keys(defaultNodeConfig) as (keyof NodeConfig)[];
  const set = known.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]);
  const asked: NodeConfig = { ...defaultNodeConfig, ...Object.fromEntries(set) };
  checkConfig(asked);
  const config = { ...asked, ...chooseHosts(asked, embedded ? [] : natsHosts(nats), networkInterfaces()) };
  const runtime = systemRuntime;
  const coordination = embedded
    ? new MemoryCoordination(nats.store)
    : await connectNats({ url: nats, runtime, log });
  return { config, coordination, runtime, transport: tcpTransport, log, release: () => coordination.close() };
}

function natsHosts(urls: string): string[] {
  return parseNatsUrls(urls).servers.map((server) => server.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1"));
}

/** What would otherwise surface as something else, much later. */
function checkConfig(config: NodeConfig): void {
  const bounded = (name: keyof NodeConfig, min: number, max: number): void => {
    const value = config[name];
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      throw new RingcacheError(
        "OPTION_INVALID",
        `${name} must be a whole number from ${min} to ${max}, not ${value}`,
      );
    }
  };
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(config.node) || /^\.|\.$|\.\./.test(config.node)) {
    throw new RingcacheError(
      "OPTION_INVALID",
      `node must be 1 to 64 letters, digits, "-", "_" or single "." inside, not "${config.node}"`,
    );
  }
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(config.platform)) {
    throw new RingcacheError(
      "OPTION_INVALID",
      `platform must be 1 to 64 letters, digits, "-" or "_", not "${config.platform}"`,
    );
  }
  if (!/^[A-Za-z0-9_.-]{0,64}$/.test(config.zone)) {
    throw new RingcacheError(
      "OPTION_INVALID",
      `zone must be empty, or 1 to 64 letters, digits, "-", "_" or ".", not "${config.zone}"`,
    );
  }
  bounded("partitions", 1, 16_384);
  bounded("backups", 0, backupsMax);
  if (config.maxMemoryBytes !== 0) bounded("maxMemoryBytes", maxMemoryBytesMin, Number.MAX_SAFE_INTEGER);
  if (!evictionPolicies.includes(config.eviction)) {
    throw new RingcacheError(
      "OPTION_INVALID",
      `eviction must be one of ${evictionPolicies.join(", ")}, not "${config.eviction}"`,
    );
  }
  bounded("peerPort", 0, 65_535);
  bounded("requestDeadlineMs", 1, 600_000);
  bounded("heartbeatMs", 10, 60_000);
  bounded("leaseMs", 2 * config.heartbeatMs, 600_000);
  bounded("drainTimeoutMs", 0, 3_600_000);
}
