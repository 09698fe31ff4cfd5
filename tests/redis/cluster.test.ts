/** Nodes that behave as those of Redis Cluster do, to everybody: `--redis-cluster always`. The same of a real one. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import { createCluster } from "redis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { slotOf } from "../../src/ring/slots.ts";
import { type Argument, decode, type Node, RespConnection } from "../support/redis-resp.ts";
import { type RedisSubject, startRedisSubject } from "../support/redis-subject.ts";

let subject: RedisSubject;
let connections: RespConnection[];

beforeAll(async () => {
  subject = await startRedisSubject(["--redis-cluster", "always"]);
  connections = await Promise.all(subject.clusterPorts.map((port) => RespConnection.connect(port)));
});
afterAll(async () => {
  for (const connection of connections ?? []) connection.close();
  await subject?.end();
});

const text = async (node: number, ...args: readonly Argument[]): Promise<string> =>
  String(await connections[node]!.command(...args));
const tree = async (node: number, ...args: readonly Argument[]): Promise<Node> =>
  decode(await connections[node]!.command(...args))!.node;
const slot = (key: string): number => slotOf(Buffer.from(key));

/** From a key to the node that serves it: the one that doesn't send elsewhere, and where all others send. */
async function ownerOf(key: string): Promise<number> {
  const replies = await Promise.all(connections.map((_, i) => text(i, "GET", key)));
  const owner = replies.indexOf("$-1\r\n");
  const moved = `-MOVED ${slot(key)} 127.0.0.1:${subject.clusterPorts[owner]}\r\n`;
  expect(replies.filter((reply) => reply !== "$-1\r\n")).toEqual([moved, moved]);
  return owner;
}

test("who doesn't own a key says who does", async () => {
  const owners = new Set<number>();
  for (let i = 0; i < 40; i++) owners.add(await ownerOf(`absent:${i}`));
  expect([...owners].sort()).toEqual([0, 1, 2]);
});

test("keys of different slots go into no command together", async () => {
  const owner = await ownerOf("{a}1");
  const crossing = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
  for (const args of [
    ["MGET", "{a}1", "{b}1"],
    ["MSET", "{a}1", "1", "{b}1", "2"],
    ["DEL", "{a}1", "{b}1"],
    ["RENAME", "{a}1", "{b}1"],
  ]) {
    expect(await text(owner, ...args)).toBe(crossing);
  }
  expect(await text(owner, "MSET", "{a}1", "1", "{a}2", "2")).toBe("+OK\r\n");
  expect(await text(owner, "MGET", "{a}1", "{a}2")).toBe("*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
  expect(await text(owner, "CLUSTER", "COUNTKEYSINSLOT", String(slot("a")))).toBe(":2\r\n");
  const keys = await tree(owner, "CLUSTER", "GETKEYSINSLOT", String(slot("a")), "10");
  expect(keys.elements?.map((key) => key.text).sort()).toEqual(["{a}1", "{a}2"]);
  expect(await text(owner, "DEL", "{a}1", "{a}2")).toBe(":2\r\n");
});

test("a transaction is refused when one of its keys lives elsewhere", async () => {
  const elsewhere = ((await ownerOf("x")) + 1) % 3;
  expect(await text(elsewhere, "MULTI")).toBe("+OK\r\n");
  expect(await text(elsewhere, "SET", "x", "1")).toMatch(/^-MOVED /);
  expect(await text(elsewhere, "EXEC")).toMatch(/^-EXECABORT /);
});

test("the map of the cluster names every slot once, and every node", async () => {
  for (const node of [0, 1, 2]) {
    const ranges = (await tree(node, "CLUSTER", "SLOTS")).elements!.map(({ elements }) => ({
      from: Number(elements![0]!.text),
      to: Number(elements![1]!.text),
      host: elements![2]!.elements![0]!.text,
      port: Number(elements![2]!.elements![1]!.text),
    }));
    ranges.sort((a, b) => a.from - b.from);
    expect(ranges[0]!.from).toBe(0);
    expect(ranges.at(-1)!.to).toBe(16_383);
    for (let i = 1; i < ranges.length; i++) expect(ranges[i]!.from).toBe(ranges[i - 1]!.to + 1);
    expect(new Set(ranges.map(({ host }) => host))).toEqual(new Set(["127.0.0.1"]));
    expect(new Set(ranges.map(({ port }) => port))).toEqual(new Set(subject.clusterPorts));
    const shards = (await tree(node, "CLUSTER", "SHARDS")).elements!;
    expect(shards).toHaveLength(3);
    const lines = (await tree(node, "CLUSTER", "NODES")).text!.trim().split("\n");
    expect(lines).toHaveLength(3);
    const own = (await tree(node, "CLUSTER", "MYID")).text!;
    expect(own).toMatch(/^[0-9a-f]{40}$/);
    expect(lines.find((line) => line.includes("myself"))).toMatch(new RegExp(`^${own} 127.0.0.1:\\d+@`));
  }
  for (const key of ["a", "{user}:1", "foo{}{bar}", "{}", "", "foo{bar"]) {
    expect(await text(0, "CLUSTER", "KEYSLOT", key)).toBe(`:${slot(key)}\r\n`);
  }
  expect(await text(1, "READONLY")).toBe("+OK\r\n");
  expect(await text(1, "READWRITE")).toBe("+OK\r\n");
  expect(await text(1, "ASKING")).toBe("+OK\r\n");
  expect(await text(0, "CLUSTER", "NOPE")).toBe("-ERR unknown subcommand 'NOPE'. Try CLUSTER HELP.\r\n");
});

test("clients that know of clusters, and redis-cli -c, follow", async () => {
  const [one, two] = subject.clusterPorts;
  const ioredis = new Redis.Cluster([{ host: "127.0.0.1", port: one }]);
  const nodeRedis = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${two}` }] });
  await nodeRedis.connect();
  try {
    for (let i = 0; i < 60; i++) await ioredis.set(`follow:${i}`, `${i}`);
    for (let i = 0; i < 60; i++) expect(await nodeRedis.get(`follow:${i}`)).toBe(`${i}`);
    for (let i = 0; i < 5; i++) {
      const { stdout } = await promisify(execFile)("redis-cli", [
        "-c",
        "-p",
        String(one),
        "GET",
        `follow:${i}`,
      ]);
      expect(stdout).toBe(`${i}\n`);
    }
  } finally {
    ioredis.disconnect();
    nodeRedis.destroy();
  }
});
