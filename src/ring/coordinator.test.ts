import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FaultyBucket } from "../../tests/support/faulty-bucket.ts";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { MemoryCoordination, MemoryStore } from "../coordination/memory.ts";
import { silentLog } from "../log.ts";
import { Coordinator } from "./coordinator.ts";
import { Membership } from "./membership.ts";
import { reconfigure } from "./reconfigure.ts";
import { type Member, memberOf } from "./table.ts";
import { TableStore } from "./table-store.ts";

const heartbeatMs = 1_000;
const leaseMs = 3_000;
const partitions = 6;

interface Node {
  readonly membership: Membership;
  readonly coordinator: Coordinator;
  readonly tables: TableStore;
  readonly members: FaultyBucket;
  readonly ring: FaultyBucket;
}

let runtime: ManualRuntime;
let store: MemoryStore;
let backups: number;
const nodes: Node[] = [];

beforeEach(() => {
  runtime = new ManualRuntime();
  store = new MemoryStore(runtime);
  backups = 0;
});

afterEach(() => {
  for (const node of nodes.splice(0)) kill(node);
});

function kill({ membership, coordinator, tables }: Node): void {
  membership.stop();
  coordinator.stop();
  tables.close();
}

async function join(id: string, incarnation = `${id}1`): Promise<Node> {
  const open = async (name: string) => new FaultyBucket(await new MemoryCoordination(store).openBucket(name));
  const [members, ring] = [await open("members"), await open("ring")];
  const common = { runtime, log: silentLog, leaseMs };
  const self: Member = { id, incarnation, host: "h", port: 1, http: "", zone: "", leaving: false, dead: "" };
  const tables = new TableStore({ bucket: ring, partitions, runtime, log: silentLog, writer: incarnation });
  const membership: Membership = new Membership({
    ...common,
    bucket: members,
    heartbeatMs,
    self,
    probe: async () => "refused",
    changed: () => coordinator.membersChanged(),
    leaseRegained: () => {},
    fenced: () => {},
    lastTable: () =>
      tables.table.epoch === 0 ? undefined : { generation: tables.generation, epoch: tables.table.epoch },
    beat: () => coordinator.tick(),
  });
  const coordinator = new Coordinator({ ...common, bucket: ring, backups, membership, tables });
  const node = { membership, coordinator, tables, members, ring };
  nodes.push(node);
  await tables.start();
  await membership.start();
  await coordinator.start();
  return node;
}

/** Does what owners do: fills the backups that they are to have. */
async function replicate(node: Node): Promise<void> {
  for (const owner of node.tables.table.members) {
    await node.tables.publish((table) =>
      reconfigure(
        table,
        owner,
        table.rows.flatMap(({ since, wanted }, partition) =>
          wanted.map((id) => ({ partition, since, kind: "add" as const, member: memberOf(table, id)! })),
        ),
      ),
    );
  }
  await runtime.advance(500);
}

/** A ring of these nodes that has settled down; the first coordinates. */
async function ringOf(...ids: string[]): Promise<Node[]> {
  const joined: Node[] = [];
  for (const id of ids) {
    joined.push(await join(id));
    await runtime.advance(250);
  }
  await runtime.advance(3 * leaseMs);
  expect(joined.map((node) => node.coordinator.isCoordinator)).toEqual(ids.map((_, i) => i === 0));
  return joined;
}

const ids = (node: Node): string[] => node.tables.table.members.map((member) => member.id);

function cutOff(node: Node, off = true): void {
  node.members.cutOff = off;
  node.ring.cutOff = off;
}

test("the first node coordinates, takes itself in and owns everything", async () => {
  const [a] = await ringOf("a");
  expect(a!.coordinator.holder).toBe("a");
  expect(a!.tables.table.rows.map((row) => row.owner)).toEqual(new Array(partitions).fill("a"));
  expect(a!.tables.table.epoch).toBe(1);
});

test.each(["process", "lease"])(
  "a leaving node whose only fellow died takes the office: by its %s",
  async (proof) => {
    const [a, b] = (await ringOf("a", "b")) as [Node, Node];
    await b.membership.announceLeaving();
    await runtime.advance(500);
    kill(a);
    if (proof === "process") b.coordinator.processIsDead(a.membership.self);
    await runtime.advance(proof === "process" ? heartbeatMs : 3 * leaseMs);
    expect(b.coordinator.isCoordinator).toBe(true);
    await runtime.advance(heartbeatMs);
    expect(b.tables.table.members.filter(({ dead }) => dead === "").map(({ id }) => id)).toEqual(["b"]);
  },
);

