/**
 * One run: a cluster under load while nodes join and leave, the store is hostile and links fail; then all faults end,
 * the cluster must come to rest in a stated time, and what the clients were told must make sense.
 */
import { Clients, type Failure } from "./clients.ts";
import { Cluster, type ClusterNode, leaseMs, requestDeadlineMs } from "./cluster.ts";
import { checkLinearizability, describeVerdict } from "./linearizability.ts";
import type { Random } from "./random.ts";
import { Simulation } from "./sim-runtime.ts";
import { calmStore, hostileStore } from "./sim-store.ts";
import { Watchdog } from "./watchdog.ts";

/** In which a cluster without faults must be at rest. */
export const restWithinMs = 60_000;
const nodesMax = 6;
/** After an outage: leases are renewed, tables published, and what has waited is carried out. */
const recoveryMs = leaseMs + 3_000;

export interface ScenarioOptions {
  /**
   * Nodes also crash, stall and are cut off for longer than their lease. Without backups entries are lost then and
   * operations fail, so neither is judged: only that there is one owner at a time, and that the cluster recovers.
   */
  readonly deaths?: boolean;
  /** How long faults go on, in virtual milliseconds. */
  readonly faultsMs?: number;
  readonly onLine?: (line: string) => void;
}

export interface Report {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly hash: string;
  readonly events: number;
  readonly operations: number;
  readonly failures: number;
  readonly handoffs: number;
  readonly epochs: number;
  readonly longestWaitMs: number;
  readonly lines: readonly string[];
}

/** From when until when the store can't serve. */
interface Outage {
  readonly fromMs: number;
  readonly untilMs: number;
}

class Scenario {
  readonly #sim: Simulation;
  readonly #random: Random;
  readonly #cluster: Cluster;
  readonly #clients: Clients;
  readonly #watchdog: Watchdog;
  readonly #violations: string[] = [];
  readonly #outages: Outage[] = [];
  readonly #faultsMs: number;
  readonly #deaths: boolean;
  #serial = 0;
  #faulty = true;

  constructor(seed: number, { faultsMs = 60_000, deaths = false, onLine }: ScenarioOptions) {
    this.#sim = new Simulation(seed);
    this.#sim.onLine = onLine;
    this.#random = this.#sim.random.fork();
    this.#faultsMs = faultsMs;
    this.#deaths = deaths;
    const violation = (what: string): void => this.#violation(what);
    this.#cluster = new Cluster(this.#sim, { partitions: this.#random.integer(1, 24), violation });
    // From one machine to a slow network, on which a copy takes a while.
    const delayMs = this.#random.pick([0.1, 0.5, 2]);
    const bytesPerMs = this.#random.pick([200, 2_000, 100_000]);
    this.#cluster.network.profile = { delayMs, jitterMs: delayMs, bytesPerMs };
    this.#clients = new Clients(this.#cluster, 40);
    this.#watchdog = new Watchdog(this.#cluster, violation);
  }

  async run(): Promise<Report> {
    try {
      await this.#phases();
    } catch (error) {
      this.#violation(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    const { history, failures, longestWaitMs } = this.#clients;
    return {
      seed: this.#sim.seed,
      violations: this.#violations,
      hash: this.#sim.hash,
      events: this.#sim.events,
      operations: history.length,
      failures: failures.length,
      handoffs: this.#watchdog.handoffs,
      epochs: this.#watchdog.published?.epoch ?? 0,
      longestWaitMs,
      lines: this.#sim.lines,
    };
  }

  async #phases(): Promise<void> {
    const sim = this.#sim;
    const first = this.#random.integer(1, 3);
    for (let i = 0; i < first; i++) this.#join();
    await this.#rest("at the start");
    if (!this.#deaths) this.#watchdog.nothingMayBeLost();
    for (const thinkMsMax of [5, 40, 60, 100]) this.#clients.add(`c${thinkMsMax}`, thinkMsMax);

    this.#cluster.store.faults = hostileStore;
    this.#nextFault();
    await sim.run(sim.nowMs + this.#faultsMs);

    this.#faulty = false;
    this.#heal();
    await this.#rest("after the faults");
    await sim.run(sim.nowMs + 2_000);
    this.#clients.stop();
    await sim.runUntil(() => this.#clients.open === 0, 2 * requestDeadlineMs);
    this.#clients.readAll();
    await sim.runUntil(() => this.#clients.open === 0, 2 * requestDeadlineMs);
    if (this.#clients.open > 0) this.#violation(`${this.#clients.open} operations were never answered`);
    if (!this.#deaths) this.#judge();
  }

  async #rest(when: string): Promise<void> {
    const atRest = (): boolean => this.#watchdog.restless() === undefined;
    if (await this.#sim.runUntil(atRest, restWithinMs)) return;
    this.#violation(`no rest ${when} within ${restWithinMs} ms: ${this.#watchdog.restless()}`);
  }

  #judge(): void {
    for (const failure of this.#clients.failures) {
      if (!this.#isExcused(failure)) {
        const { client, node, what, error, fromMs, untilMs } = failure;
        const span = `${fromMs.toFixed(0)}..${untilMs.toFixed(0)}`;
        this.#violation(`${client} at ${node}, ${span}: ${what} failed with ${error.code}: ${error.message}`);
      }
    }
    const verdict = checkLinearizability(this.#clients.history);
    if (!verdict.ok) this.#violation(describeVerdict(verdict));
  }

  /** Only a deadline that passed while the store was away, or had just come back, is no fault of the cluster's. */
  #isExcused({ error, fromMs, untilMs }: Failure): boolean {
    const waited = untilMs - fromMs >= requestDeadlineMs * 0.98;
    const isDeadline = error.code === "DEADLINE_EXCEEDED" || error.code === "LINK_LOST";
    const during = this.#outages.some(
      (outage) => fromMs <= outage.untilMs + recoveryMs && untilMs >= outage.fromMs,
    );
    return waited && isDeadline && during;
  }

  #nextFault(): void {
    this.#sim.schedule(this.#random.between(200, 4_000), () => {
      if (!this.#faulty) return;
      this.#fault();
      this.#nextFault();
    });
  }

  #fault(): void {
    const random = this.#random;
    if (this.#deaths && random.chance(0.25)) {
      this.#die();
      return;
    }
    const chance = random.next();
    if (chance < 0.3) this.#join();
    else if (chance < 0.55) this.#leave();
    else if (chance < 0.6) this.#outage();
    else if (chance < 0.75) this.#breakLink();
    else if (chance < 0.85) this.#cutLink();
    else if (chance < 0.93) this.#slowLink();
    else this.#disturbNode();
  }

  /** Sometimes several at once. */
  #join(): void {
    do {
      if (this.#cluster.nodes.length >= nodesMax) return;
      this.#cluster.start(`n${++this.#serial}`);
    } while (this.#random.chance(0.3));
  }

  #leave(): void {
    do {
      const { up } = this.#cluster;
      if (up.length <= 1) return;
      const node = this.#random.pick(up);
      this.#cluster.leave(node).catch((error: unknown) => {
        this.#violation(`${node.id} failed to leave: ${String(error)}`);
      });
    } while (this.#random.chance(0.3));
  }

