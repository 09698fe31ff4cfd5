import type { ClusterReport, ClusterWatcher } from "../cache/cluster/report.ts";
import type {
  Command,
  Done,
  Door,
  LookedUp,
  OwnerReport,
  StatsReport,
  StatusReport,
} from "../cache/command.ts";
import type { Lane } from "../cache/lane.ts";
import { RingcacheError } from "../errors.ts";
import { Via } from "../metrics/operations.ts";

/**
 * What a front door is given before its node exists: the port is taken first, so that an unusable one is refused
 * before the cluster has been disturbed. Until {@link fill}, everything is NOT_READY. What is carried out counts as of `via`.
 */
export class DoorSlot implements Door {
  readonly nodeId: string;
  readonly #via: Via;
  #door: Door | undefined;

  constructor(nodeId: string, via: Via) {
    this.nodeId = nodeId;
    this.#via = via;
  }

  fill(door: Door): void {
    this.#door = door;
  }

  get ready(): boolean {
    return this.#door?.ready ?? false;
  }

  execute(command: Command, done: Done, deadlineMs?: number): void {
    if (this.#door === undefined) done(this.#notReady(), undefined);
    else this.#door.execute(command, done, deadlineMs, this.#via);
  }

  lane(): Lane | undefined {
    return this.#door?.lane(this.#via);
  }

  owner(key: Buffer): OwnerReport {
    return this.#filled().owner(key);
  }

  stats(): StatsReport {
    return this.#filled().stats();
  }

  status(): StatusReport {
    return this.#filled().status();
  }

  async metrics(): Promise<string> {
    return await this.#filled().metrics();
  }

  async cluster(): Promise<ClusterReport> {
    return await this.#filled().cluster();
  }

  async watch(watcher: ClusterWatcher): Promise<void> {
    await this.#filled().watch(watcher);
  }

  unwatch(watcher: ClusterWatcher): void {
    this.#door?.unwatch(watcher);
  }

  httpAddresses(): Iterable<string> {
    return this.#filled().httpAddresses();
  }

  lookUp(key: Buffer, done: LookedUp): void {
    if (this.#door === undefined) done(this.#notReady(), undefined);
    else this.#door.lookUp(key, done);
  }

  #filled(): Door {
    if (this.#door === undefined) throw this.#notReady();
    return this.#door;
  }

  #notReady(): RingcacheError {
    return new RingcacheError("NOT_READY", `${this.nodeId} is still joining the ring.`);
  }
}

/** What a node's front doors are given. */
export interface DoorSlots {
  readonly http: DoorSlot;
  readonly redis: DoorSlot;
  fill(door: Door): void;
}

export function slotsOf(nodeId: string): DoorSlots {
  const http = new DoorSlot(nodeId, Via.http);
  const redis = new DoorSlot(nodeId, Via.redis);
  return {
    http,
    redis,
    fill(door) {
      http.fill(door);
      redis.fill(door);
    },
  };
}
