/** Nodes that share small memories: who evicts how much, who is asked to, and what is refused when nothing may be evicted. */
import { afterEach, describe, expect, test } from "vitest";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import type { EvictionPolicy } from "../config.ts";
import type { IncomingRequest, RequestHandler } from "../peers/messages.ts";
import type { Peers } from "../peers/peers.ts";
import { PeerKind } from "../ring/calls.ts";
import type { Member } from "../ring/table.ts";
import type { PartitionStore } from "../storage/partition-store.ts";
import { type BackupLink, unconfirmedBytesMax } from "./backup-link.ts";
import { BackupStream } from "./backup-stream.ts";
import { noBytes, Op, type Reply } from "./command.ts";
import { OwnedPartition } from "./owned-partition.ts";
import { Partitions } from "./partitions.ts";
import { MemoryPressure } from "./pressure.ts";
import { Receipts } from "./receipts.ts";
import { Stores } from "./stores.ts";

const limitBytes = 1024 * 1024;
/** What is kept free: a 64th. */
const shortFromBytes = limitBytes - limitBytes / 64;
const valueBytes = 1_000;
/** With its key and its header. */
const entryBytesMax = valueBytes + 40;

/** Carries the writes of one owner to its copies on one node, at once. */
class Link {
  unconfirmedBytes = 0;
  readonly copies = new Map<number, PartitionStore>();

  add(
    stream: BackupStream,
    partition: number,
    lsn: number,
    _settled: number,
    write: { key: Buffer; value: Uint8Array; expiresAtMs: number },
  ): void {
    const copy = this.copies.get(partition);
    if (write.value.length > 0) copy?.set(write.key, write.value, write.expiresAtMs, lsn);
    else copy?.delete(write.key, 0);
    stream.confirmed(lsn);
  }
}

interface Asked {
  readonly to: string;
  readonly isFull: boolean;
  readonly sizeBytes: number;
}

class Node {
  readonly member: Member;
  readonly stores: Stores;
  readonly partitions: Partitions;
  readonly pressure: MemoryPressure;
  readonly copies: { store: PartitionStore; owner: Member | undefined }[] = [];
  readonly asked: Asked[] = [];
  readonly #network: Network;
  #serve: RequestHandler = () => {};
  #keys = 0;

  constructor(network: Network, id: string, maxMemoryBytes: number, eviction: EvictionPolicy) {
    const { runtime } = network;
    this.#network = network;
    this.member = {
      id,
      incarnation: `${id}-1`,
      host: "h",
      port: 1,
      http: "",
      zone: "",
      leaving: false,
      dead: "",
    };
    this.stores = new Stores({ runtime, maxMemoryBytes, eviction });
    this.partitions = new Partitions(runtime, 64);
    this.pressure = new MemoryPressure({
      peers: this.#peers(),
      runtime,
      stores: this.stores,
      partitions: this.partitions,
      copies: () => this.copies,
      member: (incarnation) => network.memberOf(incarnation),
    });
  }

  get usedBytes(): number {
    return this.stores.memory.costBytes;
  }

  /** A partition that this node owns and serves, with a copy on each of the backups. */
  own(partition: number, ...backups: readonly Node[]): OwnedPartition {
    const store = this.stores.create();
    const owned = new OwnedPartition(this.member.id, partition, 1, {
      store,
      receipts: new Receipts(),
      lsn: 0,
    });
    owned.onWritten = (sizeBytes) => this.pressure.written(sizeBytes);
    owned.isFull = () => this.pressure.isFull(owned);
    for (const backup of backups) {
      const link = this.#network.link(this, backup);
      const copy = backup.stores.create(store.seed);
      link.copies.set(partition, copy);
      backup.copies.push({ store: copy, owner: this.member });
      const stream = new BackupStream(owned, partition + 1, backup.member, link as unknown as BackupLink);
      stream.required = true;
      stream.startAt(0);
      owned.streams.push(stream);
    }
    owned.serving = true;
    this.partitions.open(owned);
    return owned;
  }

  /** Stores new entries of `valueBytes` until the partition has so many bytes of them. */
  fill(owned: OwnedPartition, liveBytes: number): void {
    while (owned.data.store.liveBytes < liveBytes) this.add(owned);
  }

  add(owned: OwnedPartition, sizeBytes = valueBytes): Reply {
    return set(owned, `${this.member.id}:${this.#keys++}`, sizeBytes);
  }

  /** What another node says to this one. */
  hear(from: Node, isFull: boolean, sizeBytes: number): void {
    const payload = Buffer.alloc(7);
    payload[0] = isFull ? 1 : 0;
    payload.writeUIntBE(sizeBytes, 1, 6);
    this.receive({ from: from.member, payload, reply: () => {} });
  }

