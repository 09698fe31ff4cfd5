/** One node's ownership over a store that may go wrong, a planner that publishes what a test says, and a keeper. */
import { MemoryCoordination, MemoryStore } from "../../src/coordination/memory.ts";
import { silentLog } from "../../src/log.ts";
import type { PeerIdentity } from "../../src/peers/messages.ts";
import type { PartitionsHook } from "../../src/ring/hooks.ts";
import type { PartitionKeeper } from "../../src/ring/keeper.ts";
import { Ownership } from "../../src/ring/ownership.ts";
import type { Member, Row } from "../../src/ring/table.ts";
import { TableStore } from "../../src/ring/table-store.ts";
import { FaultyBucket } from "./faulty-bucket.ts";
import { ManualRuntime } from "./manual-runtime.ts";
import { until } from "./recorder.ts";

export function member(id: string, incarnation = `${id}1`): Member {
  return { id, incarnation, host: "h", port: 1, http: "", zone: "", leaving: false, dead: "" };
}

export const a = member("a");
export const b = member("b");
export const c = member("c");
export const d = member("d");

type Step = "ready" | "fill" | "seal";

interface End {
  resolve(): void;
  reject(error: Error): void;
}

/** Writes down what it is told. Its steps succeed at once, but those that are `manual` wait for the test. */
export class FakeKeeper implements PartitionKeeper {
  readonly manual = new Set<Step>();
  /** Ids of backups that say that they have no copy. */
  readonly broken = new Set<string>();
  /** A copy that is forgotten goes on until it is ended. */
  forgetsLate = false;
  readonly #events: string[];
  readonly #ends = new Map<string, End[]>();

  constructor(events: string[]) {
    this.#events = events;
  }

  own(partition: number, row: Row): void {
    this.#events.push(`keep ${partition} ${row.came}`);
  }

  setBackups(partition: number, _term: number, backups: readonly Member[]): void {
    this.#events.push(`backups ${partition} ${backups.map(({ incarnation }) => incarnation).join() || "-"}`);
  }

  ready(partition: number): Promise<void> {
    return this.#step("ready", `ready ${partition}`);
  }

  activate(partition: number): void {
    this.#events.push(`activate ${partition}`);
  }

  fill(partition: number, to: Member): Promise<void> {
    return this.#step("fill", `fill ${partition} ${to.id}`);
  }

  forget(partition: number, to: Member): void {
    this.#events.push(`forget ${partition} ${to.id}`);
    if (this.forgetsLate) return;
    for (const end of this.#take(`fill ${partition} ${to.id}`)) end.reject(new Error("forgotten"));
  }

  seal(partition: number): Promise<void> {
    return this.#step("seal", `seal ${partition}`);
  }

  unseal(partition: number): void {
    this.#events.push(`unseal ${partition}`);
  }

  release(partition: number, handed: boolean): void {
    this.#events.push(`${handed ? "hand" : "drop"} ${partition}`);
  }

  isBroken(_partition: number, { id }: PeerIdentity): boolean {
    return this.broken.has(id);
  }

  /** Waits until the step is asked for, then ends every one of its name. */
  async end(step: string, error?: Error): Promise<void> {
    await until(() => this.#ends.has(step), step);
    for (const { resolve, reject } of this.#take(step)) {
      if (error === undefined) resolve();
      else reject(error);
    }
  }

  /** As {@link end}, but only the one that was asked for first. */
  async endFirst(step: string): Promise<void> {
    await until(() => this.#ends.has(step), step);
    this.#ends.get(step)?.shift()?.resolve();
  }

  #take(step: string): End[] {
    const ends = this.#ends.get(step) ?? [];
    this.#ends.delete(step);
    return ends;
  }

  #step(kind: Step, step: string): Promise<void> {
    this.#events.push(step);
    if (!this.manual.has(kind)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#ends.set(step, [...(this.#ends.get(step) ?? []), { resolve, reject }]);
    });
  }
}

