/** A door with one `Map` behind it: everything a front door's test needs of a node, without a ring. */
import type { ClusterReport, ClusterState, ClusterWatcher } from "../../src/cache/cluster/report.ts";
import {
  type Command,
  type Done,
  type Door,
  type LookedUp,
  noBytes,
  Op,
  type OwnerReport,
  type Reply,
  type StatsReport,
  type StatusReport,
} from "../../src/cache/command.ts";
import type { RingcacheError } from "../../src/errors.ts";
import type { Runtime } from "../../src/runtime.ts";

interface Stored {
  readonly value: Buffer;
  readonly expiresAtMs: number;
}

export class MapDoor implements Door {
  readonly nodeId: string;
  /** Where it says that its HTTP door is reached. */
  http = "";
  ready = true;
  /** The next operations fail with this. */
  failure: RingcacheError | undefined;
  /** How many operations were carried out. */
  executed = 0;
  readonly #runtime: Runtime;
  /** By the key's bytes as latin1: one character per byte, whatever they are. */
  readonly #entries = new Map<string, Stored>();
  #held: (() => void)[] | undefined;
  #heldWaiters: (() => void)[] = [];
  #expired = 0;

  constructor(runtime: Runtime, nodeId = "node-1") {
    this.#runtime = runtime;
    this.nodeId = nodeId;
  }

  /** From now on operations wait for {@link release}, as they do during a handoff. */
  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const run of held) run();
  }

  get heldCount(): number {
    return this.#held?.length ?? 0;
  }

  /** Resolves once `count` operations wait. */
  async untilHeld(count: number): Promise<void> {
    while ((this.#held?.length ?? 0) < count) {
      await new Promise<void>((resolve) => this.#heldWaiters.push(resolve));
    }
  }

  execute(command: Command, done: Done): void {
    if (this.#held === undefined) {
      this.#run(command, done);
      return;
    }
    this.#held.push(() => this.#run(command, done));
    const waiters = this.#heldWaiters;
    this.#heldWaiters = [];
    for (const resolve of waiters) resolve();
  }

  #run(command: Command, done: Done): void {
    if (this.failure !== undefined) {
      done(this.failure, undefined);
      return;
    }
    this.executed++;
    done(undefined, this.#apply(command));
  }

  #apply({ op, key, value, expiresAtMs, expected }: Command): Reply {
    const id = key.toString("latin1");
    const stored = this.#live(id);
    switch (op) {
      case Op.set:
        this.#entries.set(id, { value: Buffer.from(value), expiresAtMs });
        return this.#reply(true, undefined);
      case Op.cas: {
        const matches =
          expected === undefined ? stored === undefined : stored?.value.equals(expected) === true;
        if (matches) this.#entries.set(id, { value: Buffer.from(value), expiresAtMs });
        return this.#reply(matches, undefined);
      }
      case Op.delete:
        this.#entries.delete(id);
        return this.#reply(stored !== undefined, undefined);
      case Op.get:
        return this.#reply(stored !== undefined, stored);
      case Op.has:
        return this.#reply(stored !== undefined, undefined);
      case Op.run:
        throw new Error("a map carries out no steps");
    }
  }

  #live(id: string): Stored | undefined {
    const stored = this.#entries.get(id);
    if (stored === undefined || stored.expiresAtMs === 0) return stored;
    if (stored.expiresAtMs > this.#runtime.wallMs()) return stored;
    this.#entries.delete(id);
    this.#expired++;
    return undefined;
  }

  #reply(found: boolean, stored: Stored | undefined): Reply {
    return {
      found,
      value: stored?.value ?? noBytes,
      expiresAtMs: stored?.expiresAtMs ?? 0,
      node: this.nodeId,
    };
  }

  /** The milliseconds at which the key expires; 0 for never; undefined if it isn't there. */
  expiresAtMs(key: string): number | undefined {
    return this.#entries.get(Buffer.from(key).toString("latin1"))?.expiresAtMs;
  }

  lane(): undefined {
    return undefined;
  }

  owner(_key: Buffer): OwnerReport {
    return { partition: 0, owner: this.nodeId, is_local: true, this_node: this.nodeId };
  }

  stats(): StatsReport {
    return {
      node_id: this.nodeId,
      entries: this.#entries.size,
      entries_with_ttl: [...this.#entries.values()].filter((stored) => stored.expiresAtMs !== 0).length,
      partitions: [0],
      partition_count: 1,
      partition_copies: [1],
      backup_partitions: [],
      backup_partition_count: 0,
      backup_entries: 0,
      under_replicated: [],
      memory_bytes: 0,
      memory_max_bytes: 0,
      total_evicted: 0,
      total_expired_by_ttl: this.#expired,
      total_cleaned_by_release: 0,
      total_partitions_lost: 0,
      ring: {
        num_partitions: 1,
        num_nodes: 1,
        owned_partitions: 1,
        is_coordinator: true,
        is_rebalancing: false,
        partitions_by_node: { [this.nodeId]: 1 },
      },
    };
  }

  status(): StatusReport {
    return {
      platform: "map",
      epoch: 1,
      coordinator: this.nodeId,
      coordination: "memory",
      backups: 0,
      members: [
        {
          ...{ id: this.nodeId, peer: "127.0.0.1:1", http: this.http, zone: "" },
          ...{ leaving: false, dead: "", partitions: 1, backups: 0 },
        },
      ],
      copies: { 1: 1 },
      under_replicated_partitions: 0,
      copying_partitions: 0,
      moving_partitions: 0,
      unowned_partitions: 0,
      unsettled_partitions: 0,
    };
  }

  readonly watchers: Set<ClusterWatcher> = new Set();

  async metrics(): Promise<string> {
    if (this.failure !== undefined) throw this.failure;
    return "# of a map\n";
  }

  async cluster(): Promise<ClusterReport> {
    return this.#state();
  }

  async watch(watcher: ClusterWatcher): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    this.watchers.add(watcher);
    watcher.began(this.#state());
  }

  unwatch(watcher: ClusterWatcher): void {
    this.watchers.delete(watcher);
  }

  httpAddresses(): Iterable<string> {
    return [this.http];
  }

  lookUp(key: Buffer, done: LookedUp): void {
    const stored = this.#live(key.toString("latin1"));
    const sizeBytes = stored?.value.length ?? null;
    const where = { slot: 0, partition: 0, owner: this.nodeId, backups: [], incoming: "" };
    const sizes = { value_bytes: sizeBytes, memory_bytes: sizeBytes };
    done(this.failure, { ...where, found: stored !== undefined, ttl_seconds: null, ...sizes });
  }

  #state(): ClusterState {
    const member = { id: this.nodeId, peer: "127.0.0.1:1", http: this.http, zone: "" };
    return {
      node: this.nodeId,
      platform: "map",
      now_ms: 0,
      backup_count: 0,
      table: {
        epoch: 1,
        coordinator: this.nodeId,
        members: [{ ...member, leaving: false, dead: "" }],
        owners: [0],
        backups: [[]],
        terms: [1],
        incoming: {},
        wanted: {},
      },
      samples: {},
      events: [],
      histories: {},
    };
  }
}
