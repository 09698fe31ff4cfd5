/** What a node has seen of the members' records, and what follows from it for sure. */
import type { Change } from "../coordination/coordination.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerIdentity } from "../peers/messages.ts";
import type { Runtime } from "../runtime.ts";
import { decodeRecord, type LastTable, type MemberRecord, memberOfRecord } from "./member-record.ts";
import type { Member } from "./table.ts";

/** Past incarnations that are remembered of an id; of earlier ones it is found out again. */
const pastMax = 16;

export interface Sighting {
  readonly record: MemberRecord | undefined;
  readonly revision: number;
  /** When this revision was first seen here, on this node's monotonic clock. */
  readonly seenAtMs: number;
  /** Incarnations whose records were seen here and then seen to be followed by another, or by none. */
  readonly past: readonly string[];
  /** The incarnation whose mark of death was the last record, and has been collected since; else empty. */
  readonly markGone: string;
}

/** What a living member says about the others. */
export interface MemberReport extends PeerIdentity {
  /** Ids of the members that it can't reach. */
  readonly unreachable: readonly string[];
  readonly unknown: readonly string[];
  /** The last table that it knows, if the store has lost it. */
  readonly lastTable: LastTable | undefined;
  /** When its last renewal was seen here, on this node's monotonic clock. */
  readonly seenAtMs: number;
}

export interface SightingsOptions {
  readonly runtime: Runtime;
  readonly log: Log;
  /** Some record appeared, changed its content or went; not called for mere renewals. */
  changed(): void;
}

export class Sightings {
  readonly #options: SightingsOptions;
  readonly #byId = new Map<string, Sighting>();
  #hasLost = false;

  constructor(options: SightingsOptions) {
    this.#options = options;
  }

  get(id: string): Sighting | undefined {
    return this.#byId.get(id);
  }

  /** The members that aren't known to be dead or gone, in the order in which their ids were first seen. */
  living(): Member[] {
    return this.#livingRecords().map(({ record }) => memberOfRecord(record));
  }

  /** What the {@link living} say about one another. */
  reports(): MemberReport[] {
    return this.#livingRecords().map(({ record, seenAtMs }) => {
      const { id, incarnation, unreachable = [], unknown = [], lastTable } = record;
      return { id, incarnation, unreachable, unknown, lastTable, seenAtMs };
    });
  }

  /** Certain: the record was seen to be followed by another or by none, or it marks this incarnation dead. */
  isGone({ id, incarnation }: PeerIdentity): boolean {
    const sighting = this.#byId.get(id);
    if (sighting?.record?.incarnation === incarnation) return sighting.record.dead === true;
    return sighting?.past.includes(incarnation) === true;
  }

  /**
   * Certain: the incarnation serves nothing any more. Its record was followed by another's, for which its process had to
   * end or to give it up, or it removed the record itself. A mark of death, or that one's absence, doesn't say that much.
   */
  hasEnded({ id, incarnation }: PeerIdentity): boolean {
    const sighting = this.#byId.get(id);
    if (sighting === undefined || !sighting.past.includes(incarnation)) return false;
    return sighting.record?.incarnation !== incarnation && sighting.markGone !== incarnation;
  }

  /**
   * The record last seen isn't that of this incarnation. It may be of the time before: a watch may lag behind a table
   * that has a newer one. Declaring it dead finds out.
   */
  seemsGone({ id, incarnation }: PeerIdentity): boolean {
    const sighting = this.#byId.get(id);
    return sighting !== undefined && sighting.record?.incarnation !== incarnation;
  }

  /** Remembers that the incarnation's record is one of the past. */
  followed({ id, incarnation }: PeerIdentity): void {
    const sighting = this.#byId.get(id);
    if (sighting === undefined || sighting.record?.incarnation === incarnation) return;
    this.#byId.set(id, { ...sighting, past: [...sighting.past, incarnation].slice(-pastMax) });
    this.#options.changed();
  }

  /**
   * The store has lost its records. What was known of the members is still so, and each is given its time anew: a member
   * that lives writes its record again.
   */
  lost(): void {
    this.#hasLost = true;
    const seenAtMs = this.#options.runtime.monotonicMs();
    for (const [id, sighting] of this.#byId) this.#byId.set(id, { ...sighting, revision: 0, seenAtMs });
  }

  sight(change: Change): void {
    const known = this.#byId.get(change.key);
    if (known !== undefined && known.revision >= change.revision) return;
    let record: MemberRecord | undefined;
    try {
      record = change.value === undefined ? undefined : decodeRecord(change.value);
    } catch (error) {
      this.#options.log.error(
        { event: "member-unreadable", key: change.key, error: messageOf(error) },
        "ignored an unreadable member record",
      );
      return;
    }
    if (known !== undefined && record !== undefined && this.#isAnotherLife(known, record)) {
      this.#byId.set(change.key, { ...known, revision: change.revision });
      return;
    }
    const before = known?.record;
    const past = [...(known?.past ?? [])];
    if (before !== undefined && before.incarnation !== record?.incarnation) past.push(before.incarnation);
    let markGone = "";
    if (record === undefined) markGone = before?.dead === true ? before.incarnation : (known?.markGone ?? "");
    this.#byId.set(change.key, {
      record,
      revision: change.revision,
      seenAtMs: this.#options.runtime.monotonicMs(),
      past: past.slice(-pastMax),
      markGone,
    });
    const firstSeenGone = known === undefined && record === undefined;
    if (firstSeenGone || !saySame(before, record)) this.#options.changed();
  }

  /**
   * A member that was declared dead finds no trace of that in a store that has lost it, and writes its record again. It
   * stays dead: its partitions have gone to others. It learns that from the table.
   */
  #isAnotherLife(known: Sighting, { incarnation, dead }: MemberRecord): boolean {
    if (!this.#hasLost || dead === true) return false;
    const wasDead = known.record?.incarnation === incarnation && known.record.dead === true;
    return wasDead || known.past.includes(incarnation);
  }

  #livingRecords(): { record: MemberRecord; seenAtMs: number }[] {
    const living: { record: MemberRecord; seenAtMs: number }[] = [];
    for (const { record, seenAtMs } of this.#byId.values()) {
      if (record !== undefined && record.dead !== true) living.push({ record, seenAtMs });
    }
    return living;
  }
}

/** Whether nothing but the renewal differs. */
function saySame(a: MemberRecord | undefined, b: MemberRecord | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.incarnation === b.incarnation &&
    a.leaving === b.leaving &&
    a.dead === b.dead &&
    JSON.stringify(a.unreachable ?? []) === JSON.stringify(b.unreachable ?? [])
  );
}
