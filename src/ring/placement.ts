/**
 * Which members are to be the backups of which partition. A pure search that starts from what is there, so that it
 * changes little, and then evens the numbers out along exchanges.
 *
 * A partition gets as many backups as asked for or as there are members that may hold one: those that stay, other than
 * its owner and not in its owner's zone, if that is named. They are in as many different zones as possible; a member
 * without a named zone counts as a zone of its own.
 *
 * Copies per member differ by one at most if no zones are named. With zones, nobody has two more than another to whom
 * one of them could be passed on; with one backup per partition, where chains of exchanges never get in each other's
 * way, that is as even as the zones allow (least sum of squares). What is already so isn't changed.
 */
import { nobody } from "./balance.ts";
import type { Member } from "./table.ts";

/** After somebody was found, how many more partitions are looked at for somebody with fewer copies yet. */
const betterLooks = 8;

export interface PlacementRow {
  /** By index; who is to own the partition in the end, one that stays, or `nobody`: then it gets no backups. */
  readonly owner: number;
  /** Who are to be its backups so far. */
  readonly wanted: readonly number[];
  /** Whether somebody has left {@link wanted} who can't be a backup any more. */
  readonly wantedIsBroken: boolean;
  /** Who holds its data, best first: these cost no transfer. */
  readonly holders: readonly number[];
}

/** Per partition the members that are to be its backups, by index. */
export function place(
  members: readonly Member[],
  rows: readonly PlacementRow[],
  backups: number,
): (readonly number[])[] {
  const placement = new Placement(members, rows, backups);
  placement.fill();
  // Anew until a search from scratch finds nothing: then the next plan, which starts from here, finds nothing either.
  while (placement.even());
  return placement.wanted;
}

class Placement {
  readonly wanted: number[][];
  readonly #rows: readonly PlacementRow[];
  readonly #count: number;
  readonly #zone: Int32Array;
  readonly #staying: readonly boolean[];
  /** At `owner × count + i`: whether `i` may be a backup of a partition that `owner` owns. */
  readonly #mayHold: Uint8Array;
  /** How many backups the owner's partitions get, and in how many zones. */
  readonly #size: Int32Array;
  readonly #spread: Int32Array;
  /** Whether two members that may hold the same partition can be in the same zone. */
  readonly #zonesMatter: boolean;
  readonly #load: Int32Array;
  /** Marks, per search, who was reached. */
  readonly #via: Link[];