test("nodes that join together are planned together, also across a heartbeat of the coordinator", async () => {
  const [a] = await ringOf("a");
  const toBeatMs = heartbeatMs - a!.membership.leaseAgeMs;
  await runtime.advance(toBeatMs - 20);
  const before = a!.tables.table.epoch;
  await join("b");
  await runtime.advance(40);
  await Promise.all([join("c"), join("d")]);
  await runtime.advance(500);
  expect(ids(a!)).toEqual(["a", "b", "c", "d"]);
  expect(a!.tables.table.epoch).toBe(before + 1);
});

test("a node that starts on a store that has lost its table makes up none while somebody lives who knows one", async () => {
  const [a] = await ringOf("a");
  await runtime.advance(heartbeatMs);
  // Nobody restores it here: so the table stays away.
  a!.coordinator.stop();
  store.wipe();
  await runtime.advance(2 * heartbeatMs);
  const b = await join("b");
  await runtime.advance(2 * leaseMs);
  expect(b.coordinator.isCoordinator).toBe(true);
  expect(await b.ring.get("table")).toBeUndefined();
  a!.membership.stop();
  await runtime.advance(3 * leaseMs);
  expect(ids(b)).toEqual(["b"]);
});

test("a coordinator that falls silent is followed after its lease, and buried by its follower", async () => {
  const [a, b, c] = await ringOf("a", "b", "c");
  kill(a!);
  await runtime.advance(leaseMs - heartbeatMs);
  expect([b!, c!].some((node) => node.coordinator.isCoordinator)).toBe(false);
  expect(ids(b!)).toContain("a");
  await runtime.advance(2 * leaseMs);
  expect([b!, c!].filter((node) => node.coordinator.isCoordinator)).toHaveLength(1);
  expect(ids(b!)).toEqual(["b", "c"]);
  expect(b!.tables.table.rows.every((row) => row.owner !== "a" && row.owner !== "")).toBe(true);
  expect(c!.tables.table).toEqual(b!.tables.table);
});

test("a coordinator whose process is known dead is followed and buried at once", async () => {
  const [a, b] = await ringOf("a", "b");
  kill(a!);
  b!.coordinator.processIsDead({ id: "a", incarnation: "a1" });
  await runtime.advance(150);
  expect(b!.coordinator.isCoordinator).toBe(true);
  expect(ids(b!)).toEqual(["b"]);
  expect(b!.tables.table.rows.map((row) => row.owner)).toEqual(new Array(partitions).fill("b"));
});

test("a proof is of one incarnation: the next one under that id is left alone", async () => {
  const [a] = await ringOf("a", "b");
  a!.coordinator.processIsDead({ id: "b", incarnation: "b0" });
  await runtime.advance(500);
  expect(ids(a!)).toEqual(["a", "b"]);
});

test("a coordinator that resigns is followed at once", async () => {
  const [a, b, c] = await ringOf("a", "b", "c");
  await a!.coordinator.resign();
  await runtime.advance(150);
  expect(a!.coordinator.isCoordinator).toBe(false);
  expect([b!, c!].filter((node) => node.coordinator.isCoordinator)).toHaveLength(1);
  expect(ids(b!)).toContain("a");
});

test("an office taken by a write without an answer is held none the less", async () => {
  const [a, b] = await ringOf("a", "b");
  b!.ring.faults.push("stored-unanswered");
  await a!.coordinator.resign();
  await runtime.advance(2 * heartbeatMs);
  expect(b!.coordinator.isCoordinator).toBe(true);
});

test("a coordinator that was cut off gives up in time, and buries nobody when it comes back", async () => {
  const [a, b, c] = await ringOf("a", "b", "c");
  cutOff(a!);
  await runtime.advance(leaseMs);
  expect(a!.coordinator.isCoordinator).toBe(false);
  for (const node of [b!, c!]) cutOff(node);
  await runtime.advance(10 * leaseMs);
  const before = a!.tables.table;
  cutOff(a!, false);
  await runtime.advance(1.5 * heartbeatMs);
  for (const node of [b!, c!]) cutOff(node, false);
  await runtime.advance(3 * leaseMs);
  expect(a!.tables.table.members).toEqual(before.members);
  expect(nodes.filter((node) => node.coordinator.isCoordinator)).toHaveLength(1);
});