  receive(request: IncomingRequest): void {
    this.#serve(request);
  }

  #peers(): Peers {
    const peers = {
      handle: (kind: number, serve: RequestHandler) => {
        expect(kind).toBe(PeerKind.pressure);
        this.#serve = serve;
      },
      requestPromise: (to: Member, _kind: number, payload: Buffer) => {
        const asked = { to: to.id, isFull: payload[0] === 1, sizeBytes: payload.readUIntBE(1, 6) };
        this.asked.push(asked);
        if (this.#network.delivers) this.#network.nodes.get(to.id)?.hear(this, asked.isFull, asked.sizeBytes);
        return Promise.resolve(noBytes);
      },
    };
    return peers as unknown as Peers;
  }
}

class Network {
  readonly runtime = new ManualRuntime();
  readonly nodes = new Map<string, Node>();
  /** Else what nodes ask one another is only written down. */
  delivers = true;
  readonly #links = new Map<string, Link>();

  add(id: string, { maxMemoryBytes = limitBytes, eviction = "s3-fifo" as EvictionPolicy } = {}): Node {
    const node = new Node(this, id, maxMemoryBytes, eviction);
    this.nodes.set(id, node);
    return node;
  }

  memberOf(incarnation: string): Member | undefined {
    for (const { member } of this.nodes.values()) if (member.incarnation === incarnation) return member;
    return undefined;
  }

  link(from: Node, to: Node): Link {
    const name = `${from.member.id} ${to.member.id}`;
    const link = this.#links.get(name) ?? new Link();
    this.#links.set(name, link);
    return link;
  }

  close(): void {
    for (const { partitions, pressure } of this.nodes.values()) {
      pressure.close();
      partitions.close();
    }
  }
}

function set(owned: OwnedPartition, key: string, sizeBytes = valueBytes, expected?: Buffer): Reply {
  const op = expected === undefined ? Op.set : Op.cas;
  const value = Buffer.alloc(sizeBytes, "v");
  return owned.apply({ op, key: Buffer.from(key), value, expiresAtMs: 0, expected }, 1, undefined);
}

function ask(owned: OwnedPartition, op: typeof Op.get | typeof Op.delete, key: string): Reply {
  const command = { op, key: Buffer.from(key), value: noBytes, expiresAtMs: 0, expected: undefined };
  return owned.apply(command, 1, undefined);
}

const live = ({ data }: OwnedPartition): number => data.store.liveBytes;

let network: Network;

function begin(options?: Parameters<Network["add"]>[1]): Node {
  network = new Network();
  return network.add("a", options);
}

afterEach(() => network.close());

describe("a node's own partitions", () => {
  test("the largest gives first, until it is as the others", () => {
    const a = begin();
    const [large, ...others] = [0, 1, 2, 3].map((partition) => a.own(partition));
    a.fill(large!, 500_000);
    for (const other of others) a.fill(other, 100_000);
    while (live(others[0]!) < 200_000) for (const other of others) a.add(other);
    expect(large!.evicted).toBeGreaterThan(0);
    expect(others.map(({ evicted }) => evicted)).toEqual([0, 0, 0]);
    for (let i = 0; i < 700; i++) for (const other of others) a.add(other);
    const sizes = [large!, ...others].map(live);
    expect(Math.min(...sizes)).toBeGreaterThan(0.7 * Math.max(...sizes));
    for (const other of others) expect(other.evicted).toBeGreaterThan(0);
    expect(a.usedBytes).toBeLessThan(limitBytes);
  });

  test("give nothing while they are sealed or behind with their backups", () => {
    const a = begin();
    const b = network.add("b", { maxMemoryBytes: 4 * limitBytes });
    const sealed = a.own(0);
    const congested = a.own(1, b);
    const small = a.own(2);
    a.fill(sealed, 400_000);
    a.fill(congested, 300_000);
    sealed.serving = false;
    network.link(a, b).unconfirmedBytes = unconfirmedBytesMax;
    for (let i = 0; i < 500; i++) a.add(small);
    expect([sealed.evicted, congested.evicted]).toEqual([0, 0]);
    expect(small.evicted).toBeGreaterThan(0);
    expect(a.usedBytes).toBeLessThan(limitBytes);

    network.link(a, b).unconfirmedBytes = 0;
    for (let i = 0; i < 300; i++) a.add(small);
    expect([sealed.evicted, congested.evicted > 0]).toEqual([0, true]);
    sealed.serving = true;
    for (let i = 0; i < 300; i++) a.add(small);
    expect(sealed.evicted).toBeGreaterThan(0);
  });

  test("lose about as much as is written, large entries too", () => {
    const a = begin();
    const owned = [0, 1, 2, 3].map((partition) => a.own(partition));
    const evicted = (): number => owned.reduce((sum, one) => sum + one.evicted, 0);
    for (const sizeBytes of [3_000, 20_000]) {
      for (let i = 0; i < 400; i++) a.add(owned[i % 4]!, sizeBytes);
      const before = evicted();
      for (let i = 0; i < 100; i++) {
        a.add(owned[i % 4]!, sizeBytes);
        expect(a.usedBytes).toBeGreaterThan(0.9 * limitBytes);
        // A block that was cut counts whole until all of its quarters are free.
        expect(a.usedBytes).toBeLessThan(limitBytes + 65_536 + 2 * sizeBytes);
      }
      expect(evicted() - before).toBeGreaterThan(80);
      expect(evicted() - before).toBeLessThan(130);
    }
  });

  test("come down by themselves when more was taken in than there is room for", async () => {
    const a = begin();
    const owned = [0, 1].map((partition) => a.own(partition));
    // As a copy that is promoted: nothing was written by a command here.
    for (const { data } of owned) {
      for (let i = 0; data.store.liveBytes < 800_000; i++)
        data.store.set(Buffer.from(`k${i}`), Buffer.alloc(valueBytes), 0);
    }
    expect(a.usedBytes).toBeGreaterThan(1.4 * limitBytes);
    a.pressure.noticed();
    await network.runtime.advance(500);
    expect(a.usedBytes).toBeLessThanOrEqual(shortFromBytes);
    expect(a.usedBytes).toBeGreaterThan(0.85 * limitBytes);
  });
});

