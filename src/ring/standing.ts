/**
 * What this node may rely on: that it is still a member, that nobody succeeds it in what it owns, who is dead and whom it
 * can't reach. A lease or a grant is asked for in the very turn that relies on it: event loops stall.
 */
import type { NodeConfig } from "../config.ts";
import type { Bucket, Coordination } from "../coordination/coordination.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerIdentity } from "../peers/messages.ts";
import type { Peers } from "../peers/peers.ts";
import { planted } from "../planted.ts";
import { type Runtime, sleep, type Timer } from "../runtime.ts";
import { Contacts, pingIntervalMs } from "./contacts.ts";
import { Isolation } from "./isolation.ts";
import { clockDriftMax, Membership } from "./membership.ts";
import { Restorer } from "./restorer.ts";
import type { Settings } from "./settings.ts";
import { livingMembers, type Member, memberOf, type Row, type Table } from "./table.ts";
import { TableExchange } from "./table-exchange.ts";
import type { TableStore } from "./table-store.ts";

const proofsMax = 1_024;
/** How often a node that was fenced looks whether it reaches the others. */
const rejoinPollMs = 100;
const rejoinRetryMs = 1_000;

export interface StandingOptions {
  readonly config: NodeConfig;
  readonly members: Bucket;
  readonly bucket: Bucket;
  readonly settings: Settings;
  readonly coordination: Pick<Coordination, "status">;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly peers: Peers;
  readonly tables: TableStore;
  readonly self: Member;
  /** The members with all of whose grants this node is a partition's only owner without a lease; none: grants prove nothing. */
  grantors(partition: number): readonly PeerIdentity[];
  /** Records of members have changed. */
  membersChanged(): void;
  /** A peer's process turned out to be dead, or whom this node reaches has changed. */
  peersChanged(): void;
  /** What had to wait may be served again. */
  regained(): void;
  fenced(): void;
  beat(): void;
}

export class Standing {
  readonly membership: Membership;
  readonly #options: StandingOptions;
  readonly #contacts: Contacts;
  readonly #isolation: Isolation;
  readonly #restorer: Restorer;
  readonly #exchange: TableExchange;
  /** Incarnations whose processes are known to be dead. */
  readonly #proofs = new Set<string>();
  /** When each of the latest tables that made this node wait was first acted on. */
  readonly #waits = new Map<number, number>();
  /** This node seems to be the last; confirmed once a table that was the latest since has said so. */
  #alone: { isConfirmed: boolean } | undefined;
  #timer: Timer | undefined;

