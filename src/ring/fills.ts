/** The copies that this node makes of partitions that it owns: for their next owners, and for backups that are missing. */
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { MoveCounters } from "../metrics/moves.ts";
import type { Runtime } from "../runtime.ts";
import type { PartitionKeeper } from "./keeper.ts";
import type { Fill, Reign, View } from "./reign.ts";
import { type Member, memberOf, type Row, type Table } from "./table.ts";

const fillsMax = 8;
const retryDelayMs = 100;

export interface FillsOptions {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly keeper: PartitionKeeper | undefined;
  readonly counters: MoveCounters;
  /** The member has everything: it is to become a backup. */
  filled(reign: Reign): void;
}

export class Fills {
  readonly #options: FillsOptions;
  readonly #urgent = new Set<Fill>();
  readonly #others = new Set<Fill>();
  readonly #running = new Set<Fill>();
  #stopped = false;

  constructor(options: FillsOptions) {
    this.#options = options;
  }

  /** Brings what is copied of the partition in line with its row; {@link start} then starts what there is room for. */
  review(reign: Reign, row: Row, view: View): void {
    for (const fill of [...reign.fills.values()]) {
      // Had the table been changed by it, the newer one would say so.
      if (fill.sentOn !== undefined && view.table.epoch > fill.sentOn) fill.sentOn = undefined;
      if (row.backups.includes(fill.to.id)) this.#end(fill);
      else if (fill.sentOn === undefined && !view.isWanted(row, fill.to)) this.#callOff(fill);
    }
    for (const to of view.missingOf(reign, row)) {
      const fill = reign.fills.get(to.id) ?? this.#add(reign, to);
      fill.urgent = row.incoming === to.id || row.backups.length === 0;
      if (fill.state === "waiting") this.#enqueue(fill);
    }
  }

  /** The reign is over; `table` is what ended it, if a table did. Who may be a backup all the same is not told to forget. */
  endReign(reign: Reign, table: Table | undefined): void {
    for (const fill of [...reign.fills.values()]) {
      if (fill.sentOn === undefined) this.#callOff(fill);
      else if (table !== undefined && !holdsCopy(table, reign.partition, fill.to)) this.#callOff(fill);
      else this.#end(fill);
    }
  }

  start(): void {
    if (this.#stopped) return;
    for (const queue of [this.#urgent, this.#others]) {
      for (const fill of queue) {
        if (this.#running.size >= fillsMax) return;
        // One whose partition is sealed just now has its turn when that is served again.
        if (fill.reign.state !== "active") continue;
        queue.delete(fill);
        this.#running.add(fill);
        fill.state = "running";
        void this.#run(fill);
      }
    }
  }

  /** Nothing more is started, and nothing that was is waited for. */
  stop(): void {
    this.#stopped = true;
    for (const fill of this.#running) fill.state = "ended";
  }

  #add(reign: Reign, to: Member): Fill {
    const fill: Fill = {
      reign,
      to,
      state: "waiting",
      urgent: false,
      sentOn: undefined,
      pause: undefined,
    };
    reign.fills.set(to.id, fill);
    return fill;
  }

  #enqueue(fill: Fill): void {
    (fill.urgent ? this.#others : this.#urgent).delete(fill);
    (fill.urgent ? this.#urgent : this.#others).add(fill);
  }

  async #run(fill: Fill): Promise<void> {
    const { counters, keeper, filled, runtime } = this.#options;
    const { reign, to } = fill;
    const fromMs = runtime.monotonicMs();
    try {
      await keeper?.fill(reign.partition, to);
    } catch (error) {
      counters.copiesFailed++;
      if (fill.state === "running") this.#retry(fill, error);
      return;
    }
    // Called off meanwhile, it has been forgotten already.
    if (fill.state !== "running") {
      counters.copiesFailed++;
      return;
    }
    counters.copied++;
    counters.copy.add(runtime.monotonicMs() - fromMs);
    this.#running.delete(fill);
    fill.state = "filled";
    filled(reign);
    this.start();
  }

  #retry(fill: Fill, error: unknown): void {
    const { log, runtime } = this.#options;
    const { partition } = fill.reign;
    log.warn(
      { event: "fill-retry", partition, to: fill.to.id, error: messageOf(error) },
      `copying partition ${partition} to ${fill.to.id} failed, trying again`,
    );
    this.#running.delete(fill);
    fill.state = "pausing";
    fill.pause = runtime.after(retryDelayMs * (1 + runtime.random()), () => {
      fill.state = "waiting";
      this.#enqueue(fill);
      this.start();
    });
    this.start();
  }

  /** It is not to be: whatever it has of the partition is void. */
  #callOff(fill: Fill): void {
    const { state, to } = fill;
    this.#end(fill);
    if (state === "running" || state === "filled") this.#options.keeper?.forget(fill.reign.partition, to);
  }

  #end(fill: Fill): void {
    fill.state = "ended";
    fill.pause?.cancel();
    fill.reign.fills.delete(fill.to.id);
    this.#urgent.delete(fill);
    this.#others.delete(fill);
    this.#running.delete(fill);
  }
}

function holdsCopy(table: Table, partition: number, { id, incarnation }: Member): boolean {
  const row = table.rows[partition]!;
  if (row.owner !== id && !row.backups.includes(id)) return false;
  return memberOf(table, id)?.incarnation === incarnation;
}
