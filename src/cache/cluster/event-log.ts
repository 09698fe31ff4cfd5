/**
 * The last events, bounded. What goes on stays one event: a node hands over partition after partition, to one node after the other, or
 * gets them from one after the other.
 */
import type { ClusterEvent } from "./report.ts";
import type { Happening } from "./table-events.ts";

/** Older ones are forgotten. */
const eventsMax = 200;
/** The same again within this time belongs to the event before. */
const goesOnMs = 10_000;
/** Looked through for an event that goes on: several nodes hand over at the same time. */
const recentMax = 16;

/** Who has the partitions of one event now, and who had them. */
interface Sides {
  readonly nodes: Set<string>;
  readonly from: Set<string>;
}

export class EventLog {
  #events: ClusterEvent[] = [];
  /** By id, of events that may go on. */
  readonly #sides = new Map<number, Sides>();
  #ids = 0;

  /** Returns what is to be told: new events, and earlier ones that have become more. */
  add(happenings: readonly Happening[], atMs: number): readonly ClusterEvent[] {
    return happenings.map((happening) => this.#goOn(happening, atMs) ?? this.#append(happening, atMs));
  }

  /** Oldest first. */
  get events(): readonly ClusterEvent[] {
    return this.#events;
  }

  /** Those with an id past that one, and where the next call goes on. */
  since(id: number): { readonly events: readonly ClusterEvent[]; readonly last: number } {
    return { events: this.#events.filter((event) => event.id > id), last: this.#ids };
  }

  /** Puts what another node saw, before this one was there, in front. */
  prepend(earlier: readonly ClusterEvent[]): void {
    const all = [...earlier, ...this.#events].slice(-eventsMax);
    this.#events = all.map((event, i) => ({ ...event, id: i + 1 }));
    this.#ids = Math.max(this.#ids, all.length);
  }

  #append(happening: Happening, atMs: number): ClusterEvent {
    const event = { id: ++this.#ids, at_ms: Math.round(atMs), ...happening };
    this.#events.push(event);
    const { node, from } = happening;
    if (from !== undefined) this.#sides.set(event.id, { nodes: new Set([node]), from: new Set([from]) });
    if (this.#events.length > eventsMax) this.#sides.delete(this.#events.shift()!.id);
    return event;
  }

  #goOn(happening: Happening, atMs: number): ClusterEvent | undefined {
    const { kind, node, from, partitions } = happening;
    if (partitions === undefined || from === undefined) return undefined;
    for (let i = this.#events.length - 1; i >= Math.max(this.#events.length - recentMax, 0); i--) {
      const event = this.#events[i]!;
      if (atMs - event.at_ms > goesOnMs) break;
      const sides = this.#sides.get(event.id);
      if (event.kind !== kind || sides === undefined || !belongs(sides, node, from)) continue;
      sides.nodes.add(node);
      sides.from.add(from);
      const grown: ClusterEvent = {
        ...event,
        at_ms: Math.round(atMs),
        partitions: event.partitions! + partitions,
        ...(sides.nodes.size > 1 && { more_nodes: sides.nodes.size - 1 }),
        ...(sides.from.size > 1 && { more_from: sides.from.size - 1 }),
      };
      this.#events[i] = grown;
      return grown;
    }
    return undefined;
  }
}

/** One side is the same single node: from it to several, or from several to it. */
function belongs({ nodes, from }: Sides, node: string, giver: string): boolean {
  const sameGiver = from.size === 1 && from.has(giver);
  const sameTaker = nodes.size === 1 && nodes.has(node);
  return sameGiver || sameTaker;
}
