/** Clients that use every node at once and write down what they asked and were told. */
import { type Command, noBytes, Op, type Reply } from "../../src/cache/command.ts";
import type { RingcacheError } from "../../src/errors.ts";
import type { Cluster, ClusterNode } from "./cluster.ts";
import type { Operation } from "./linearizability.ts";
import type { Random } from "./random.ts";

/** From a client to the node it uses. */
const wayMs = 0.1;

export interface Failure {
  readonly client: string;
  readonly node: string;
  readonly what: string;
  readonly error: RingcacheError;
  readonly fromMs: number;
  readonly untilMs: number;
}

type Kind = "get" | "set" | "delete" | "has";

export class Clients {
  readonly history: Operation[] = [];
  readonly failures: Failure[] = [];
  longestWaitMs = 0;
  readonly #cluster: Cluster;
  readonly #keys: readonly string[];
  #stopped = false;
  #moment = 0;
  #open = 0;

  constructor(cluster: Cluster, keyCount: number) {
    this.#cluster = cluster;
    this.#keys = Array.from({ length: keyCount }, (_, i) => `key-${i}`);
  }

  /** Operations under way. */
  get open(): number {
    return this.#open;
  }

  /** A client that, whenever it has its answer, thinks for a moment and asks the next node. */
  add(name: string, thinkMsMax: number): void {
    const random = this.#cluster.sim.random.fork();
    let serial = 0;
    const next = (): void => {
      this.#cluster.sim.schedule(random.between(0.1, thinkMsMax), () => {
        if (this.#stopped) return;
        const { up } = this.#cluster;
        if (up.length === 0) {
          next();
          return;
        }
        const kind = random.pick<Kind>(["get", "get", "get", "set", "set", "delete", "has"]);
        this.#ask(
          name,
          random.pick(up),
          kind,
          random.pick(this.#keys),
          value(random, `${name}.${serial++}`),
          next,
        );
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
      for (const key of this.#keys) this.#ask(`final-${node.id}`, node, "get", key, "", () => {});
    }
  }

  #ask(client: string, node: ClusterNode, kind: Kind, key: string, written: string, then: () => void): void {
    const { sim } = this.#cluster;
    const invokedAt = ++this.#moment;
    const fromMs = sim.nowMs;
    const call = { client, key, invokedAt };
    this.#open++;
    node.inFlight++;
    const command: Command = {
      op: Op[kind],
      key: Buffer.from(key),
      value: kind === "set" ? Buffer.from(written) : noBytes,
      expiresAtMs: 0,
    };
    let calls = 0;
    const done = (error: RingcacheError | undefined, reply: Reply | undefined): void => {
      if (++calls > 1) throw new Error(`${client} was answered twice: ${kind} ${key}`);
      this.#open--;
      node.inFlight--;
      this.longestWaitMs = Math.max(this.longestWaitMs, sim.nowMs - fromMs);
      const completedAt = ++this.#moment;
      if (reply !== undefined) {
        this.history.push(answered({ ...call, completedAt }, kind, written, reply));
      } else if (error !== undefined) {
        sim.trace(
          node.id,
          `failed ${kind} ${key} of ${client}: ${error.code} ${error.outcome} ${error.message}`,
        );
        this.failures.push({
          client,
          node: node.id,
          what: `${kind} ${key}`,
          error,
          fromMs,
          untilMs: sim.nowMs,
        });
        if (error.outcome === "unknown" && (kind === "set" || kind === "delete")) {
          const unknown = { ...call, completedAt: undefined };
          this.history.push(kind === "set" ? { ...unknown, kind, value: written } : { ...unknown, kind });
        }
      }
      then();
    };
    node.process.onCrash(() => {
      if (calls > 0) return;
      calls = 1;
      this.#open--;
      if (kind === "set") this.history.push({ ...call, completedAt: undefined, kind, value: written });
      if (kind === "delete") this.history.push({ ...call, completedAt: undefined, kind });
      then();
    });
    // In the node's own process: one that is stopped does nothing.
    node.process.after(wayMs, () => node.cache!.execute(command, done));
  }
}

/** Unique, so that every read tells which write it saw; now and then a long one. */
function value(random: Random, name: string): string {
  return random.chance(0.05) ? name.padEnd(random.integer(100, 20_000), "·") : name;
}

interface Answered {
  readonly client: string;
  readonly key: string;
  readonly invokedAt: number;
  readonly completedAt: number;
}

function answered(call: Answered, kind: Kind, written: string, reply: Reply): Operation {
  switch (kind) {
    case "get":
      return { ...call, kind, result: reply.found ? reply.value.toString() : undefined };
    case "set":
      return { ...call, kind, value: written };
    default:
      return { ...call, kind, result: reply.found };
  }
}