test("a member that left is taken out, and its rows go to those that stay", async () => {
  const [a, b] = await ringOf("a", "b");
  const left = b!.membership.leave();
  await runtime.settle();
  await left;
  kill(b!);
  await runtime.advance(500);
  expect(ids(a!)).toEqual(["a"]);
  expect(a!.tables.table.rows.every((row) => row.owner === "a" && row.incoming === "")).toBe(true);
});

test.each(["died", "left"])(
  "a coordinator that sees members late leaves alone one that is back after its earlier life %s",
  async (how) => {
    const [c, a, b] = await ringOf("c", "a", "b");
    a!.members.deaf = true;
    if (how === "left") {
      const left = b!.membership.leave();
      await runtime.settle();
      await left;
    } else b!.membership.stop();
    kill(b!);
    const back = await join("b", "b2");
    await runtime.advance(500);
    expect(ids(a!)).toContain("b");
    // The last thing that a has seen of b is its earlier record; now a is the only one that can coordinate.
    back.ring.cutOff = true;
    await c!.coordinator.resign();
    await runtime.advance(2 * heartbeatMs);
    expect(a!.coordinator.isCoordinator).toBe(true);
    expect(a!.tables.table.members.find(({ id }) => id === "b")?.incarnation).toBe("b2");
    a!.members.deaf = false;
    await runtime.advance(3 * leaseMs);
    expect(a!.tables.table.members.find(({ id }) => id === "b")?.incarnation).toBe("b2");
    expect(back.membership.leaseHolds).toBe(true);
  },
);

test("a settled ring publishes nothing", async () => {
  const [a] = await ringOf("a", "b");
  const { epoch } = a!.tables.table;
  a!.coordinator.planNow();
  await runtime.advance(5 * leaseMs);
  expect(a!.tables.table.epoch).toBe(epoch);
});

