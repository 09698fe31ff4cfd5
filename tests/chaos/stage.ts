/**
 * What every scenario of failures runs on: a nats-server and three nodes, each a process of its own, clients at all of
 * them all the time, and the judgement at the end.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, type TestContext } from "vitest";
import type { StatusReport } from "../../src/cache/command.ts";
import {
  checkLinearizability,
  describeOperation,
  describeVerdict,
  type Operation,
} from "../simulation/linearizability.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, eventually, type NodeProcess, settled, spread } from "../support/node-process.ts";
import { Ballast } from "./ballast.ts";
import { admissible, type Gap, longestGap } from "./judge.ts";
import { Door, Load } from "./load.ts";
import type { Network } from "./network.ts";

const logsDir = fileURLToPath(new URL("../../.artefacts/chaos", import.meta.url));
const partitions = 64;
const ids = ["node-1", "node-2", "node-3"];
/** Without any fault, to see what a gap is here anyway. */
const undisturbedMs = 1_500;
/** After the last fault, for the cluster to be whole again. */
const restoredMsMax = 40_000;
/** Clients go on for a while on the cluster that is whole again. */
const afterwardsMs = 500;

export interface StageOptions {
  readonly title: string;
  /** How long a client thinks between two operations, on average; more for scenarios that run side by side. */
  readonly thinkMs?: number;
  /** Entries beside those that clients use: what a handoff or a rebuild has to carry. */
  readonly ballast?: { readonly entries: number; readonly sizeBytes: number };
  /** No partition may go without an acknowledged operation for longer. */
  readonly gapMsMax: number;
  /** Nodes, nats-server and clients on machines of their own, as far as IP goes. */
  readonly network?: Network;
}

export class Stage {
  readonly nats: NatsServer;
  readonly cluster: Cluster;
  readonly doors: readonly Door[];
  readonly load: Load;
  readonly #options: StageOptions;
  readonly #ballast: Ballast;
  readonly #processes: NodeProcess[];

  private constructor(options: StageOptions, nats: NatsServer, cluster: Cluster, nodes: NodeProcess[]) {
    this.#options = options;
    this.nats = nats;
    this.cluster = cluster;
    this.#processes = nodes;
    this.doors = nodes.map((node) => new Door(node));
    const { thinkMs = 60 } = options;
    this.load = new Load(this.doors, { partitions, keysPerPartition: 1, clientsPerKey: 2, thinkMs });
    const { entries, sizeBytes } = options.ballast ?? { entries: 500, sizeBytes: 100 };
    this.#ballast = new Ballast(entries, sizeBytes);
  }

