/** Clients that write, read and delete a few keys all the time, through every door, and write down what they are told. */
import { partitionOf, slotOf } from "../../src/ring/slots.ts";
import type { Operation } from "../simulation/linearizability.ts";
import { HttpClient, type JsonAnswer } from "../support/http-client.ts";
import type { NodeProcess } from "../support/node-process.ts";

/** Beyond every deadline of a node: an answer that takes longer never comes. */
const answerMsMax = 30_000;
/** After an error, so that a door that refuses at once isn't stormed. */
const errorPauseMs = 50;

/**
 * `open`: its clients expect an answer to everything. `leaving`: it is stopped in good order; they go elsewhere and still
 * expect answers. `failing`: they stay, and errors are excused. `dead`: they go elsewhere, errors are excused.
 */
export type DoorState = "open" | "leaving" | "failing" | "dead";

/** One node's HTTP door, over which clients hold keep-alive connections. */
export class Door {
  readonly id: string;
  #node: NodeProcess;
  #http: HttpClient;
  #state: DoorState = "open";
  #openSinceMs = Number.NEGATIVE_INFINITY;

  constructor(node: NodeProcess) {
    this.id = node.id;
    this.#node = node;
    this.#http = clientOf(node);
  }

  get node(): NodeProcess {
    return this.#node;
  }

  get http(): HttpClient {
    return this.#http;
  }

  get state(): DoorState {
    return this.#state;
  }

  set state(state: DoorState) {
    if (state === "open" && this.#state !== "open") this.#openSinceMs = performance.now();
    this.#state = state;
  }

  /** The node is back as another process. */
  reopen(node: NodeProcess): void {
    this.#http.close();
    this.#node = node;
    this.#http = clientOf(node);
    this.state = "open";
  }

  /** Whether an operation that began at `invokedAt` and fails now is no error of the cluster. */
  excuses(invokedAt: number): boolean {
    if (this.#state === "failing" || this.#state === "dead") return true;
    return invokedAt < this.#openSinceMs;
  }
}

function clientOf(node: NodeProcess): HttpClient {
  return new HttpClient(node.httpPort, 256, node.httpHost);
}

export interface LoadOptions {
  readonly partitions: number;
  /** Keys in each partition. */
  readonly keysPerPartition: number;
  /** Clients per key, each at another door. */
  readonly clientsPerKey: number;
  /** How long a client thinks between its operations, on average. */
  readonly thinkMs: number;
}

type Kind = "get" | "set" | "delete";

export class Load {
  readonly history: Operation[] = [];
  /** At doors that were to answer. */
  readonly errors: string[] = [];
  /** At doors of nodes that had been killed, stopped or cut off. */
  readonly excused: string[] = [];
  /** Begun before {@link patientUntilMs}. */
  readonly late: string[] = [];
  /** What begins before this time may run into its deadline, at any door. */
  patientUntilMs = Number.NEGATIVE_INFINITY;
  operations = 0;
  /** By partition, when its operations were acknowledged. */
  readonly acknowledged = new Map<number, number[]>();
  readonly doors: readonly Door[];
  readonly #options: LoadOptions;
  readonly #keys: readonly string[];
  readonly #running: Promise<void>[] = [];
  #serial = 0;
  #turn = 0;
  #stopping = false;

  constructor(doors: readonly Door[], options: LoadOptions) {
    this.doors = doors;
    this.#options = options;
    this.#keys = keysOf(options);
    for (let partition = 0; partition < options.partitions; partition++) this.acknowledged.set(partition, []);
  }

  run(): void {
    this.#keys.forEach((key, i) => {
      for (let j = 0; j < this.#options.clientsPerKey; j++) {
        const home = this.doors[(i + j) % this.doors.length]!;
        this.#running.push(this.#client(`client-${i}.${j}`, key, home));
      }
    });
  }