describe("a node that holds copies", () => {
  test("is served by partitions with a backup there, and loses no more than it asked for", async () => {
    const a = begin();
    const b = network.add("b");
    const c = network.add("c");
    const [onB, onC, alone] = [a.own(0, b), a.own(1, c), a.own(2)];
    a.fill(onB, 100_000);
    a.fill(onC, 200_000);
    a.fill(alone, 300_000);
    const before = live(onB);
    a.hear(b, false, 30_000);
    await network.runtime.advance(100);
    expect(onC.evicted + alone.evicted).toBe(0);
    expect(before - live(onB)).toBeGreaterThanOrEqual(30_000);
    expect(before - live(onB)).toBeLessThan(30_000 + entryBytesMax);
    expect(network.link(a, b).copies.get(0)!.size).toBe(onB.data.store.size);
  });

  test("gets nothing, and keeps nobody busy, where nothing has a backup there", async () => {
    const a = begin();
    const b = network.add("b");
    const owned = a.own(0);
    a.fill(owned, 100_000);
    const { timers } = network.runtime;
    a.hear(b, false, 1_000_000);
    await network.runtime.advance(100);
    expect(owned.evicted).toBe(0);
    expect(network.runtime.timers).toBe(timers);
  });

  test("keeps to its memory by what their owner evicts, though that one has plenty", async () => {
    const a = begin({ maxMemoryBytes: 16 * limitBytes });
    const b = network.add("b");
    const owned = [0, 1, 2, 3].map((partition) => a.own(partition, b));
    const own = b.own(4);
    b.fill(own, 150_000);
    for (let i = 0; i < 80; i++) {
      for (const one of owned) for (let j = 0; j < 3; j++) a.add(one);
      b.pressure.noticed();
      await network.runtime.advance(5);
      expect(b.usedBytes).toBeLessThan(limitBytes + 100_000);
    }
    await network.runtime.advance(500);
    expect(b.usedBytes).toBeLessThanOrEqual(shortFromBytes);
    expect(b.usedBytes).toBeGreaterThan(0.8 * limitBytes);
    expect(own.evicted).toBe(0);
    for (const [i, { data }] of owned.entries()) {
      expect(network.link(a, b).copies.get(i)!.digest()).toBe(data.store.digest());
    }
  });

  test("doesn't starve its own partitions: who has more of its memory gives more", async () => {
    const a = begin({ maxMemoryBytes: 16 * limitBytes });
    const c = network.add("c", { maxMemoryBytes: 16 * limitBytes });
    const b = network.add("b");
    network.delivers = false;
    const own = b.own(9);
    b.fill(own, 100_000);
    a.fill(a.own(0, b), 500_000);
    c.fill(c.own(1, b), 350_000);
    while (!b.stores.memory.isShort) c.add(c.partitions.get(1));
    const tooMuchBytes = (): number => b.usedBytes - shortFromBytes;
    b.pressure.noticed();
    await network.runtime.advance(25);
    for (let i = 0; i < 50; i++) b.add(own);
    b.asked.length = 0;
    const before = own.evicted;
    const expected = tooMuchBytes();
    await network.runtime.advance(20);
    expect([before, own.evicted]).toEqual([0, 0]);
    expect(b.asked.map(({ to }) => to).sort()).toEqual(["a", "c"]);
    const [fromA, fromC] = ["a", "c"].map((id) => b.asked.find(({ to }) => to === id)!.sizeBytes);
    expect(fromA! + fromC! - expected).toBeLessThanOrEqual(2);
    expect(fromA).toBeGreaterThan(fromC!);

    // Once it has its share itself, it gives like the others.
    for (let i = 0; i < 300; i++) b.add(own);
    await network.runtime.advance(25);
    for (let i = 0; i < 50; i++) b.add(own);
    expect(own.evicted).toBeGreaterThan(0);
  });

  test("asks nobody for the copies of an owner that isn't there, and nobody once it is closed", async () => {
    const a = begin();
    const lost = a.stores.create();
    a.copies.push({ store: lost, owner: undefined });
    for (let i = 0; !a.stores.memory.isShort; i++)
      lost.set(Buffer.from(`k${i}`), Buffer.alloc(valueBytes), 0);
    a.pressure.noticed();
    await network.runtime.advance(100);
    expect(a.asked).toEqual([]);
    const { timers } = network.runtime;
    a.pressure.close();
    expect(network.runtime.timers).toBe(timers - 1);
    a.pressure.noticed();
    expect(network.runtime.timers).toBe(timers - 1);
  });
});

