/**
 * Which member is to own which partition: as many each as every other, give or take one, by the fewest moves, and of
 * those by the ones that copy the least.
 */
import type { Member } from "./table.ts";

/** What stands in for a member where there is none. */
export const nobody = -1;

/** The living members by index, and per partition those that have to do with it. */
export interface Seats {
  readonly members: readonly Member[];
  /** Who serves the partition; `nobody` if it is to begin anew. */
  readonly owner: Int32Array;
  /** Who is to serve it in the end, always one that stays; `nobody` while undecided. */
  readonly target: Int32Array;
  /** The backups: they could serve it without any data being copied. */
  readonly backups: (readonly number[])[];
  /** Partitions that wait for something else and count for nobody. */
  readonly apart: Uint8Array;
}

/**
 * Gives every partition that isn't apart a target, if any member stays. Counted by target, members that stay then differ
 * by one at most. Of the partitions that have a target or serve already, as few as possible change it.
 */
export function balance(seats: Seats): void {
  const surplus = surplusOf(seats);
  if (surplus === undefined) return;
  takeBack(seats, surplus);
  for (const underWay of [true, false]) giveToBackups(seats, surplus, underWay);
  for (const underWay of [true, false]) giveUp(seats, surplus, underWay);
  assign(seats, surplus);
}

/**
 * Per member, the rows it is the target of minus the rows it is to have; undefined if no member stays. With P rows and
 * N members, P mod N members get one row more than the rest. It goes to those that have it already, because every other
 * choice moves one row more.
 */
function surplusOf({ members, owner, target, apart }: Seats): Int32Array | undefined {
  const staying = members.map((_, i) => i).filter((i) => !members[i]!.leaving);
  if (staying.length === 0) return undefined;
  const count = new Int32Array(members.length);
  const owned = new Int32Array(members.length);
  let size = 0;
  target.forEach((i, partition) => {
    if (apart[partition] === 1) return;
    size++;
    if (i === nobody) return;
    count[i]!++;
    if (owner[partition] === i) owned[i]!++;
  });
  const floor = Math.floor(size / staying.length);
  const rank = (i: number): number => {
    if (count[i]! <= floor) return 0;
    // One that can give up a row whose data it hasn't got yet gives it up more cheaply.
    return owned[i]! > floor ? 2 : 1;
  };
  // `sort` is stable: among equals, the order of joining.
  const byRank = [...staying].sort((a, b) => rank(b) - rank(a));
  const larger = size % staying.length;
  const surplus = new Int32Array(members.length);
  byRank.forEach((i, position) => {
    surplus[i] = count[i]! - floor - (position < larger ? 1 : 0);
  });
  return surplus;
}

function isUnderWay({ owner, target }: Seats, partition: number): boolean {
  return target[partition] !== owner[partition];
}

/** A move to a member with too much is best undone where the owner has too little: that saves a transfer. */
function takeBack(seats: Seats, surplus: Int32Array): void {
  const { owner, target } = seats;
  for (let partition = 0; partition < target.length; partition++) {
    const from = target[partition]!;
    const back = owner[partition]!;
    if (from === nobody || !isUnderWay(seats, partition) || surplus[from]! <= 0) continue;
    if (surplus[back]! >= 0) continue;
    target[partition] = back;
    surplus[from]!--;
    surplus[back]!++;
  }
}

/** Next, rows go to backups that have too little: that takes a handover and no transfer. */
function giveToBackups(seats: Seats, surplus: Int32Array, underWay: boolean): void {
  const { target, backups } = seats;
  // From the end, so that what a member keeps tends to stay one range of slots.
  for (let partition = target.length - 1; partition >= 0; partition--) {
    const from = target[partition]!;
    if (from === nobody || surplus[from]! <= 0 || isUnderWay(seats, partition) !== underWay) continue;
    const to = backupThatLacks(backups[partition]!, surplus);
    if (to === nobody) continue;
    target[partition] = to;
    surplus[from]!--;
    surplus[to]!++;
  }
}

/** What is still too much goes to whoever has too little. */
function giveUp(seats: Seats, surplus: Int32Array, underWay: boolean): void {
  const { target } = seats;
  for (let partition = target.length - 1; partition >= 0; partition--) {
    const from = target[partition]!;
    if (from === nobody || surplus[from]! <= 0 || isUnderWay(seats, partition) !== underWay) continue;
    // Its owner, if it isn't `from` itself, has enough: it would have taken it back.
    target[partition] = nobody;
    surplus[from]!--;
  }
}

/** As many rows are without a target as members lack. */
function assign({ target, backups, apart }: Seats, surplus: Int32Array): void {
  for (let partition = 0; partition < target.length; partition++) {
    if (target[partition] !== nobody || apart[partition] === 1) continue;
    const to = backupThatLacks(backups[partition]!, surplus);
    if (to === nobody) continue;
    target[partition] = to;
    surplus[to]!++;
  }
  let to = 0;
  for (let partition = 0; partition < target.length; partition++) {
    if (target[partition] !== nobody || apart[partition] === 1) continue;
    while (surplus[to]! >= 0) to++;
    target[partition] = to;
    surplus[to]!++;
  }
}

/** Of the row's backups, the one that lacks the most. A leaving member has a surplus of none, so it never lacks. */
function backupThatLacks(backups: readonly number[], surplus: Int32Array): number {
  let best = nobody;
  for (const i of backups) if (surplus[i]! < (best === nobody ? 0 : surplus[best]!)) best = i;
  return best;
}
