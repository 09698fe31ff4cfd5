/** One node of the cache: a member of the ring with its part of the data, and what the front doors talk to. */
import type { NodeConfig } from "../config.ts";
import { RingcacheError } from "../errors.ts";
import type { Exposition } from "../metrics/exposition.ts";
import { OperationCounters, Via } from "../metrics/operations.ts";
import type { NodeSnapshot } from "../metrics/snapshot.ts";
import { Ring } from "../ring/ring.ts";
import type { RingOptions } from "../ring/ring-options.ts";
import type { Runtime, Timer } from "../runtime.ts";
import type { Spans } from "../tracing.ts";
import { unconfirmedBytesMax } from "./backup-link.ts";
import { ClusterView, TablesSeen } from "./cluster/cluster-view.ts";
import { lookUp } from "./cluster/look-up.ts";
import type { ClusterReport, ClusterWatcher } from "./cluster/report.ts";
import type { Measures } from "./cluster/sampler.ts";
import type { Command, Done, Door, LookedUp, OwnerReport, StatsReport, StatusReport } from "./command.ts";
import { CacheKeeper, type CopyState } from "./keeper.ts";
import { Lane } from "./lane.ts";
import { Partitions } from "./partitions.ts";
import { statsReport, statusReport } from "./reports.ts";
import { serveReads } from "./routed-reads.ts";
import { Router } from "./router.ts";
import { type CountedParts, snapshotOf } from "./snapshot.ts";
import { Stores } from "./stores.ts";
import { OperationTraces } from "./traces.ts";
import { waitingMax } from "./unsettled.ts";
import { waitersMax } from "./waiting-room.ts";

const reviewEveryMs = 60_000;

/** What a ring is joined with; the cache brings the keeper of the data itself. */
export interface CacheNodeOptions extends Omit<RingOptions, "keeper" | "closed"> {
  /** Operations are counted and timed; true if absent. For benchmarks: it says what that costs. */
  readonly counts?: boolean;
  /** Operations are traced by these; absent: they are not. */
  readonly spans?: Spans | undefined;
}

export class CacheNode implements Door {
  readonly ring: Ring;
  readonly #config: NodeConfig;
  readonly #parts: Parts;
  readonly #runtime: Runtime;
  readonly #view: ClusterView;
  #exposition: Promise<Exposition> | undefined;
  #closed = false;
  #review: Timer;

  /** Joins the ring; resolves when this node is a member. Throws what {@link Ring.join} throws. */
  static async start(options: CacheNodeOptions): Promise<CacheNode> {
    const { config, runtime, log } = options;
    const partitions = new Partitions(runtime, config.partitions);
    const counters = options.counts === false ? undefined : new OperationCounters(runtime);
    const { spans } = options;
    const traces = spans && new OperationTraces(spans, config.node, config.platform);
    const stores = new Stores({ runtime, ...config });
    const parts: { current: Parts | undefined } = { current: undefined };
    try {
      const ring = await Ring.join({
        ...options,
        keeper: (joining) => {
          const router = new Router(joining, runtime, partitions, counters, traces);
          serveReads(joining, new Lane({ ring: joining, runtime, partitions, counters }, undefined));
          const wake = (partition: number): void => router.room.wake(partition);
          const completed = (sequence: number, found: boolean | Buffer): void =>
            router.completed(sequence, found);
          const keeper = new CacheKeeper({
            ring: joining,
            runtime,
            log,
            partitions,
            stores,
            wake,
            completed,
          });
          joining.on("table", () => keeper.tableChanged());
          joining.on("fenced", () => keeper.forgetCopies());
          joining.on("lost", (lost) =>
            partitions.lost(lost.filter((p) => joining.nodeForPartition(p) === config.node)),
          );
          const tables = new TablesSeen(joining);
          parts.current = { partitions, router, keeper, stores, counters, traces, tables };
          return keeper;
        },
      });
      return new CacheNode(ring, options, parts.current!);
    } catch (error) {
      parts.current?.router.room.close();
      parts.current?.keeper.close();
      partitions.close();
      throw error;
    }
  }

