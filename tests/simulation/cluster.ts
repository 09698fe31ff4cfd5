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

/** Longer than several unanswered heartbeats in a row: a node is not to be given up for the store's lost answers. */
export const leaseMs = 5_000;
export const requestDeadlineMs = 5_000;
const heartbeatMs = 500;
const storeTimeoutMs = 700;
const retryStartMs = 500;

/** What a start may fail with while the store is hostile; it is tried again. */
const passingCodes = new Set([
  "COORDINATION_TIMEOUT",
  "COORDINATION_UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "NODE_ID_IN_USE",
]);

export interface ClusterOptions {
  readonly partitions: number;
  /** Called with everything that must not happen. */
  violation(what: string): void;
}

/** One node, from its first attempt to start until its process has ended. */
export class ClusterNode {
  readonly id: string;
  process: SimNode;
  coordination: SimCoordination;
  cache: CacheNode | undefined;
  state: "starting" | "up" | "leaving" | "gone" = "starting";
  /** Operations that clients have given to this node and that it hasn't answered. */
  inFlight = 0;

  constructor(id: string, process: SimNode, coordination: SimCoordination) {
    this.id = id;
    this.process = process;
    this.coordination = coordination;
  }
}

export class Cluster {
  readonly sim: Simulation;
  readonly network: SimNetwork;
  readonly store: SimStore;
  readonly partitions: number;
  readonly platform = "sim";
  readonly #options: ClusterOptions;
  #nodes: ClusterNode[] = [];

  constructor(sim: Simulation, options: ClusterOptions) {
    this.sim = sim;
    this.network = new SimNetwork(sim);
    this.store = new SimStore(sim);
    this.partitions = options.partitions;
    this.#options = options;
  }

  /** Every node whose process hasn't ended. */
  get nodes(): readonly ClusterNode[] {
    return this.#nodes;
  }

  /** The nodes that clients may use. */
  get up(): readonly ClusterNode[] {
    return this.#nodes.filter((node) => node.state === "up");
  }

  /** Starts a node on a host of its own name, again and again until the store lets it. */
  start(id: string): ClusterNode {
    const node = new ClusterNode(id, ...this.#newProcess(id));
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

  async #start(node: ClusterNode): Promise<void> {
    while (node.state === "starting") {
      const { process, coordination } = node;
      try {
        node.cache = await CacheNode.start({
          config: this.#config(node.id),
          coordination,
          runtime: process.runtime,
          transport: this.network.transportOf(process),
          log: this.#log(node.id),
        });
        node.state = "up";
        this.sim.trace(node.id, "is up");
      } catch (error) {
        const code = error instanceof RingcacheError ? error.code : "";
        this.sim.trace(node.id, `start failed: ${code} ${String(error)}`);
        if (!passingCodes.has(code)) this.#options.violation(`${node.id} failed to start: ${String(error)}`);
        await sleep(process.runtime, retryStartMs);
        await coordination.close();
        process.crash();
        [node.process, node.coordination] = this.#newProcess(node.id);
      }
    }
  }

  #newProcess(host: string): [SimNode, SimCoordination] {
    const process = this.sim.node(host);
    return [process, new SimCoordination(process, this.store, { requestTimeoutMs: storeTimeoutMs })];
  }

  #config(id: string): NodeConfig {
    return {
      ...defaultNodeConfig,
      node: id,
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
