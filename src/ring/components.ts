/** Which members can go on together when some can't reach others. */

export interface Reachability {
  readonly id: string;
  /** Ids of those that this one can't reach; ids that aren't among the members mean nothing. */
  readonly unreachable: readonly string[];
  /** It is about to go: where it is doesn't decide where the others are to be. */
  readonly leaving?: boolean;
}

/**
 * The ids of the largest set of members that are connected, directly or through one another, by those that don't leave
 * first; of several as large, the one with the first member in the given order. Two members are connected unless either can't reach the other: a link that works
 * one way only is of no use. Everybody who is given the same members in the same order gets the same set. Ids are unique.
 */
export function mainComponent(members: readonly Reachability[]): Set<string> {
  const cutOff = new Map(members.map(({ id, unreachable }) => [id, new Set(unreachable)]));
  const linked = (a: string, b: string): boolean => !cutOff.get(a)!.has(b) && !cutOff.get(b)!.has(a);
  const unvisited = new Set(cutOff.keys());
  const staying = new Set(members.filter(({ leaving }) => leaving !== true).map(({ id }) => id));
  let main = new Set<string>();
  let mainSize = -1;
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
    // Those that leave count only where the others don't decide: they still hold what they have not handed over.
    const size =
      component.size + [...component].filter((member) => staying.has(member)).length * members.length;
    if (size <= mainSize) continue;
    main = component;
    mainSize = size;
  }
  return main;
}
