/** The Ring pattern: partitions of a key space, owned by members that come and go. Usable without the cache. */
import type { NodeConfig } from "../config.ts";
import type { Bucket, Coordination } from "../coordination/coordination.ts";
import type { Log } from "../log.ts";
import { Peers } from "../peers/peers.ts";
import { planted } from "../planted.ts";
import type { Runtime } from "../runtime.ts";
import { requireReachable } from "./advertise.ts";
import { type BroadcastResult, Calls } from "./calls.ts";
import { Coordinator, planMethod } from "./coordinator.ts";
import { newIncarnation } from "./membership.ts";
import { Ownership, type PartitionsHook } from "./ownership.ts";
import { RingEmitter } from "./ring-emitter.ts";
import type { RingOptions, RingStats } from "./ring-options.ts";
import { type RingInside, ringInside, ringStats } from "./ring-stats.ts";
import type { Handler } from "./rpc.ts";
import { agreeOnSettings, type Settings } from "./settings.ts";
import { partitionOf, slotOf } from "./slots.ts";
import { Standing } from "./standing.ts";
import { isDrained, isSettled, livingMembers, type Member, memberOf, type Table } from "./table.ts";
import { TableStore } from "./table-store.ts";
import { waitUntil } from "./wait.ts";

/** How long a node that starts waits for the coordinator to take it in. */
const joinTimeoutMs = 60_000;

export class Ring extends RingEmitter {
  readonly config: NodeConfig;
  readonly peers: Peers;
  readonly coordination: Coordination;
  readonly #log: Log;
  readonly #runtime: Runtime;
  readonly #tables: TableStore;
  readonly #standing: Standing;
  readonly #coordinator: Coordinator;
  readonly #ownership: Ownership;
  readonly #calls: Calls;
  readonly #own: PartitionsHook[] = [];
  readonly #release: PartitionsHook[] = [];
  #state: Ring["state"] = "open";
  #draining: Promise<void> | undefined;
  #leaving: Promise<void> | undefined;
  readonly #closed: (() => Promise<void>) | undefined;

  /** Joins; resolves when the table has this node. Throws NODE_ID_IN_USE, PARTITIONS_MISMATCH, PORT_UNUSABLE, COORDINATION_*. */
  static async join(options: RingOptions): Promise<Ring> {
    const { config, coordination, runtime, transport, log } = options;
    const expiry = planted.expiryIsDeath ? { ttlMs: config.leaseMs } : {};
    const members = await coordination.openBucket(`${config.platform}-members`, expiry);
    const bucket = await coordination.openBucket(`${config.platform}-ring`);
    const settings = await agreeOnSettings(bucket, runtime, config.platform, config.partitions);
    const identity = { id: config.node, incarnation: newIncarnation(runtime) };
    const { platform } = config;
    const peers = new Peers({ ...settings, runtime, transport, log, platform, self: identity });
    let ring: Ring | undefined;
    try {
      const { port } = await peers.listen(config.peerHost, config.peerPort);
      const self: Member = {
        ...identity,
        host: config.advertiseHost,
        port,
        http: config.advertiseHttp,
        ...(config.advertiseRedis !== "" && { redis: config.advertiseRedis }),
        zone: config.zone,
        leaving: false,
        dead: "",
      };
      await requireReachable(peers, self, log);
      ring = new Ring(options, { members, bucket, settings, peers, self });
      await ring.#start();
      return ring;
    } catch (error) {
      if (ring === undefined) await peers.close();
      else await ring.stop();
      throw error;
    }
  }

