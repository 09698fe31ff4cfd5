/** Which members can go on together when some can't reach others. */
import { type Holders, isHeldBy } from "./table.ts";

export interface Reachability {
  readonly id: string;
  /** Ids of those that this one can't reach; ids that aren't among the members mean nothing. */
  readonly unreachable: readonly string[];
  /** It is about to go: where it is doesn't decide where the others are to be. */
  readonly leaving?: boolean;
  /** It has no copies, whatever the table says. */
  readonly isNewcomer?: boolean;
}

/**
 * The ids of the members that go on together, connected directly or through one another: of all such sets the one that
 * has a copy of the most partitions, so that the last copy of one isn't given up for newcomers without any; of several that
 * have as many, the largest by those that don't leave first; of several as large, the one with the first member in the given order. Two members
 * are connected unless either can't reach the other: a link that works one way only is of no use. Everybody who is given
 * the same members in the same order and the same rows gets the same set. Ids are unique.
 */
export function mainComponent(
  members: readonly Reachability[],
  rows: readonly Holders[] = [],
): ReadonlySet<string> {
  const components = connected(members);
  if (components.length <= 1) return components[0] ?? new Set();
  const byId = new Map(members.map((member) => [member.id, member]));
  const ranked = components.map((component) => {
    const all = [...component].map((id) => byId.get(id)!);
    const holders = new Set(all.filter(({ isNewcomer }) => isNewcomer !== true).map(({ id }) => id));
    return {
      component,
      copies: rows.filter((row) => isHeldBy(row, holders)).length,
      staying: all.filter(({ leaving }) => leaving !== true).length,
    };
  });
  return ranked.reduce((main, other) => {
    // Those that leave count only where the others don't decide: they still hold what they have not handed over.
    const more =
      other.copies - main.copies ||
      other.staying - main.staying ||
      other.component.size - main.component.size;
    return more > 0 ? other : main;
  }).component;
}

/** Sets of members that are connected, in the order of their first members. */
function connected(members: readonly Reachability[]): Set<string>[] {
  const cutOff = new Map(members.map(({ id, unreachable }) => [id, new Set(unreachable)]));
  const linked = (a: string, b: string): boolean => !cutOff.get(a)!.has(b) && !cutOff.get(b)!.has(a);
  const unvisited = new Set(cutOff.keys());
  const components: Set<string>[] = [];
  for (const { id } of members) {
    if (!unvisited.delete(id)) continue;
    const component = new Set([id]);
    // A set that is iterated visits what is added meanwhile.
    for (const member of component) {
      for (const other of unvisited) {
        if (!linked(member, other)) continue;
        unvisited.delete(other);
        component.add(other);
      }
    }
    components.push(component);
  }
  return components;
}
