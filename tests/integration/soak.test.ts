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

test(`nodes join and leave for ${durationMs / 1_000} s under load`, {
  timeout: durationMs + 120_000,
}, async () => {
  const first = await cluster.start("node-1");
  const running = [first, ...(await Promise.all(["node-2", "node-3"].map((id) => cluster.start(id))))];
  const clients: LoadClient[] = [];
  const addClients = (node: NodeProcess, count: number): void => {
    for (let i = 0; i < count; i++) clients.push(new LoadClient(`client-${clients.length}`, node));
  };
  addClients(first, stayingClients);
  for (const node of running) addClients(node, clientsPerNode);
  for (const client of clients) client.run();
  const startEpoch = (await first.status()).epoch;

  const idle = ["node-4", "node-5"];
  let joins = 0;
  let leaves = 0;
  let growing = true;
  const endAt = performance.now() + durationMs;
  while (performance.now() < endAt) {
    if (running.length >= nodesMax) growing = false;
    if (running.length <= nodesMin) growing = true;
    if (growing) {
      // Ids that have left come back as new incarnations.
      const node = await cluster.start(idle.shift()!);
      running.push(node);
      joins++;
      // Clients move over to the newcomer, so that every node is somebody's front door.
      for (const client of clients.filter((_, i) => i >= stayingClients && i % running.length === 0))
        await client.moveTo(node);
    } else {
      const node = running.splice(1, 1)[0]!;
      let to = 0;
      for (const client of clients.filter((client) => client.node === node))
        await client.moveTo(running[to++ % running.length]!);
      await node.terminate();
      leaves++;
      idle.push(node.id);
    }
  }
  await Promise.all(clients.map((client) => client.stop()));
  const byNode = await settled(running);
  const epoch = (await first.status()).epoch;

  const lost: string[] = [];
  for (const node of running) {
    for (const client of clients) lost.push(...(await client.readBack(node)));
  }
  const errors = clients.flatMap((client) => client.errors);
  const figures = {
    seconds: durationMs / 1_000,
    operations: clients.reduce((sum, client) => sum + client.operations, 0),
    keys: clients.reduce((sum, client) => sum + client.keyCount, 0),
    joins,
    leaves,
    epochs: epoch - startEpoch,
    lost: lost.length,
    errors: errors.length,
    longestWaitMs: Math.round(Math.max(...clients.map((client) => client.longestMs))),
    partitionsByNode: byNode,
  };
  console.log(`soak: ${JSON.stringify(figures)}`);
  expect(errors.slice(0, 10)).toEqual([]);
  expect(lost.slice(0, 10)).toEqual([]);
  expect(spread(byNode)).toBeLessThanOrEqual(1);
  expect(joins + leaves).toBeGreaterThan(0);
  // Every join and every leave publishes a plan and at least one switch.
  expect(epoch - startEpoch).toBeGreaterThanOrEqual(2 * (joins + leaves));
  for (const node of running) expect(node.events("partitions-lost")).toEqual([]);
});