  constructor(members: readonly Member[], rows: readonly PlacementRow[], backups: number) {
    const count = members.length;
    this.#rows = rows;
    this.#count = count;
    this.#staying = members.map((member) => !member.leaving);
    this.#zonesMatter = members.some((member) => member.zone !== "") && backups > 1;
    this.#zone = zonesOf(members);
    this.#mayHold = new Uint8Array(count * count);
    this.#size = new Int32Array(count);
    this.#spread = new Int32Array(count);
    this.#load = new Int32Array(count);
    this.#via = members.map(() => ({ from: nobody, partition: 0 }));
    for (let owner = 0; owner < count; owner++) {
      const zones = new Set<number>();
      let eligible = 0;
      for (let i = 0; i < count; i++) {
        if (!this.#staying[i] || this.#zone[i] === this.#zone[owner]) continue;
        this.#mayHold[owner * count + i] = 1;
        eligible++;
        zones.add(this.#zone[i]!);
      }
      this.#size[owner] = Math.min(eligible, backups);
      this.#spread[owner] = Math.min(this.#size[owner]!, zones.size);
    }
    this.wanted = rows.map((row) => (this.#isFit(row) ? row.wanted.slice() : this.#keepable(row)));
    for (const wanted of this.wanted) for (const i of wanted) this.#load[i]!++;
  }

  /** Gives every partition the backups it lacks, each to whoever has the fewest. */
  fill(): void {
    for (let partition = 0; partition < this.wanted.length; partition++) {
      const { owner } = this.#rows[partition]!;
      const wanted = this.wanted[partition]!;
      while (owner !== nobody && wanted.length < this.#size[owner]!) {
        const i = this.#leastLoaded(owner, wanted);
        wanted.push(i);
        this.#load[i]!++;
      }
    }
  }

  /**
   * Passes copies on from those with the most to those with at least two fewer, one at a time, each along the shortest
   * chain of exchanges (breadth-first, as in a flow of least cost). True if any was passed on.
   */
  even(): boolean {
    const load = this.#load;
    let hosted: Hosted[] | undefined;
    const stuck = load.map((_, i) => (this.#staying[i] ? 0 : 1));
    let passed = false;
    for (;;) {
      let from = nobody;
      let least = nobody;
      for (let i = 0; i < this.#count; i++) {
        if (!this.#staying[i]) continue;
        if (least === nobody || load[i]! < load[least]!) least = i;
        if (stuck[i] === 0 && (from === nobody || load[i]! > load[from]!)) from = i;
      }
      if (from === nobody || load[from]! - load[least]! <= 1) return passed;
      hosted ??= this.#hosted();
      const { to, reached } = this.#search(from, load[least]!, hosted);
      // Whoever was reached can pass on to nobody else either, and has one copy less at most.
      if (to === nobody) for (const i of reached) stuck[i] = 1;
      else if (this.#pass(from, to, hosted)) passed = true;
      else stuck[from] = 1;
    }
  }

  #isFit({ owner, wanted, wantedIsBroken }: PlacementRow): boolean {
    if (wantedIsBroken || owner === nobody || wanted.length !== this.#size[owner]) return false;
    for (let at = 0; at < wanted.length; at++) {
      const i = wanted[at]!;
      if (this.#mayHold[owner * this.#count + i] === 0 || wanted.indexOf(i) !== at) return false;
    }
    return this.#zonesIn(wanted, nobody) >= this.#spread[owner]!;
  }

  /** Those that may be backups, in as many zones as possible; who holds the data comes first. */
  #keepable({ owner, wanted, holders }: PlacementRow): number[] {
    const kept: number[] = [];
    if (owner === nobody) return kept;
    for (const newZonesOnly of [true, false]) {
      if (!newZonesOnly && this.#zonesIn(kept, nobody) < this.#spread[owner]!) break;
      for (const some of [holders, wanted]) {
        for (const i of some) {
          if (kept.length >= this.#size[owner]!) break;
          if (this.#mayHold[owner * this.#count + i] === 0 || kept.includes(i)) continue;
          if (!newZonesOnly || this.#isNewZone(i, kept, nobody)) kept.push(i);
        }
      }
    }
    return kept;
  }

  #leastLoaded(owner: number, wanted: readonly number[]): number {
    const load = this.#load;
    const spreads = this.#zonesMatter && this.#zonesIn(wanted, nobody) < this.#spread[owner]!;
    const base = owner * this.#count;
    let best = nobody;
    for (let i = 0; i < this.#count; i++) {
      if (best !== nobody && load[i]! >= load[best]!) continue;
      if (this.#mayHold[base + i] === 0 || wanted.includes(i)) continue;
      if (!spreads || this.#isNewZone(i, wanted, nobody)) best = i;
    }
    return best;
  }

  /** Whether `i` is in another zone than all of `among`, `except` left out. */
  #isNewZone(i: number, among: readonly number[], except: number): boolean {
    for (const other of among) if (other !== except && this.#zone[other] === this.#zone[i]) return false;
    return true;
  }

  /** In how many zones `some` are, `except` left out. */
  #zonesIn(some: readonly number[], except: number): number {
    let zones = 0;
    for (let at = 0; at < some.length; at++) {
      if (some[at] === except) continue;
      let isNew = 1;
      for (let before = 0; before < at; before++) {
        if (some[before] !== except && this.#zone[some[before]!] === this.#zone[some[at]!]) isNew = 0;
      }
      zones += isNew;
    }
    return zones;
  }

  /** Per member its partitions, first those that it would give up without having been sent anything for nothing. */
  #hosted(): Hosted[] {
    const hosted = this.#staying.map((): Hosted => ({ partitions: [], from: 0 }));
    for (const withData of [false, true]) {
      for (let partition = 0; partition < this.wanted.length; partition++) {
        const { holders } = this.#rows[partition]!;
        for (const i of this.wanted[partition]!) {
          if (holders.includes(i) === withData) hosted[i]!.partitions.push(partition);
        }
      }
    }
    return hosted;
  }

  /** Whether `to` may take the place of `from` among the partition's backups. */
  #mayReplace(partition: number, from: number, to: number): boolean {
    const { owner } = this.#rows[partition]!;
    const wanted = this.wanted[partition]!;
    if (this.#mayHold[owner * this.#count + to] === 0 || wanted.includes(to)) return false;
    return !this.#needsNewZone(owner, wanted, from) || this.#isNewZone(to, wanted, from);
  }

  /** Whether without `from` there are too few zones. */
  #needsNewZone(owner: number, wanted: readonly number[], from: number): boolean {
    return this.#zonesMatter && this.#zonesIn(wanted, from) < this.#spread[owner]!;
  }

  /** Whom `start` can pass a copy on to, by way of others if need be: the nearest with at least two fewer. */
  #search(start: number, leastLoad: number, hosted: readonly Hosted[]): { to: number; reached: number[] } {
    for (const link of this.#via) link.from = nobody;
    const reached = [start];
    // Grows while it is walked.
    for (const from of reached) {
      const host = hosted[from]!;
      const { partitions } = host;
      let to = nobody;
      let looks = 0;
      // From where the last search ended: what comes before is of no use any more, more often than not.
      for (let step = 0; step < partitions.length; step++) {
        const at =
          host.from + step < partitions.length ? host.from + step : host.from + step - partitions.length;
        const found = this.#reach(partitions[at]!, from, start, reached);
        if (found !== nobody && (to === nobody || this.#load[found]! < this.#load[to]!)) {
          to = found;
          if (from === start) host.from = at;
        }
        if (reached.length === this.#count) break;
        if (to !== nobody && (this.#load[to] === leastLoad || ++looks > betterLooks)) break;
      }
      if (to !== nobody) return { to, reached };
    }
    return { to: nobody, reached };
  }

  /** Adds those that may take the place of `from`; returns the one with the fewest copies, if two fewer than `start`. */
  #reach(partition: number, from: number, start: number, reached: number[]): number {
    const load = this.#load;
    const wanted = this.wanted[partition]!;
    // What it gave up stays in its list.
    if (!wanted.includes(from)) return nobody;
    const { owner } = this.#rows[partition]!;
    const needsNewZone = this.#needsNewZone(owner, wanted, from);
    const base = owner * this.#count;
    let to = nobody;
    for (let i = 0; i < this.#count; i++) {
      const link = this.#via[i]!;
      if (link.from !== nobody || i === start || this.#mayHold[base + i] === 0) continue;
      if (wanted.includes(i) || (needsNewZone && !this.#isNewZone(i, wanted, from))) continue;
      link.from = from;
      link.partition = partition;
      reached.push(i);
      if (load[i]! <= load[start]! - 2 && (to === nobody || load[i]! < load[to]!)) to = i;
    }
    return to;
  }

  /** Carries the exchanges out, from the end of the chain; false if they get in each other's way. */
  #pass(start: number, to: number, hosted: readonly Hosted[]): boolean {
    const done: { partition: number; from: number; to: number }[] = [];
    for (let i = to; i !== start; ) {
      const { from, partition } = this.#via[i]!;
      if (!this.wanted[partition]!.includes(from) || !this.#mayReplace(partition, from, i)) {
        for (const step of done.reverse()) this.#replace(step.partition, step.to, step.from);
        return false;
      }
      this.#replace(partition, from, i);
      done.push({ partition, from, to: i });
      i = from;
    }
    for (const step of done) hosted[step.to]!.partitions.push(step.partition);
    this.#load[start]!--;
    this.#load[to]!++;
    return true;
  }

  #replace(partition: number, from: number, to: number): void {
    const wanted = this.wanted[partition]!;
    wanted[wanted.indexOf(from)] = to;
  }
}

/** How a member was reached: in the place of `from` at this partition; `nobody` if it wasn't. */
interface Link {
  from: number;
  partition: number;
}

interface Hosted {
  readonly partitions: number[];
  /** Where the last search that found something ended. */
  from: number;
}

/** By number: members with the same one fail together. Who has no named zone is alone in its own. */
function zonesOf(members: readonly Member[]): Int32Array {
  const numbers = new Map<string, number>();
  const zones = new Int32Array(members.length);
  members.forEach(({ zone }, i) => {
    if (zone === "") zones[i] = members.length + i;
    else {
      if (!numbers.has(zone)) numbers.set(zone, numbers.size);
      zones[i] = numbers.get(zone)!;
    }
  });
  return zones;
}