  private constructor(ring: Ring, { config, runtime, log }: CacheNodeOptions, parts: Parts) {
    this.ring = ring;
    this.#config = config;
    this.#parts = parts;
    this.#runtime = runtime;
    this.#view = new ClusterView({
      ring,
      runtime,
      log,
      ...config,
      tables: parts.tables,
      measure: () => measures(ring, parts, runtime),
    });
    this.#review = this.#scheduleReview();
  }

  get nodeId(): string {
    return this.ring.nodeId;
  }

  get ready(): boolean {
    return !this.#closed && this.ring.state === "open" && this.ring.mayServe;
  }

  execute(
    command: Command,
    done: Done,
    deadlineMs: number = this.#config.requestDeadlineMs,
    via: Via = Via.library,
  ): void {
    if (this.#closed) {
      this.#parts.counters?.failed(via, command.op, "CLOSED");
      done(new RingcacheError("CLOSED", "the node was closed"), undefined);
      return;
    }
    const { router, traces } = this.#parts;
    if (traces === undefined) {
      router.execute(command, done, deadlineMs, via);
      return;
    }
    const partition = command.partition ?? this.ring.partitionFor(command.key);
    const traced = traces.begin(command, partition, via, done);
    router.execute(command, traced?.done ?? done, deadlineMs, via, traced);
  }

  lane(via: Via = Via.library): Lane | undefined {
    const { partitions, counters, traces } = this.#parts;
    // It leaves no traces.
    if (traces !== undefined) return undefined;
    return new Lane({ ring: this.ring, runtime: this.#runtime, partitions, counters }, via);
  }

  owner(key: Buffer): OwnerReport {
    const partition = this.ring.partitionFor(key);
    const owner = this.ring.nodeForPartition(partition);
    return { partition, owner, is_local: owner === this.nodeId, this_node: this.nodeId };
  }

  stats(): StatsReport {
    const { partitions, keeper, stores } = this.#parts;
    return statsReport({
      node: this.nodeId,
      table: this.ring.table,
      owned: this.ring.ownedPartitions(),
      totals: {
        ...partitions.totals(),
        backupEntries: keeper.backups().entries,
        memoryBytes: stores.memory.usedBytes,
        memoryMaxBytes: stores.memory.limitBytes,
      },
      ring: this.ring.stats(),
    });
  }

  status(): StatusReport {
    const { table, coordinator, coordination } = this.ring;
    return statusReport({ config: this.#config, table, coordinator, coordination: coordination.status });
  }

  cluster(): Promise<ClusterReport> {
    return this.#view.report();
  }

  watch(watcher: ClusterWatcher): Promise<void> {
    return this.#view.watch(watcher);
  }

  unwatch(watcher: ClusterWatcher): void {
    this.#view.unwatch(watcher);
  }

  httpAddresses(): Iterable<string> {
    return this.#view.httpAddresses;
  }

  lookUp(key: Buffer, done: LookedUp): void {
    const execute: Door["execute"] = (command, ended) => this.execute(command, ended, undefined, Via.http);
    lookUp({ ring: this.ring, runtime: this.#runtime, execute }, key, done);
  }

  /**
   * What this node knows of itself and has counted since its start; {@link ratesBetween} makes rates of two of them. It costs
   * what a look at each partition costs: about 50 µs with 64 of them, 0.3 ms with 1,024.
   */
  snapshot(): NodeSnapshot {
    return snapshotOf(this, this.#parts, this.#runtime);
  }

  /** Loads what writes the text when it is first asked for. */
  async metrics(): Promise<string> {
    this.#exposition ??= import("../metrics/exposition.ts").then(
      ({ Exposition }) => new Exposition(() => this.snapshot()),
    );
    return (await this.#exposition).text();
  }

  /** For those who check that copies are the same: two that follow one owner and have the same last write must be. */
  copy(partition: number): CopyState | undefined {
    return this.#parts.keeper.copy(partition);
  }

  /** What waits on this node at the moment, and the bound of each. */
  queues(): readonly Queue[] {
    const { partitions, keeper, router } = this.#parts;
    return [
      { name: "answers of a partition that wait for its backups", size: partitions.waiting, max: waitingMax },
      {
        name: "bytes that a backup has not confirmed",
        size: keeper.unconfirmedBytes,
        max: unconfirmedBytesMax,
      },
      { name: "operations that wait for a partition", size: router.room.count, max: waitersMax },
    ];
  }

  /** Hands every partition over, and goes on to route operations to their new owners. */
  drain(): Promise<void> {
    return this.ring.drain();
  }

  /** Drains and leaves the ring; nothing acknowledged is lost. Then as {@link close}. */
  async leave(): Promise<void> {
    if (this.#closed) return;
    await this.ring.close();
    await this.close();
  }

  /** Stops at once: to the other nodes this one has died, and what only it held is gone. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#review.cancel();
    const { keeper, partitions, router } = this.#parts;
    this.#view.close();
    router.room.close();
    partitions.removeAll(new RingcacheError("CLOSED", "the node was closed", { outcome: "unknown" }));
    keeper.close();
    await this.ring.stop();
    partitions.close();
  }

  #scheduleReview(): Timer {
    return this.#runtime.after(reviewEveryMs, () => {
      this.#parts.keeper.reviewReceipts();
      this.#review = this.#scheduleReview();
    });
  }
}

/** `size` may pass `max` by what one turn adds. */
export interface Queue {
  readonly name: string;
  readonly size: number;
  readonly max: number;
}

interface Parts extends CountedParts {
  readonly traces: OperationTraces | undefined;
  readonly tables: TablesSeen;
}

/** What a node shows of itself every second: less than a snapshot, which looks at every row of the table. */
function measures(ring: Ring, parts: Parts, runtime: Runtime): Measures {
  const { partitions, keeper, stores, counters } = parts;
  const { entries, evicted, hits, misses } = partitions.totals();
  return {
    incarnation: ring.incarnation,
    atMs: runtime.monotonicMs(),
    operations: (counters ?? new OperationCounters(runtime)).read(),
    ...{ entries, evicted, hits, misses },
    backupEntries: keeper.backups().entries,
    memoryBytes: stores.memory.usedBytes,
    memoryMaxBytes: stores.memory.limitBytes,
    coordination: ring.coordination.status,
  };
}