describe("with backups", () => {
  const dead = (node: Node) =>
    node.tables.table.members.flatMap((member) =>
      member.dead === "" ? [] : [`${member.id} ${member.dead}`],
    );
  const rowsOf = (node: Node, owner: string) => node.tables.table.rows.filter((row) => row.owner === owner);

  beforeEach(() => {
    backups = 1;
  });

  async function replicated(...ids: string[]): Promise<Node[]> {
    const joined = await ringOf(...ids);
    await joined[0]!.tables.publish((table) => {
      const rows = table.rows.map((row, i) => ({ ...row, owner: ids[i % ids.length]!, incoming: "" }));
      return { ...table, epoch: table.epoch + 1, rows };
    });
    await runtime.advance(500);
    await replicate(joined[0]!);
    expect(joined[0]!.tables.table.rows.every((row) => row.backups.length === 1)).toBe(true);
    return joined;
  }

  test("a proven death is followed by promotions at once, though a join waits to be planned", async () => {
    const [a, b] = await replicated("a", "b", "c");
    await join("d");
    kill(b!);
    const from = a!.tables.table.epoch;
    a!.coordinator.processIsDead({ id: "b", incarnation: "b1" });
    await runtime.advance(1);
    expect(rowsOf(a!, "b")).toEqual([]);
    const promoted = a!.tables.table.rows.filter((row) => row.since > from);
    expect(promoted.map((row) => [row.came, row.wait])).toEqual([
      ["promotion", false],
      ["promotion", false],
    ]);
    // Whoever has b as a backup still names it, until the owner has dropped it.
    expect(dead(a!)).toEqual(["b gone"]);
  });

  test("a renewal of the last moment delays it no longer than it takes to see it", async () => {
    const [a, b] = await replicated("a", "b", "c");
    kill(b!);
    a!.members.faults.push("conflict", "conflict");
    a!.coordinator.processIsDead({ id: "b", incarnation: "b1" });
    await runtime.advance(10);
    expect(rowsOf(a!, "b")).toHaveLength(2);
    await runtime.advance(40);
    expect(rowsOf(a!, "b")).toEqual([]);
  });

  test("a silent owner's follower has to wait; a proof that comes later is published", async () => {
    const [a, b] = await replicated("a", "b", "c");
    const backupOfA = a!.tables.table.rows.some((row) => row.owner !== "b" && row.backups.includes("b"));
    expect(backupOfA).toBe(true);
    kill(b!);
    await runtime.advance(2 * leaseMs);
    expect(dead(a!)).toEqual(["b silent"]);
    expect(a!.tables.table.rows.filter((row) => row.came === "promotion").map((row) => row.wait)).toEqual([
      true,
      true,
    ]);
    a!.coordinator.processIsDead({ id: "b", incarnation: "b1" });
    await runtime.advance(1);
    expect(dead(a!)).toEqual(["b gone"]);
  });

  test("what is proven stays so for a coordinator that has no proof", async () => {
    const [a, b, c] = await replicated("a", "b", "c");
    kill(b!);
    a!.coordinator.processIsDead({ id: "b", incarnation: "b1" });
    await runtime.advance(10);
    await a!.coordinator.resign();
    await runtime.advance(3 * leaseMs);
    expect(c!.coordinator.isCoordinator).toBe(true);
    expect(dead(c!)).toEqual(["b gone"]);
  });

  test("partitions whose copies all fell silent wait until one of them is known dead", async () => {
    const [a, b, c] = await replicated("a", "b", "c");
    await a!.tables.publish((table) => {
      const shared = { owner: "b", backups: ["c"], wanted: ["c"], incoming: "" };
      return { ...table, epoch: table.epoch + 1, rows: table.rows.map((row) => ({ ...row, ...shared })) };
    });
    for (const node of [b!, c!]) kill(node);
    await runtime.advance(10 * leaseMs);
    expect(dead(a!)).toEqual(["b silent", "c silent"]);
    expect(rowsOf(a!, "b")).toHaveLength(partitions);
    // Started again under its id: the one before is no more.
    await join("c", "c2");
    await runtime.advance(500);
    expect(a!.tables.table.rows.map((row) => [row.came, row.wait])).toEqual(
      new Array(partitions).fill(["empty", true]),
    );
    expect(ids(a!)).toEqual(["a", "c"]);
  });

  test("a member that comes back as another incarnation is no backup any more, nor an owner", async () => {
    const [a, b] = await replicated("a", "b", "c");
    kill(b!);
    await join("b", "b2");
    await runtime.advance(1);
    const { table } = a!.tables;
    expect(memberOf(table, "b")?.incarnation).toBe("b2");
    expect(table.rows.some((row) => row.backups.includes("b") || row.owner === "b")).toBe(false);
    expect(table.rows.filter((row) => row.came === "promotion").map((row) => row.wait)).toEqual([
      false,
      false,
    ]);
  });

  test("it comes back also if the coordinator has never heard of its earlier life", async () => {
    const [a, b] = await replicated("a", "b", "c");
    kill(b!);
    a!.coordinator.processIsDead({ id: "b", incarnation: "b1" });
    await runtime.advance(10);
    expect(dead(a!)).toEqual(["b gone"]);
    await join("b", "b2");
    for (const node of nodes) node.ring.cutOff = true;
    const late = await join("d");
    expect(late.membership.isGone({ id: "b", incarnation: "b1" })).toBe(false);
    await runtime.advance(4 * leaseMs);
    expect(late.coordinator.isCoordinator).toBe(true);
    expect(memberOf(late.tables.table, "b")?.incarnation).toBe("b2");
  });

  test("one that removed its record is gone, and followed at once", async () => {
    const [a, b] = await replicated("a", "b", "c");
    const left = b!.membership.leave();
    await runtime.settle();
    await left;
    kill(b!);
    await runtime.advance(1);
    expect(dead(a!)).toEqual(["b gone"]);
    expect(rowsOf(a!, "b")).toEqual([]);
  });

  test("a member that is dead in the table doesn't come back by an old record of it", async () => {
    const [c, a, b] = await replicated("c", "a", "b");
    a!.members.deaf = true;
    kill(b!);
    c!.coordinator.processIsDead({ id: "b", incarnation: "b1" });
    await runtime.advance(10);
    await c!.coordinator.resign();
    kill(c!);
    await runtime.advance(2 * leaseMs);
    expect(a!.coordinator.isCoordinator).toBe(true);
    // The latest record of b that it has seen is that of a living member.
    expect(a!.membership.living().map((member) => member.incarnation)).toContain("b1");
    await replicate(a!);
    expect(ids(a!).filter((id) => !dead(a!).includes(`${id} silent`))).toEqual(["a"]);
  });
});
