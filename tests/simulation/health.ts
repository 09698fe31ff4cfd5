/**
 * Keeps account of what has been done to the nodes: which of them may have failed as far as the others can tell, so that
 * no more fail at once than the cluster promises to survive, and which operations had a reason not to be answered.
 */
import { isAtRest, memberOf, type Row, type Table } from "../../src/ring/table.ts";
import { type Cluster, type ClusterNode, leaseMs } from "./cluster.ts";

const tickMs = 100;
/** After a failure has ended, until what it set off has been decided: a declaration of death under way, say. */
const settleMs = 2_500;
/** Disturbances that follow one another more closely than this add up to a long one. */
const restMs = 2_000;
/** From the store's return until leases are renewed, the dead buried and what waited has been carried out. */
const recoveryMs = 2 * leaseMs + 4_000;

/** Something that makes nodes fail. It counts until the cluster has all its copies again. */
interface Failure {
  readonly ids: readonly string[];
  /** How many nodes count as failed: a link that is cut for long costs one of its two. */
  readonly weight: number;
  /** Others can't tell it from a cut link, and ask who can reach whom. */
  readonly silent: boolean;
  /** The only two that are members, or that are well, are cut off from each other. */
  readonly isTear: boolean;
  readonly fromMs: number;
  endedAtMs: number;
}

export class Health {
  /** In a run without a budget: something happened after which even a table that shows no loss proves nothing. */
  overstepped = false;
  readonly #cluster: Cluster;
  readonly #published: () => Table | undefined;
  readonly #failures = new Set<Failure>();
  /** When each failure and each outage of the store began. */
  readonly #begins: number[] = [];
  /** Short disturbances under way, and when the last one ended. */
  readonly #touches = new Map<string, { active: number; endedAtMs: number }>();
  readonly #impairedAtMs = new Map<string, number>();
  readonly #troubledAtMs: Float64Array;
  #storeAwayAtMs = Number.NEGATIVE_INFINITY;
  #wipe: Failure | undefined;
  #answeredSinceWipeMs = 0;

  constructor(cluster: Cluster, published: () => Table | undefined) {
    this.#cluster = cluster;
    this.#published = published;
    this.#troubledAtMs = new Float64Array(cluster.partitions).fill(Number.NEGATIVE_INFINITY);
    this.#tick();
  }

  /** How many nodes the published table has, without those that are dead or leave. */
  get members(): number {
    const leaves = (id: string): boolean =>
      this.#cluster.nodes.some((node) => node.id === id && node.state === "leaving");
    return this.#published()?.members.filter(({ dead, id }) => dead === "" && !leaves(id)).length ?? 0;
  }

  /** How many members are up, and not taken for dead. */
  get well(): number {
    return this.#cluster.up.filter(({ id }) => this.#holds(id)).length;
  }

