/** Does to the cluster what a schedule says. */
import type { Cluster, ClusterNode } from "./cluster.ts";
import type { Health } from "./health.ts";
import { type Fault, formatFault } from "./schedule.ts";

export const nodesMax = 6;
/** Longer than this, a disturbance counts as a failure: a renewal or three pings may be missing. */
const harmlessMsMax = 800;
/** If the store answers for so long, every member that reaches it has noticed that its data is gone. */
const noticedMs = 2_000;

export interface FaultsOptions {
  readonly cluster: Cluster;
  readonly health: Health;
  /** Nothing is done that would make more nodes fail than the cluster is to survive. */
  readonly careful: boolean;
  violation(kind: string, what: string): void;
}

export class Faults {
  readonly #options: FaultsOptions;
  readonly #cluster: Cluster;
  readonly #health: Health;
  /** What ends each of the faults under way. */
  readonly #ends = new Set<() => void>();
  readonly #cuts = new Map<string, number>();
  readonly #pauses = new Map<ClusterNode["process"], number>();
  #serial = 0;
  #done = 0;

  constructor(options: FaultsOptions) {
    this.#options = options;
    this.#cluster = options.cluster;
    this.#health = options.health;
  }

  /** How many faults were carried out. */
  get done(): number {
    return this.#done;
  }

  run(fault: Fault): void {
    const skipped = this.#carryOut(fault);
    const { sim } = this.#cluster;
    if (skipped === undefined) this.#done++;
    sim.trace(
      "fault",
      `${formatFault(fault).trim()}${skipped === undefined ? "" : ` (left out: ${skipped})`}`,
    );
  }

  /** A node starts, whatever there is. */
  startOne(): void {
    this.#cluster.start(`n${++this.#serial}`);
  }