  constructor(options: StandingOptions) {
    this.#options = options;
    const { config, members, runtime, log, peers, self, tables } = options;
    const { heartbeatMs, leaseMs } = config;
    this.membership = new Membership({
      bucket: members,
      runtime,
      log,
      heartbeatMs,
      leaseMs,
      self,
      reach: () => ({ unreachable: this.#contacts.unreachable(), unknown: this.#contacts.unknown() }),
      lastTable: () => this.#restorer.lastTable(),
      isStillMember: async () => {
        await tables.confirm();
        const member = memberOf(tables.table, self.id);
        return member?.incarnation === this.membership.self.incarnation && member.dead === "";
      },
      probe: (peer) => peers.probe(peer, 1_000),
      changed: options.membersChanged,
      leaseRegained: options.regained,
      fenced: () => {
        this.#contacts.revoke();
        options.fenced();
      },
      beat: options.beat,
    });
    this.#contacts = new Contacts({
      runtime,
      log,
      peers,
      leaseMs,
      heartbeatMs,
      mayGrant: ({ id, incarnation }) => {
        const member = memberOf(options.tables.table, id);
        return member?.incarnation === incarnation && member.dead === "";
      },
      changed: () => {
        // The sooner the others know, the sooner who is cut off gives up what it holds.
        void this.membership.renew();
        options.peersChanged();
      },
    });
    this.#isolation = new Isolation({
      runtime,
      log,
      heartbeatMs,
      leaseMs,
      contacts: this.#contacts,
      membership: this.membership,
      tables: options.tables,
      isolated: () => void this.membership.isolate(),
    });
    this.#restorer = new Restorer({
      ...options,
      leaseMs,
      membership: this.membership,
      isCutOff: () => options.coordination.status === "disconnected",
      isDead: (peer) => this.isDead(peer),
    });
    this.#exchange = new TableExchange({
      runtime,
      log,
      peers,
      tables,
      selfId: self.id,
      intervalMs: pingIntervalMs(heartbeatMs, leaseMs),
      isCutOff: () => options.coordination.status === "disconnected" || !this.membership.leaseHolds,
    });
    this.#schedule();
  }

  /** To be called with every new table. */
  tableChanged(table: Table): void {
    this.#contacts.setMembers(this.membership.self, table.members);
    if (this.#proofs.size > proofsMax) {
      const known = new Set(table.members.map((member) => member.incarnation));
      for (const incarnation of this.#proofs) if (!known.has(incarnation)) this.#proofs.delete(incarnation);
    }
  }

  processIsDead(peer: PeerIdentity): void {
    this.#proofs.add(peer.incarnation);
    this.#options.peersChanged();
  }

  /** Whether nobody else can be serving a partition that this node owns, in this very turn. */
  mayServe(partition: number): boolean {
    if (this.membership.leaseHolds || planted.resumeWithoutLease) return true;
    const grantors = this.#options.grantors(partition);
    return grantors.length > 0 && grantors.every((grantor) => this.#contacts.holdsGrant(grantor));
  }

  isDead(peer: PeerIdentity): boolean {
    return this.#proofs.has(peer.incarnation);
  }

  /** For so long, and with this node where most are, that the peer must not hold up writes any longer. */
  isUnreachable(peer: PeerIdentity): boolean {
    return this.#isolation.shouldDrop(peer);
  }

  /** How long a new owner must wait until the one before certainly doesn't serve any more. */
  waitMs(row: Row): number {
    if (!row.wait) return 0;
    const { runtime, tables, config } = this.#options;
    const nowMs = runtime.monotonicMs();
    if (row.came === "promotion") {
      const living = new Set(
        tables.table.members.filter(({ dead }) => dead === "").map((m) => m.incarnation),
      );
      const excepted = (incarnation: string): boolean =>
        living.has(incarnation) || this.#proofs.has(incarnation);
      return Math.max(0, this.#contacts.latestGrantMs(excepted) - nowMs);
    }
    const sinceMs = this.#waits.get(row.since) ?? nowMs;
    if (this.#waits.size > 64) this.#waits.clear();
    this.#waits.set(row.since, sinceMs);
    return Math.max(0, sinceMs + config.leaseMs * (1 + clockDriftMax) - nowMs);
  }

  /** Joins anew after having been fenced, once this node reaches the others; tries for as long as `isWanted`. */
  async rejoin(incarnation: string, isWanted: () => boolean): Promise<void> {
    const { log, runtime } = this.#options;
    while (isWanted()) {
      if (!this.#isolation.mayRejoin()) {
        await sleep(runtime, rejoinPollMs);
        continue;
      }
      try {
        await this.membership.rejoin(incarnation);
        return;
      } catch (error) {
        log.warn({ event: "rejoin-failed", error: messageOf(error) }, "joining anew failed, trying again");
        await sleep(runtime, rejoinRetryMs);
      }
    }
  }

  /** Somebody may be there to hand partitions to; the records of members, or the table, may not have been seen here yet. */
  hasOthers(): boolean {
    const { self, tables } = this.#options;
    const records = this.membership.living();
    const known = new Set(records.map(({ id }) => id));
    const isKnown = (member: Member): boolean => known.has(member.id) || this.membership.isGone(member);
    const named = livingMembers(tables.table).filter((member) => !isKnown(member));
    return [...records, ...named].some(({ id, leaving }) => !leaving && id !== self.id);
  }

  /**
   * Whether nobody else stays. A lease doesn't say that nobody has come since it was given, so the store is asked for the latest
   * table first: to be called again until it is true, or somebody is there.
   */
  isLast(): boolean {
    if (!this.membership.leaseHolds || this.hasOthers()) {
      this.#alone = undefined;
      return false;
    }
    if (this.#alone === undefined) {
      const alone = { isConfirmed: false };
      this.#alone = alone;
      const confirmed = (): void => {
        alone.isConfirmed = true;
      };
      this.#options.tables.confirm().then(confirmed, () => undefined);
    }
    return this.#alone.isConfirmed;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#isolation.stop();
    this.#restorer.stop();
    this.#exchange.stop();
    this.#contacts.stop();
    this.membership.stop();
  }

  /** Looks at what time alone changes: grants come in while there is no lease, and who is out of reach stays so. */
  #schedule(): void {
    const { runtime, config, peersChanged, regained } = this.#options;
    this.#timer = runtime.after(pingIntervalMs(config.heartbeatMs, config.leaseMs), () => {
      this.#schedule();
      if (!this.membership.leaseHolds) regained();
      if (this.#contacts.unreachable().length > 0) peersChanged();
    });
  }
}
