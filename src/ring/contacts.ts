/**
 * What this node and each other member are to one another: the grants that they give each other, and whether they
 * reach each other. Both come from one ping, sent to every living member a few times per lease.
 *
 * A grant is a promise: "I shall not serve as your successor for the time that you asked for." An owner whose backups have
 * all granted may serve without NATS. It counts from before the ping was sent, the promise from when the ping came.
 */
import type { Log } from "../log.ts";
import type { PeerIdentity } from "../peers/messages.ts";
import type { Peers } from "../peers/peers.ts";
import { planted } from "../planted.ts";
import type { Runtime, Timer } from "../runtime.ts";
import { PeerKind } from "./calls.ts";
import { clockDriftMax } from "./membership.ts";
import type { Member } from "./table.ts";

/** The longest time that is granted; a ping that asks for more gets nothing. */
const grantMsMax = 600_000;
/** Promises that are remembered; a new one past that is refused. Only members get any, and each has one incarnation. */
const grantsMax = 4_096;
/** Pings to one member that have not ended; while there are as many, no more are sent to it. */
const pingsMax = 8;
/** Pings in a row that must have failed before a member is unreachable. */
const strikesMin = 3;

const granted = Uint8Array.of(1);
const refused = Uint8Array.of(0);

/** How often each member is pinged. */
export function pingIntervalMs(heartbeatMs: number, leaseMs: number): number {
  return Math.min(heartbeatMs / 2, leaseMs / 8);
}

export interface ContactsOptions {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly peers: Pick<Peers, "call" | "handle">;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  /** Whether this node may promise `from` not to be its successor: it is a living member of the newest table. */
  mayGrant(from: PeerIdentity): boolean;
  /** {@link Contacts.unreachable} changed. */
  changed(): void;
}

interface Ping {
  readonly sentAtMs: number;
  readonly sentTick: number;
  /** It has been counted as failed, or isn't to be. */
  judged: boolean;
}

/** One other member. */
interface Contact {
  member: Member;
  grantedUntilMs: number;
  readonly pings: Set<Ping>;
  /** Pings that failed since the last answer. */
  strikes: number;
  /** When the first of them was sent. */
  firstStrikeTick: number;
  unreachableSinceTick: number;
  /** It has answered once. */
  reached: boolean;
}

const never = Number.POSITIVE_INFINITY;

