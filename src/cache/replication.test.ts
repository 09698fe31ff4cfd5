/** An owner and its backups over links that lose connections: what is acknowledged is everywhere, whatever happens. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { contentsOf, testStores } from "../../tests/support/stores.ts";
import { RingcacheError } from "../errors.ts";
import { silentLog } from "../log.ts";
import type { CallHandler, PeerAddress } from "../peers/messages.ts";
import type { Peers } from "../peers/peers.ts";
import { PeerKind } from "../ring/calls.ts";
import type { Member } from "../ring/table.ts";
import { type Runtime, systemRuntime } from "../runtime.ts";
import { BackupLink } from "./backup-link.ts";
import { BackupStream } from "./backup-stream.ts";
import { type Command, noBytes, Op } from "./command.ts";
import { Copies, type Copy, copyOf } from "./copies.ts";
import { OwnedPartition, type Partition } from "./owned-partition.ts";
import { Receipts } from "./receipts.ts";
import { fill, Pace, resume, type TransferOptions } from "./transfer.ts";
import { encodeBegin, encodeMessage, no, Step } from "./transfer-wire.ts";
import type { Receipt } from "./write-wire.ts";

const partition = 3;
const stores = testStores();

function memberOf(id: string): Member {
  return { id, incarnation: `${id}-1`, host: "h", port: 1, http: "", zone: "", leaving: false, dead: "" };
}

class BackupNode {
  readonly member: Member;
  readonly copies: Copies;
  /** What its router was told of writes that are complete. */
  readonly completed: [sequence: number, found: boolean | string][] = [];
  /** The epoch of the owner that its table knows. */
  since = 0;
  /** Called after every message. */
  served: () => void = () => {};

  constructor(id: string) {
    this.member = memberOf(id);
    this.copies = new Copies({
      log: silentLog,
      stores,
      refuses: () => false,
      since: () => this.since,
      needs: () => false,
      self: () => this.member.incarnation,
      completed: (sequence, found) =>
        void this.completed.push([sequence, typeof found === "boolean" ? found : String(found)]),
    });
  }

  get copy(): Copy | undefined {
    return this.copies.get(partition);
  }

  serve(from: string, kind: number, payload: Buffer): Buffer {
    let answer: Buffer | undefined;
    const request = {
      from: { id: from, incarnation: `${from}-1` },
      payload,
      reply: (bytes: Uint8Array) => {
        expect(answer).toBeUndefined();
        answer = Buffer.from(bytes);
      },
    };
    if (kind === PeerKind.replica) this.copies.serveWrites(request);
    else this.copies.serveTransfer(request);
    this.served();
    return answer!;
  }
}

/** `trouble`: what happens to the next message: it is lost, or its answer is, with all that are under way. */
class Network {
  readonly nodes = new Map<string, BackupNode>();
  trouble: () => "none" | "lost" | "unanswered" = () => "none";
  /** No message gets through. */
  cut = false;
  /** None gets through to this one. */
  cutFrom = "";
  /** Messages with writes that are still on their way. */
  held: (() => void)[] | undefined;
  messages = 0;

  add(id: string): BackupNode {
    const node = new BackupNode(id);
    this.nodes.set(id, node);
    return node;
  }

  peersOf(from: string): Peers {
    const connections = new Map<string, number>();
    const call = (
      peer: PeerAddress,
      kind: number,
      payload: Uint8Array,
      _timeoutMs: number,
      handler: CallHandler,
    ) => {
      this.messages++;
      const bytes = Buffer.from(payload);
      const connection = connections.get(peer.id) ?? 0;
      const fails = (): void => {
        connections.set(peer.id, connection + 1);
        handler.failed(new RingcacheError("LINK_LOST", "broken", { outcome: "unknown" }));
      };
      const isOpen = (): boolean =>
        (connections.get(peer.id) ?? 0) === connection && !this.cut && this.cutFrom !== peer.id;
      const trouble = this.trouble();
      const deliver = (): void => {
        setImmediate(() => {
          if (!isOpen() || trouble === "lost") return setImmediate(fails);
          const answer = this.nodes.get(peer.id)!.serve(from, kind, bytes);
          setImmediate(() => (trouble === "unanswered" || !isOpen() ? fails() : handler.reply(answer)));
        });
      };
      if (kind === PeerKind.replica && this.held !== undefined) this.held.push(deliver);
      else deliver();
    };
    const requestPromise = (peer: PeerAddress, kind: number, payload: Uint8Array, timeoutMs: number) =>
      new Promise<Buffer>((resolve, failed) =>
        call(peer, kind, payload, timeoutMs, { reply: resolve, failed }),
      );
    const atTurnEnd = (_peer: PeerAddress, fn: () => void): void => void setImmediate(fn);
    return { call, requestPromise, atTurnEnd } as unknown as Peers;
  }
}