  /** Resolves when the last operation has its answer. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /** Reads every key through every open door. */
  async readAll(): Promise<Map<string, Operation[]>> {
    const before = this.history.length;
    const open = this.doors.filter((door) => door.state === "open");
    for (const door of open) {
      await Promise.all(this.#keys.map((key) => this.#operate(`final-${door.id}`, "get", key, door)));
    }
    const byKey = new Map<string, Operation[]>(this.#keys.map((key) => [key, []]));
    for (const operation of this.history.slice(before)) byKey.get(operation.key)!.push(operation);
    return byKey;
  }

  close(): void {
    for (const door of this.doors) door.http.close();
  }

  async #client(name: string, key: string, home: Door): Promise<void> {
    const think = (): number => this.#options.thinkMs * (0.5 + Math.random());
    // Not all in one moment.
    await pause(Math.random() * this.#options.thinkMs);
    while (!this.#stopping) {
      const door = this.#doorFor(home);
      if (door === undefined) {
        await pause(errorPauseMs);
        continue;
      }
      const dice = Math.random();
      const kind = dice < 0.45 ? "set" : dice < 0.9 ? "get" : "delete";
      const isDone = await this.#operate(name, kind, key, door);
      await pause(isDone ? think() : errorPauseMs);
    }
  }

  #doorFor(home: Door): Door | undefined {
    if (home.state === "open" || home.state === "failing") return home;
    const open = this.doors.filter((door) => door.state === "open");
    return open[this.#turn++ % open.length];
  }

  /** Whether there was an answer to the question. */
  async #operate(client: string, kind: Kind, key: string, door: Door): Promise<boolean> {
    const value = `${key}#${++this.#serial}`;
    const invokedAt = performance.now();
    const call = { client, key, invokedAt };
    let answer: JsonAnswer | undefined;
    let error: unknown;
    try {
      answer = await withinTime(ask(door.http, kind, key, value));
    } catch (thrown) {
      error = thrown;
    }
    const completedAt = performance.now();
    this.operations++;
    if (answer?.closes && door.state === "open") door.state = "leaving";
    const done = answer === undefined ? undefined : answered({ ...call, completedAt }, kind, value, answer);
    if (done !== undefined) {
      this.history.push(done);
      this.acknowledged.get(this.#partitionOf(key))!.push(completedAt);
      return true;
    }
    if (mayHaveHappened(answer, error))
      this.history.push(written({ ...call, completedAt: undefined }, kind, value));
    const what = answer === undefined ? String(error) : JSON.stringify([answer.status, answer.body]);
    this.#failuresOf(door, invokedAt, answer).push(
      `${new Date().toISOString()} [${invokedAt}..${completedAt}] ${client} ${kind} ${key} ${value} at ${door.id}: ` +
        what.slice(0, 300),
    );
    return false;
  }

  #failuresOf(door: Door, invokedAt: number, answer: JsonAnswer | undefined): string[] {
    if (door.excuses(invokedAt)) return this.excused;
    return answer?.status === 503 && invokedAt < this.patientUntilMs ? this.late : this.errors;
  }

  #partitionOf(key: string): number {
    return partitionOf(slotOf(Buffer.from(key)), this.#options.partitions);
  }
}

/** The same number of keys in every partition. */
function keysOf({ partitions, keysPerPartition }: LoadOptions): string[] {
  const byPartition = Array.from({ length: partitions }, (): string[] => []);
  for (let i = 0, missing = partitions * keysPerPartition; missing > 0; i++) {
    const key = `key-${i}`;
    const keys = byPartition[partitionOf(slotOf(Buffer.from(key)), partitions)]!;
    if (keys.length === keysPerPartition) continue;
    keys.push(key);
    missing--;
  }
  return byPartition.flat();
}

function ask(http: HttpClient, kind: Kind, key: string, value: string): Promise<JsonAnswer> {
  if (kind === "set") return http.set(key, value);
  return kind === "get" ? http.get(key) : http.delete(key);
}

interface Call {
  readonly client: string;
  readonly key: string;
  readonly invokedAt: number;
  readonly completedAt: number | undefined;
}

/** Undefined: this is no answer to the question. */
function answered(
  call: Call,
  kind: Kind,
  value: string,
  { status, body }: JsonAnswer,
): Operation | undefined {
  const told = (body ?? {}) as { found?: unknown; value?: unknown; deleted?: unknown; success?: unknown };
  switch (kind) {
    case "get":
      if (status === 404 && told.found === false) return { ...call, kind, result: undefined };
      return status === 200 && typeof told.value === "string"
        ? { ...call, kind, result: told.value }
        : undefined;
    case "set":
      return status === 200 && told.success === true ? { ...call, kind, value } : undefined;
    case "delete":
      return status === 200 && typeof told.deleted === "boolean"
        ? { ...call, kind, result: told.deleted }
        : undefined;
  }
}

function written(call: Call, kind: Kind, value: string): Operation {
  return kind === "set" ? { ...call, kind, value } : { ...call, kind };
}

/** What an error answer says about its outcome is believed: a wrong "none" shows as a history that can't be. */
function mayHaveHappened(answer: JsonAnswer | undefined, error: unknown): boolean {
  if (answer === undefined) return (error as { code?: unknown }).code !== "ECONNREFUSED";
  return (answer.body as { error?: { outcome?: unknown } } | undefined)?.error?.outcome !== "none";
}

function withinTime(asked: Promise<JsonAnswer>): Promise<JsonAnswer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${answerMsMax} ms`)), answerMsMax);
  });
  return Promise.race([asked, late]).finally(() => clearTimeout(timer));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
