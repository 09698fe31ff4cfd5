/**
 * The promise under load: nodes join and leave by SIGTERM all the time, clients on every node go on writing, reading
 * and deleting, and at the end not one acknowledged write is missing and not one client has seen an error.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { LoadClient } from "../support/load-client.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, type NodeProcess, settled, spread } from "../support/node-process.ts";

const durationMs = Number(process.env.SOAK_SECONDS || 60) * 1_000;
const nodesMin = 3;
const nodesMax = 5;
/** Per node, pinned to it. */
const clientsPerNode = 2;
/** On the node that always stays. */
const stayingClients = 2;

let nats: NatsServer;
let cluster: Cluster;

beforeAll(async () => {
  nats = await startNatsServer();
  cluster = new Cluster(nats.url);
});
afterAll(async () => {
  await cluster.end();
  await nats.stop();
});

/** What nodes and clients do meanwhile. `running[0]` always stays. */
class Soak {
  readonly running: NodeProcess[];
  readonly clients: LoadClient[] = [];
  joins = 0;
  leaves = 0;
  coordinatorsLeft = 0;
  #idle = ["node-4", "node-5", "node-6"];
  #growing = true;
  #turn = 0;

  constructor(running: NodeProcess[]) {
    this.running = running;
    const addClients = (node: NodeProcess, count: number): void => {
      for (let i = 0; i < count; i++)
        this.clients.push(new LoadClient(`client-${this.clients.length}`, node, () => this.#another()));
    };
    addClients(running[0]!, stayingClients);
    for (const node of running) addClients(node, clientsPerNode);
  }

  /** One step: a node joins, a node leaves, or both at once, so that moves are planned anew while they go on. */
  async step(): Promise<void> {
    if (this.running.length >= nodesMax) this.#growing = false;
    if (this.running.length <= nodesMin) this.#growing = true;
    if ((this.joins + this.leaves) % 4 === 3) await Promise.all([this.#leave(), this.#join()]);
    else if (this.#growing) await this.#join();
    else await this.#leave();
  }

  #another(): NodeProcess {
    return this.running[this.#turn++ % this.running.length]!;
  }

  async #join(): Promise<void> {
    // Ids that have left come back as new incarnations.
    const node = await cluster.start(this.#idle.shift()!);
    this.running.push(node);
    this.joins++;
    // Clients move over to the newcomer, so that every node is somebody's front door.
    const movable = this.clients.slice(stayingClients);
    for (const client of movable.filter((_, i) => i % this.running.length === 0)) await client.moveTo(node);
  }

  async #leave(): Promise<void> {
    // The coordinator rather than another: its office changes hands while its partitions do.
    const { coordinator } = await this.running[0]!.status();
    const coordinatorAt = this.running.findIndex((node) => node.id === coordinator);
    const at = Math.max(coordinatorAt, 1);
    if (at === coordinatorAt) this.coordinatorsLeft++;
    const [node] = this.running.splice(at, 1);
    // Some of its clients are told before, as by a load balancer. The others find out by its answers.
    const told = this.clients.filter((client, i) => client.node === node && i % 2 === 0);
    for (const client of told) await client.moveTo(this.#another());
    await node!.terminate();
    this.leaves++;
    this.#idle.push(node!.id);
  }
}

test(`nodes join and leave for ${durationMs / 1_000} s under load`, {
  timeout: durationMs + 120_000,
}, async () => {
  // The first coordinates: it is to be one that leaves.
  const others = [await cluster.start("node-2"), await cluster.start("node-3")];
  const first = await cluster.start("node-1");
  const soak = new Soak([first, ...others]);
  const { running, clients } = soak;
  for (const client of clients) client.run();
  const startEpoch = (await first.status()).epoch;

  const endAt = performance.now() + durationMs;
  while (performance.now() < endAt) await soak.step();
  await Promise.all(clients.map((client) => client.stop()));
  const byNode = await settled(running);
  const epochs = (await first.status()).epoch - startEpoch;
  const readBack = running.flatMap((node) => clients.map((client) => client.readBack(node)));
  const lost = (await Promise.all(readBack)).flat();

  const errors = clients.flatMap((client) => client.errors);
  const { joins, leaves, coordinatorsLeft } = soak;
  const figures = {
    seconds: durationMs / 1_000,
    operations: clients.reduce((sum, client) => sum + client.operations, 0),
    keys: clients.reduce((sum, client) => sum + client.keyCount, 0),
    joins,
    leaves,
    coordinatorsLeft,
    clientsSentAway: clients.reduce((sum, client) => sum + client.movedAway, 0),
    epochs,
    lost: lost.length,
    errors: errors.length,
    longestWaitMs: Math.round(Math.max(...clients.map((client) => client.longestMs))),
    partitionsByNode: byNode,
  };
  console.log(`soak: ${JSON.stringify(figures)}`);
  expect(errors.slice(0, 10)).toEqual([]);
  expect(lost.slice(0, 10)).toEqual([]);
  expect(spread(byNode)).toBeLessThanOrEqual(1);
  expect(joins).toBeGreaterThan(0);
  expect(leaves).toBeGreaterThan(0);
  // Every join and every leave publishes a plan and at least one switch.
  expect(epochs).toBeGreaterThan(joins + leaves);
  for (const node of running) expect(node.events("partitions-lost")).toEqual([]);
});
