/**
 * Planning: who should serve which partition. Pure functions from one table to the next, without clock or chance, so
 * that two coordinators with the same view plan the same.
 *
 * A live owner is never replaced here. It is told by `incoming` to hand its partition over, and the switch is committed
 * ({@link commitMove}) once the new owner has the data. Only a partition that nobody serves gets an owner directly.
 */
import type { Member, Row, Table } from "./table.ts";

export interface PlanOptions {
  /** Synchronous copies per partition beside the owner's. */
  readonly backups: number;
}

/** A move is named by the partition and the epoch that planned it. */
export interface Move {
  readonly partition: number;
  readonly move: number;
}

/** What stands in for a member where there is none. */
const nobody = -1;

/** The members as the planner sees them: by index, with the rows they are to hold in the end. */
interface Seats {
  readonly members: readonly Member[];
  /** Index of a member of the *present* table that is still the same process; absent if it is gone. */
  readonly survivor: ReadonlyMap<string, number>;
  readonly owner: Int32Array;
  /** Whether the row has lost the owner it had, or never had one. */
  readonly ownerless: Uint8Array;
  /** The row's `incoming`, if it may stay; else `nobody`. */
  readonly incoming: Int32Array;
  /** Where the row is to end up; `nobody` while undecided. */
  readonly target: Int32Array;
}

/**
 * The next table, or undefined if the present one needs no change. The writer is left empty for the caller to fill in.
 *
 * `members`: who should be in the table now, in the order in which they joined. A member is the same as the table's only
 * if id and incarnation are. Those with `leaving` keep what they own until it has been handed over and get nothing new.
 *
 * Balanced: counted by target (`incoming`, else owner), non-leaving members differ by one row at most. No plan that is
 * balanced changes the target of fewer rows that have a live owner.
 */
export function plan(table: Table, members: readonly Member[], options: PlanOptions): Table | undefined {
  const epoch = table.epoch + 1;
  const seats = seat(table, members);
  balance(seats);
  let changed = !sameMembers(table.members, members);
  const rows = table.rows.map((row, partition) => {
    const next = nextRow(row, partition, seats, epoch, options.backups);
    if (next !== row) changed = true;
    return next;
  });
  return changed ? { epoch, members, rows, writer: "" } : undefined;
}

/**
 * The table after the named moves were carried out, or undefined if none of them is still planned. The new owner stops
 * being a backup; the other backups stay. The writer is left empty for the caller to fill in.
 */
export function commitMove(table: Table, moves: readonly Move[]): Table | undefined {
  const epoch = table.epoch + 1;
  const rows = table.rows.slice();
  let changed = false;
  for (const { partition, move } of moves) {
    const row = rows[partition];
    if (row === undefined || row.incoming === "" || row.move !== move) continue;
    const owner = row.incoming;
    rows[partition] = {
      owner,
      backups: row.backups.filter((id) => id !== owner),
      term: epoch,
      incoming: "",
      move: 0,
      source: move,
    };
    changed = true;
  }
  return changed ? { epoch, members: table.members, rows, writer: "" } : undefined;
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
        x.zone === y.zone &&
        x.leaving === y.leaving
      );
    })
  );
}

/** Who is still there, who takes over from the dead, and which targets may stay as they are. */
function seat(table: Table, members: readonly Member[]): Seats {
  const incarnations = new Map(table.members.map((member) => [member.id, member.incarnation]));
  const survivor = new Map<string, number>();
  members.forEach((member, i) => {
    if (incarnations.get(member.id) === member.incarnation) survivor.set(member.id, i);
  });
  const size = table.rows.length;
  const seats: Seats = {
    members,
    survivor,
    owner: new Int32Array(size).fill(nobody),
    ownerless: new Uint8Array(size),
    incoming: new Int32Array(size).fill(nobody),
    target: new Int32Array(size).fill(nobody),
  };
  const stays = (i: number): boolean => i !== nobody && !members[i]!.leaving;
  table.rows.forEach((row, partition) => {
    let owner = survivor.get(row.owner) ?? nobody;
    if (owner === nobody) {
      seats.ownerless[partition] = 1;
      // A backup has everything that was acknowledged: the first that survived serves on.
      const backup = row.backups.find((id) => survivor.has(id));
      if (backup !== undefined) owner = survivor.get(backup)!;
    }
    seats.owner[partition] = owner;
    // What nobody serves has no data to move: it may go to anyone, so it has no target yet.
    if (owner === nobody) return;
    const incoming = survivor.get(row.incoming) ?? nobody;
    if (stays(incoming)) seats.incoming[partition] = incoming;
    seats.target[partition] = stays(incoming) ? incoming : stays(owner) ? owner : nobody;
  });
  return seats;
}