  static async open(options: StageOptions): Promise<Stage> {
    const { network } = options;
    const nats = await startNatsServer(
      network && { host: network.address("nats"), port: 4222, launcher: network.launcher("nats") },
    );
    const cluster = new Cluster(nats.url, ["--partitions", String(partitions), "--log-level", "debug"]);
    try {
      const nodes = await Promise.all(ids.map((id) => cluster.spawn(id, placeOf(network, id)).serving()));
      const stage = new Stage(options, nats, cluster, nodes);
      await stage.#restored(nodes);
      await stage.#ballast.store(nodes);
      return stage;
    } catch (error) {
      await cluster.end();
      await nats.stop();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.load.close();
    await this.cluster.end();
    await this.nats.stop();
  }

  get nodes(): NodeProcess[] {
    return this.doors.map((door) => door.node);
  }

  /** The door of the node that coordinates. */
  async coordinator(): Promise<Door> {
    const { coordinator } = await eventually(
      () => this.doors[0]!.node.status(),
      (status) => this.doors.some((door) => door.id === status.coordinator),
      "one of the nodes coordinates",
    );
    return this.doors.find((door) => door.id === coordinator)!;
  }

  async notCoordinator(): Promise<Door> {
    const coordinator = await this.coordinator();
    return this.doors.findLast((door) => door !== coordinator)!;
  }

  others(door: Door): Door[] {
    return this.doors.filter((other) => other !== door);
  }

  /** Starts a node: a fourth one, or one of the three anew. */
  spawn(id: string): NodeProcess {
    const node = this.cluster.spawn(id, placeOf(this.#options.network, id));
    this.#processes.push(node);
    return node;
  }

  /** SIGKILL; its clients go elsewhere. */
  async kill(door: Door): Promise<void> {
    door.state = "dead";
    await door.node.kill();
  }

  /**
   * Clients run, `faults` does what it is to do and returns the nodes that are to be there at the end; then the cluster must
   * become whole, and what clients saw is judged and printed.
   */
  async run(faults: () => Promise<readonly NodeProcess[]>): Promise<void> {
    this.load.run();
    const startedAtMs = performance.now();
    await pause(undisturbedMs);
    const faultAtMs = performance.now();
    const { acknowledged } = this.load;
    const usual = longestGap(acknowledged, startedAtMs + undisturbedMs / 3, faultAtMs);
    const nodes = await faults();
    const overAtMs = performance.now();
    const spreads = await this.#restored(nodes);
    const restoredMs = performance.now() - overAtMs;
    await pause(afterwardsMs);
    const gap = longestGap(acknowledged, faultAtMs, performance.now());
    await this.load.stop();
    await this.#judge(nodes, { usual, gap, restoredMs, spreads });
  }

  async #judge(
    nodes: readonly NodeProcess[],
    seen: { usual: Gap; gap: Gap; restoredMs: number; spreads: readonly number[] },
  ): Promise<void> {
    const { load } = this;
    const before = [...load.history];
    const finals = await load.readAll();
    const lost = [...lostKeys(before, finals), ...(await this.#ballast.missing(nodes))];
    const verdict = checkLinearizability(load.history);
    const { title, gapMsMax } = this.#options;
    const { usual, gap, restoredMs, spreads } = seen;
    const { excused, late } = load;
    const besides = [
      ...(excused.length > 0 ? [`${excused.length} at the node that failed`] : []),
      ...(late.length > 0 ? [`${late.length} before its partitions had moved`] : []),
    ];
    console.log(
      `chaos: ${title}: ${load.operations} operations, ${load.errors.length} errors` +
        `${besides.length > 0 ? ` (besides ${besides.join(", ")})` : ""}, ${lost.length} lost, ` +
        `${verdict.ok ? "linearizable" : "NOT LINEARIZABLE"}, longest gap ${Math.round(gap.ms)} ms ` +
        `(partition ${gap.partition}; ${Math.round(usual.ms)} ms without a fault), whole again after ${Math.round(restoredMs)} ms`,
    );
    expect(lost.slice(0, 10)).toEqual([]);
    expect(describeVerdict(verdict)).toBe("linearizable");
    expect(load.errors.slice(0, 10)).toEqual([]);
    expect(gap.ms).toBeLessThan(gapMsMax);
    for (const difference of spreads) expect(difference).toBeLessThanOrEqual(1);
    for (const node of this.#processes) expect(node.events("partitions-lost")).toEqual([]);
  }

  /** Every partition has an owner and as many copies as the nodes allow, none is on the move, and every node knows. */
  async #restored(nodes: readonly NodeProcess[]): Promise<number[]> {
    const copies = JSON.stringify({ [Math.min(2, nodes.length)]: partitions });
    const isWhole = (status: StatusReport): boolean =>
      status.under_replicated_partitions === 0 &&
      status.copying_partitions === 0 &&
      JSON.stringify(status.copies) === copies;
    const owned = await settled(nodes, restoredMsMax);
    for (const node of nodes)
      await eventually(() => node.status(), isWhole, `${node.id} sees all copies`, restoredMsMax);
    const held = (await nodes[0]!.status()).members.map((member) => member.backups);
    return [spread(owned), Math.max(...held) - Math.min(...held)];
  }

  /** What each process has said, for whoever looks for the cause of a failure. */
  keepLogs(): string {
    const folder = join(logsDir, this.#options.title.replace(/\W+/g, "-"));
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    this.#processes.forEach((node, i) => {
      writeFileSync(join(folder, `${i + 1}.${node.id}.log`), node.stdout + node.stderr);
    });
    writeFileSync(join(folder, "nats-server.log"), this.nats.output);
    const { errors, excused, late, history } = this.load;
    for (const [name, lines] of Object.entries({ errors, excused, late }))
      writeFileSync(join(folder, `${name}.log`), lines.join("\n"));
    writeFileSync(join(folder, "history.log"), history.map(describeOperation).join("\n"));
    return folder;
  }
}

/** Runs one scenario; whatever happens, no process of it stays. */
export async function onStage(
  options: StageOptions,
  faults: (stage: Stage) => Promise<readonly NodeProcess[]>,
): Promise<void> {
  const stage = await Stage.open(options);
  try {
    await stage.run(() => faults(stage));
  } catch (error) {
    console.log(`chaos: ${options.title}: FAILED; the logs are in ${stage.keepLogs()}`);
    throw error;
  } finally {
    await stage.close();
  }
}

/** Leaves a scenario out, and says so. */
export function leaveOut(context: TestContext, title: string, why: string): never {
  console.log(`chaos: ${title}: SKIPPED: ${why}`);
  return context.skip(why);
}

function lostKeys(
  history: readonly Operation[],
  finals: ReadonlyMap<string, readonly Operation[]>,
): string[] {
  const byKey = new Map<string, Operation[]>([...finals.keys()].map((key) => [key, []]));
  for (const operation of history) byKey.get(operation.key)!.push(operation);
  return [...finals].flatMap(([key, reads]) => {
    const values = admissible(byKey.get(key)!);
    const wrong = reads.filter((read) => read.kind === "get" && !values.has(read.result));
    return wrong.length === 0 ? [] : [`${key} must hold one of ${[...values]}, not ${JSON.stringify(wrong)}`];
  });
}

function placeOf(
  network: Network | undefined,
  id: string,
): { http?: string; args?: string[]; launcher?: string[] } {
  if (network === undefined) return {};
  const host = network.address(id);
  return { http: `${host}:8080`, args: ["--peer-port", `${host}:0`], launcher: network.launcher(id) };
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