const runtime: Runtime = {
  ...systemRuntime,
  // Pauses before a retry are not what is tested.
  after: (delayMs, fn) => systemRuntime.after(Math.min(delayMs, 1), fn),
};

/** What all fills of a node share. */
function shared(): Pick<TransferOptions, "pace" | "traffic"> {
  return { pace: new Pace(runtime), traffic: { sentBytes: 0, receivedBytes: 0 } };
}

class Owner {
  readonly owned: OwnedPartition;
  readonly peers: Peers;
  readonly #links = new Map<string, BackupLink>();
  #sessions = 0;

  constructor(
    network: Network,
    id: string,
    since: number,
    data: Partition = empty(),
    tail: readonly Buffer[] = [],
  ) {
    this.owned = new OwnedPartition(id, partition, since, data, tail);
    this.peers = network.peersOf(id);
  }

  stream(to: Member): BackupStream {
    const link = this.#links.get(to.id) ?? new BackupLink({ peers: this.peers, runtime, to });
    this.#links.set(to.id, link);
    const stream = new BackupStream(this.owned, ++this.#sessions, to, link);
    this.owned.streams.push(stream);
    return stream;
  }

  drop(stream: BackupStream): void {
    this.owned.streams = this.owned.streams.filter((other) => other !== stream);
    stream.close();
  }

  /** As often as it takes. */
  async fill(to: Member): Promise<BackupStream> {
    for (let attempt = 0; ; attempt++) {
      const stream = this.stream(to);
      try {
        await fill({ peers: this.peers, runtime, owned: this.owned, stream, ...shared() });
        return stream;
      } catch (error) {
        if (attempt > 200) throw error;
        this.drop(stream);
      }
    }
  }

  async resume(to: Member): Promise<BackupStream> {
    const stream = this.stream(to);
    stream.required = true;
    await resume({ peers: this.peers, runtime, owned: this.owned, stream, ...shared() });
    return stream;
  }

  /** Carries out a command; resolves with what it was answered, or the error. */
  run(
    command: Command,
    deadlineMs = 60_000,
    receipt?: Receipt,
  ): Promise<{ found: boolean; value: string } | RingcacheError> {
    const reply = this.owned.apply(command, Date.now(), receipt);
    const answer = { found: reply.found, value: reply.value.toString() };
    if (!this.owned.mustWait) return Promise.resolve(answer);
    return new Promise((resolve) => {
      this.owned.wait({
        deadlineAtMs: performance.now() + deadlineMs,
        acknowledged: () => resolve(answer),
        failed: resolve,
      });
    });
  }
}

function empty(): Partition {
  return { store: stores.create(), receipts: new Receipts(), lsn: 0 };
}

function set(key: string, value: string): Command {
  return {
    op: Op.set,
    key: Buffer.from(key),
    value: Buffer.from(value),
    expiresAtMs: 0,
    expected: undefined,
  };
}

function get(key: string): Command {
  return { op: Op.get, key: Buffer.from(key), value: noBytes, expiresAtMs: 0, expected: undefined };
}

function del(key: string): Command {
  return { op: Op.delete, key: Buffer.from(key), value: noBytes, expiresAtMs: 0, expected: undefined };
}

function contents({ store }: Partition): string[] {
  return contentsOf(store);
}

/** What is there, and what is known to have been answered. */
function stateOf(data: Partition): { entries: string[]; receipts: string[] } {
  const receipts = data.receipts.encode().map((origin) => origin.toString("hex"));
  return { entries: contents(data), receipts: receipts.sort() };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a partition and its backups", () => {
  test("no answer leaves before the backup has the write, nor one that rests on it", async () => {
    const network = new Network();
    const node = network.add("b");
    const owner = new Owner(network, "a", 1);
    await owner.fill(node.member);
    network.cut = true;
    const answers: string[] = [];
    const note = (name: string) => (): void => void answers.push(name);
    void owner.run(set("k", "v")).then(note("set k"));
    void owner.run(get("k")).then(note("get k"));
    void owner.run(get("other")).then(note("get other"));
    void owner.run(del("k")).then(note("delete k"));
    for (let i = 0; i < 20; i++) await turn();
    expect(answers).toEqual(["get other"]);
    network.cut = false;
    await owner.owned.until(() => owner.owned.isSettled);
    await turn();
    expect(answers).toEqual(["get other", "set k", "get k", "delete k"]);
    expect(contents(node.copy!)).toEqual([]);
    expect(node.copy!.lsn).toBe(2);
  });

  test("a router that holds the only backup is told with the write that it is complete, and nobody else is", async () => {
    const network = new Network();
    const [b, c] = [network.add("b"), network.add("c")];
    const owner = new Owner(network, "a", 1);
    let sequence = 0;
    const write = async (key: string, origin: string): Promise<void> => {
      sequence++;
      await owner.run(set(key, "v"), 60_000, { origin, sequence, oldest: sequence });
    };
    const toB = await owner.fill(b.member);
    await write("not named by the table yet", "b-1");
    toB.named = true;
    await write("complete", "b-1");
    await write("another router's", "c-1");
    await write("of an incarnation before", "b-0");
    await owner.run(set("of the owner's own", "v"));
    expect(b.completed).toEqual([[2, true]]);
    const gone = del("complete");
    await owner.run(gone, 60_000, { origin: "b-1", sequence: 5, oldest: 5 });
    expect(b.completed).toEqual([
      [2, true],
      [5, true],
    ]);
    const toC = await owner.fill(c.member);
    toC.named = true;
    sequence = 5;
    await write("waits for two", "b-1");
    await write("waits for two", "c-1");
    owner.drop(toB);
    await write("waits for one", "c-1");
    expect(b.completed).toEqual([
      [2, true],
      [5, true],
    ]);
    expect(c.completed).toEqual([[8, true]]);
  });

  test("a write that a backup refuses, or has already, completes nothing", async () => {
    const network = new Network();
    const b = network.add("b");
    const owner = new Owner(network, "a", 1);
    (await owner.fill(b.member)).named = true;
    let lost = 0;
    // Its confirmation is lost, and it is sent again.
    network.trouble = () => (lost++ === 0 ? "unanswered" : "none");
    await owner.run(set("k", "v"), 60_000, { origin: "b-1", sequence: 1, oldest: 1 });
    expect(lost).toBeGreaterThan(1);
    expect(b.completed).toEqual([[1, true]]);
    // It knows of a later owner.
    b.since = 2;
    void owner.run(set("k", "w"), 60_000, { origin: "b-1", sequence: 2, oldest: 2 });
    for (let i = 0; i < 20; i++) await turn();
    expect(b.completed).toEqual([[1, true]]);
  });

  test("a copy made while another backup lacks a write is complete only when that one has it too", async () => {
    const network = new Network();
    const [b, c] = [network.add("b"), network.add("c")];
    const owner = new Owner(network, "a", 1);
    await owner.fill(b.member);
    await owner.run(set("k", "v"));
    network.cutFrom = "b";
    void owner.run(del("k"));
    let filled = false;
    const fills = owner.fill(c.member).then(() => {
      filled = true;
    });
    while (c.copy?.whole !== true) await turn();
    for (let i = 0; i < 20; i++) await turn();
    expect([filled, contents(b.copy!)]).toEqual([false, ["k=v@0"]]);
    network.cutFrom = "";
    await fills;
    expect(contents(b.copy!)).toEqual([]);
  });

  test("a copy is complete only when it has what was acknowledged without it and is still on its way", async () => {
    const network = new Network();
    const node = network.add("b");
    const owner = new Owner(network, "a", 1);
    const stream = owner.stream(node.member);
    const filled = fill({ peers: owner.peers, runtime, owned: owner.owned, stream, ...shared() });
    while (node.copy?.whole !== true) await turn();
    // The answer that says so is on its way back: until it is here, nothing waits for this copy.
    expect(stream.required).toBe(false);
    const held: (() => void)[] = [];
    network.held = held;
    expect(await owner.run(set("k", "v"))).toEqual({ found: true, value: "" });
    while (!stream.required || held.length === 0) await turn();
    expect(owner.owned.isSettled).toBe(false);
    let isFilled = false;
    void filled.then(() => {
      isFilled = true;
    });
    for (let i = 0; i < 20; i++) await turn();
    expect([isFilled, contents(node.copy!)]).toEqual([false, []]);
    network.held = undefined;
    for (const deliver of held) deliver();
    await filled;
    expect(contents(node.copy!)).toEqual(["k=v@0"]);
  });

  test("a backup that is dropped holds nothing up any more", async () => {
    const network = new Network();
    const owner = new Owner(network, "a", 1);
    const stream = await owner.fill(network.add("b").member);
    network.cut = true;
    const answer = owner.run(set("k", "v"));
    await turn();
    owner.drop(stream);
    expect(await answer).toEqual({ found: true, value: "" });
  });

  test("an answer whose time is over says that its outcome is unknown; what is lost with the ownership too", async () => {
    const network = new Network();
    const owner = new Owner(network, "a", 1);
    await owner.fill(network.add("b").member);
    network.cut = true;
    const late = owner.run(set("k", "v"), -1);
    const lost = owner.run(set("k", "w"));
    owner.owned.expire(performance.now());
    expect(await late).toMatchObject({ code: "DEADLINE_EXCEEDED", outcome: "unknown" });
    owner.owned.close(new RingcacheError("LINK_LOST", "gone", { outcome: "unknown" }));
    expect(await lost).toMatchObject({ code: "LINK_LOST", outcome: "unknown" });
  });

  test("a backup takes nothing from an owner of an earlier epoch", async () => {
    const network = new Network();
    const node = network.add("b");
    const owner = new Owner(network, "a", 1);
    const stream = await owner.fill(node.member);
    node.since = 2;
    let settled = false;
    void owner.run(set("k", "v")).then(() => (settled = true));
    while (!stream.broken) await turn();
    expect(settled).toBe(false);
    expect(contents(node.copy!)).toEqual([]);
    const begin = {
      step: Step.begin,
      partition,
      since: 1,
      session: 9,
      body: encodeBegin(0, { low: 1, high: 2 }),
    };
    expect(node.serve("a", PeerKind.handoff, encodeMessage(begin))).toEqual(no);
  });

  test("a fill of another session is not mixed in, and its late messages are refused", async () => {
    const network = new Network();
    const node = network.add("b");
    const begin = (session: number) =>
      node.serve(
        "a",
        PeerKind.handoff,
        encodeMessage({
          step: Step.begin,
          partition,
          since: 1,
          session,
          body: encodeBegin(0, { low: 1, high: 2 }),
        }),
      );
    begin(2);
    expect(begin(1)).toEqual(no);
    const final = { step: Step.final, partition, since: 1, session: 1, body: Buffer.alloc(16) };
    expect(node.serve("a", PeerKind.handoff, encodeMessage(final))).toEqual(no);
    expect(node.copy!.whole).toBe(false);
  });
});

