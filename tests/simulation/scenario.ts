/**
 * One run: a cluster under load while nodes join, leave, die and stall, links fail and the store is hostile; then all
 * faults end, the cluster must come to rest in a stated time, and what the clients were told must make sense.
 */
import { Clients, type Failure } from "./clients.ts";
import { Cluster, requestDeadlineMs } from "./cluster.ts";
import { Faults } from "./faults.ts";
import { Health } from "./health.ts";
import { checkLinearizability, describeVerdict, type Operation } from "./linearizability.ts";
import { everything, type RunProfile } from "./profiles.ts";
import type { Random } from "./random.ts";
import { drawSchedule, endMsOf, type Fault } from "./schedule.ts";
import { Simulation } from "./sim-runtime.ts";
import { calmStore } from "./sim-store.ts";
import { Watchdog } from "./watchdog.ts";

/** In which a cluster without faults must be at rest. */
export const restWithinMs = 60_000;
/** How long clients go on after that. */
const calmMs = 300;
/** A store that is away for longer sees slower clients: a run of ten minutes is to end. */
const longOutageMs = 10_000;
const lookEveryMs = 20;
const clientsDefault = 6;
const thinkMsDefault = [100, 350] as const;
const violationsMax = 20;
/** Violations of what can hold only if somebody knows the last table. */
const agreementKinds = new Set(["owners", "epoch", "term", "copies", "death"]);

export interface ScenarioOptions {
  readonly profile?: RunProfile;
  /** Instead of the one that the seed gives. */
  readonly schedule?: readonly Fault[];
  readonly onLine?: (line: string) => void;
}

export interface Violation {
  /** The same for failures of the same sort. */
  readonly kind: string;
  readonly what: string;
}

export interface Report {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly schedule: readonly Fault[];
  readonly settings: Settings;
  readonly hash: string;
  readonly events: number;
  readonly faults: number;
  readonly operations: number;
  readonly failures: number;
  readonly handoffs: number;
  readonly promotions: number;
  readonly epochs: number;
  readonly longestWaitMs: number;
  /** What clients asked and were told. */
  readonly history: readonly Operation[];
  /** Of the trace, oldest first. */
  readonly lines: readonly string[];
}

export interface Settings {
  readonly backups: number;
  /** No more fails at once than the backups make good; else only what must hold even then is judged. */
  readonly careful: boolean;
  readonly partitions: number;
  readonly zones: readonly string[];
  readonly nodes: number;
  readonly keys: number;
  readonly delayMs: number;
  readonly bytesPerMs: number;
  readonly splitsMax: number;
  readonly clients: number;
  /** How long each thinks at most before it asks again. */
  readonly thinkMs: number;
  /** Of each node, for its entries; 0: enough. */
  readonly memoryBytes: number;
}

function drawSettings(random: Random, profile: RunProfile): Settings {
  const backups = random.pick(profile.backups);
  return {
    backups,
    careful: !random.chance(profile.reckless),
    partitions: random.integer(1, random.chance(0.2) ? 16 : 6),
    zones: random.chance(profile.zones)
      ? random.pick([
          ["a", "b"],
          ["a", "b", "c"],
          ["a", "a", ""],
        ])
      : [],
    nodes: random.integer(1, 2) + random.integer(profile.nodesMore ?? 0, backups + 1),
    keys: random.integer(4, 20),
    // From one machine to a slow network, on which a copy takes a while.
    delayMs: random.pick(profile.delayMs ?? [0.1, 0.5, 2]),
    bytesPerMs: random.pick([200, 2_000, 100_000]),
    splitsMax: random.pick([1, 1, 3]),
    clients: profile.clients ?? clientsDefault,
    thinkMs: random.between(...(profile.thinkMs ?? thinkMsDefault)),
    memoryBytes: profile.memoryBytes === undefined ? 0 : random.integer(...profile.memoryBytes),
  };
}

class Scenario {
  readonly #sim: Simulation;
  readonly #settings: Settings;
  readonly #profile: RunProfile;
  readonly #schedule: readonly Fault[];
  readonly #cluster: Cluster;
  readonly #clients: Clients;
  readonly #watchdog: Watchdog;
  readonly #health: Health;
  readonly #faults: Faults;
  readonly #violations: Violation[] = [];

  constructor(seed: number, { profile = everything, schedule, onLine }: ScenarioOptions) {
    this.#profile = profile;
    this.#sim = new Simulation(seed);
    this.#sim.onLine = onLine;
    this.#settings = drawSettings(this.#sim.random.fork(), profile);
    const drawn = drawSchedule(this.#sim.random.fork(), profile);
    this.#schedule = schedule ?? drawn;
    const violation = (kind: string, what: string): void => this.#violation(kind, what);
    const { careful, delayMs, bytesPerMs, splitsMax } = this.#settings;
    const cluster = new Cluster(this.#sim, { ...this.#settings, violation });
    this.#cluster = cluster;
    cluster.network.profile = { delayMs, jitterMs: delayMs, bytesPerMs };
    cluster.network.splitsMax = splitsMax;
    cluster.network.lossAtCrash = 0.5;
    this.#watchdog = new Watchdog({ cluster, careful, violation });
    this.#health = new Health(cluster, () => this.#watchdog.published);
    this.#watchdog.health = this.#health;
    this.#faults = new Faults({ cluster, health: this.#health, careful, violation });
    this.#clients = new Clients({
      cluster,
      keyCount: this.#settings.keys,
      appends: this.#profile.appends ?? 0,
      acknowledged: (node, partition) => this.#watchdog.acknowledged(node, partition),
      failed: (failure) => this.#judgeFailure(failure),
    });
  }

