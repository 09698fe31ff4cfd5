/** What lies between the table's naming this node as owner and its serving the partition. */
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { type Runtime, sleep, type Timer } from "../runtime.ts";
import type { Hooks, PartitionsHook } from "./hooks.ts";
import type { PartitionKeeper } from "./keeper.ts";
import type { Reign, View } from "./reign.ts";
import type { Row } from "./table.ts";

/** What is to be waited for is looked at again at least this often, and at most every millisecond. */
const waitMsMax = 60_000;
const retryDelayMs = 100;

export interface OpeningsOptions {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly keeper: PartitionKeeper | undefined;
  readonly hooks: Hooks;
  onOwn(): readonly PartitionsHook[];
  waitMs(row: Row): number;
  view(): View;
  /** To be served from this turn on. */
  opened(reign: Reign): void;
}

export class Openings {
  readonly #options: OpeningsOptions;
  /** Those that may not be served yet, because who owned them before may still serve them. */
  readonly #waiting = new Set<Reign>();
  #timer: Timer | undefined;

  constructor(options: OpeningsOptions) {
    this.#options = options;
  }

  /** The partition is to open; {@link review} goes on with it. */
  add(reign: Reign): void {
    this.#waiting.add(reign);
  }

  endReign(reign: Reign): void {
    this.#waiting.delete(reign);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#waiting.clear();
  }

  /** Goes on with those that have waited long enough. */
  review(): void {
    const { runtime, view, waitMs } = this.#options;
    this.#timer?.cancel();
    const arrived: Reign[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const reign of this.#waiting) {
      const row = view().rowOf(reign);
      if (row === undefined) continue;
      const leftMs = row.wait ? waitMs(row) : 0;
      if (leftMs > 0) nextMs = Math.min(nextMs, leftMs);
      else arrived.push(reign);
    }
    for (const reign of arrived) this.#waiting.delete(reign);
    if (this.#waiting.size > 0)
      this.#timer = runtime.after(Math.min(Math.max(nextMs, 1), waitMsMax), () => this.review());
    if (arrived.length > 0) this.#arrive(arrived);
  }

  /** A handover was called off after onRelease had run: it takes another onOwn until the keeper is unsealed. */
  reopen(reign: Reign): void {
    reign.state = "opening";
    reign.isKeptSealed = true;
    this.#arrive([reign]);
  }

  /** Nobody else serves the partitions: they open when onOwn has finished. */
  #arrive(reigns: readonly Reign[]): void {
    const { hooks, onOwn } = this.#options;
    for (const reign of reigns) reign.hooks = "owned";
    const own = onOwn();
    const open = (): void => {
      for (const reign of reigns) if (reign.state === "opening") this.#open(reign);
    };
    // Without hooks and a keeper a partition is served in the very turn in which the table says so.
    if (own.length === 0) open();
    else {
      const partitions = reigns.map(({ partition }) => partition);
      void hooks.run("onOwn", own, partitions).then(open);
    }
  }

  #open(reign: Reign): void {
    const { keeper, opened } = this.#options;
    if (keeper === undefined || reign.isKeptSealed) opened(reign);
    else void this.#openWhenReady(reign, keeper);
  }

  /** What the backups lack could be taken back by a failover: nothing is read before they have it. */
  async #openWhenReady(reign: Reign, keeper: PartitionKeeper): Promise<void> {
    const { log, opened, runtime } = this.#options;
    const { partition } = reign;
    for (;;) {
      const told = reign.timesTold;
      try {
        await keeper.ready(partition);
        if (reign.state !== "opening") return;
        // It is the present backups that count, not those of when it was asked.
        if (reign.timesTold === told) break;
      } catch (error) {
        if (reign.state !== "opening") return;
        log.warn(
          { event: "open-retry", partition, error: messageOf(error) },
          `the backups of partition ${partition} can't be brought up to date, trying again`,
        );
        await sleep(runtime, retryDelayMs * (1 + runtime.random()));
        if (reign.state !== "opening") return;
      }
    }
    opened(reign);
  }
}
