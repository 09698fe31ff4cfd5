import { EventEmitter } from "node:events";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { RingEvents } from "./ring-options.ts";
import { livingMembers, lostPartitions, memberChanges, type Table } from "./table.ts";

/** Tells listeners what happens in the ring. One that throws is logged: the ring and the others go on. */
export class RingEmitter extends EventEmitter<RingEvents> {
  readonly #events: Log;

  constructor(log: Log) {
    super();
    this.#events = log;
  }

  /** All that a newer table means to listeners, the table itself last. */
  protected tellTable(table: Table, previous: Table, nodeId: string): void {
    const { joined, left } = memberChanges(table, previous);
    const members = livingMembers(table).length;
    for (const member of joined) {
      // Those that were there before this node are no news.
      if (previous.epoch > 0)
        this.#events.info({ event: "member-joined", member: member.id, members }, `${member.id} has joined`);
      this.tell("joined", member);
    }
    for (const member of left) {
      this.#events.info(
        { event: "member-left", member: member.id, members },
        `${member.id} is no member any more`,
      );
      this.tell("left", member);
    }
    const lost = lostPartitions(table, previous);
    if (lost.length > 0) {
      const here = lost.filter((partition) => table.rows[partition]!.owner === nodeId);
      const message = `${lost.length} partitions lost their owner and its entries; ${here.length} start empty here`;
      this.#events.error({ event: "partitions-lost", partitions: lost, here, epoch: table.epoch }, message);
      this.tell("lost", lost);
    }
    this.tell("table", table, previous);
  }

  protected tell<E extends keyof RingEvents>(event: E, ...args: RingEvents[E]): void {
    // Each by itself, as `emit` would leave out those behind one that throws.
    for (const listener of this.rawListeners(event)) {
      try {
        Reflect.apply(listener, this, args);
      } catch (error) {
        this.#events.error(
          { event: "listener-failed", of: event, error: messageOf(error) },
          "a listener threw",
        );
      }
    }
  }
}
