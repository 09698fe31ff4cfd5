/**
 * Planning: who should serve which partition, and who should hold copies of it. A pure function from one table to the
 * next, without clock or chance, so that two coordinators with the same view plan the same.
 *
 * A living owner is never replaced here: it is told by `incoming` and `wanted` what is to become of its partition, and
 * changes owner and backups itself (`reconfigure.ts`). Only a partition whose owner is dead gets another one directly:
 * one of its backups, which has everything that was acknowledged; or anyone, without data, if none of them is left.
 */
import { balance, nobody, type Seats } from "./balance.ts";
import { place } from "./placement.ts";
import type { Member, Row, Table } from "./table.ts";

export interface PlanOptions {
  /** Synchronous copies per partition beside the owner's. */
  readonly backups: number;
}

/** What becomes of a row: it stays with its owner, a backup takes over, it begins anew, or nothing can be done yet. */
type Fate = "stays" | "promoted" | "empty" | "orphan";

/** Who of the table and of those that should be in it lives. */
interface Cast {
  readonly living: readonly Member[];
  /** By id, the index in `living` of each member of the present table that is still the same process. */
  readonly survivors: ReadonlyMap<string, number>;
  /** By id, the dead of the present table, but for those whose id another incarnation has taken. */
  readonly dead: ReadonlyMap<string, Member>;
  /** Living and dead, as they are to be in the table. */
  readonly all: readonly Member[];
}

/**
 * The next table, or undefined if the present one needs no change. The writer is left empty for the caller to fill in.
 *
 * `members`: who should be in the table now, in the order in which they joined, and those of the table that have died.
 * A member is the same as the table's only if id and incarnation are. One of the table that is missing here, or whose id
 * another incarnation has taken, is gone. Who is dead in the table stays dead, who is gone there stays gone. The dead
 * remain members for as long as a row names them as owner or backup.
 *
 * Balanced: counted by the final owner (`incoming`, else owner), living members that don't leave differ by one row at
 * most, orphans apart, and no plan that is balanced changes the final owner of fewer rows that have a living owner, or
 * got one by promotion. Backups: see `placement.ts`.
 */
export function plan(table: Table, members: readonly Member[], options: PlanOptions): Table | undefined {
  const epoch = table.epoch + 1;
  const cast = castOf(table, members);
  const fates = table.rows.map((row) => fateOf(row, cast));
  const seats = seat(table, cast, fates);
  promote(table, fates, seats, cast);
  balance(seats);
  const wantedBefore = table.rows.map((row) => indexesOf(row.wanted, cast, true));
  const wanted = place({ ...seats, wanted: wantedBefore }, options.backups);

  const idOf = (i: number): string => (i === nobody ? "" : cast.living[i]!.id);
  const named = new Set<string>();
  let changed = false;
  const rows = table.rows.map((row, partition) => {
    const target = idOf(seats.target[partition]!);
    const owned = ownedRow(row, fates[partition]!, partition, seats, cast, epoch);
    const isSame = wanted[partition] === wantedBefore[partition];
    const next = aimedRow(owned, target, isSame ? row.wanted : wanted[partition]!.map(idOf));
    if (next !== row) changed = true;
    named.add(next.owner);
    for (const id of next.backups) named.add(id);
    return next;
  });
  const present = cast.all.filter((member) => member.dead === "" || named.has(member.id));
  if (!changed && sameMembers(table.members, present)) return undefined;
  return { epoch, members: present, rows, writer: "" };
}

function castOf(table: Table, members: readonly Member[]): Cast {
  const known = new Map(table.members.map((member) => [member.id, member]));
  const living: Member[] = [];
  const survivors = new Map<string, number>();
  const dead = new Map<string, Member>();
  for (const member of members) {
    const was = known.get(member.id);
    const isSame = was?.incarnation === member.incarnation;
    if (isSame && (member.dead !== "" || was.dead !== "")) {
      const isGone = member.dead === "gone" || was.dead === "gone";
      dead.set(member.id, { ...was, dead: isGone ? "gone" : "silent" });
    } else if (member.dead === "") {
      if (isSame) survivors.set(member.id, living.length);
      living.push(member);
    }
  }
  const taken = new Set(living.map((member) => member.id));
  const all: Member[] = [];
  for (const member of members) {
    const buried = dead.get(member.id);
    if (taken.has(member.id)) {
      if (living.includes(member)) all.push(member);
    } else if (buried?.incarnation === member.incarnation) all.push(buried);
  }
  for (const id of taken) dead.delete(id);
  for (const member of table.members) {
    if (taken.has(member.id) || dead.has(member.id)) continue;
    const gone: Member = { ...member, dead: "gone" };
    dead.set(member.id, gone);
    all.push(gone);
  }
  return { living, survivors, dead, all };
}

function fateOf(row: Row, { survivors, dead }: Cast): Fate {
  if (survivors.has(row.owner)) return "stays";
  if (row.owner === "") return "empty";
  if (row.backups.some((id) => survivors.has(id))) return "promoted";
  // An owner that was only silent may live and serve on by the grants of its backups for as long as all of those live
  // too: only the proof that one of them doesn't ends that.
  const isSilent = (id: string): boolean => dead.get(id)?.dead === "silent";
  return isSilent(row.owner) && row.backups.length > 0 && row.backups.every(isSilent) ? "orphan" : "empty";
}

