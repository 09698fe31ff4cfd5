/** What a node knows of itself alone, and the others learn by asking it. */
import { EventLog } from "./event-log.ts";
import type { ClusterEvent, NodeSample } from "./report.ts";
import type { Happening } from "./table-events.ts";

/** Seconds without an eviction after which the node doesn't evict any more. */
const calmSeconds = 10;

export class LocalEvents {
  readonly #node: string;
  readonly #log = new EventLog();
  #isEvicting = false;
  #calm = 0;
  #coordination = "connected";

  constructor(node: string) {
    this.#node = node;
  }

  add(happenings: readonly Happening[], atMs: number): void {
    this.#log.add(happenings, atMs);
  }

  since(id: number): { readonly events: readonly ClusterEvent[]; readonly last: number } {
    return this.#log.since(id);
  }

  /** What a new sample shows to have begun or ended. */
  noticed(sample: NodeSample): Happening[] {
    const happenings: Happening[] = [];
    const node = this.#node;
    this.#calm = sample.evicted_per_second > 0 ? 0 : this.#calm + 1;
    if (!this.#isEvicting && this.#calm === 0) {
      this.#isEvicting = true;
      happenings.push({ kind: "evicting", node });
    } else if (this.#isEvicting && this.#calm >= calmSeconds) {
      this.#isEvicting = false;
      happenings.push({ kind: "evicting-ended", node });
    }
    if (sample.coordination !== this.#coordination) {
      this.#coordination = sample.coordination;
      happenings.push({ kind: sample.coordination === "connected" ? "reconnected" : "disconnected", node });
    }
    return happenings;
  }
}
