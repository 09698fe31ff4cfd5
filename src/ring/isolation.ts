/**
 * What to do when members can't reach one another though all of them reach the store: each publishes whom it can't
 * reach, the set that is connected and has the most copies stays ({@link mainComponent}), and a node outside it gives itself up, unless it has a
 * copy that none of those has. Until it does, every write that it is a backup of waits; so it must go soon, and before it
 * takes the others for the ones to drop.
 */
import type { Log } from "../log.ts";
import type { PeerIdentity } from "../peers/messages.ts";
import type { Runtime, Timer } from "../runtime.ts";
import { mainComponent, type Reachability } from "./components.ts";
import { type Contacts, pingIntervalMs } from "./contacts.ts";
import type { Reach } from "./member-record.ts";
import type { Membership } from "./membership.ts";
import { holds, isHeldBy, memberOf, type Table } from "./table.ts";

/** Times in a row that a node must find itself outside. */
const evaluationsMin = 3;
/** For how long it must. */
const outsideHeartbeats = 2;
/**
 * A report older than this says nothing about now, its member least of all: it may be dead, and is no reason to go.
 * Shorter than the time outside, so that each report that keeps a node outside has been confirmed meanwhile.
 */
const freshHeartbeats = 1.5;
/** The longest wait before coming back; it doubles each time that a node has to go soon after it came. */
const rejoinMsMax = 60_000;

export interface IsolationOptions {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly heartbeatMs: number;
  readonly leaseMs: number;
  readonly tables: { readonly table: Table };
  readonly membership: Pick<Membership, "self" | "leaseHolds" | "reports">;
  readonly contacts: Pick<Contacts, "unreachable" | "unknown" | "isUnreachableFor">;
  /** This node is cut off from those that stay: it has to give itself up. Called once per incarnation. */
  isolated(): void;
}

export class Isolation {
  readonly #options: IsolationOptions;
  readonly #intervalMs: number;
  /** This node's running time in evaluations. */
  #tick = 0;
  /** Since when it has been outside, by the fresh reports and by all; infinite if it isn't. */
  #outsideSinceTick = Number.POSITIVE_INFINITY;
  /** Since when it has been inside, by all reports, as one that is late may be about to be renewed. */
  #insideSinceTick = Number.POSITIVE_INFINITY;
  /** The main component by all reports. */
  #main: ReadonlySet<string> = new Set();
  #incarnation = "";
  #sinceTick = 0;
  #isolated = false;
  #rejoinTick = 0;
  #rejoinMs: number;
  #timer: Timer | undefined;