export class Owner {
  readonly runtime: ManualRuntime;
  readonly events: string[] = [];
  readonly keeper = new FakeKeeper(this.events);
  /** The hooks. */
  readonly own: PartitionsHook[] = [];
  readonly release: PartitionsHook[] = [];
  /** Incarnations that this node knows to be dead, or can't reach. */
  readonly dead = new Set<string>();
  readonly unreachable = new Set<string>();
  waitMs = 0;
  isLeased = true;
  readonly bucket: FaultyBucket;
  readonly tables: TableStore;
  readonly planner: TableStore;
  readonly ownership: Ownership;

  /** Node `a`. */
  static async start({ keeps = true, partitions = 4 } = {}): Promise<Owner> {
    const runtime = new ManualRuntime();
    const store = new MemoryStore(runtime);
    const open = async () => new FaultyBucket(await new MemoryCoordination(store).openBucket("ring"));
    const owner = new Owner(runtime, await open(), await open(), keeps, partitions);
    await Promise.all([owner.tables.start(), owner.planner.start()]);
    return owner;
  }

  private constructor(
    runtime: ManualRuntime,
    bucket: FaultyBucket,
    planners: FaultyBucket,
    keeps: boolean,
    partitions: number,
  ) {
    this.runtime = runtime;
    this.bucket = bucket;
    const options = { partitions, runtime, log: silentLog };
    this.tables = new TableStore({ ...options, bucket, writer: "a" });
    this.planner = new TableStore({ ...options, bucket: planners, writer: "planner" });
    this.ownership = new Ownership(
      {
        runtime,
        log: silentLog,
        tables: this.tables,
        keeper: keeps ? this.keeper : undefined,
        onOwn: () => this.own,
        onRelease: () => this.release,
        changed: () => {},
        isDead: ({ incarnation }: PeerIdentity) => this.dead.has(incarnation),
        isUnreachable: ({ incarnation }: PeerIdentity) => this.unreachable.has(incarnation),
        isBroken: (partition, backup) => this.keeper.isBroken(partition, backup),
        isLeased: () => this.isLeased,
        waitMs: () => this.waitMs,
      },
      a,
      partitions,
    );
    this.tables.subscribe((table) => this.ownership.reconcile(table));
  }

  stop(): void {
    this.tables.close();
    this.planner.close();
  }

  row(partition: number): Row {
    return this.tables.table.rows[partition]!;
  }

  /** What has been written down since the last call. */
  taken(): string[] {
    return this.events.splice(0);
  }

  /**
   * Publishes a table in which the named rows are changed, as of the newest one, and waits until this node has it. A row
   * whose owner changes has a new `since`, one whose owner or backups change a new `term`, unless it is given.
   */
  async publish(
    rows: Record<number, Partial<Row>>,
    members: readonly Member[] = [a, b, c, d],
  ): Promise<void> {
    await this.planner.publish((table) => {
      const epoch = table.epoch + 1;
      return {
        ...table,
        epoch,
        members,
        rows: table.rows.map((row, partition): Row => {
          const change = rows[partition];
          if (change === undefined) return row;
          const owned = change.owner !== undefined && change.owner !== row.owner ? { since: epoch } : {};
          const copies = change.owner !== undefined || change.backups !== undefined ? { term: epoch } : {};
          return { ...row, ...owned, ...copies, ...change };
        }),
      };
    });
    await until(() => this.tables.table.epoch >= this.planner.table.epoch, "the table is known");
    await this.runtime.settle();
  }

  /** Hooks that are only written down. */
  noteHooks(): void {
    this.own.push((of) => void this.events.push(`own ${of.join()}`));
    this.release.push((of) => void this.events.push(`release ${of.join()}`));
  }

  /** A hook that ends when the function returned is called. */
  slowHook(name: "own" | "release"): () => void {
    let finish = (): void => {};
    const gate = new Promise<void>((resolve) => {
      finish = resolve;
    });
    this[name].push(async (of) => {
      this.events.push(`${name} ${of.join()}`);
      await gate;
      this.events.push(`${name} ${of.join()} done`);
    });
    return () => finish();
  }
}