  join(count: number): string | undefined {
    let started = 0;
    if (this.#unnoticedMs > 0) return "the members' records may not be there again";
    while (started < count && this.#cluster.nodes.length < nodesMax) {
      this.startOne();
      started++;
    }
    return started > 0 ? undefined : "enough nodes";
  }

  /** Everything that is under way ends. */
  heal(): void {
    for (const end of [...this.#ends]) end();
  }

  /** Says why the fault was left out, if it was. */
  #carryOut(fault: Fault): string | undefined {
    const { network, store } = this.#cluster;
    const { forMs } = fault;
    switch (fault.kind) {
      case "join":
        return this.join(fault.size);
      case "leave":
        return this.#leave(fault);
      case "kill":
        return this.#kill(fault, false);
      case "restart":
        return this.#kill(fault, true);
      case "restart-all":
        return this.#restartAll(forMs);
      case "pause":
        return this.#one(fault, true, (node) => this.#pause(node));
      case "cut-store":
        if (this.#options.careful && this.#cluster.backups === 0 && forMs > harmlessMsMax) {
          return "what it is given before anyone notices would be lost";
        }
        return this.#one(fault, false, (node) => this.#cluster.cutFromStore(node.id));
      case "blackout":
        return this.#cutOff(fault, "both", true);
      case "isolate":
        return this.#cutOff(fault, "both");
      case "deaf":
        return this.#cutOff(fault, "in");
      case "mute":
        return this.#cutOff(fault, "out");
      case "cut-pair":
        return this.#pairCut(fault, "both");
      case "cut-one-way":
        return this.#pairCut(fault, "out");
      case "split":
        return this.#split(fault);
      case "slow-link":
        return this.#pair(fault, (a, b) => this.#slow(a, [b], fault));
      case "slow-node":
        return this.#withNode(fault, (node) => this.#slow(node, this.#others(node), fault));
      case "break-link":
        return this.#pair(fault, (a, b) => {
          network.reset(a.id, b.id);
          return undefined;
        });
      case "break-node":
        return this.#withNode(fault, (node) => {
          for (const other of this.#others(node)) network.reset(node.id, other.id);
          return undefined;
        });
      case "rewatch":
        return this.#withNode(fault, (node) => {
          this.#until(forMs, this.#cluster.cutFromStore(node.id));
          return undefined;
        });
      case "store-gap":
        this.#health.outageBegins();
        store.leaderGap(forMs);
        return undefined;
      case "store-stop":
        this.#health.outageBegins();
        store.stop();
        this.#until(forMs, () => store.start());
        return undefined;
      case "store-wipe":
        if (this.#options.careful && !this.#health.mayWipe()) return "too much has failed";
        if (this.#cluster.nodes.some(({ state }) => state === "starting")) return "a node is starting";
        this.#health.wiped();
        store.wipe();
        return undefined;
    }
  }

  #leave(fault: Fault): string | undefined {
    const { up } = this.#cluster;
    if (up.length <= 1) return "the last node";
    const node = up[fault.node % up.length]!;
    if (this.#options.careful && !this.#health.remains([node.id])) return "nobody well would stay";
    if (this.#options.careful && this.#health.wouldTear(node.id)) return "either of two might give up";
    // Nor would it know of those that wait until they reach it: it would leave as the last.
    if (this.#options.careful && this.#health.isTorn) return "it may be the one of two that has everything";
    // With it may go the last that isn't in an owner's zone: then a partition is to have one copy less.
    if (this.#options.careful && this.#cluster.hasZones && this.#health.hasFailures) {
      return "the others may all be in one zone";
    }
    this.#cluster.leave(node).catch((error: unknown) => {
      this.#options.violation("leave", `${node.id} failed to leave: ${String(error)}`);
    });
    return undefined;
  }

  #kill(fault: Fault, again: boolean): string | undefined {
    return this.#withNode(fault, (node) => {
      const failure = { silent: false, weight: 1 };
      if (this.#options.careful && this.#health.wouldTear(node.id)) return "either of two might give up";
      if (this.#options.careful && !this.#health.mayFail([node.id], failure)) return "too much has failed";
      this.#health.fail([node.id], failure)();
      this.#cluster.kill(node);
      if (again) this.#restart([node.id], fault.forMs);
      return undefined;
    });
  }

  #restartAll(afterMs: number): string | undefined {
    if (this.#options.careful) return "everything would be lost";
    const { nodes } = this.#cluster;
    const ids = nodes.map((node) => node.id);
    this.#health.fail(ids, { silent: false, weight: ids.length })();
    for (const node of [...nodes]) this.#cluster.kill(node);
    this.#restart(ids, afterMs);
    return undefined;
  }

  #restart(ids: readonly string[], afterMs: number): void {
    this.#until(afterMs, () => {
      // A node that starts on an empty store while nobody else has noticed can't know that it had been another's.
      const unnoticedMs = this.#unnoticedMs;
      if (unnoticedMs > 0) {
        // A little more, so that rounding can't make it the same moment again and again.
        this.#restart(ids, unnoticedMs + 1);
        return;
      }
      for (const id of ids) {
        if (this.#cluster.nodes.every((node) => node.id !== id)) this.#cluster.start(id);
      }
    });
  }

  get #unnoticedMs(): number {
    return noticedMs - (this.#health.answeredSinceWipeMs ?? noticedMs);
  }

  /** A disturbance of one node, that is a failure if it takes long. */
  #one(fault: Fault, silent: boolean, begin: (node: ClusterNode) => () => void): string | undefined {
    return this.#withNode(fault, (node) => this.#disturb([[node.id]], fault, silent, () => begin(node)));
  }

  /** Cuts a node off from all others. Of two that are left, the one that goes on may be either. */
  #cutOff(fault: Fault, way: Way, storeToo = false): string | undefined {
    return this.#withNode(fault, (node) => {
      const others = this.#others(node).map(({ id }) => id);
      const well = others.filter((id) => !this.#health.mayBeGivenUp(id));
      const sides = well.length <= 1 || this.#health.members <= 2 ? [[node.id], others] : [[node.id]];
      return this.#disturb(sides, fault, true, () => {
        const end = this.#cut(node.id, this.#hostsBut(node.id), way);
        const reconnect = storeToo ? this.#cluster.cutFromStore(node.id) : undefined;
        return () => {
          end();
          reconnect?.();
        };
      });
    });
  }

  #pairCut(fault: Fault, way: Way): string | undefined {
    return this.#pair(fault, (a, b) =>
      this.#disturb([[a.id], [b.id]], fault, true, () => this.#cut(a.id, [b.id], way)),
    );
  }

  #split(fault: Fault): string | undefined {
    const { nodes } = this.#cluster;
    const one = nodes.filter((_, i) => ((fault.other >> i) & 1) === 1);
    const rest = nodes.filter((node) => !one.includes(node));
    if (one.length === 0 || rest.length === 0) return "nobody on the other side";
    const sides = [one, rest].map((side) => side.map((node) => node.id));
    return this.#disturb(sides, fault, true, () => {
      const ends = one.map(({ id }) => this.#cut(id, sides[1]!, "both"));
      return () => {
        for (const end of ends) end();
      };
    });
  }

  /** `sides`: any one of them may be the one that fails. */
  #disturb(
    sides: readonly (readonly string[])[],
    { forMs }: Fault,
    silent: boolean,
    begin: () => () => void,
  ): string | undefined {
    const health = this.#health;
    const ids = sides.flat();
    const isTear = sides.length > 1 && (health.members <= 2 || health.well <= 2);
    const harmless = forMs <= harmlessMsMax && health.isHarmless(ids);
    const weight = Math.min(...sides.map((side) => side.length));
    if (!harmless && this.#options.careful) {
      if (!sides.every((side) => health.mayFail(side, { silent, weight }))) return "too much has failed";
    }
    const recover = harmless ? health.touch(ids) : health.fail(ids, { silent, weight, isTear });
    const end = begin();
    this.#until(forMs, () => {
      end();
      recover();
    });
    return undefined;
  }

  #pause(node: ClusterNode): () => void {
    const { process } = node;
    this.#pauses.set(process, (this.#pauses.get(process) ?? 0) + 1);
    process.pause();
    return () => {
      const left = this.#pauses.get(process)! - 1;
      this.#pauses.set(process, left);
      if (left === 0) process.resume();
    };
  }

  #cut(host: string, others: readonly string[], way: Way): () => void {
    const paths: [string, string][] = [];
    for (const other of others) {
      if (way !== "in") paths.push([host, other]);
      if (way !== "out") paths.push([other, host]);
    }
    const { network } = this.#cluster;
    const count = ([from, to]: [string, string], change: number): number => {
      const now = (this.#cuts.get(`${from}>${to}`) ?? 0) + change;
      this.#cuts.set(`${from}>${to}`, now);
      return now;
    };
    for (const path of paths) if (count(path, 1) === 1) network.cutOneWay(...path);
    return () => {
      for (const path of paths) if (count(path, -1) === 0) network.heal(...path);
    };
  }

  #slow(node: ClusterNode, others: readonly ClusterNode[], { forMs, size }: Fault): undefined {
    const { network } = this.#cluster;
    const profile = { delayMs: size, jitterMs: size, bytesPerMs: Math.max(200, 20 * size) };
    for (const { id } of others) network.setLink(node.id, id, profile);
    this.#until(forMs, () => {
      for (const { id } of others) network.setLink(node.id, id, undefined);
    });
  }

  #others(node: ClusterNode): ClusterNode[] {
    return this.#cluster.nodes.filter((other) => other !== node);
  }

  /** All that there are and that may still come while the fault lasts. */
  #hostsBut(id: string): string[] {
    const all = Array.from({ length: this.#serial + nodesMax }, (_, i) => `n${i + 1}`);
    return all.filter((host) => host !== id);
  }

  #withNode({ node }: Fault, then: (node: ClusterNode) => string | undefined): string | undefined {
    const { nodes } = this.#cluster;
    return nodes.length === 0 ? "no node" : then(nodes[node % nodes.length]!);
  }

  #pair(fault: Fault, then: (a: ClusterNode, b: ClusterNode) => string | undefined): string | undefined {
    return this.#withNode(fault, (node) => {
      const others = this.#others(node);
      return others.length === 0 ? "no other node" : then(node, others[fault.other % others.length]!);
    });
  }

  /** Ends the fault after that time, or when all of them are to end. */
  #until(forMs: number, end: () => void): void {
    const once = (): void => {
      if (this.#ends.delete(once)) end();
    };
    this.#ends.add(once);
    this.#cluster.sim.schedule(forMs, once);
  }
}

type Way = "both" | "in" | "out";
