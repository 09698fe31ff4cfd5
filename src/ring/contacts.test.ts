import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { MemoryTransport } from "../../tests/support/memory-transport.ts";
import { RingcacheError } from "../errors.ts";
import { silentLog } from "../log.ts";
import type { CallHandler, PeerAddress, PeerIdentity, RequestHandler } from "../peers/messages.ts";
import { Peers } from "../peers/peers.ts";
import { planted } from "../planted.ts";
import { Contacts, pingIntervalMs } from "./contacts.ts";
import type { Member } from "./table.ts";

const heartbeatMs = 1_000;
const leaseMs = 3_000;
const promiseMs = leaseMs * 1.02;
const intervalMs = pingIntervalMs(heartbeatMs, leaseMs);
/** By then a member that went silent is unreachable. */
const noticedMs = leaseMs / 2 + 2 * intervalMs;

function member(id: string, incarnation = `${id}1`, more: Partial<Member> = {}): Member {
  return { id, incarnation, host: "h", port: 1, http: "", zone: "", leaving: false, dead: "", ...more };
}

/** What becomes of the pings of one node. */
class Wire {
  readonly #runtime: ManualRuntime;
  readonly sent: { to: PeerAddress; kind: number; payload: Buffer; handler: CallHandler }[] = [];
  handler: RequestHandler | undefined;
  /** Members that are asked answer so: with this byte, with an error, or not before {@link release}. */
  readonly answers = new Map<string, number | "held" | "PEER_REFUSED" | "PEER_UNREACHABLE" | "OVERLOADED">();
  #held: (() => void)[] = [];

  constructor(runtime: ManualRuntime) {
    this.#runtime = runtime;
  }

  handle(_kind: number, handler: RequestHandler): void {
    this.handler = handler;
  }

  call(to: PeerAddress, kind: number, payload: Uint8Array, timeoutMs: number, handler: CallHandler): void {
    this.sent.push({ to, kind, payload: Buffer.from(payload), handler });
    const answer = this.answers.get(to.id) ?? 1;
    const soon = (run: () => void): void => this.#runtime.soon(run);
    if (typeof answer === "number") soon(() => handler.reply(Buffer.of(answer)));
    else if (answer !== "held") soon(() => handler.failed(new RingcacheError(answer, "failed")));
    else {
      let ended = false;
      const end = (run: () => void) => () => {
        if (!ended) run();
        ended = true;
      };
      this.#runtime.after(
        timeoutMs,
        end(() => handler.failed(new RingcacheError("DEADLINE_EXCEEDED", "late"))),
      );
      this.#held.push(end(() => handler.reply(Buffer.of(1))));
    }
  }

  /** Answers what was held, as if the answers had been on the way until now. */
  release(): void {
    const held = this.#held;
    this.#held = [];
    for (const answer of held) answer();
  }

  /** The answer of the node itself to a ping. */
  ask(from: PeerIdentity, payload: Buffer): number[] {
    const replies: number[] = [];
    this.handler!({ from, payload, reply: (bytes) => void replies.push(...bytes) });
    return replies;
  }

  pings(id: string): number {
    return this.sent.filter(({ to }) => to.id === id).length;
  }
}

let runtime: ManualRuntime;
let wire: Wire;
let contacts: Contacts;
let changes: string[][];
let mayGrant: (from: PeerIdentity) => boolean;
const self = member("a");
const asking = (ms: number): Buffer => {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(ms);
  return payload;
};

beforeEach(() => {
  runtime = new ManualRuntime();
  wire = new Wire(runtime);
  changes = [];
  mayGrant = () => true;
  contacts = new Contacts({
    runtime,
    log: silentLog,
    peers: wire,
    leaseMs,
    heartbeatMs,
    mayGrant: (from) => mayGrant(from),
    changed: () => void changes.push([...contacts.unreachable()]),
  });
});

afterEach(() => {
  contacts.stop();
  planted.leaseFromAnswer = false;
});

