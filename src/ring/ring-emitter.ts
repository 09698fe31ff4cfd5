import { EventEmitter } from "node:events";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { RingEvents } from "./ring-options.ts";

/** Tells listeners what happens in the ring. One that throws is logged: the ring and the others go on. */
export class RingEmitter extends EventEmitter<RingEvents> {
  readonly #events: Log;

  constructor(log: Log) {
    super();
    this.#events = log;
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
