/**
 * Who is alive. Every node keeps a record in the members bucket and renews it by compare-and-set every heartbeat;
 * the answer to a renewal is the node's lease, counted from before the request was sent. Whoever wants to declare
 * a node dead waits its lease out on the own monotonic clock, or has proof that its process is gone, and then
 * overwrites the record on exactly the revision it last saw. If that succeeds, the node has not renewed since and
 * never can again, whatever the watches showed: it finds its record taken and starts over as a new incarnation.
 */
import type { Bucket, Watch } from "../coordination/coordination.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerAddress, PeerIdentity } from "../peers/messages.ts";
import { planted } from "../planted.ts";
import { type Runtime, sleep, type Timer } from "../runtime.ts";
import { deathOf, decodeRecord, encodeRecord, type LastTable, type MemberRecord } from "./member-record.ts";
import { claimId } from "./registration.ts";
import { type MemberReport, Sightings } from "./sightings.ts";
import type { Member } from "./table.ts";

/** How much faster one node's clock may run than another's. */
export const clockDriftMax = 0.02;

const incarnationSizeBytes = 8;
/** Compare-and-sets in a row, each on a newer revision than the last. */
const renewalAttempts = 5;
/** Until the store is read again after a read that was older than what is known. */
const staleReadDelayMs = 10;
/** Leases without a renewal after which a record that can't be found is taken for gone. */
const purgedAfterLeases = 10;

/** Names one life of a node. Random: a node that starts again knows nothing of the last time. */
export function newIncarnation(runtime: Runtime): string {
  return runtime.randomBytes(incarnationSizeBytes).toString("hex");
}

export interface MembershipOptions {
  readonly bucket: Bucket;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly heartbeatMs: number;
  readonly leaseMs: number;
  readonly self: Member;
  /** Whom this node can't reach; the record tells the others at each renewal. Nobody if absent. */
  reach?(): Pick<MemberRecord, "unreachable" | "unknown">;
  /** The last table that this node knows, while the store has lost it. */
  lastTable?(): LastTable | undefined;
  /**
   * Asked when the store has lost the records and this node's lease has lapsed, so that it can't tell from its record
   * whether it was declared dead: whether the table says that it lives. Rejects if the ring is closed.
   */
  isStillMember?(): Promise<boolean>;
  /** Asks the address of a record that is in this node's way whether that incarnation lives. */
  probe(peer: PeerAddress): Promise<"alive" | "refused" | "replaced" | "silent">;
  /** Some record appeared, changed its content or went; not called for mere renewals. */
  changed(): void;
  /** The lease was renewed after it had lapsed, or for the first time. */
  leaseRegained(): void;
  /** This incarnation was declared dead: nothing may be served under it any more. */
  fenced(): void;
  /** After each heartbeat, answered or not. */
  beat(): void;
}