describe("pings", () => {
  test("go to every living member but this one, at once and several times per lease", async () => {
    contacts.setMembers(self, [self, member("b"), member("c"), member("d", "d1", { dead: "silent" })]);
    expect(wire.sent.map(({ to, kind, payload }) => [to.id, kind, payload.readUInt32BE()])).toEqual([
      ["b", 4, leaseMs],
      ["c", 4, leaseMs],
    ]);
    await runtime.advance(leaseMs);
    expect(wire.pings("b")).toBe(1 + leaseMs / intervalMs);
    expect(wire.pings("d")).toBe(0);
  });

  test("go on to a member that stays in the table, and end with one that doesn't", async () => {
    contacts.setMembers(self, [member("b"), member("c")]);
    contacts.setMembers(self, [member("b", "b1", { leaving: true })]);
    expect(wire.sent).toHaveLength(2);
    await runtime.advance(intervalMs);
    expect(wire.sent.slice(2).map(({ to }) => to.id)).toEqual(["b"]);
  });

  test("without an answer don't pile up", async () => {
    wire.answers.set("b", "held");
    contacts.setMembers(self, [member("b")]);
    await runtime.advance(100 * leaseMs);
    expect(wire.pings("b")).toBeLessThanOrEqual(8 * 101);
    expect(runtime.timers).toBeLessThanOrEqual(10);
  });

  test("end with stop", async () => {
    contacts.setMembers(self, [member("b")]);
    contacts.stop();
    contacts.setMembers(self, [member("b"), member("c")]);
    await runtime.advance(leaseMs);
    expect(wire.sent).toHaveLength(1);
    expect(wire.ask(member("b"), asking(leaseMs))).toEqual([0]);
    expect(runtime.timers).toBe(0);
  });
});

describe("a grant", () => {
  test("holds from before the ping was sent, not from its answer", async () => {
    wire.answers.set("b", "held");
    contacts.setMembers(self, [member("b")]);
    expect(contacts.holdsGrant(member("b"))).toBe(false);
    runtime.stall(1_000);
    wire.release();
    contacts.setMembers(self, [member("b")]);
    expect(contacts.holdsGrant(member("b"))).toBe(true);
    runtime.stall(leaseMs - 1_000 - 1);
    expect(contacts.holdsGrant(member("b"))).toBe(true);
    runtime.stall(1);
    expect(contacts.holdsGrant(member("b"))).toBe(false);
  });

  test("holds from its answer only where that bug is planted", async () => {
    planted.leaseFromAnswer = true;
    wire.answers.set("b", "held");
    contacts.setMembers(self, [member("b")]);
    runtime.stall(1_000);
    wire.release();
    runtime.stall(leaseMs - 1);
    expect(contacts.holdsGrant(member("b"))).toBe(true);
  });

  test("is renewed before it runs out, and runs out when answers end", async () => {
    contacts.setMembers(self, [member("b")]);
    await runtime.advance(10 * leaseMs);
    expect(contacts.holdsGrant(member("b"))).toBe(true);
    wire.answers.set("b", "held");
    await runtime.advance(leaseMs);
    expect(contacts.holdsGrant(member("b"))).toBe(false);
  });

  test("that is refused is none, takes none away, and is a sign of life", async () => {
    contacts.setMembers(self, [member("b"), member("c")]);
    await runtime.settle();
    wire.answers.set("b", 0);
    await runtime.advance(leaseMs - 1);
    expect(contacts.holdsGrant(member("b"))).toBe(true);
    await runtime.advance(1);
    expect(contacts.holdsGrant(member("b"))).toBe(false);
    await runtime.advance(10 * leaseMs);
    expect(contacts.unreachable()).toEqual([]);
  });

  test("is of one incarnation of the other", async () => {
    contacts.setMembers(self, [member("b")]);
    await runtime.settle();
    expect(contacts.holdsGrant(member("b"))).toBe(true);
    expect(contacts.holdsGrant(member("b", "b2"))).toBe(false);
    wire.answers.set("b", "held");
    contacts.setMembers(self, [member("b", "b2")]);
    expect(contacts.holdsGrant(member("b"))).toBe(false);
    expect(contacts.holdsGrant(member("b", "b2"))).toBe(false);
    wire.release();
    expect(contacts.holdsGrant(member("b", "b2"))).toBe(true);
  });

  test("is for one incarnation of this node: nothing of before counts, an answer under way least", async () => {
    contacts.setMembers(self, [member("b")]);
    await runtime.settle();
    wire.answers.set("b", "held");
    await runtime.advance(intervalMs);
    contacts.revoke();
    expect(contacts.holdsGrant(member("b"))).toBe(false);
    wire.release();
    expect(contacts.holdsGrant(member("b"))).toBe(false);
    wire.answers.set("b", 1);
    await runtime.advance(intervalMs);
    expect(contacts.holdsGrant(member("b"))).toBe(true);
    contacts.setMembers(member("a", "a2"), [member("b")]);
    expect(contacts.holdsGrant(member("b"))).toBe(false);
  });
});