const key = fc.integer({ min: 0, max: 12 }).map((n) => `k${n}`);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant("set" as const), key) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("delete" as const), key) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("turn" as const), key) },
);

function command([kind, name]: readonly ["set" | "delete", string], i: number): Command {
  return kind === "delete" ? del(name) : set(name, `v${i}`);
}

test("whatever is written while a copy is made, and however often the link breaks, the copy ends up the same", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 120 }),
      fc.integer({ min: 0, max: 300 }),
      fc.nat(),
      async (steps, before, seed) => {
        const network = new Network();
        const node = network.add("b");
        const owner = new Owner(network, "a", 1);
        for (let i = 0; i < before; i++)
          await owner.run(set(`k${i % 40}`, "x".repeat(i % 7 === 0 ? 30_000 : i)));
        let random = seed;
        network.trouble = () => {
          random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
          return random % 11 === 0 ? "lost" : random % 13 === 0 ? "unanswered" : "none";
        };
        const filled = owner.fill(node.member);
        const answers: Promise<unknown>[] = [];
        for (const [i, [kind, name]] of steps.entries()) {
          if (kind === "turn") await turn();
          else answers.push(owner.run(command([kind, name], i)));
        }
        await filled;
        answers.push(owner.run(set("last", "v")));
        await Promise.all(answers);
        expect(contents(node.copy!)).toEqual(contents(owner.owned.data));
        expect(node.copy!.lsn).toBe(owner.owned.data.lsn);
        expect(owner.owned.waiting).toBe(0);
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);