  #outage(): void {
    const { store } = this.#cluster;
    const durationMs = this.#random.between(4_000, 9_000);
    this.#outages.push({ fromMs: this.#sim.nowMs, untilMs: this.#sim.nowMs + durationMs });
    if (this.#random.chance(0.5)) {
      store.leaderGap(durationMs);
      return;
    }
    store.stop();
    this.#sim.schedule(durationMs, () => store.start());
  }

  #pair(): [string, string] | undefined {
    const { nodes } = this.#cluster;
    if (nodes.length < 2) return undefined;
    const one = this.#random.pick(nodes);
    return [one.id, this.#random.pick(nodes.filter((node) => node !== one)).id];
  }

  #breakLink(): void {
    const pair = this.#pair();
    if (pair !== undefined) this.#cluster.network.reset(...pair);
  }

  /** For less than anyone waits. */
  #cutLink(): void {
    const pair = this.#pair();
    if (pair === undefined) return;
    const [from, to] = pair;
    const { network } = this.#cluster;
    network.cutOneWay(from, to);
    this.#sim.schedule(this.#random.between(10, 1_500), () => network.heal(from, to));
  }

  #slowLink(): void {
    const pair = this.#pair();
    if (pair === undefined) return;
    const [from, to] = pair;
    const { network } = this.#cluster;
    const delayMs = this.#random.between(1, 100);
    network.setLink(from, to, { delayMs, jitterMs: delayMs, bytesPerMs: this.#random.between(50, 1_000) });
    this.#sim.schedule(this.#random.between(100, 5_000), () => network.setLink(from, to, undefined));
  }

  /** A stall of the whole process, or of its connection to the store, for less than its lease. */
  #disturbNode(): void {
    this.#disturb(this.#random.pick(this.#cluster.nodes), this.#random.between(10, 1_000));
  }

  #disturb(node: ClusterNode, durationMs: number): void {
    const { process, coordination } = node;
    if (this.#random.chance(0.5)) {
      process.pause();
      this.#sim.schedule(durationMs, () => process.resume());
      return;
    }
    coordination.cutOff();
    this.#sim.schedule(durationMs, () => coordination.reconnect());
  }

  /** Really, or as far as the others can tell. */
  #die(): void {
    const node = this.#random.pick(this.#cluster.nodes);
    if (this.#random.chance(0.3)) {
      this.#cluster.kill(node);
      this.#cluster.start(this.#random.chance(0.5) ? node.id : `n${++this.#serial}`);
      return;
    }
    this.#disturb(node, this.#random.between(0.5 * leaseMs, 3 * leaseMs));
  }

  #heal(): void {
    const { store, network, nodes } = this.#cluster;
    this.#sim.trace("sim", "all faults end");
    store.faults = calmStore;
    store.start();
    network.heal();
    for (const { process, coordination } of nodes) {
      process.resume();
      coordination.reconnect();
    }
  }

  #violation(what: string): void {
    // The first few say it all.
    if (this.#violations.length >= 20 || this.#violations.includes(what)) return;
    this.#violations.push(what);
    this.#sim.trace("sim", `VIOLATION ${what}`);
  }
}

export function runScenario(seed: number, options: ScenarioOptions = {}): Promise<Report> {
  return new Scenario(seed, options).run();
}