export class Membership {
  readonly #options: MembershipOptions;
  readonly #sightings: Sightings;
  #self: Member;
  #revision = 0;
  #beats = 0;
  #leaseUntilMs = Number.NEGATIVE_INFINITY;
  /** Since when every renewal came in time; what was seen before a gap says nothing about who is alive. */
  #steadySinceMs = Number.POSITIVE_INFINITY;
  #timer: Timer | undefined;
  #watch: Watch | undefined;
  #renewing: Promise<void> | undefined;
  #stopped = false;
  /** The store has this incarnation's record, as far as this node knows. */
  #registered = false;
  /** The last incarnation that was fenced: an answer to a renewal that comes later gives it no lease. */
  #fenced = "";
  /** The records were lost, and it isn't certain yet that this incarnation was not declared dead before. */
  #doubt: "none" | "unresolved" | "asking" = "none";
  #removal: Promise<void> = Promise.resolve();

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#self = options.self;
    this.#sightings = new Sightings(options);
  }

  get self(): Member {
    return this.#self;
  }

  /** Whether this node may trust that nobody has declared it dead. Ask in the very turn that relies on it. */
  get leaseHolds(): boolean {
    return this.#options.runtime.monotonicMs() < this.#leaseUntilMs;
  }

  /** Milliseconds since the lease was last renewed; infinite before the first time. */
  get leaseAgeMs(): number {
    return this.#options.runtime.monotonicMs() - (this.#leaseUntilMs - this.#options.leaseMs);
  }

  /** Registers this node. Throws NODE_ID_IN_USE if a live node has the id. */
  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#watch = this.#options.bucket.watch({
        change: (change) => this.#sightings.sight(change),
        current: resolve,
        lost: () => this.#lost(),
        ended: (error) => {
          this.#options.log.error(
            { event: "members-watch-ended", error: error.message },
            "the watch on the members ended",
          );
          reject(error);
        },
      });
    });
    await this.#register();
  }

  /** Starts over under a new incarnation after having been declared dead or having given itself up. */
  async rejoin(incarnation: string): Promise<void> {
    await this.#removal;
    this.#self = { ...this.#self, incarnation };
    this.#revision = 0;
    this.#doubt = "none";
    await this.#register();
  }

  /** Tells the others that this node wants to hand over what it owns. */
  async announceLeaving(): Promise<void> {
    this.#self = { ...this.#self, leaving: true };
    await this.renew();
  }

  /** Removes the record: this incarnation is gone for good. Best effort; without an answer its lease runs out. */
  async leave(): Promise<void> {
    this.stop();
    await this.#renewing;
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
    await this.#removeRecord();
  }

  /**
   * Gives this incarnation up, as one that the other members can't reach: no lease from this turn on, then `fenced`,
   * which must end all serving before it returns, then the record goes, which tells the others that this incarnation
   * serves nothing. Resolves when the store has answered or given up; {@link rejoin} waits for that.
   */
  async isolate(): Promise<void> {
    if (this.#stopped || !this.#registered) return;
    const renewing = this.#renewing;
    this.#removal = (async () => {
      await renewing;
      await this.#removeRecord();
    })();
    this.#fence();
    await this.#removal;
  }

  /** Best effort: without an answer the lease runs out. */
  async #removeRecord(): Promise<void> {
    try {
      for (let attempt = 0; attempt < renewalAttempts; attempt++) {
        const { bucket } = this.#options;
        if (this.#revision > 0 && (await bucket.remove(this.#self.id, this.#revision)).written) return;
        // The answer to the last renewal may have been lost.
        if ((await this.#whoseRecord()) !== "ours") return;
      }
    } catch (error) {
      this.#options.log.warn(
        { event: "leave-unanswered", error: messageOf(error) },
        "no answer to removing the member record",
      );
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#watch?.stop();
  }

  /** The members that aren't known to be dead or gone, in the order in which their ids were first seen. */
  living(): Member[] {
    return this.#sightings.living();
  }

  /** What the {@link living} say about one another. */
  reports(): MemberReport[] {
    return this.#sightings.reports();
  }

  /** Certain: the record was seen to be followed by another or by none, or it marks this incarnation dead. */
  isGone(member: PeerIdentity): boolean {
    return this.#sightings.isGone(member);
  }

  /** Certain: the incarnation serves nothing any more. Of one that was declared dead that is known only once it is back. */
  hasEnded(member: PeerIdentity): boolean {
    return this.#sightings.hasEnded(member);
  }

  /** The record last seen isn't that of this incarnation, but may be of the time before; {@link declareDead} finds out. */
  seemsGone(member: PeerIdentity): boolean {
    return this.#sightings.seemsGone(member);
  }

  /** A renewal is overdue: whatever holds it up may hold up the others' too, though the lease has not lapsed. */
  get #isLate(): boolean {
    return this.leaseAgeMs > this.#options.heartbeatMs + this.#options.leaseMs / 4;
  }

  /** True if `member` has been silent for longer than its lease, and this node is in a position to know. */
  leaseRanOut(member: PeerIdentity): boolean {
    const nowMs = this.#options.runtime.monotonicMs();
    const sighting = this.#sightings.get(member.id);
    const waitMs = this.#waitMs(sighting?.record);
    if (!this.leaseHolds || this.#isLate || nowMs - this.#steadySinceMs < waitMs) return false;
    return sighting === undefined || nowMs - Math.max(sighting.seenAtMs, this.#steadySinceMs) >= waitMs;
  }

  /**
   * Marks the incarnation dead on the revision last seen. True: it is dead and can never renew again. Call it only
   * after its lease ran out, with proof that its process is gone, or if it seems to be gone.
   */
  async declareDead(member: Member): Promise<boolean> {
    const { bucket, log } = this.#options;
    if (this.isGone(member)) return true;
    const sighting = this.#sightings.get(member.id);
    // Another's record is written again as it is, which does it no harm: if that succeeds, it is the latest.
    const other = sighting?.record?.incarnation === member.incarnation ? undefined : sighting?.record;
    const value = encodeRecord(other ?? deathOf(member));
    try {
      const result =
        sighting === undefined || sighting.revision === 0
          ? await bucket.create(member.id, value)
          : await bucket.update(member.id, value, sighting.revision);
      if (!result.written) return false;
      this.#sightings.sight({ key: member.id, value, revision: result.revision });
      if (!this.isGone(member)) this.#sightings.followed(member);
      return this.isGone(member);
    } catch (error) {
      log.warn(
        { event: "declare-dead-unanswered", member: member.id, error: messageOf(error) },
        "no answer to declaring a node dead",
      );
      return false;
    }
  }

  async #register(): Promise<void> {
    const isMine = await claimId(this.#self, {
      ...this.#options,
      write: (revision) => this.#write(revision),
      waitMs: (record) => this.#waitMs(record),
      isStopped: () => this.#stopped,
    });
    if (!isMine) return this.#fence();
    this.#registered = true;
    this.#scheduleBeat();
  }

  /** How long a member must be silent before its lease has certainly run out on its own clock. */
  #waitMs(record: MemberRecord | undefined): number {
    return Math.max(this.#options.leaseMs, record?.leaseMs ?? 0) * (1 + clockDriftMax);
  }

  /** One compare-and-set of the own record. True: stored, and the lease extends from before it was sent. */
  async #write(revision: number): Promise<boolean> {
    const { bucket, runtime, leaseMs } = this.#options;
    const sentAtMs = runtime.monotonicMs();
    const self = this.#self;
    const lastTable = this.#options.lastTable?.();
    const value = encodeRecord({
      ...self,
      dead: false,
      leaseMs,
      ...this.#options.reach?.(),
      ...(lastTable !== undefined && { lastTable }),
      beat: ++this.#beats,
    });
    const { id } = self;
    const result = await (revision === 0 ? bucket.create(id, value) : bucket.update(id, value, revision));
    if (!result.written) return false;
    this.#revision = result.revision;
    if (self.incarnation === this.#fenced) return true;
    const lapsed = !this.leaseHolds;
    if (this.#doubt !== "none" && lapsed) {
      void this.#resolveDoubt();
      return true;
    }
    // Until now nobody could declare this node dead, and from now on only by its new record.
    this.#doubt = "none";
    const late = this.#isLate;
    const fromMs = planted.leaseFromAnswer ? runtime.monotonicMs() : sentAtMs;
    this.#leaseUntilMs = Math.max(this.#leaseUntilMs, fromMs + leaseMs);
    if (!this.leaseHolds) return true;
    if (late) this.#steadySinceMs = runtime.monotonicMs();
    if (lapsed) this.#options.leaseRegained();
    return true;
  }

  /** Every member writes its record again, and has a full lease for it. */
  #lost(): void {
    this.#revision = 0;
    this.#sightings.lost();
    if (Number.isFinite(this.#steadySinceMs)) this.#steadySinceMs = this.#options.runtime.monotonicMs();
    if (this.#registered && this.#doubt === "none") this.#doubt = "unresolved";
    void this.renew();
  }

  async #resolveDoubt(): Promise<void> {
    if (this.#doubt === "asking") return;
    this.#doubt = "asking";
    const { incarnation } = this.#self;
    let isMember: boolean;
    try {
      isMember = (await this.#options.isStillMember?.()) ?? true;
    } catch {
      return;
    }
    if (this.#stopped || !this.#registered || incarnation !== this.#self.incarnation) return;
    this.#doubt = "none";
    if (isMember) await this.renew();
    else this.#fence();
  }

  #scheduleBeat(): void {
    if (this.#stopped) return;
    this.#timer?.cancel();
    this.#timer = this.#options.runtime.after(this.#options.heartbeatMs, () => {
      this.#scheduleBeat();
      // While the store doesn't answer, beats that wait for one another would pile up.
      if (this.#renewing === undefined) void this.renew();
    });
  }

  /** Renews the record; waits for a renewal that is under way first, so that at most one is. */
  async renew(): Promise<void> {
    if (this.#stopped) return;
    const wanted = this.#self;
    while (this.#renewing !== undefined) await this.#renewing;
    if (this.#stopped || !this.#registered || wanted.incarnation !== this.#self.incarnation) return;
    this.#renewing = this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
    this.#options.beat();
  }

  async #renew(): Promise<void> {
    const { log, runtime } = this.#options;
    try {
      for (let attempt = 0; attempt < renewalAttempts && !this.#stopped; attempt++) {
        if ((await this.#write(this.#revision)) || !this.#registered) return;
        // Another revision is there: an earlier write of ours whose answer was lost, or somebody else's verdict.
        const whose = await this.#whoseRecord();
        if (!this.#registered) return;
        if (whose === "others") {
          this.#fence();
          return;
        }
        if (whose === "unknown") await sleep(runtime, staleReadDelayMs);
      }
    } catch (error) {
      log.warn({ event: "heartbeat-unanswered", error: messageOf(error) }, "no answer to a heartbeat");
    }
  }

  /** Judges by what is newer than the own latest write: a read may be stale, and show the time before this start. */
  async #whoseRecord(): Promise<"ours" | "others" | "unknown"> {
    if (planted.timeoutIsFailure) return "others";
    const { bucket, leaseMs } = this.#options;
    const entry = await bucket.get(this.#self.id);
    const seen = this.#sightings.get(this.#self.id);
    const readIsNewer = entry !== undefined && entry.revision > (seen?.revision ?? 0);
    const revision = readIsNewer ? entry.revision : (seen?.revision ?? 0);
    if (revision <= this.#revision) {
      // A record that was purged leaves no trace to be seen.
      return entry === undefined && this.#revision > 0 && this.leaseAgeMs > purgedAfterLeases * leaseMs
        ? "others"
        : "unknown";
    }
    const record = readIsNewer ? decodeRecord(entry.value) : seen?.record;
    if (record?.incarnation !== this.#self.incarnation || record.dead === true) return "others";
    this.#revision = revision;
    return "ours";
  }

  #fence(): void {
    this.#registered = false;
    this.#fenced = this.#self.incarnation;
    this.#timer?.cancel();
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
    this.#steadySinceMs = Number.POSITIVE_INFINITY;
    if (!this.#stopped) this.#options.fenced();
  }
}