  async run(): Promise<Report> {
    try {
      await this.#phases();
    } catch (error) {
      this.#violation("defect", error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    const { history, failures, longestWaitMs } = this.#clients;
    return {
      seed: this.#sim.seed,
      violations: this.#violations,
      schedule: this.#schedule,
      settings: this.#settings,
      hash: this.#sim.hash,
      events: this.#sim.events,
      faults: this.#faults.done,
      operations: history.length,
      history,
      failures,
      handoffs: this.#watchdog.handoffs,
      promotions: this.#watchdog.promotions,
      epochs: this.#watchdog.published?.epoch ?? 0,
      longestWaitMs,
      lines: this.#sim.lines,
    };
  }

  async #phases(): Promise<void> {
    const sim = this.#sim;
    sim.trace("sim", `settings ${JSON.stringify(this.#settings)}`);
    this.#faults.join(this.#settings.nodes);
    await this.#rest("at the start");
    for (let i = 1; i <= this.#settings.clients; i++) this.#clients.add(`c${i}`, this.#settings.thinkMs);

    this.#cluster.store.faults = this.#profile.store;
    for (const fault of this.#schedule) this.#plan(fault);
    await sim.run(sim.nowMs + endMsOf(this.#schedule) + 500);

    sim.trace("sim", "all faults end");
    this.#cluster.store.faults = calmStore;
    this.#faults.heal();
    await this.#rest("after the faults");
    await sim.run(sim.nowMs + calmMs);
    this.#clients.stop();
    await sim.runUntil(() => this.#clients.open === 0, 2 * requestDeadlineMs);
    this.#watchdog.compareCopies();
    this.#clients.readAll();
    await sim.runUntil(() => this.#clients.open === 0, 2 * requestDeadlineMs);
    const { open } = this.#clients;
    if (open > 0) this.#violation("unanswered", `${open} operations were never answered`);
    this.#judgeHistory();
  }

  #plan(fault: Fault): void {
    this.#sim.schedule(fault.atMs, () => this.#faults.run(fault));
    if (!fault.kind.startsWith("store") || fault.forMs < longOutageMs) return;
    this.#sim.schedule(fault.atMs + longOutageMs, () => {
      this.#clients.slowness = fault.forMs / longOutageMs;
    });
    this.#sim.schedule(fault.atMs + fault.forMs - 500, () => {
      this.#clients.slowness = 1;
    });
  }

  async #rest(when: string): Promise<void> {
    let lookAtMs = 0;
    const atRest = (): boolean => {
      if (this.#sim.nowMs < lookAtMs) return false;
      lookAtMs = this.#sim.nowMs + lookEveryMs;
      // The last one may have been about to leave.
      if (this.#cluster.nodes.length === 0) this.#faults.startOne();
      return this.#watchdog.restless() === undefined;
    };
    if (await this.#sim.runUntil(atRest, restWithinMs)) return;
    this.#violation("rest", `no rest ${when} within ${restWithinMs} ms: ${this.#watchdog.restless()}`);
  }

  /** Clients of a node that failed may see errors; others only if what failed was more than the cluster can make good. */
  #judgeFailure({ client, node, partition, what, error, fromMs, untilMs }: Failure): void {
    if (!this.#settings.careful || this.#health.excuses(node, partition, fromMs, untilMs)) return;
    const span = `${fromMs.toFixed(0)}..${untilMs.toFixed(0)}`;
    const why = `${error.code}: ${error.message}`;
    this.#violation(
      "error",
      `${client} at ${node}, ${span}: ${what} in partition ${partition} failed with ${why}`,
    );
  }

  /** A partition of which no table ever said that it was lost has lost nothing, however much has failed. */
  #judgeHistory(): void {
    if (this.#health.overstepped) return;
    const { history } = this.#clients;
    const kept = history.filter(({ key }) => !this.#watchdog.lost.has(this.#clients.partitionOf(key)));
    const verdict = checkLinearizability(kept, { evicts: this.#settings.memoryBytes > 0 });
    if (!verdict.ok) this.#violation("history", describeVerdict(verdict));
  }

  #violation(kind: string, what: string): void {
    // The store and more nodes than there are backups failed together: nobody knows what was agreed.
    if (this.#health?.overstepped === true && agreementKinds.has(kind)) return;
    // The first few say it all.
    if (this.#violations.length >= violationsMax) return;
    if (this.#violations.some((known) => known.kind === kind && known.what === what)) return;
    this.#violations.push({ kind, what });
    this.#sim.trace("sim", `VIOLATION ${kind}: ${what}`);
  }
}

export function runScenario(seed: number, options: ScenarioOptions = {}): Promise<Report> {
  return new Scenario(seed, options).run();
}
