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
 * way, that is as even as the zones allow (least sum of squares). What is already so isn't changed. The search is bounded:
 * if one plan doesn't get to the end of it, the next one goes on from there.
 */
import { nobody } from "./balance.ts";
import { Hosted } from "./hosted.ts";
import type { Member } from "./table.ts";

/** After somebody was found, how many more partitions are looked at for somebody with fewer copies yet. */
const betterLooks = 8;
/** How many partitions that two members have in common are looked at first; all of them if nothing comes of it. */
const firstLooks = 32;
/** Comparisons in one plan, some 50 ms of them; only zones of very different sizes in a large ring take so many. */
const effortMax = 4_000_000;

/** Everybody is named by the index in `members`; the arrays have an element per partition. */
export interface PlacementInput {
  readonly members: readonly Member[];
  /** Who is to own the partition in the end, one that stays, or `nobody`: then it gets no backups. */
  readonly target: Int32Array;
  /** Who has the data: the present owner, or `nobody`, and the backups. They cost no transfer. */
  readonly owner: Int32Array;
  readonly backups: readonly (readonly number[])[];
  /** Who are to be the backups so far; `nobody` for one that can't be any more. */
  readonly wanted: readonly (readonly number[])[];
}

/** Per partition the members that are to be its backups; the very array of the input where nothing changes. */
export function place(input: PlacementInput, backups: number): readonly (readonly number[])[] {
  const placement = new Placement(input, backups);
  placement.fill();
  // Anew until a search from scratch finds nothing: then the next plan, which starts from here, finds nothing either.
  while (placement.even());
  return placement.wanted;
}

class Placement {
  readonly wanted: (readonly number[])[];
  readonly #input: PlacementInput;
  readonly #count: number;
  readonly #zone: Int32Array;
  readonly #staying: readonly boolean[];
  /** At `target × count + i`: whether `i` may be a backup of a partition that `target` is to own. */
  readonly #mayHold: Uint8Array;
  /** How many backups the target's partitions get, and in how many zones. */
  readonly #size: Int32Array;
  readonly #spread: Int32Array;
  /** Whether two backups of one partition could be in the same zone. */
  readonly #zonesMatter: boolean;
  readonly #load: Int32Array;
  /** How the present search reached each member: in the place of `#from` at `#at`; `nobody` if it didn't. */
  readonly #from: Int32Array;
  readonly #at: Int32Array;
  #effort = 0;

