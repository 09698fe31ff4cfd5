/** Clients that use every node at once and write down what they asked and were told. */
import { type Command, noBytes, Op, type Reply, RunCommand } from "../../src/cache/command.ts";
import { decodeResults, StepCode } from "../../src/cache/steps/step.ts";
import type { RingcacheError } from "../../src/errors.ts";
import { partitionOf, slotOf } from "../../src/ring/slots.ts";
import type { Cluster, ClusterNode } from "./cluster.ts";
import type { Operation, Value } from "./linearizability.ts";
import type { SimNode } from "./sim-runtime.ts";

/** What long values end in. */
const padding = "~";
/** Now and then a client has nothing to ask for a while. */
const napChance = 0.05;
const napMs = [200, 1_500] as const;
/** From a client to the node it uses. */
const wayMs = 0.1;

export interface Failure {
  readonly client: string;
  readonly node: string;
  readonly partition: number;
  readonly what: string;
  readonly error: RingcacheError;
  readonly fromMs: number;
  readonly untilMs: number;
}

type Kind = "get" | "set" | "append" | "delete" | "has" | "cas";
const kinds: readonly Kind[] = [
  "get",
  "get",
  "get",
  "get",
  "set",
  "set",
  "set",
  "delete",
  "has",
  "cas",
  "cas",
];

/** What a client wants of a key. */
interface Asked {
  readonly kind: Kind;
  readonly key: string;
  /** Of set, append and cas. */
  readonly value: string;
  /** Of cas. */
  readonly expected: Value;
}

export interface ClientsOptions {
  readonly cluster: Cluster;
  readonly keyCount: number;
  /** The probability of an append: what is done twice, or not at all, shows in every later read. */
  readonly appends: number;
  /** In the turn in which a node has carried an operation out for a client of its own. */
  acknowledged(node: ClusterNode, partition: number): void;
  failed(failure: Failure): void;
}