describe("a promise", () => {
  const b = member("b");

  test("is given for what was asked for and the drift between two clocks, from when it was asked", () => {
    expect(contacts.grantedUntilMs("b1")).toBe(Number.NEGATIVE_INFINITY);
    expect(wire.ask(b, asking(leaseMs))).toEqual([1]);
    expect(contacts.grantedUntilMs("b1")).toBe(runtime.nowMs + promiseMs);
    runtime.stall(100);
    expect(wire.ask(b, asking(1))).toEqual([1]);
    expect(contacts.grantedUntilMs("b1")).toBe(runtime.nowMs - 100 + promiseMs);
  });

  test("covers the grant that its owner counts on, whatever the way takes", async () => {
    const answer = wire.ask(b, asking(leaseMs));
    expect(answer).toEqual([1]);
    expect(contacts.grantedUntilMs("b1")).toBeGreaterThan(runtime.nowMs + leaseMs);
  });

  test("is given to nobody who may not have it", () => {
    mayGrant = ({ incarnation }) => incarnation === "b1";
    expect(wire.ask(member("b", "b0"), asking(leaseMs))).toEqual([0]);
    expect(contacts.grantedUntilMs("b0")).toBe(Number.NEGATIVE_INFINITY);
    expect(wire.ask(b, asking(leaseMs))).toEqual([1]);
  });

  test("isn't given to what can't be read, nor for longer than ten minutes", () => {
    for (const payload of [Buffer.alloc(0), Buffer.alloc(3), Buffer.alloc(5), asking(600_001)]) {
      expect(wire.ask(b, payload)).toEqual([0]);
    }
    expect(wire.ask(b, asking(600_000))).toEqual([1]);
  });

  test("outlives what this node itself was", () => {
    wire.ask(b, asking(leaseMs));
    contacts.revoke();
    contacts.setMembers(member("a", "a2"), []);
    expect(contacts.grantedUntilMs("b1")).toBe(runtime.nowMs + promiseMs);
  });

  test("is forgotten when it is over, and not before", async () => {
    wire.ask(b, asking(leaseMs));
    const untilMs = runtime.nowMs + promiseMs;
    await runtime.advance(promiseMs - 1);
    expect(contacts.grantedUntilMs("b1")).toBe(untilMs);
    await runtime.advance(1 + intervalMs);
    expect(contacts.grantedUntilMs("b1")).toBe(Number.NEGATIVE_INFINITY);
  });

  test("is refused while too many are out, except for those that have one", () => {
    const ask = (i: number): number[] => wire.ask(member("x", `x${i}`), asking(leaseMs));
    for (let i = 0; i < 4_096; i++) expect(ask(i)).toEqual([1]);
    expect(ask(4_096)).toEqual([0]);
    expect(ask(17)).toEqual([1]);
  });

  test("the latest of those that aren't excepted", () => {
    expect(contacts.latestGrantMs(() => false)).toBe(Number.NEGATIVE_INFINITY);
    wire.ask(member("b"), asking(1_000));
    wire.ask(member("c"), asking(3_000));
    expect(contacts.latestGrantMs(() => false)).toBe(runtime.nowMs + 3_060);
    expect(contacts.latestGrantMs((incarnation) => incarnation === "c1")).toBe(runtime.nowMs + 1_020);
    expect(contacts.latestGrantMs(() => true)).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe("a member is unreachable", () => {
  test.each(["held", "PEER_REFUSED", "PEER_UNREACHABLE"] as const)(
    "after half a lease of failed pings, not before: %s",
    async (answer) => {
      contacts.setMembers(self, [member("b"), member("c")]);
      await runtime.advance(leaseMs);
      wire.answers.set("b", answer);
      await runtime.advance(leaseMs / 2);
      expect(contacts.unreachable()).toEqual([]);
      await runtime.advance(noticedMs - leaseMs / 2);
      expect(contacts.unreachable()).toEqual(["b"]);
      expect(changes).toEqual([["b"]]);
    },
  );

  test("and not known to be reached before it has answered once", async () => {
    wire.answers.set("b", "held");
    contacts.setMembers(self, [member("b"), member("c")]);
    await runtime.settle();
    expect(contacts.unreachable()).toEqual([]);
    expect(contacts.unknown()).toEqual(["b"]);
    wire.release();
    expect(contacts.unknown()).toEqual([]);
    await runtime.advance(noticedMs);
    expect([contacts.unreachable(), contacts.unknown()]).toEqual([["b"], []]);
    expect(changes).toEqual([["b"]]);
  });

  test("until one ping is answered, however late", async () => {
    contacts.setMembers(self, [member("b")]);
    await runtime.settle();
    wire.answers.set("b", "held");
    await runtime.advance(noticedMs);
    expect(contacts.unreachable()).toEqual(["b"]);
    wire.release();
    expect(contacts.unreachable()).toEqual([]);
    expect(changes).toEqual([["b"], []]);
  });

  test("not if answers come late but keep coming", async () => {
    wire.answers.set("b", "held");
    contacts.setMembers(self, [member("b")]);
    for (let i = 0; i < 20; i++) {
      await runtime.advance(3 * intervalMs);
      wire.release();
    }
    expect(changes).toEqual([]);
  });

  test("not because this node has too much to send", async () => {
    wire.answers.set("b", "OVERLOADED");
    contacts.setMembers(self, [member("b")]);
    await runtime.advance(10 * leaseMs);
    expect(changes).toEqual([]);
  });

  test("not because this node stalled, again and again", async () => {
    contacts.setMembers(self, [member("b"), member("c")]);
    wire.answers.set("b", "held");
    for (let i = 0; i < 10; i++) {
      await runtime.advance(intervalMs);
      runtime.stall(2 * leaseMs);
      await runtime.advance(0); // What was due comes first, then what had come in meanwhile.
      wire.release();
    }
    expect(changes).toEqual([]);
    // But a member that stays silent after it is found all the same.
    await runtime.advance(noticedMs + intervalMs);
    expect(contacts.unreachable()).toEqual(["b"]);
  });

  test("only by silence since this node's last stall", async () => {
    contacts.setMembers(self, [member("b")]);
    wire.answers.set("b", "held");
    await runtime.advance(leaseMs / 2);
    runtime.stall(2 * leaseMs);
    await runtime.advance(leaseMs / 2 - intervalMs);
    expect(contacts.unreachable()).toEqual([]);
    await runtime.advance(noticedMs - leaseMs / 2 + 2 * intervalMs);
    expect(contacts.unreachable()).toEqual(["b"]);
  });

  test("for as long as this node has been running since", async () => {
    contacts.setMembers(self, [member("b"), member("c")]);
    wire.answers.set("b", "held");
    await runtime.advance(noticedMs);
    expect(contacts.isUnreachableFor(member("b"), 0)).toBe(true);
    expect(contacts.isUnreachableFor(member("b"), leaseMs)).toBe(false);
    expect(contacts.isUnreachableFor(member("c"), 0)).toBe(false);
    runtime.stall(10 * leaseMs);
    await runtime.advance(intervalMs);
    expect(contacts.isUnreachableFor(member("b"), leaseMs)).toBe(false);
    await runtime.advance(leaseMs);
    expect(contacts.isUnreachableFor(member("b"), leaseMs)).toBe(true);
    expect(contacts.isUnreachableFor(member("b", "b2"), 0)).toBe(false);
  });

  test("no more when it isn't a member or is another incarnation", async () => {
    contacts.setMembers(self, [member("b"), member("c"), member("d")]);
    for (const id of ["b", "c", "d"]) wire.answers.set(id, "PEER_UNREACHABLE");
    await runtime.advance(noticedMs);
    expect(contacts.unreachable()).toEqual(["b", "c", "d"]);
    contacts.setMembers(self, [member("d", "d2"), member("b")]);
    expect(contacts.unreachable()).toEqual(["b"]);
    expect(changes.at(-1)).toEqual(["b"]);
  });

  test("in the same time with short heartbeats", async () => {
    const often = new Wire(runtime);
    const other = new Contacts({
      runtime,
      log: silentLog,
      peers: often,
      leaseMs,
      heartbeatMs: 100,
      mayGrant: () => true,
      changed: () => {},
    });
    often.answers.set("b", "held");
    other.setMembers(self, [member("b")]);
    await runtime.advance(noticedMs);
    expect(other.unreachable()).toEqual(["b"]);
    other.stop();
  });
});

describe("over real links", () => {
  const nodes: { peers: Peers; contacts: Contacts; member: Member }[] = [];

  afterEach(async () => {
    for (const node of nodes.splice(0)) {
      node.contacts.stop();
      await close(node.peers);
    }
  });

  async function close(peers: Peers): Promise<void> {
    const closed = peers.close();
    await runtime.advance(1_000);
    await closed;
  }

  async function node(transport: MemoryTransport, id: string, incarnation = `${id}1`) {
    const peers = new Peers({
      runtime,
      transport,
      log: silentLog,
      platform: "p",
      self: { id, incarnation },
      secret: Buffer.alloc(32, 7),
    });
    const { port } = await peers.listen("h", 0);
    const made = {
      peers,
      member: member(id, incarnation, { port }),
      contacts: new Contacts({
        runtime,
        log: silentLog,
        peers,
        leaseMs,
        heartbeatMs,
        mayGrant: () => true,
        changed: () => {},
      }),
    };
    nodes.push(made);
    return made;
  }

  test("two nodes grant each other, until one is gone", async () => {
    const transport = new MemoryTransport(runtime);
    const a = await node(transport, "a");
    const b = await node(transport, "b");
    a.contacts.setMembers(a.member, [a.member, b.member]);
    b.contacts.setMembers(b.member, [a.member, b.member]);
    await runtime.advance(10 * leaseMs);
    expect(a.contacts.holdsGrant(b.member)).toBe(true);
    expect(b.contacts.holdsGrant(a.member)).toBe(true);
    expect(b.contacts.grantedUntilMs("a1")).toBeGreaterThan(runtime.nowMs);
    expect(a.contacts.unreachable()).toEqual([]);
    b.contacts.stop();
    await close(b.peers);
    await runtime.advance(leaseMs);
    expect(a.contacts.holdsGrant(b.member)).toBe(false);
    expect(a.contacts.unreachable()).toEqual(["b"]);
  });

  test("a node that became another incarnation holds nothing, and then what is granted to the new one", async () => {
    const transport = new MemoryTransport(runtime);
    const a = await node(transport, "a");
    const b = await node(transport, "b");
    a.contacts.setMembers(a.member, [b.member]);
    await runtime.advance(leaseMs);
    const promisedMs = b.contacts.grantedUntilMs("a1");
    a.contacts.revoke();
    a.peers.setSelf({ id: "a", incarnation: "a2" });
    expect(a.contacts.holdsGrant(b.member)).toBe(false);
    await runtime.advance(2 * intervalMs);
    expect(a.contacts.holdsGrant(b.member)).toBe(true);
    expect(b.contacts.grantedUntilMs("a1")).toBe(promisedMs);
    expect(b.contacts.grantedUntilMs("a2")).toBeGreaterThan(promisedMs);
  });
});
