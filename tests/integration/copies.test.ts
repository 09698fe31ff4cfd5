/** Where copies lie and what a user sees of them, with real nodes: zones, `/stats`, `ringcache status`. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { StatusReport } from "../../src/cache/command.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, eventually, type NodeProcess, Program, settled } from "../support/node-process.ts";

let nats: NatsServer;
let cluster: Cluster;

beforeEach(async () => {
  nats = await startNatsServer();
  cluster = new Cluster(nats.url);
});
afterEach(async () => {
  await cluster.end();
  await nats.stop();
});

const start = (id: string, zone: string): Promise<NodeProcess> =>
  cluster.start(id, { args: ["--zone", zone] });

/** Everything is where it is to be. */
async function atRest(nodes: readonly NodeProcess[]): Promise<StatusReport> {
  await settled(nodes);
  return eventually(
    () => nodes[0]!.status(),
    (status) => status.under_replicated_partitions === 0 && status.copying_partitions === 0,
    "every partition has its copies",
  );
}

test("copies lie in another zone, and only there", { timeout: 60_000 }, async () => {
  const one = await start("node-1", "a");
  expect((await atRest([one])).copies).toEqual({ 1: 64 });
  for (let i = 0; i < 200; i++) expect((await one.http.set(`key:${i}`, "v")).status).toBe(200);

  // A second node in the same zone takes half of the partitions, and no copy.
  const two = await start("node-2", "a");
  const together = await eventually(
    () => atRest([one, two]),
    ({ copies }) => copies[1] === 64,
    "no copy is one too many",
  );
  expect(together.members.map(({ zone, backups }) => [zone, backups])).toEqual([
    ["a", 0],
    ["a", 0],
  ]);

  const three = await start("node-3", "b");
  const nodes = [one, two, three];
  const spread = await eventually(
    () => atRest(nodes),
    ({ copies }) => copies[2] === 64,
    "every partition has two copies",
  );
  expect(spread.backups).toBe(1);
  const own = Object.fromEntries(spread.members.map(({ id, partitions }) => [id, partitions]));
  const held = Object.fromEntries(spread.members.map(({ id, backups }) => [id, backups]));
  // What lies in one zone is copied to the other.
  expect(held["node-3"]).toBe(own["node-1"]! + own["node-2"]!);
  expect(held["node-1"]! + held["node-2"]!).toBe(own["node-3"]);

  const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
  // A node may tell of a table a moment before it does what that says.
  const stats = await eventually(
    () => Promise.all(nodes.map((node) => node.stats())),
    (all) => sum(all.map(({ backup_entries }) => backup_entries)) === 200,
    "every entry has one copy",
  );
  expect(sum(stats.map(({ entries }) => entries))).toBe(200);
  for (const { partitions, partition_copies, backup_partitions, under_replicated } of stats) {
    expect(partition_copies).toEqual(partitions.map(() => 2));
    expect(partitions.filter((partition) => backup_partitions.includes(partition))).toEqual([]);
    expect(under_replicated).toEqual([]);
  }

  const shown = cluster.add(new Program(["status", "--url", `http://127.0.0.1:${one.httpPort}`]));
  expect(await shown.exited).toMatchObject({ code: 0 });
  expect(shown.stdout).toContain("copies          2 of 2: 64 partitions\n");
  expect(shown.stdout).toMatch(/^node-3 +\d+ +\d+ .* b +127\.0\.0\.1:\d+ /m);
});