/** Gives every row a target so that the members that stay differ by one at most, changing as few as possible. */
function balance(seats: Seats): void {
  const { owner, target } = seats;
  // Positive: rows that the member is to give up; negative: rows that it lacks.
  const surplus = surplusOf(seats);
  if (surplus === undefined) return;
  const size = target.length;
  const underWay = (partition: number): boolean => target[partition] !== owner[partition];

  // A row whose data hasn't left its owner yet is given up first, best of all back to an owner that lacks rows: that
  // saves a transfer.
  for (let partition = 0; partition < size; partition++) {
    const from = target[partition]!;
    const back = owner[partition]!;
    if (from === nobody || !underWay(partition) || surplus[from]! <= 0) continue;
    if (surplus[back]! >= 0 || seats.members[back]!.leaving) continue;
    target[partition] = back;
    surplus[from]!--;
    surplus[back]!++;
  }
  for (const givesUnderWay of [true, false]) {
    // From the end, so that what a member keeps tends to stay one range of slots.
    for (let partition = size - 1; partition >= 0; partition--) {
      const from = target[partition]!;
      if (from === nobody || surplus[from]! <= 0 || underWay(partition) !== givesUnderWay) continue;
      target[partition] = nobody;
      surplus[from]!--;
    }
  }
  // Now as many rows are without a target as members lack.
  let to = 0;
  for (let partition = 0; partition < size; partition++) {
    if (target[partition] !== nobody) continue;
    while (surplus[to]! >= 0) to++;
    target[partition] = to;
    surplus[to]!++;
  }
}

/**
 * Per member, the rows it is the target of minus the rows it is to have; undefined if no member stays. With P rows and
 * N members, P mod N members get one row more than the rest. It goes to those that have it already, because every other
 * choice moves one row more.
 */
function surplusOf(seats: Seats): Int32Array | undefined {
  const { members, owner, target } = seats;
  const staying = members.map((_, i) => i).filter((i) => !members[i]!.leaving);
  if (staying.length === 0) return undefined;
  const count = new Int32Array(members.length);
  const owned = new Int32Array(members.length);
  target.forEach((i, partition) => {
    if (i === nobody) return;
    count[i]!++;
    if (owner[partition] === i) owned[i]!++;
  });
  const floor = Math.floor(target.length / staying.length);
  const rank = (i: number): number => {
    if (count[i]! <= floor) return 0;
    // One that can give up a row whose data it hasn't got yet gives it up more cheaply.
    return owned[i]! > floor ? 2 : 1;
  };
  // `sort` is stable: among equals, the order of joining.
  const byRank = [...staying].sort((a, b) => rank(b) - rank(a));
  const larger = target.length % staying.length;
  const surplus = new Int32Array(members.length);
  byRank.forEach((i, position) => {
    surplus[i] = count[i]! - floor - (position < larger ? 1 : 0);
  });
  return surplus;
}

/** The row with its owner, backups and target brought up to date; `row` itself if nothing of it changes. */
function nextRow(row: Row, partition: number, seats: Seats, epoch: number, backupsMax: number): Row {
  const { members, survivor, owner, target } = seats;
  const idOf = (i: number): string => (i === nobody ? "" : members[i]!.id);
  const serves = owner[partition] !== nobody;
  const ownerId = serves ? idOf(owner[partition]!) : idOf(target[partition]!);
  // A new incarnation under the old id is another owner: it has none of the data.
  const ownerChanged = seats.ownerless[partition] === 1 && (row.owner !== "" || ownerId !== "");

  const kept = row.backups.filter((id) => survivor.has(id) && id !== ownerId).slice(0, backupsMax);
  const backups = kept.length === row.backups.length ? row.backups : kept;

  const targetId = idOf(target[partition]!);
  const incoming = serves && targetId !== ownerId ? targetId : "";
  // An unchanged move goes on, unless its data would now come from another owner.
  const sameMove =
    !ownerChanged && incoming === row.incoming && seats.incoming[partition] === target[partition];
  const move = incoming === "" ? 0 : sameMove ? row.move : epoch;

  const termChanged = ownerChanged || backups !== row.backups;
  if (!termChanged && incoming === row.incoming && move === row.move) return row;
  const source = ownerChanged ? 0 : row.source;
  return { owner: ownerId, backups, term: termChanged ? epoch : row.term, incoming, move, source };
}