  private constructor(
    options: RingOptions,
    parts: { members: Bucket; bucket: Bucket; settings: Settings; peers: Peers; self: Member },
  ) {
    super(options.log);
    const { config, runtime, log } = options;
    const { bucket, peers, self } = parts;
    this.config = config;
    this.coordination = options.coordination;
    this.peers = peers;
    this.#log = log;
    this.#runtime = runtime;
    this.#closed = options.closed;
    if (options.onOwn !== undefined) this.#own.push(options.onOwn);
    if (options.onRelease !== undefined) this.#release.push(options.onRelease);
    const tables = new TableStore({
      bucket,
      partitions: config.partitions,
      runtime,
      log,
      writer: self.incarnation,
      history: self.incarnation,
    });
    this.#tables = tables;
    this.#standing = new Standing({
      ...options,
      ...parts,
      tables,
      grantors: (partition) => this.#ownership.grantors(partition),
      membersChanged: () => this.#coordinator.membersChanged(),
      peersChanged: () => this.#ownership.check(),
      regained: () => {
        this.tell("lease");
        this.#ownership.check();
      },
      fenced: () => void this.#rejoin(),
      beat: () => this.#coordinator.tick(),
    });
    this.#coordinator = new Coordinator({
      ...{ bucket, runtime, log, tables, leaseMs: config.leaseMs, backups: config.backups },
      membership: this.#standing.membership,
    });
    const keeper = options.keeper?.(this);
    this.#ownership = new Ownership(
      {
        runtime,
        log,
        tables,
        keeper,
        onOwn: () => this.#own,
        onRelease: () => this.#release,
        isDead: (member) => this.#standing.isDead(member),
        isUnreachable: (member) => this.#standing.isUnreachable(member),
        isBroken: (partition, member) => keeper?.isBroken(partition, member) === true,
        isLeased: () => this.#standing.membership.leaseHolds,
        waitMs: (row) => this.#standing.waitMs(row),
        changed: () => this.tell("owned"),
      },
      self,
      config.partitions,
    );
    this.#calls = new Calls(this, runtime);
    this.handle(planMethod, () => this.#coordinator.replan());
  }

  async #start(): Promise<void> {
    this.#tables.subscribe((table, previous) => this.#onTable(table, previous));
    this.peers.onLink((peer, event) => {
      if (event !== "refused" && event !== "replaced") return;
      this.#log.warn(
        { event: "peer-process-gone", peer: peer.id, proof: event },
        `the process of ${peer.id} is gone`,
      );
      this.#standing.processIsDead(peer);
      this.#coordinator.processIsDead(peer);
    });
    await this.#tables.start();
    await this.#standing.membership.start();
    await this.#coordinator.start();
    await this.#waitFor(() => this.isMember, joinTimeoutMs, "the coordinator to take this node in");
  }

  get nodeId(): string {
    return this.config.node;
  }

  /** As which this node's calls go out: a fenced node has a new one before it is a member again. */
  get incarnation(): string {
    return this.peers.self.incarnation;
  }

  /** The published state as this node knows it. */
  get table(): Table {
    return this.#tables.table;
  }

  get coordinator(): string {
    return this.#coordinator.holder;
  }

  /** Whether the table has this incarnation of the node, and its lease holds. */
  get isMember(): boolean {
    const { leaseHolds, self } = this.#standing.membership;
    return leaseHolds && memberOf(this.table, self.id)?.incarnation === self.incarnation;
  }

  /** Whether the table has this incarnation, and what it owns is nobody else's: by its lease or by its backups' grants. */
  get mayServe(): boolean {
    if (this.isMember) return true;
    const isKnown = memberOf(this.table, this.nodeId)?.incarnation === this.incarnation;
    return isKnown && this.ownedPartitions().every((partition) => this.#standing.mayServe(partition));
  }

  /** `left`: it has handed everything over and takes nothing any more, whatever a coordinator may still plan. */
  get state(): "open" | "leaving" | "left" | "closed" {
    return this.#state;
  }

  partitionFor(key: string | Uint8Array): number {
    return partitionOf(slotOf(typeof key === "string" ? Buffer.from(key) : key), this.config.partitions);
  }

  /** The id of the partition's owner; empty while it has none. */
  nodeForPartition(partition: number): string {
    return this.table.rows[partition]?.owner ?? "";
  }

  nodeFor(key: string | Uint8Array): string {
    return this.nodeForPartition(this.partitionFor(key));
  }

  /** Whether its lease alone lets it serve, in this very turn. */
  get isLeased(): boolean {
    return this.#standing.membership.leaseHolds;
  }

  /** Whether this node may act as the owner of the partition in this very turn; `leased`: what {@link isLeased} said in it. */
  serves(partition: number, leased = false): boolean {
    // Its record is gone, or about to: that tells the others that they may follow it at once, whatever grants it has.
    if (this.#state === "left") return false;
    return this.#ownership.isActive(partition) && (leased || this.#standing.mayServe(partition));
  }

  /** What the keeper says of its backups has changed. */
  backupsChanged(): void {
    this.#ownership.check();
  }

  /** Whether the partition is this node's, though it may be sealed, about to open or without a lease just now. */
  holds(partition: number): boolean {
    return this.#ownership.holds(partition);
  }

  ownsKey(key: string | Uint8Array): boolean {
    return this.serves(this.partitionFor(key));
  }

  ownedPartitions(): number[] {
    return this.#ownership.active();
  }

  /** Adds a hook. One that is added after the join isn't called for what this node owns already. */
  onOwn(hook: PartitionsHook): void {
    this.#own.push(hook);
  }

  onRelease(hook: PartitionsHook): void {
    this.#release.push(hook);
  }

  /** Serves calls of `method`, 1 to 255 bytes of UTF-8; a second handler replaces the first. */
  handle<P = unknown, R = unknown>(method: string, handler: Handler<P, R>): void {
    this.#calls.handle(method, handler as Handler);
  }

  /** Calls a member by id. Throws NODE_UNKNOWN, METHOD_UNKNOWN, HANDLER_FAILED, PEER_*, LINK_LOST, DEADLINE_EXCEEDED, OVERLOADED, VALUE_TOO_LARGE. */
  call<R = unknown>(
    node: string,
    method: string,
    payload?: unknown,
    timeoutMs = this.config.requestDeadlineMs,
  ): Promise<R> {
    return this.#calls.call(node, method, payload, timeoutMs) as Promise<R>;
  }

  /**
   * Calls whoever owns `key`: a handler starts only on a node that serves the partition in that turn, and during a
   * move the call waits, up to `timeoutMs`. Errors as of {@link call}; with outcome `unknown` the handler may have run.
   */
  callOwner<R = unknown>(
    key: string | Uint8Array,
    method: string,
    payload?: unknown,
    timeoutMs = this.config.requestDeadlineMs,
  ): Promise<R> {
    return this.#calls.callOwner(this.partitionFor(key), method, payload, timeoutMs) as Promise<R>;
  }

  /** Calls every member, this one included; one result each, in the table's order. */
  broadcast(
    method: string,
    payload?: unknown,
    timeoutMs = this.config.requestDeadlineMs,
  ): Promise<BroadcastResult[]> {
    return this.#calls.broadcast(method, payload, timeoutMs);
  }

  /** What no table tells. */
  inside(): RingInside {
    return ringInside(this.#standing.membership, this.#ownership);
  }

  stats(): RingStats {
    return ringStats(this.table, this.#ownership.active().length, this.#coordinator.isCoordinator);
  }

  /** Resolves when the table has at least `count` members. Throws DEADLINE_EXCEEDED. */
  waitForNodes(count: number, timeoutMs = 30_000): Promise<void> {
    return this.#waitFor(() => livingMembers(this.table).length >= count, timeoutMs, `${count} nodes`);
  }

  /** Resolves when every partition has an owner and none moves; onOwn may still run. Throws DEADLINE_EXCEEDED. */
  waitForPartitions(timeoutMs = 30_000): Promise<void> {
    const settled = (): boolean => this.isMember && isSettled(this.table);
    return this.#waitFor(settled, timeoutMs, "every partition to be settled");
  }

  /** Has the coordinator look at the whole ring again; resolves when every partition is settled. */
  async rebalance(timeoutMs = 30_000): Promise<void> {
    if (this.coordinator !== "") await this.call(this.coordinator, planMethod, undefined, timeoutMs);
    await this.waitForPartitions(timeoutMs);
  }

  /**
   * Hands every partition over and gets no new one; resolves when this node owns nothing, or after `drainTimeoutMs`
   * with an error in the log. It goes on to route calls.
   */
  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  /** Drains, leaves the ring and closes. */
  close(): Promise<void> {
    this.#leaving ??= this.#leave();
    return this.#leaving;
  }

  /** Closes without handing anything over: to the others this node has died. */
  async stop(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#standing.stop();
    this.#coordinator.stop();
    this.#tables.close();
    await this.#ownership.stop();
    await this.peers.close();
    this.removeAllListeners();
    await this.#closed?.();
  }

  async #drain(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "leaving";
    try {
      await this.#standing.membership.announceLeaving();
      this.#coordinator.planNow();
      const drained = (): boolean =>
        isDrained(this.table, this.#standing.membership.self) ||
        // It was fenced and isn't back, so it holds nothing, and now that it leaves it doesn't come back either.
        memberOf(this.table, this.nodeId)?.incarnation !== this.incarnation ||
        this.#standing.membership.isGone(this.#standing.membership.self) ||
        this.#standing.isLast();
      await this.#waitFor(drained, this.config.drainTimeoutMs, "every partition to be handed over");
    } catch (error) {
      const partitions = this.ownedPartitions().length;
      this.#log.error(
        { event: "drain-incomplete", partitions, err: error },
        "not every partition could be handed over",
      );
    }
  }

  async #leave(): Promise<void> {
    await this.drain();
    if (this.#state !== "leaving") return;
    this.#state = "left";
    await this.#standing.membership.leave();
    await this.#coordinator.resign();
    // Whoever asks this node is told to look at the table until the table is without it.
    if (this.#standing.hasOthers()) {
      const gone = (): boolean => memberOf(this.table, this.nodeId) === undefined;
      await this.#waitFor(gone, this.config.leaseMs, "the table").catch(() => undefined);
    }
    await this.stop();
  }

  async #rejoin(): Promise<void> {
    this.#log.error({ event: "fenced" }, "this node was declared dead: it drops what it held and joins anew");
    const identity = { id: this.nodeId, incarnation: newIncarnation(this.#runtime) };
    this.#ownership.loseAll({ ...this.#standing.membership.self, ...identity });
    this.tell("fenced");
    this.peers.setSelf(identity);
    await this.#standing.rejoin(identity.incarnation, () => this.#state === "open");
  }

  #onTable(table: Table, previous: Table): void {
    this.peers.retain(table.members.filter((member) => member.id !== this.nodeId));
    this.#standing.tableChanged(table);
    this.#ownership.reconcile(table);
    this.tellTable(table, previous, this.nodeId);
  }

  #waitFor(holds: () => boolean, timeoutMs: number, what: string): Promise<void> {
    return waitUntil(holds, what, timeoutMs, this.#runtime, this.#tables);
  }
}