  constructor(input: PlacementInput, backups: number) {
    const { members } = input;
    const count = members.length;
    this.#input = input;
    this.#count = count;
    this.#staying = members.map((member) => !member.leaving);
    this.#zonesMatter = members.some((member) => member.zone !== "") && backups > 1;
    this.#zone = zonesOf(members);
    this.#mayHold = new Uint8Array(count * count);
    this.#size = new Int32Array(count);
    this.#spread = new Int32Array(count);
    this.#load = new Int32Array(count);
    this.#from = new Int32Array(count);
    this.#at = new Int32Array(count);
    for (let target = 0; target < count; target++) {
      const zones = new Set<number>();
      let eligible = 0;
      for (let i = 0; i < count; i++) {
        if (!this.#staying[i] || this.#zone[i] === this.#zone[target]) continue;
        this.#mayHold[target * count + i] = 1;
        eligible++;
        zones.add(this.#zone[i]!);
      }
      this.#size[target] = Math.min(eligible, backups);
      this.#spread[target] = Math.min(this.#size[target]!, zones.size);
    }
    this.wanted = input.wanted.map((wanted, partition) =>
      this.#isFit(partition, wanted) ? wanted : this.#keepable(partition, wanted),
    );
    for (const wanted of this.wanted) for (const i of wanted) this.#load[i]!++;
  }

  /** Gives every partition the backups it lacks, each to whoever has the fewest. */
  fill(): void {
    const { target } = this.#input;
    for (let partition = 0; partition < this.wanted.length; partition++) {
      const owner = target[partition]!;
      if (owner === nobody || this.wanted[partition]!.length === this.#size[owner]) continue;
      const wanted = [...this.wanted[partition]!];
      while (wanted.length < this.#size[owner]!) {
        const i = this.#leastLoaded(owner, wanted);
        wanted.push(i);
        this.#load[i]!++;
      }
      this.wanted[partition] = wanted;
    }
  }

  /**
   * Passes copies on from those with the most to those with at least two fewer, one at a time, each along the shortest
   * chain of exchanges (breadth-first, as in a flow of least cost). True if any was passed on.
   */
  even(): boolean {
    const load = this.#load;
    let hosted: Hosted | undefined;
    const stuck = load.map((_, i) => (this.#staying[i] ? 0 : 1));
    let passed = false;
    for (;;) {
      let start = nobody;
      let least = nobody;
      for (let i = 0; i < this.#count; i++) {
        if (!this.#staying[i]) continue;
        if (least === nobody || load[i]! < load[least]!) least = i;
        if (stuck[i] === 0 && (start === nobody || load[i]! > load[start]!)) start = i;
      }
      if (start === nobody || load[start]! - load[least]! <= 1) return passed;
      hosted ??= this.#hosted();
      let search = this.#search(start, load[least]!, hosted, firstLooks);
      if (search.to === nobody) search = this.#search(start, load[least]!, hosted, Number.POSITIVE_INFINITY);
      if (this.#effort > effortMax) return false;
      // Whoever was reached can pass on to nobody else either, and has one copy more at most than anyone there.
      if (search.to === nobody) for (const i of search.reached) stuck[i] = 1;
      else if (this.#pass(start, search.to, hosted)) passed = true;
      else stuck[start] = 1;
    }
  }

  #isFit(partition: number, wanted: readonly number[]): boolean {
    const target = this.#input.target[partition]!;
    if (target === nobody) return wanted.length === 0;
    if (wanted.length !== this.#size[target]) return false;
    for (let at = 0; at < wanted.length; at++) {
      const i = wanted[at]!;
      if (i === nobody || this.#mayHold[target * this.#count + i] === 0) return false;
      if (wanted.indexOf(i) !== at) return false;
    }
    return !this.#zonesMatter || this.#zonesIn(wanted, nobody) >= this.#spread[target]!;
  }

  /** Those that may be backups, in as many zones as possible; who holds the data comes first. */
  #keepable(partition: number, wanted: readonly number[]): number[] {
    const { target, owner, backups } = this.#input;
    const to = target[partition]!;
    const kept: number[] = [];
    if (to === nobody) return kept;
    for (const newZonesOnly of [true, false]) {
      if (!newZonesOnly && this.#zonesIn(kept, nobody) < this.#spread[to]!) break;
      for (const some of [backups[partition]!, [owner[partition]!], wanted]) {
        for (const i of some) {
          if (kept.length >= this.#size[to]!) break;
          if (i === nobody || this.#mayHold[to * this.#count + i] === 0 || kept.includes(i)) continue;
          if (!newZonesOnly || this.#isNewZone(i, kept, nobody)) kept.push(i);
        }
      }
    }
    return kept;
  }

  #leastLoaded(target: number, wanted: readonly number[]): number {
    const load = this.#load;
    const spreads = this.#zonesMatter && this.#zonesIn(wanted, nobody) < this.#spread[target]!;
    const base = target * this.#count;
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

  #hosted(): Hosted {
    const hosted = new Hosted(this.#count);
    this.wanted.forEach((wanted, partition) => {
      for (const i of wanted) this.#host(hosted, i, partition);
    });
    return hosted;
  }

  #host(hosted: Hosted, i: number, partition: number): void {
    const { target, owner, backups } = this.#input;
    const hasData = owner[partition] === i || backups[partition]!.includes(i);
    hosted.add(i, target[partition]!, hasData, partition);
  }

  /** Whether without `from` there are too few zones. */
  #needsNewZone(target: number, wanted: readonly number[], from: number): boolean {
    return this.#zonesMatter && this.#zonesIn(wanted, from) < this.#spread[target]!;
  }

  /** Whom `start` can pass a copy on to, by way of others if need be: the nearest with at least two fewer. */
  #search(
    start: number,
    leastLoad: number,
    hosted: Hosted,
    looks: number,
  ): { to: number; reached: number[] } {
    this.#from.fill(nobody);
    this.#from[start] = start;
    const reached = [start];
    // Grows while it is walked.
    for (const from of reached) {
      let to = nobody;
      let left = betterLooks;
      for (const list of hosted.of(from)) {
        for (let at = list.first; at < list.partitions.length && at - list.first < looks; at++) {
          const partition = list.partitions[at]!;
          const wanted = this.wanted[partition]!;
          if (!wanted.includes(from)) {
            // It was given up. Most of those are at the beginning.
            if (at === list.first) list.first++;
            continue;
          }
          if (to !== nobody && left-- === 0) return { to, reached };
          this.#effort += this.#count;
          if (this.#effort > effortMax) return { to: nobody, reached };
          const { found, others } = this.#reach(partition, wanted, from, start, reached);
          if (found !== nobody && (to === nobody || this.#load[found]! < this.#load[to]!)) to = found;
          if (to !== nobody && this.#load[to] === leastLoad) return { to, reached };
          if (!others) break;
        }
      }
      if (to !== nobody) return { to, reached };
    }
    return { to: nobody, reached };
  }

  /**
   * Adds those that may take the place of `from`. `found`: the one with the fewest copies, if two fewer than `start`;
   * `others`: at another partition of the same target somebody else might be found.
   */
  #reach(partition: number, wanted: readonly number[], from: number, start: number, reached: number[]) {
    const load = this.#load;
    const target = this.#input.target[partition]!;
    const needsNewZone = this.#needsNewZone(target, wanted, from);
    const base = target * this.#count;
    let found = nobody;
    let others = false;
    for (let i = 0; i < this.#count; i++) {
      if (this.#from[i] !== nobody || this.#mayHold[base + i] === 0) continue;
      if (wanted.includes(i) || (needsNewZone && !this.#isNewZone(i, wanted, from))) {
        others = true;
        continue;
      }
      this.#from[i] = from;
      this.#at[i] = partition;
      reached.push(i);
      if (load[i]! <= load[start]! - 2 && (found === nobody || load[i]! < load[found]!)) found = i;
    }
    return { found, others };
  }

  /** Carries the exchanges out, from the end of the chain; false if they get in each other's way. */
  #pass(start: number, to: number, hosted: Hosted): boolean {
    const before: { partition: number; wanted: readonly number[]; to: number }[] = [];
    for (let i = to; i !== start; ) {
      const from = this.#from[i]!;
      const partition = this.#at[i]!;
      const wanted = this.wanted[partition]!;
      if (!this.#mayReplace(partition, from, i)) {
        for (const step of before.reverse()) this.wanted[step.partition] = step.wanted;
        return false;
      }
      before.push({ partition, wanted, to: i });
      this.wanted[partition] = wanted.map((other) => (other === from ? i : other));
      i = from;
    }
    for (const step of before) this.#host(hosted, step.to, step.partition);
    this.#load[start]!--;
    this.#load[to]!++;
    return true;
  }

  #mayReplace(partition: number, from: number, to: number): boolean {
    const target = this.#input.target[partition]!;
    const wanted = this.wanted[partition]!;
    if (!wanted.includes(from) || wanted.includes(to)) return false;
    return !this.#needsNewZone(target, wanted, from) || this.#isNewZone(to, wanted, from);
  }
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
