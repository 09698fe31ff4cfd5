/** A cluster of production nodes in the simulation: everything but clock, chance, network and store is the real thing. */
import { CacheNode } from "../../src/cache/node.ts";
import { defaultNodeConfig, type NodeConfig } from "../../src/config.ts";
import { RingcacheError } from "../../src/errors.ts";
import type { Log } from "../../src/log.ts";
import { sleep } from "../../src/runtime.ts";
import { SimCoordination } from "./sim-coordination.ts";
import type { SimNode, Simulation } from "./sim-runtime.ts";
import { SimStore } from "./sim-store.ts";
import { SimNetwork } from "./sim-transport.ts";

/** Longer than the unanswered heartbeats that the store allows itself in a row, and a short pause on top of them. */
export const leaseMs = 4_000;
/**
 * Longer than it takes to be sure that a silent node has stopped serving, and to promote its backups: a lease, another if
 * whoever judges had been late itself, and a third if grants were given once more just before.
 */
export const requestDeadlineMs = 5 * leaseMs;
const heartbeatMs = 700;
const storeTimeoutMs = 600;
const retryStartMs = 500;
/** A node that leaves while the store is away waits for it. */
const drainTimeoutMs = 3_600_000;

/** What a start may fail with while the store is hostile; it is tried again. */
const passingCodes = new Set([
  "COORDINATION_TIMEOUT",
  "COORDINATION_UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "NODE_ID_IN_USE",
]);

export interface ClusterOptions {
  readonly partitions: number;
  readonly backups: number;
  /** Given to the nodes in turn; empty: no node has a zone. */
  readonly zones: readonly string[];
  /** Of each node, for its entries; 0: enough. */
  readonly memoryBytes: number;
  /** Called with everything that must not happen. */
  violation(kind: string, what: string): void;
}

/** One node, from its first attempt to start until its process has ended. */
export class ClusterNode {
  readonly id: string;
  process: SimNode;
  coordination: SimCoordination;
  cache: CacheNode | undefined;
  readonly zone: string;
  state: "starting" | "up" | "leaving" | "gone" = "starting";
  /** Operations that clients have given to this node and that it hasn't answered. */
  inFlight = 0;

  constructor(id: string, zone: string, process: SimNode, coordination: SimCoordination) {
    this.id = id;
    this.zone = zone;
    this.process = process;
    this.coordination = coordination;
  }
}

export class Cluster {
  readonly sim: Simulation;
  readonly network: SimNetwork;
  readonly store: SimStore;
  readonly partitions: number;
  readonly backups: number;
  readonly platform = "sim";
  /** Called in the turn in which a node is up. */
  onUp: ((node: ClusterNode) => void) | undefined;
  readonly #options: ClusterOptions;
  /** Hosts that can't reach the store, and how many times over. */
  readonly #storeCuts = new Map<string, number>();
  #nodes: ClusterNode[] = [];

  constructor(sim: Simulation, options: ClusterOptions) {
    this.sim = sim;
    this.network = new SimNetwork(sim);
    this.store = new SimStore(sim);
    this.partitions = options.partitions;
    this.backups = options.backups;
    this.#options = options;
  }

  /** Every node whose process hasn't ended. */
  get nodes(): readonly ClusterNode[] {
    return this.#nodes;
  }

  get hasZones(): boolean {
    return this.#options.zones.length > 0;
  }

  /** The nodes that clients may use. */
  get up(): readonly ClusterNode[] {
    return this.#nodes.filter((node) => node.state === "up");
  }

  /** Starts a node on a host of its own name, again and again until the store lets it. */
  start(id: string): ClusterNode {
    const { zones } = this.#options;
    // Of its id, so that a node that starts again is where it was.
    const zone = zones[Number(id.slice(1)) % Math.max(zones.length, 1)] ?? "";
    const node = new ClusterNode(id, zone, ...this.#newProcess(id));
    this.#nodes.push(node);
    void this.#start(node);
    return node;
  }

  /** As SIGTERM does: drains, answers what it was asked, leaves, exits. */
  async leave(node: ClusterNode): Promise<void> {
    const { cache, process, coordination } = node;
    if (cache === undefined || node.state !== "up") return;
    node.state = "leaving";
    this.sim.trace(node.id, "leaves");
    // In its own process: one that is stopped gets the signal later.
    await sleep(process.runtime, 0);
    await cache.drain();
    while (node.inFlight > 0) await sleep(process.runtime, 5);
    await cache.leave();
    await coordination.close();
    node.state = "gone";
    process.crash();
    this.#nodes = this.#nodes.filter((other) => other !== node);
  }

  /** As `kill -9` does. */
  kill(node: ClusterNode): void {
    node.state = "gone";
    node.process.crash();
    this.#nodes = this.#nodes.filter((other) => other !== node);
  }

  /** Cuts the host off from the store, whatever process runs there, until what is returned has been called. */
  cutFromStore(host: string): () => void {
    this.#storeCuts.set(host, (this.#storeCuts.get(host) ?? 0) + 1);
    this.#nodes.find((node) => node.id === host)?.coordination.cutOff();
    return () => {
      const left = this.#storeCuts.get(host)! - 1;
      this.#storeCuts.set(host, left);
      if (left === 0) this.#nodes.find((node) => node.id === host)?.coordination.reconnect();
    };
  }

  async #start(node: ClusterNode): Promise<void> {
    while (node.state === "starting") {
      const { process, coordination } = node;
      try {
        node.cache = await CacheNode.start({
          config: this.#config(node),
          coordination,
          runtime: process.runtime,
          transport: this.network.transportOf(process),
          log: this.#log(node.id),
        });
        node.state = "up";
        this.onUp?.(node);
        this.sim.trace(node.id, "is up");
      } catch (error) {
        const code = error instanceof RingcacheError ? error.code : "";
        this.sim.trace(node.id, `start failed: ${code} ${String(error)}`);
        if (!passingCodes.has(code))
          this.#options.violation("start", `${node.id} failed to start: ${String(error)}`);
        await sleep(process.runtime, retryStartMs);
        await coordination.close();
        process.crash();
        [node.process, node.coordination] = this.#newProcess(node.id);
      }
    }
  }

  #newProcess(host: string): [SimNode, SimCoordination] {
    const process = this.sim.node(host);
    const coordination = new SimCoordination(process, this.store, { requestTimeoutMs: storeTimeoutMs });
    if ((this.#storeCuts.get(host) ?? 0) > 0) coordination.cutOff();
    return [process, coordination];
  }

  #config({ id, zone }: ClusterNode): NodeConfig {
    return {
      ...defaultNodeConfig,
      node: id,
      zone,
      backups: this.backups,
      maxMemoryBytes: this.#options.memoryBytes,
      drainTimeoutMs,
      platform: this.platform,
      partitions: this.partitions,
      advertiseHost: id,
      peerPort: 7000,
      requestDeadlineMs,
      heartbeatMs,
      leaseMs,
    };
  }

  #log(id: string): Log {
    const write =
      (level: string) =>
      (fields: object, message: string): void => {
        const { event, error } = fields as { event?: string; error?: string };
        this.sim.trace(id, `${level} ${event ?? ""}: ${message}${error === undefined ? "" : ` (${error})`}`);
      };
    return { debug() {}, info: write("info"), warn: write("warn"), error: write("error") };
  }
}