  /** Short of a failure, if it is short and each of the nodes has had time to recover from the last. */
  isHarmless(ids: readonly string[]): boolean {
    return ids.every((id) => {
      const touch = this.#touches.get(id);
      return touch === undefined || (touch.active === 0 && this.#nowMs >= touch.endedAtMs + restMs);
    });
  }

  touch(ids: readonly string[]): () => void {
    for (const id of ids) {
      const touch = this.#touches.get(id) ?? { active: 0, endedAtMs: 0 };
      this.#touches.set(id, touch);
      touch.active++;
    }
    return () => {
      for (const id of ids) {
        const touch = this.#touches.get(id)!;
        touch.active--;
        touch.endedAtMs = this.#nowMs;
      }
    };
  }

  /**
   * Whether every partition keeps a copy if all of `ids` fail now, besides those that have. Nodes that nobody can reach
   * decide among themselves who goes on, so of them no more than `backups` at once.
   */
  mayFail(ids: readonly string[], { silent, weight }: { silent: boolean; weight: number }): boolean {
    if (this.#wipe !== undefined || !this.remains(ids)) return false;
    const failures = [...this.#failures];
    if (silent || failures.some((failure) => failure.silent)) {
      const failed = failures.reduce((sum, failure) => sum + failure.weight, weight);
      if (failed > this.#cluster.backups) return false;
    }
    const table = this.#published();
    return table === undefined || table.rows.every((row) => this.#survives(row, ids));
  }

  /** Some node may have failed, and not all copies may be there again. */
  get hasFailures(): boolean {
    return this.#failures.size > 0;
  }

  get isTorn(): boolean {
    return [...this.#failures].some(({ isTear }) => isTear);
  }

  /** Whether, without that node, only two stay of which one may be cut off: then either may be the one that gives itself up. */
  wouldTear(id: string): boolean {
    const stay = this.#cluster.nodes.filter((node) => node.id !== id && node.state !== "leaving");
    return stay.length <= 2 && [...this.#failures].some(({ silent }) => silent);
  }

  /** Whether, without `ids`, somebody stays to whom copies can go. */
  remains(ids: readonly string[]): boolean {
    return this.#cluster.up.some(({ id }) => !ids.includes(id) && this.#holds(id));
  }

  /** A failure of these nodes begins; what is returned ends it. */
  fail(
    ids: readonly string[],
    { silent, weight, isTear = false }: { silent: boolean; weight: number; isTear?: boolean },
  ): () => void {
    const fromMs = this.#nowMs;
    const failure: Failure = { ids, weight, silent, isTear, fromMs, endedAtMs: Number.POSITIVE_INFINITY };
    if (this.#wipe !== undefined) this.overstepped = true;
    this.#failures.add(failure);
    this.#begins.push(this.#nowMs);
    this.#sample();
    return () => {
      failure.endedAtMs = this.#nowMs;
    };
  }

  /** Only the nodes know the table then: none of them may fail too. */
  mayWipe(): boolean {
    return this.#failures.size === 0 && this.#cluster.store.answers;
  }

  /** For how long the store has answered since it lost its data; undefined if all is as it was before. */
  get answeredSinceWipeMs(): number | undefined {
    return this.#wipe && this.#answeredSinceWipeMs;
  }

  wiped(): void {
    if (!this.mayWipe()) this.overstepped = true;
    const nowMs = this.#nowMs;
    this.#answeredSinceWipeMs = 0;
    this.#wipe = { ids: [], weight: 0, silent: false, isTear: false, fromMs: nowMs, endedAtMs: nowMs };
    this.#begins.push(this.#nowMs);
  }

  outageBegins(): void {
    this.#begins.push(this.#nowMs);
    this.#sample();
  }

  /** Whether the others may have taken the node for dead. */
  mayBeGivenUp(id: string): boolean {
    for (const { ids } of this.#failures) if (ids.includes(id)) return true;
    return this.#wipe !== undefined;
  }

  /** Whether an operation that failed had a reason to, and isn't to be judged. */
  excuses(node: string, partition: number, fromMs: number, untilMs: number): boolean {
    const since = fromMs - tickMs;
    if ((this.#impairedAtMs.get(node) ?? Number.NEGATIVE_INFINITY) >= since) return true;
    if (this.#troubledAtMs[partition]! >= since) return true;
    // One thing at a time is waited for; two may take longer together than anyone waits.
    return this.#begins.filter((atMs) => atMs >= fromMs - recoveryMs && atMs <= untilMs).length >= 2;
  }

  get #nowMs(): number {
    return this.#cluster.sim.nowMs;
  }

  get #storeIsAway(): boolean {
    return this.#nowMs - this.#storeAwayAtMs < recoveryMs;
  }

  #tick(): void {
    if (this.#cluster.store.answers) this.#answeredSinceWipeMs += tickMs;
    this.#sample();
    this.#settle();
    this.#cluster.sim.schedule(tickMs, () => this.#tick());
  }

  #sample(): void {
    const { store, nodes, backups } = this.#cluster;
    if (!store.answers || this.#wipe !== undefined) this.#storeAwayAtMs = this.#nowMs;
    for (const node of nodes) {
      if (this.mayBeGivenUp(node.id) || !this.#isMember(node)) this.#impairedAtMs.set(node.id, this.#nowMs);
    }
    if (!this.#storeIsAway) return;
    this.#published()?.rows.forEach((row, partition) => {
      const steady =
        backups > 0 &&
        row.backups.length > 0 &&
        row.incoming === "" &&
        row.backups.length === row.wanted.length &&
        row.wanted.every((id) => row.backups.includes(id)) &&
        [row.owner, ...row.backups].every((id) => this.#holds(id)) &&
        // The store may have gone in the moment in which it took the table, before anyone heard of it.
        nodes.some(({ cache }) => (cache?.ring.table.rows[partition]?.term ?? 0) >= row.term);
      if (!steady) this.#troubledAtMs[partition] = this.#nowMs;
    });
  }

  /** Failures are over once the cluster has all its copies again, and knows who its members are. */
  #settle(): void {
    if (this.#failures.size === 0 && this.#wipe === undefined) return;
    const table = this.#published();
    if (table === undefined || !isAtRest(table)) return;
    const steadySinceMs = this.#nowMs - settleMs;
    if (this.#wipe !== undefined) {
      if (this.#answeredSinceWipeMs > leaseMs + settleMs) this.#wipe = undefined;
      return;
    }
    if (this.#storeAwayAtMs > steadySinceMs) return;
    for (const failure of this.#failures) {
      if (failure.endedAtMs > steadySinceMs) continue;
      const back = this.#cluster.up.filter((node) => failure.ids.includes(node.id));
      if (back.every((node) => this.#isMember(node))) this.#failures.delete(failure);
    }
  }

  #isMember({ id, cache }: ClusterNode): boolean {
    const table = this.#published();
    const member = table === undefined ? undefined : memberOf(table, id);
    return member?.dead === "" && member.incarnation === cache?.ring.incarnation;
  }

  /** Whether the published member may be a process that runs; one that is just starting may be a member already. */
  #mayRun(id: string): boolean {
    const node = this.#cluster.nodes.find((each) => each.id === id);
    return node !== undefined && (node.cache === undefined || this.#isMember(node));
  }

  /** Certainly. */
  #holds(id: string): boolean {
    const node = this.#cluster.nodes.find((each) => each.id === id);
    return node !== undefined && this.#isMember(node) && !this.mayBeGivenUp(id);
  }

  #survives(row: Row, ids: readonly string[]): boolean {
    if (row.owner === "") return true;
    const named = [row.owner, ...row.backups];
    if (!named.some((id) => ids.includes(id) && this.#mayRun(id))) return true;
    // An owner that fails may have dropped an extra copy by a write that is still on its way.
    const ownerStays = this.#holds(row.owner) && !ids.includes(row.owner);
    const certain = ownerStays ? named : row.backups.filter((id) => row.wanted.includes(id));
    return certain.some((id) => !ids.includes(id) && this.#holds(id) && !this.#mayBeDropped(id));
  }

  /** It leaves, and perhaps nobody else is in another zone than the owner: then that drops it and goes on with one copy less. */
  #mayBeDropped(id: string): boolean {
    return (
      this.#cluster.hasZones && this.#cluster.nodes.some((node) => node.id === id && node.state === "leaving")
    );
  }
}