export class Contacts {
  readonly #options: ContactsOptions;
  readonly #intervalMs: number;
  /** Ticks after which a ping without an answer has failed; an answer that comes later still counts as one. */
  readonly #lateTicks: number;
  readonly #request = Buffer.alloc(4);
  readonly #askedMs: number;
  readonly #contacts = new Map<string, Contact>();
  /** Until when each incarnation was promised what it asked for, on this node's monotonic clock. */
  readonly #promises = new Map<string, number>();
  /** This node's running time in ping intervals: however long it stalls, that is one. */
  #tick = 0;
  #tickDueMs = 0;
  #self = "";
  #unreachable: string[] = [];
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: ContactsOptions) {
    this.#options = options;
    const { heartbeatMs, leaseMs, peers } = options;
    this.#intervalMs = pingIntervalMs(heartbeatMs, leaseMs);
    this.#lateTicks = Math.ceil(leaseMs / 4 / this.#intervalMs);
    this.#askedMs = Math.min(Math.floor(leaseMs), grantMsMax);
    this.#request.writeUInt32BE(this.#askedMs);
    peers.handle(PeerKind.grant, (request) => request.reply(this.#answer(request.from, request.payload)));
    this.#schedule();
  }

  /** From each table on: pings those of `others` that live and aren't this node. A new one is pinged at once. */
  setMembers(self: PeerIdentity, others: readonly Member[]): void {
    if (this.#stopped) return;
    if (self.incarnation !== this.#self) this.revoke();
    this.#self = self.incarnation;
    const wanted = others.filter(({ id, dead }) => id !== self.id && dead === "");
    const incarnations = new Set(wanted.map(({ incarnation }) => incarnation));
    for (const [id, { member }] of this.#contacts) {
      if (!incarnations.has(member.incarnation)) this.#contacts.delete(id);
    }
    for (const member of wanted) {
      const known = this.#contacts.get(member.id);
      if (known !== undefined) {
        known.member = member;
        continue;
      }
      const contact = newContact(member);
      this.#contacts.set(member.id, contact);
      this.#ping(contact);
    }
    this.#tell();
  }

  /** Whether the peer has promised this incarnation of this node not to succeed it yet. Ask in the turn that relies on it. */
  holdsGrant(peer: PeerIdentity): boolean {
    const contact = this.#contacts.get(peer.id);
    return (
      contact !== undefined &&
      contact.member.incarnation === peer.incarnation &&
      this.#options.runtime.monotonicMs() < contact.grantedUntilMs
    );
  }

  /** Until when this node has promised the incarnation not to succeed it; -Infinity if it hasn't or that is long over. */
  grantedUntilMs(incarnation: string): number {
    return this.#promises.get(incarnation) ?? Number.NEGATIVE_INFINITY;
  }

  /** The latest of the promises given to incarnations that aren't excepted; -Infinity if there is none. */
  latestGrantMs(except: (incarnation: string) => boolean): number {
    let latestMs = Number.NEGATIVE_INFINITY;
    for (const [incarnation, untilMs] of this.#promises) {
      if (untilMs > latestMs && !except(incarnation)) latestMs = untilMs;
    }
    return latestMs;
  }

  /** This node is no longer the incarnation that it was: what was granted to that one is void. What it gave stands. */
  revoke(): void {
    for (const contact of this.#contacts.values()) {
      contact.grantedUntilMs = Number.NEGATIVE_INFINITY;
      // What is answered to the incarnation before is no grant for this one.
      for (const ping of contact.pings) ping.judged = true;
      contact.pings.clear();
    }
  }

  /** Ids of the members that this node can't reach, sorted. */
  unreachable(): readonly string[] {
    return this.#unreachable;
  }

  /** Ids of the members that have not answered once and aren't {@link unreachable} yet, sorted. */
  unknown(): readonly string[] {
    return [...this.#contacts]
      .filter(([, { reached, unreachableSinceTick }]) => !reached && unreachableSinceTick === never)
      .map(([id]) => id)
      .sort();
  }

  /** Whether this incarnation has been {@link unreachable} for `ms` of this node's running time. */
  isUnreachableFor(peer: PeerIdentity, ms: number): boolean {
    const contact = this.#contacts.get(peer.id);
    if (contact === undefined || contact.member.incarnation !== peer.incarnation) return false;
    return (this.#tick - contact.unreachableSinceTick) * this.#intervalMs >= ms;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#contacts.clear();
  }

  #schedule(): void {
    const { runtime } = this.#options;
    this.#tickDueMs = runtime.monotonicMs() + this.#intervalMs;
    this.#timer = runtime.after(this.#intervalMs, () => this.#beat());
  }

  #beat(): void {
    const nowMs = this.#options.runtime.monotonicMs();
    // Nobody could answer a node that doesn't run: what has come in meanwhile is read after this.
    if (nowMs - this.#tickDueMs > this.#options.leaseMs / 8) this.#excuse();
    this.#schedule();
    this.#tick++;
    for (const [incarnation, untilMs] of this.#promises) {
      if (untilMs <= nowMs) this.#promises.delete(incarnation);
    }
    for (const contact of this.#contacts.values()) {
      for (const ping of contact.pings) {
        if (this.#tick - ping.sentTick >= this.#lateTicks) this.#strike(contact, ping);
      }
      this.#judge(contact);
      this.#ping(contact);
    }
    this.#tell();
  }

  /** This node itself has stalled: silence up to now says nothing about the others. */
  #excuse(): void {
    for (const contact of this.#contacts.values()) {
      for (const ping of contact.pings) ping.judged = true;
      contact.strikes = 0;
    }
  }

  #ping(contact: Contact): void {
    if (contact.pings.size >= pingsMax) return;
    const { peers, runtime, leaseMs } = this.#options;
    const ping: Ping = { sentAtMs: runtime.monotonicMs(), sentTick: this.#tick, judged: false };
    contact.pings.add(ping);
    peers.call(contact.member, PeerKind.grant, this.#request, leaseMs, {
      reply: (payload) => this.#answered(contact, ping, payload[0] === granted[0]),
      failed: ({ code }) => {
        if (!contact.pings.delete(ping)) return;
        // These say something about this node, not about the other.
        if (code === "OVERLOADED" || code === "CLOSED") return;
        this.#strike(contact, ping);
        this.#judge(contact);
        this.#tell();
      },
    });
  }

  #answered(contact: Contact, ping: Ping, isGranted: boolean): void {
    // Not there any more: it was sent by another incarnation.
    if (!contact.pings.delete(ping)) return;
    if (isGranted) {
      const fromMs = planted.leaseFromAnswer ? this.#options.runtime.monotonicMs() : ping.sentAtMs;
      contact.grantedUntilMs = Math.max(contact.grantedUntilMs, fromMs + this.#askedMs);
    }
    contact.strikes = 0;
    contact.reached = true;
    if (contact.unreachableSinceTick === never) return;
    contact.unreachableSinceTick = never;
    this.#tell();
  }

  #strike(contact: Contact, ping: Ping): void {
    if (ping.judged) return;
    ping.judged = true;
    if (contact.strikes++ === 0) contact.firstStrikeTick = ping.sentTick;
  }

  #judge(contact: Contact): void {
    if (contact.strikes < strikesMin || contact.unreachableSinceTick !== never) return;
    const silentMs = (this.#tick - contact.firstStrikeTick) * this.#intervalMs;
    if (silentMs >= this.#options.leaseMs / 2) contact.unreachableSinceTick = this.#tick;
  }

  /** Tells if the list has become another. */
  #tell(): void {
    if (this.#stopped) return;
    const { changed, log } = this.#options;
    const before = this.#unreachable;
    const now = [...this.#contacts]
      .filter(([, { unreachableSinceTick }]) => unreachableSinceTick !== never)
      .map(([id]) => id)
      .sort();
    if (now.length === before.length && now.every((id, i) => id === before[i])) return;
    this.#unreachable = now;
    log.warn({ event: "unreachable", members: now, before }, describe(now));
    changed();
  }

  #answer(from: PeerIdentity, payload: Buffer): Uint8Array {
    if (this.#stopped || payload.length !== 4 || !this.#options.mayGrant(from)) return refused;
    const askedMs = payload.readUInt32BE();
    const known = this.#promises.get(from.incarnation);
    if (askedMs > grantMsMax || (known === undefined && this.#promises.size >= grantsMax)) return refused;
    const untilMs = this.#options.runtime.monotonicMs() + askedMs * (1 + clockDriftMax);
    this.#promises.set(from.incarnation, Math.max(known ?? untilMs, untilMs));
    return granted;
  }
}

function newContact(member: Member): Contact {
  return {
    member,
    grantedUntilMs: Number.NEGATIVE_INFINITY,
    pings: new Set(),
    strikes: 0,
    firstStrikeTick: 0,
    unreachableSinceTick: never,
    reached: false,
  };
}

function describe(unreachable: readonly string[]): string {
  return unreachable.length === 0 ? "reaches every member" : `can't reach ${unreachable.join(", ")}`;
}
