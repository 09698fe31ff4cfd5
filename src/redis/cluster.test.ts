import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { MapDoor } from "../../tests/support/map-door.ts";
import { silentLog } from "../log.ts";
import { partitionOf, slotOf } from "../ring/slots.ts";
import { emptyTable, type Member, type Row, type Table } from "../ring/table.ts";
import { systemRuntime } from "../runtime.ts";
import { nodeIdOf, ownedRanges } from "./cluster-view.ts";
import type { ClusterMode, RingView } from "./context.ts";
import { type RedisDoor, startRedis } from "./server.ts";

const partitions = 4;

function member(id: string, redis: string, dead: Member["dead"] = ""): Member {
  return {
    ...{ id, incarnation: `${id}-1`, host: "127.0.0.1", port: 1, http: "", zone: "" },
    ...{ leaving: false, dead, redis },
  };
}

/** Partitions of these owners, in order. */
function tableOf(owners: readonly string[], members: readonly Member[]): Table {
  const empty = emptyTable(owners.length);
  const rows = owners.map((owner, i): Row => ({ ...empty.rows[i]!, owner, term: 1, since: 1 }));
  return { ...empty, epoch: 7, members, rows };
}

const here = member("a", "10.0.0.1:6379");
const there = member("b", "[fd00::1]:6380");
const settled = tableOf(["a", "b", "a", "a"], [here, there]);

/** Keys of which `a`, this node, owns the first and `b` the second. */
const mine = keyOf(0);
const theirs = keyOf(1);

function keyOf(partition: number): string {
  for (let i = 0; ; i++) {
    if (partitionOf(slotOf(Buffer.from(`k${i}`)), partitions) === partition) return `k${i}`;
  }
}

interface Asked {
  readonly table?: Table;
  readonly cluster?: ClusterMode;
}

const opened: { readonly doors: RedisDoor[]; readonly sockets: Socket[] } = { doors: [], sockets: [] };

afterEach(async () => {
  for (const socket of opened.sockets.splice(0)) socket.destroy();
  await Promise.all(opened.doors.splice(0).map((door) => door.close()));
});

/** Sends the lines one after the other on one connection; all that comes back until the connection ends. */
async function ask(
  lines: readonly string[],
  { table = settled, cluster = "auto" }: Asked = {},
): Promise<string> {
  const partitionFor = (key: Buffer): number => partitionOf(slotOf(key), partitions);
  const ring = {
    nodeId: "a",
    table,
    partitionFor,
    serves: (partition: number) => table.rows[partition]!.owner === "a",
  };
  const door = await startRedis({
    ...{ host: "127.0.0.1", port: 0, door: new MapDoor(systemRuntime, "a"), cluster },
    ...{ ring: () => ring as unknown as RingView, log: silentLog, runtime: systemRuntime },
  });
  opened.doors.push(door);
  const socket = connect({ port: door.port, host: "127.0.0.1" });
  opened.sockets.push(socket);
  socket.write(`${lines.join("\r\n")}\r\nQUIT\r\n`);
  let text = "";
  for await (const chunk of socket.setEncoding("latin1")) text += chunk as string;
  return text.replace(/\+OK\r\n$/, "");
}

const moved = `-MOVED ${slotOf(Buffer.from(theirs))} fd00::1:6380\r\n`;
const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;

describe("a connection that has shown nothing", () => {
  test("is served, whoever owns the key", async () => {
    expect(await ask([`SET ${theirs} 1`, `GET ${theirs}`, `SET ${mine} 2`])).toBe(
      `+OK\r\n${bulk("1")}+OK\r\n`,
    );
  });

  test.each([
    "CLUSTER INFO",
    "CLUSTER MYID",
    `CLUSTER KEYSLOT ${theirs}`,
    "INFO",
    "HELLO 3",
    "COMMAND COUNT",
    "CLIENT SETNAME cluster",
  ])("is still served after %s", async (line) => {
    expect(await ask([line, `SET ${theirs} 1`])).toMatch(/\+OK\r\n$/);
    expect(await ask([line, `SET ${theirs} 1`])).not.toContain("-MOVED");
  });
});