test("after the owner's death a backup takes over: nothing acknowledged is missing, and the other backup is the same", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 80 }),
      fc.nat(),
      fc.boolean(),
      async (steps, seed, first) => {
        const network = new Network();
        const nodes = [network.add("b"), network.add("c")];
        const owner = new Owner(network, "a", 1);
        for (const node of nodes) await owner.fill(node.member);
        let random = seed;
        network.trouble = () => {
          random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
          return random % 4 === 0 ? "lost" : random % 5 === 0 ? "unanswered" : "none";
        };
        /** By key, what its commands leave behind, from the last one that was acknowledged on. */
        const possible = new Map<string, { step: number; value: string | undefined }[]>();
        for (const [i, [kind, name]] of steps.entries()) {
          if (kind === "turn") await turn();
          else {
            const now = command([kind, name], i);
            const before = possible.get(name) ?? [{ step: -1, value: undefined }];
            const value = kind === "set" ? now.value.toString() : undefined;
            possible.set(name, [...before, { step: i, value }]);
            // One of the routers has only ever written once.
            const receipt = { origin: i === 3 ? "r" : `r${i % 2}`, sequence: i + 1, oldest: 0 };
            void owner.run(now, undefined, receipt).then((answer) => {
              if (answer instanceof RingcacheError) return;
              possible.set(
                name,
                possible.get(name)!.filter((one) => one.step >= i),
              );
            });
          }
        }
        owner.owned.close(new RingcacheError("CLOSED", "dead", { outcome: "unknown" }));
        network.trouble = () => "none";
        await turn();
        network.trouble = () => {
          random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
          return random % 5 === 0 ? "lost" : random % 7 === 0 ? "unanswered" : "none";
        };
        const [next, other] = first ? [nodes[0]!, nodes[1]!] : [nodes[1]!, nodes[0]!];
        const copy = next.copies.take(partition)!;
        const successor = new Owner(network, next.member.id, 2, copy, copy.tail);
        other.since = 2;
        const before = stateOf(other.copy!);
        const after = stateOf(copy);
        other.served = () => expect([before, after]).toContainEqual(stateOf(other.copy!));
        await successor.resume(other.member);
        other.served = () => {};
        network.trouble = () => "none";
        expect(stateOf(other.copy!)).toEqual(after);
        expect(successor.owned.isSettled).toBe(true);
        for (const [name, values] of possible) {
          const entry = successor.owned.data.store.get(Buffer.from(name), 0);
          expect(values.map(({ value }) => value)).toContain(entry?.value.toString());
        }
        await successor.run(set("last", "v"));
        expect(contents(other.copy!)).toEqual(contents(successor.owned.data));
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);

test("an owner that handed its partition over is resumed as a backup of the next", async () => {
  const network = new Network();
  const a = network.add("a");
  const b = network.add("b");
  const owner = new Owner(network, "a", 1);
  await owner.fill(b.member);
  for (let i = 0; i < 50; i++) void owner.run(set(`k${i % 7}`, `v${i}`));
  await owner.owned.until(() => owner.owned.isSettled);
  a.copies.set(partition, copyOf(owner.owned.data, 1));
  const copy = b.copies.take(partition)!;
  const next = new Owner(network, "b", 2, copy, copy.tail);
  await next.resume(a.member);
  await next.run(set("k1", "new"));
  expect(contents(a.copy!)).toEqual(contents(next.owned.data));
});