  constructor(options: IsolationOptions) {
    this.#options = options;
    this.#intervalMs = pingIntervalMs(options.heartbeatMs, options.leaseMs);
    this.#rejoinMs = options.leaseMs;
    this.#schedule();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /**
   * Whether a node that was fenced may come back: it reaches those that are there, or nobody is. One that the others
   * don't reach would only be in their way again, or they in its, who hold what it has lost; so the wait grows if that happens
   * soon after it came.
   */
  mayRejoin(): boolean {
    if (this.#tick < this.#rejoinTick) return false;
    return this.#component("outside", true).has(this.#options.membership.self.id);
  }

  /**
   * Whether this node is to drop the peer as a backup, as it hasn't been able to reach it for long, and is one of those
   * that stay. A peer outside is given the time to go by itself. One inside, which only this node can't reach, stays
   * a member; waiting for that one longer would help nobody.
   */
  shouldDrop(peer: PeerIdentity): boolean {
    const { contacts, heartbeatMs, leaseMs, membership } = this.#options;
    const settleMs = outsideHeartbeats * heartbeatMs;
    if (!membership.leaseHolds || this.#sinceMs(this.#insideSinceTick) < settleMs) return false;
    const staysMember = this.#main.has(peer.id);
    return contacts.isUnreachableFor(peer, settleMs + (staysMember ? this.#intervalMs : leaseMs));
  }

  #schedule(): void {
    this.#timer = this.#options.runtime.after(this.#intervalMs, () => {
      this.#schedule();
      this.#tick++;
      this.#evaluate();
    });
  }

  #sinceMs(tick: number): number {
    return (this.#tick - tick) * this.#intervalMs;
  }

  #evaluate(): void {
    const { heartbeatMs, membership, tables } = this.#options;
    const { id, incarnation } = membership.self;
    if (incarnation !== this.#incarnation) {
      this.#incarnation = incarnation;
      this.#sinceTick = this.#tick;
      this.#isolated = false;
    }
    const own = memberOf(tables.table, id);
    // Without a lease there is no telling what the others say now.
    if (!membership.leaseHolds || own?.incarnation !== incarnation || own.dead !== "") {
      this.#outsideSinceTick = Number.POSITIVE_INFINITY;
      this.#insideSinceTick = Number.POSITIVE_INFINITY;
      return;
    }
    this.#main = this.#component("inside");
    const inside = this.#main.has(id);
    this.#insideSinceTick = inside ? Math.min(this.#insideSinceTick, this.#tick) : Number.POSITIVE_INFINITY;
    const main = this.#component("outside");
    // By all reports too: if one that is late here is not late elsewhere, both sides could find themselves outside.
    if (inside || main.has(id)) {
      this.#outsideSinceTick = Number.POSITIVE_INFINITY;
      return;
    }
    this.#outsideSinceTick = Math.min(this.#outsideSinceTick, this.#tick);
    const evaluations = this.#tick - this.#outsideSinceTick + 1;
    const outsideMs = this.#sinceMs(this.#outsideSinceTick);
    if (this.#isolated || evaluations < evaluationsMin || outsideMs < outsideHeartbeats * heartbeatMs) return;
    // It has a copy that none of those has.
    if (tables.table.rows.some((row) => holds(row, id) && !isHeldBy(row, main))) return;
    this.#isolate(main);
  }

  #isolate(main: ReadonlySet<string>): void {
    const { isolated, leaseMs, log } = this.#options;
    this.#isolated = true;
    const soon = this.#sinceMs(this.#sinceTick) < rejoinMsMax;
    this.#rejoinMs = soon ? Math.min(2 * this.#rejoinMs, rejoinMsMax) : leaseMs;
    this.#rejoinTick = this.#tick + Math.ceil(this.#rejoinMs / this.#intervalMs);
    const members = [...main];
    log.error(
      { event: "isolated", members },
      `cut off from ${members.join(", ")}, which go on without this node`,
    );
    isolated();
  }

  /**
   * Of the members that live, in the table's order, and this node; last if it is to join. `sure`: as far as it is sure
   * that one is outside, by fresh reports of links that are cut; else as far as it is sure that one is inside, by links that
   * have been seen.
   */
  #component(sure: "outside" | "inside", isNewcomer = false): ReadonlySet<string> {
    const onlyFresh = sure === "outside";
    const cut = ({ unreachable, unknown }: Reach): readonly string[] =>
      sure === "outside" ? unreachable : [...unreachable, ...unknown];
    const { contacts, heartbeatMs, membership, runtime, tables } = this.#options;
    const { id } = membership.self;
    const freshSinceMs = runtime.monotonicMs() - freshHeartbeats * heartbeatMs;
    const reports = new Map(membership.reports().map((report) => [report.incarnation, report]));
    const graph: Reachability[] = [];
    const own = { unreachable: contacts.unreachable(), unknown: contacts.unknown() };
    const self: Reachability = { id, unreachable: cut(own), leaving: membership.self.leaving, isNewcomer };
    for (const member of tables.table.members) {
      const report = reports.get(member.incarnation);
      if (member.id === id) {
        if (!isNewcomer) graph.push(self);
      } else if (report !== undefined && member.dead === "" && !(onlyFresh && report.seenAtMs < freshSinceMs))
        graph.push({ id: member.id, unreachable: cut(report), leaving: member.leaving });
    }
    if (!graph.includes(self)) graph.push(self);
    return mainComponent(graph, tables.table.rows);
  }
}
