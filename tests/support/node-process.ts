/** Real nodes: `dist/cli/main.js` in processes of their own, that a test starts, watches, signals and never leaves behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { StatsReport, StatusReport } from "../../src/cache/command.ts";
import { HttpClient } from "./http-client.ts";

const program = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const servingMsMax = 30_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One line of a node's log; `msg` and the event's own fields beside what every line has. */
export interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly event?: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A program of this project, run as its users run it: its output, its end, and a watchdog that ends it with the test. */
export class Program {
  readonly exited: Promise<Exit>;
  readonly startedAtMs: number = performance.now();
  stdout = "";
  stderr = "";
  readonly #child: ChildProcess;
  readonly #watchdog: ChildProcess;
  readonly #listeners = new Set<() => void>();

  /** `launcher`: what the command line begins with, like `ip netns exec NAME`: something that becomes the program. */
  constructor(args: readonly string[], script: string = program, launcher: readonly string[] = []) {
    if (!existsSync(script)) throw new Error(`${script} isn't there: build first, with \`npm run build\``);
    const [command, ...rest] = [...launcher, process.execPath, script, ...args];
    this.#child = spawn(command!, rest, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, NODE_OPTIONS: "" },
    });
    // Its end of the pipe closes when this process ends, however it does.
    const untilClosed = 'read -r _; kill -9 "$0" 2>/dev/null';
    this.#watchdog = spawn("sh", ["-c", untilClosed, String(this.#child.pid)], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    this.#child.stdin?.on("error", () => {});
    this.#child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      this.stdout += chunk;
      this.#notify();
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      this.stderr += chunk;
      this.#notify();
    });
    this.exited = new Promise((resolve) => {
      // `close`, not `exit`: by then all output has been read.
      this.#child.once("close", (code, signal) => {
        this.#watchdog.kill("SIGKILL");
        resolve({ code, signal });
        this.#notify();
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Writes one line to its stdin. */
  send(line: string): void {
    this.write(`${line}\n`);
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Resolves with the first value that `find` gives for what the program has written so far. */
  async until<T>(find: () => T | undefined, what: string, waitMs: number): Promise<T> {
    const giveUpAt = performance.now() + waitMs;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      const leftMs = giveUpAt - performance.now();
      if (!this.isRunning || leftMs <= 0) {
        const why = this.isRunning ? `not within ${waitMs} ms` : "it has ended";
        throw new Error(`${what}: ${why}\n${this.stdout.slice(-4_000)}\n${this.stderr.slice(-4_000)}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, Math.min(leftMs, 1_000));
        const { exited } = this;
        const listeners = this.#listeners;
        listeners.add(done);
        void exited.then(done);
        function done(): void {
          clearTimeout(timer);
          listeners.delete(done);
          resolve();
        }
      });
    }
  }

  /** SIGKILL, also to a stopped process; resolves when it is gone. */
  async kill(): Promise<Exit> {
    this.signal("SIGKILL");
    return this.exited;
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

export interface NodeOptions {
  readonly node: string;
  readonly nats: string;
  /** Default `127.0.0.1:0`. */
  readonly http?: string;
  /** More of the command line, as it would be typed. */
  readonly args?: readonly string[];
  /** See {@link Program}. */
  readonly launcher?: readonly string[];
}

/** One `ringcache start`. */
export class NodeProcess extends Program {
  readonly id: string;
  #readLength = 0;
  readonly #lines: LogLine[] = [];
  #client: HttpClient | undefined;

  constructor(options: NodeOptions) {
    const { node, nats, http = "127.0.0.1:0", args = [], launcher } = options;
    super(["-node", node, "-nats", nats, "-http", http, ...args], undefined, launcher);
    this.id = options.node;
    void this.exited.then(() => this.#client?.close());
  }

  /** What it has logged, oldest first. */
  get log(): readonly LogLine[] {
    const end = this.stdout.lastIndexOf("\n") + 1;
    for (const line of this.stdout.slice(this.#readLength, end).split("\n")) {
      if (line.startsWith("{")) this.#lines.push(JSON.parse(line) as LogLine);
    }
    this.#readLength = Math.max(this.#readLength, end);
    return this.#lines;
  }

  events(event: string): LogLine[] {
    return this.log.filter((line) => line.event === event);
  }

  /** Resolves with the first line of that event which `matches`. */
  logged(event: string, waitMs = 15_000, matches: (line: LogLine) => boolean = () => true): Promise<LogLine> {
    return this.until(() => this.events(event).find(matches), `${this.id} logs "${event}"`, waitMs);
  }

  /** Resolves once it says that it serves. */
  async serving(waitMs = servingMsMax): Promise<this> {
    await this.logged("serving", waitMs);
    return this;
  }

  /** The port of its HTTP door, as it says itself. */
  get httpPort(): number {
    return Number(this.#httpAddress[1]);
  }

  get httpHost(): string {
    return this.#httpAddress[0]!;
  }

  get #httpAddress(): string[] {
    const line = this.events("serving")[0];
    if (line === undefined) throw new Error(`${this.id} doesn't serve yet`);
    return String(line.http).split(":");
  }

  get http(): HttpClient {
    this.#client ??= new HttpClient(this.httpPort, undefined, this.httpHost);
    return this.#client;
  }

  async stats(): Promise<StatsReport> {
    return (await this.http.request("GET", "/stats")).body as StatsReport;
  }

  async status(): Promise<StatusReport> {
    return (await this.http.request("GET", "/status")).body as StatusReport;
  }

  /** SIGTERM, as an operator stops it; throws if it doesn't end with exit code 0 in time. */
  async terminate(waitMs = 30_000): Promise<void> {
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), waitMs);
    const { code, signal } = await this.exited;
    clearTimeout(timer);
    if (code !== 0)
      throw new Error(`${this.id} ended with ${code ?? signal} after SIGTERM\n${this.stdout.slice(-4_000)}`);
  }
}

/** The processes of one test; `end` leaves none behind. */
export class Cluster {
  readonly nats: string;
  readonly args: readonly string[];
  readonly #programs: Program[] = [];

  constructor(nats: string, args: readonly string[] = []) {
    this.nats = nats;
    this.args = args;
  }

  /** Starts a node without waiting for it. */
  spawn(node: string, options: Partial<Omit<NodeOptions, "node">> = {}): NodeProcess {
    const { args = [], ...rest } = options;
    return this.add(new NodeProcess({ node, nats: this.nats, ...rest, args: [...this.args, ...args] }));
  }

  start(node: string, options: { http?: string; args?: readonly string[] } = {}): Promise<NodeProcess> {
    return this.spawn(node, options).serving();
  }

  add<T extends Program>(program: T): T {
    this.#programs.push(program);
    return program;
  }

  async end(): Promise<void> {
    await Promise.all(this.#programs.map((program) => (program.isRunning ? program.kill() : undefined)));
  }
}

/** Awaits `holds`, asking again every few milliseconds; the last error or answer shows when it never does. */
export async function eventually<T>(
  ask: () => Promise<T>,
  holds: (answer: T) => boolean,
  what: string,
  waitMs = 20_000,
): Promise<T> {
  const giveUpAt = performance.now() + waitMs;
  for (;;) {
    let last: unknown;
    try {
      const answer = await ask();
      if (holds(answer)) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > giveUpAt) {
      const shown = last instanceof Error ? last.message : JSON.stringify(last);
      throw new Error(`never happened within ${waitMs} ms: ${what}; last: ${shown}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Resolves when every node's table has exactly these members, each partition an owner and its copies, none on the move. */
export async function settled(
  nodes: readonly NodeProcess[],
  waitMs = 20_000,
): Promise<Record<string, number>> {
  const ids = nodes.map((node) => node.id).sort();
  const isSettled = (status: StatusReport): boolean =>
    status.unsettled_partitions === 0 &&
    JSON.stringify(status.members.map((member) => member.id).sort()) === JSON.stringify(ids);
  for (const node of nodes) {
    await eventually(() => node.status(), isSettled, `${node.id} sees ${ids.join(", ")} settled`, waitMs);
    // The table is one thing, that the node itself has taken up its partitions another.
    await eventually(
      () => node.stats(),
      (stats) => stats.partition_count === (stats.ring.partitions_by_node[node.id] ?? 0),
      `${node.id} serves what the table gives it`,
      waitMs,
    );
  }
  return (await nodes[0]!.stats()).ring.partitions_by_node;
}

/** By how much the largest count exceeds the smallest. */
export function spread(partitionsByNode: Readonly<Record<string, number>>): number {
  const counts = Object.values(partitionsByNode);
  return Math.max(...counts) - Math.min(...counts);
}