export class Clients {
  readonly history: Operation[] = [];
  failures = 0;
  longestWaitMs = 0;
  /** More than 1: every client thinks so many times longer. */
  slowness = 1;
  readonly #options: ClientsOptions;
  readonly #cluster: Cluster;
  readonly #keys: readonly string[];
  /** Per key the value of the last write that was acknowledged or read that was answered: a good guess for a cas. */
  readonly #lastSeen = new Map<string, Value>();
  /** How many bytes the value of each name has. */
  readonly #sizes = new Map<string, number>();
  /** Of each process, what becomes of the operations under way when it crashes. */
  readonly #atCrash = new WeakMap<SimNode, Set<() => void>>();
  #stopped = false;
  #moment = 0;
  #open = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
    this.#cluster = options.cluster;
    this.#keys = Array.from({ length: options.keyCount }, (_, i) => `key-${i}`);
  }

  /** Operations under way. */
  get open(): number {
    return this.#open;
  }

  partitionOf(key: string): number {
    return partitionOf(slotOf(Buffer.from(key)), this.#cluster.partitions);
  }

  /** A client that, whenever it has its answer, thinks for a moment and asks another node. */
  add(name: string, thinkMsMax: number): void {
    const random = this.#cluster.sim.random.fork();
    let serial = 0;
    const next = (): void => {
      const thinkMs = random.chance(napChance) ? random.between(...napMs) : random.between(0.1, thinkMsMax);
      this.#cluster.sim.schedule(thinkMs * this.slowness, () => {
        if (this.#stopped) return;
        const { up } = this.#cluster;
        if (up.length === 0) {
          next();
          return;
        }
        // Half of all operations are on two keys: what is in doubt is asked for at once.
        const key = random.pick(random.chance(0.5) ? this.#keys.slice(0, 2) : this.#keys);
        const expected = random.chance(0.15) ? undefined : this.#lastSeen.get(key);
        const value = `${name}.${serial++}`;
        // Now and then a long one.
        // Not where it may be appended to: its name would not tell how long it is.
        const { appends } = this.#options;
        const isLong = random.chance(0.05) && appends === 0;
        this.#sizes.set(value, isLong ? random.integer(100, 20_000) : value.length);
        const kind = appends > 0 && random.chance(appends) ? "append" : random.pick(kinds);
        this.#ask(name, random.pick(up), { kind, key, value, expected }, next);
      });
    };
    next();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Reads every key through every node that is up. */
  readAll(): void {
    for (const node of this.#cluster.up) {
      for (const key of this.#keys) {
        this.#ask(`final-${node.id}`, node, { kind: "get", key, value: "", expected: undefined }, () => {});
      }
    }
  }

  #ask(client: string, node: ClusterNode, asked: Asked, then: () => void): void {
    const { sim } = this.#cluster;
    const { key } = asked;
    const call = { client, key, invokedAt: ++this.#moment };
    const fromMs = sim.nowMs;
    this.#open++;
    node.inFlight++;
    let answered = false;
    const done = (error: RingcacheError | undefined, reply: Reply | undefined): void => {
      if (answered) throw new Error(`${client} was answered twice: ${asked.kind} ${key}`);
      answered = true;
      atCrash.delete(crashed);
      this.#open--;
      node.inFlight--;
      this.longestWaitMs = Math.max(this.longestWaitMs, sim.nowMs - fromMs);
      if (reply !== undefined) this.#answered({ ...call, completedAt: ++this.#moment }, asked, reply);
      else if (error !== undefined) this.#failed(call, node, asked, error, fromMs);
      then();
    };
    const atCrash = this.#atCrashOf(node.process);
    const crashed = (): void => {
      answered = true;
      this.#open--;
      this.#unknown(call, asked);
      then();
    };
    atCrash.add(crashed);
    // In the node's own process: one that is stopped does nothing.
    node.process.after(wayMs, () => {
      const failures = this.failures;
      node.cache!.execute(this.#commandOf(asked), done);
      if (answered && this.failures === failures) this.#options.acknowledged(node, this.partitionOf(key));
    });
  }

  #answered(call: Completed, asked: Asked, reply: Reply): void {
    const operation = operationOf(call, asked, reply, () => this.#nameOf(reply.value));
    this.history.push(operation);
    if (operation.kind === "get") this.#lastSeen.set(call.key, operation.result);
    else if (operation.kind === "set" || (operation.kind === "cas" && operation.result === true)) {
      this.#lastSeen.set(call.key, operation.value);
    } else if (operation.kind === "delete") this.#lastSeen.set(call.key, undefined);
  }

  #failed(call: Called, node: ClusterNode, asked: Asked, error: RingcacheError, fromMs: number): void {
    const { sim } = this.#cluster;
    const what = `${asked.kind} ${asked.key}`;
    sim.trace(node.id, `failed ${what} of ${call.client}: ${error.code} ${error.outcome} ${error.message}`);
    this.failures++;
    if (error.outcome === "unknown") this.#unknown(call, asked);
    this.#options.failed({
      client: call.client,
      node: node.id,
      partition: this.partitionOf(asked.key),
      what,
      error,
      fromMs,
      untilMs: sim.nowMs,
    });
  }

  #atCrashOf(process: SimNode): Set<() => void> {
    const known = this.#atCrash.get(process);
    if (known !== undefined) return known;
    const made = new Set<() => void>();
    this.#atCrash.set(process, made);
    process.onCrash(() => {
      for (const crashed of made) crashed();
    });
    return made;
  }

  #commandOf({ kind, key, value, expected }: Asked): Command {
    if (kind === "append") {
      const keys = [Buffer.from(key)] as const;
      return new RunCommand([{ code: StepCode.append, keys, args: [Buffer.from(value)] }], keys[0]);
    }
    return {
      op: Op[kind],
      key: Buffer.from(key),
      value: kind === "set" || kind === "cas" ? this.#bytesOf(value) : noBytes,
      expiresAtMs: 0,
      expected: kind === "cas" && expected !== undefined ? this.#bytesOf(expected) : undefined,
    };
  }

  /** The history has values by their names: unique, so that every read tells which write it saw, and short. */
  #bytesOf(name: string): Buffer {
    return Buffer.from(name.padEnd(this.#sizes.get(name) ?? 0, padding), "latin1");
  }

  /** Bytes that nobody wrote are their own name. */
  #nameOf(bytes: Buffer): string {
    const text = bytes.toString("latin1");
    const padAt = text.indexOf(padding);
    const name = padAt < 0 ? text : text.slice(0, padAt);
    return name.padEnd(this.#sizes.get(name) ?? 0, padding) === text ? name : text;
  }

  /** It may have been carried out, and may still be. */
  #unknown(call: Called, { kind, value, expected }: Asked): void {
    const unknown = { ...call, completedAt: undefined };
    if (kind === "set" || kind === "append") this.history.push({ ...unknown, kind, value });
    else if (kind === "delete") this.history.push({ ...unknown, kind });
    else if (kind === "cas") this.history.push({ ...unknown, kind, value, expected });
  }
}

interface Called {
  readonly client: string;
  readonly key: string;
  readonly invokedAt: number;
}

interface Completed extends Called {
  readonly completedAt: number;
}

function operationOf(
  call: Completed,
  { kind, value, expected }: Asked,
  reply: Reply,
  got: () => string,
): Operation {
  const { found } = reply;
  switch (kind) {
    case "append": {
      const [length] = reply.results ?? decodeResults(reply.value);
      return { ...call, kind, value, result: length as number };
    }
    case "get":
      return { ...call, kind, result: found ? got() : undefined };
    case "set":
      return { ...call, kind, value };
    case "cas":
      return { ...call, kind, value, expected, result: found };
    default:
      return { ...call, kind, result: found };
  }
}