describe("where nothing may be evicted", () => {
  test("a full node refuses what adds, serves the rest, and takes writes again when there is room", () => {
    const a = begin({ eviction: "none" });
    const owned = a.own(0);
    let stored = 0;
    while (set(owned, `k${stored}`).found) stored++;
    expect(owned.refused).toBe(true);
    expect(a.usedBytes).toBeLessThan(limitBytes + 70_000);
    expect(stored).toBeGreaterThan(900);
    const { lsn } = owned.data;
    expect(set(owned, "k0", valueBytes, Buffer.alloc(valueBytes, "v")).found).toBe(false);
    expect(owned.refused).toBe(true);
    expect(set(owned, "k0", 10).found).toBe(false);
    expect(owned.data.lsn).toBe(lsn);
    expect(ask(owned, Op.get, "k0")).toMatchObject({ found: true });
    expect(owned.refused).toBe(false);
    for (let i = 0; i < 200; i++) expect(ask(owned, Op.delete, `k${i}`).found).toBe(true);
    expect(set(owned, "new").found).toBe(true);
    expect([owned.refused, owned.evicted, owned.data.store.size]).toEqual([false, 0, stored - 199]);
  });

  test("a full backup says so as long as it is, to those whose copies it has", async () => {
    const a = begin({ eviction: "none", maxMemoryBytes: 16 * limitBytes });
    const b = network.add("b", { eviction: "none" });
    network.add("c", { eviction: "none" });
    const owned = a.own(0, b);
    const elsewhere = a.own(1);
    while (b.stores.memory.excessBytes <= 0) a.add(owned);
    b.pressure.noticed();
    await network.runtime.advance(25);
    expect(b.asked).toEqual([{ to: "a", isFull: true, sizeBytes: 0 }]);
    expect(a.add(owned).found).toBe(false);
    expect(a.add(elsewhere).found).toBe(true);
    // Long after, it is still full.
    await network.runtime.advance(5_000);
    expect(a.add(owned).found).toBe(false);
    expect(ask(owned, Op.get, "a:0").found).toBe(true);
    for (let i = 0; i < 200; i++) expect(ask(owned, Op.delete, `a:${i}`).found).toBe(true);
    expect(b.stores.memory.excessBytes).toBeLessThan(0);
    await network.runtime.advance(1_020);
    expect(a.add(owned).found).toBe(true);
    expect(owned.evicted).toBe(0);
  });

  test("that a backup is full is forgotten after a second, and means nothing where no copy is required", async () => {
    const a = begin({ eviction: "none" });
    const b = network.add("b");
    const owned = a.own(0, b);
    const filling = a.own(1, b);
    filling.streams[0]!.required = false;
    a.hear(b, true, 0);
    expect([a.add(owned).found, a.add(filling).found]).toEqual([false, true]);
    await network.runtime.advance(999);
    expect(a.add(owned).found).toBe(false);
    await network.runtime.advance(1);
    expect(a.add(owned).found).toBe(true);
  });
});

test("a message that isn't one is answered and means nothing", () => {
  const a = begin({ eviction: "none" });
  const b = network.add("b");
  const owned = a.own(0, b);
  let answers = 0;
  a.receive({ from: b.member, payload: Buffer.from([1]), reply: () => answers++ });
  expect([answers, a.add(owned).found]).toEqual([1, true]);
});