describe("a connection that knows Redis Cluster", () => {
  test.each([
    "CLUSTER SLOTS",
    "CLUSTER SHARDS",
    "CLUSTER NODES",
    "READONLY",
    "READWRITE",
    "ASKING",
    "CLIENT SETNAME ioredis-cluster(refresher)",
  ])("has shown it by %s", async (line) => {
    expect(await ask([line, `GET ${theirs}`])).toMatch(new RegExp(`${moved}$`));
  });

  test("is answered as by a node of one", async () => {
    const lines = [
      "READONLY",
      `SET ${mine} 1`,
      `GET ${mine}`,
      `SET ${theirs} 1 EX 5`,
      `MGET ${mine} ${theirs}`,
    ];
    const crossed = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
    expect(await ask([...lines, `DEL {${theirs}}1 {${theirs}}2`, "PING"])).toBe(
      `+OK\r\n+OK\r\n${bulk("1")}${moved}${crossed}${moved}+PONG\r\n`,
    );
  });

  test("is told that a slot has no owner", async () => {
    const table = tableOf(["a", "", "a", "a"], [here, there]);
    expect(await ask(["READONLY", `GET ${theirs}`], { table })).toBe(
      "+OK\r\n-CLUSTERDOWN Hash slot not served\r\n",
    );
  });

  test("is served where the owner has no Redis door, or has died", async () => {
    for (const owner of [member("b", ""), member("b", "10.0.0.2:1", "gone")]) {
      const table = tableOf(["a", "b", "a", "a"], [here, owner]);
      expect(await ask(["READONLY", `GET ${theirs}`], { table })).toBe("+OK\r\n$-1\r\n");
    }
  });

  test("forgets it with RESET", async () => {
    expect(await ask(["READONLY", "RESET", `GET ${theirs}`])).toBe("+OK\r\n+RESET\r\n$-1\r\n");
  });
});

test("always: every connection is taken to know it", async () => {
  expect(await ask([`GET ${theirs}`], { cluster: "always" })).toBe(moved);
});

test("never: there is no cluster to be seen", async () => {
  const disabled = "-ERR This instance has cluster support disabled\r\n";
  const lines = ["CLUSTER SLOTS", "CLUSTER INFO", "READONLY", `GET ${theirs}`];
  expect(await ask(lines, { cluster: "never" })).toBe(`${disabled.repeat(3)}$-1\r\n`);
});

describe("the layout", () => {
  const [a, b] = [nodeIdOf("a"), nodeIdOf("b")];

  test("CLUSTER SLOTS", async () => {
    const node = (host: string, port: number, id: string): string =>
      `*4\r\n${bulk(host)}:${port}\r\n${bulk(id)}*0\r\n`;
    const [nodeA, nodeB] = [node("10.0.0.1", 6379, a), node("fd00::1", 6380, b)];
    expect(await ask(["CLUSTER SLOTS"])).toBe(
      `*3\r\n*3\r\n:0\r\n:4095\r\n${nodeA}*3\r\n:4096\r\n:8191\r\n${nodeB}*3\r\n:8192\r\n:16383\r\n${nodeA}`,
    );
  });

  test("CLUSTER NODES", async () => {
    const text =
      `${a} 10.0.0.1:6379@16379 myself,master - 0 0 7 connected 0-4095 8192-16383\n` +
      `${b} fd00::1:6380@16380 master - 0 0 7 connected 4096-8191\n`;
    expect(await ask(["CLUSTER NODES"])).toBe(bulk(text));
  });

  test("CLUSTER SHARDS and INFO", async () => {
    const shards = await ask(["CLUSTER SHARDS"]);
    expect(shards).toContain(`${bulk("slots")}*4\r\n:0\r\n:4095\r\n:8192\r\n:16383\r\n${bulk("nodes")}`);
    expect(shards).toContain(`${bulk("slots")}*2\r\n:4096\r\n:8191\r\n${bulk("nodes")}`);
    expect(await ask(["CLUSTER INFO"])).toContain("cluster_state:ok\r\ncluster_slots_assigned:16384\r\n");
    const table = tableOf(["a", "", "a", "a"], [here, there]);
    expect(await ask(["CLUSTER INFO"], { table })).toContain(
      "cluster_state:fail\r\ncluster_slots_assigned:12288\r\n",
    );
  });

  test("leaves out what the dead own, and covers every slot once", () => {
    const table = tableOf(["a", "b", "a", "c", "a"], [here, there, member("c", "10.0.0.3:1", "silent")]);
    const covered = ownedRanges(table).flatMap(({ first, last }) => [first, last]);
    expect(covered).toEqual([0, 3276, 3277, 6553, 6554, 9830, 13108, 16383]);
  });

  test("wrong slots", async () => {
    expect(await ask(["CLUSTER COUNTKEYSINSLOT 16384", "CLUSTER GETKEYSINSLOT 0 -1"])).toBe(
      "-ERR Invalid slot\r\n-ERR Invalid slot or number of keys\r\n",
    );
  });
});