/** Who serves each row now, and which targets may stay as they are. */
function seat(table: Table, cast: Cast, fates: readonly Fate[]): Seats {
  const { living, survivors } = cast;
  const size = table.rows.length;
  const owner = new Int32Array(size).fill(nobody);
  const target = new Int32Array(size).fill(nobody);
  const stays = (i: number): boolean => i !== nobody && !living[i]!.leaving;
  const backups = table.rows.map((row, partition) => {
    if (fates[partition] === "stays") {
      const present = survivors.get(row.owner)!;
      const incoming = survivors.get(row.incoming) ?? nobody;
      owner[partition] = present;
      target[partition] = stays(incoming) ? incoming : stays(present) ? present : nobody;
    }
    return indexesOf(row.backups, cast, false);
  });
  const apart = Uint8Array.from(fates, (fate) => (fate === "orphan" ? 1 : 0));
  return { members: living, owner, target, backups, apart };
}

/** A backup follows each dead owner: the one that was to own the row anyway, else of those that stay whoever has least. */
function promote(table: Table, fates: readonly Fate[], seats: Seats, { survivors }: Cast): void {
  const { members, owner, target, backups } = seats;
  const load = new Int32Array(members.length);
  for (const i of target) if (i !== nobody) load[i]!++;
  fates.forEach((fate, partition) => {
    if (fate !== "promoted") return;
    const copies = backups[partition]!;
    const incoming = survivors.get(table.rows[partition]!.incoming);
    const staying = copies.filter((i) => !members[i]!.leaving);
    const among = staying.length > 0 ? staying : copies;
    const least = among.reduce((best, i) => (load[i]! < load[best]! ? i : best));
    const heir = incoming !== undefined && staying.includes(incoming) ? incoming : least;
    owner[partition] = heir;
    target[partition] = members[heir]!.leaving ? nobody : heir;
    backups[partition] = copies.filter((i) => i !== heir);
    load[heir]!++;
  });
}

/** The survivors among `ids`; `nobody` in the place of each of the others, or nothing. */
function indexesOf(ids: readonly string[], { survivors }: Cast, marksOthers: boolean): number[] {
  const indexes: number[] = [];
  for (const id of ids) {
    const i = survivors.get(id) ?? nobody;
    if (i !== nobody || marksOthers) indexes.push(i);
  }
  return indexes;
}

/** The row with an owner that lives, if there may be one; `row` itself if it keeps owner and backups. */
function ownedRow(
  row: Row,
  fate: Fate,
  partition: number,
  seats: Seats,
  { living, survivors, dead }: Cast,
  epoch: number,
): Row {
  const idOf = (i: number): string => (i === nobody ? "" : living[i]!.id);
  const ownerIsSilent = dead.get(row.owner)?.dead === "silent";
  switch (fate) {
    case "orphan":
      return row;
    case "stays": {
      // Dead backups are the owner's to drop. But an id that is another's now names nobody who has a copy.
      const isStill = (id: string): boolean => survivors.has(id) || dead.has(id);
      if (row.backups.every(isStill)) return row;
      const backups = row.backups.filter(isStill);
      // The owner, which had no part in this, may go on relying on its last backup's grant: who follows it has to wait.
      return { ...row, backups, term: epoch, wait: row.wait || backups.length === 0 };
    }
    case "promoted": {
      const owner = idOf(seats.owner[partition]!);
      const backups = seats.backups[partition]!.map(idOf);
      // Whoever owned the row before the one that died now may still serve too, if the wait for that wasn't over.
      const wait = ownerIsSilent || row.wait;
      return { ...row, owner, backups, term: epoch, since: epoch, came: "promotion", wait };
    }
    case "empty": {
      const owner = idOf(seats.target[partition]!);
      if (owner === row.owner && row.owner === "") return row;
      // With a backup, a silent owner may still be kept serving by grants. Without one it isn't: it drops them itself.
      const wait = row.wait || (ownerIsSilent && row.backups.length > 0);
      return { ...row, owner, backups: [], term: epoch, since: epoch, came: "empty", wait };
    }
  }
}

/** The row with what is to become of it; `row` itself if that is in it already. */
function aimedRow(row: Row, target: string, wanted: readonly string[]): Row {
  const incoming = target === row.owner ? "" : target;
  const isSame =
    wanted === row.wanted ||
    (wanted.length === row.wanted.length && wanted.every((id, i) => id === row.wanted[i]));
  return isSame && incoming === row.incoming ? row : { ...row, incoming, wanted };
}

function sameMembers(a: readonly Member[], b: readonly Member[]): boolean {
  return (
    a.length === b.length &&
    a.every((x, i) => {
      const y = b[i]!;
      return (
        x.id === y.id &&
        x.incarnation === y.incarnation &&
        x.host === y.host &&
        x.port === y.port &&
        x.http === y.http &&
        x.redis === y.redis &&
        x.zone === y.zone &&
        x.leaving === y.leaving &&
        x.dead === y.dead
      );
    })
  );
}
