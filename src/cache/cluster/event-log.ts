/** The last events, bounded. One that goes on, as a node hands over partition after partition, stays one event. */
import type { ClusterEvent } from "./report.ts";
import type { Happening } from "./table-events.ts";

/** Older ones are forgotten. */
const eventsMax = 200;
/** The same again within this time belongs to the event before. */
const goesOnMs = 10_000;
/** Looked through for an event that goes on: several nodes hand over at the same time. */
const recentMax = 16;

export class EventLog {
  #events: ClusterEvent[] = [];
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
    if (this.#events.length > eventsMax) this.#events.shift();
    return event;
  }

  #goOn(happening: Happening, atMs: number): ClusterEvent | undefined {
    const { kind, node, from, partitions } = happening;
    if (partitions === undefined || kind === "degraded") return undefined;
    for (let i = this.#events.length - 1; i >= Math.max(this.#events.length - recentMax, 0); i--) {
      const event = this.#events[i]!;
      if (atMs - event.at_ms > goesOnMs) break;
      if (event.kind !== kind || event.node !== node || event.from !== from) continue;
      const grown = { ...event, at_ms: Math.round(atMs), partitions: event.partitions! + partitions };
      this.#events[i] = grown;
      return grown;
    }
    return undefined;
  }
}
