import type { StatusReport } from "../cache/command.ts";
import { keepAlive, sleep } from "../runtime.ts";
import { ask, type ClientContext, UnreachableError } from "./client.ts";
import { CommandError } from "./command-error.ts";
import { Members } from "./members.ts";
import { formatDuration, Progress } from "./progress.ts";

const pollMs = 200;
/** How long members are looked for that say how far it is. */
const lookMsMax = 10_000;
/** How long one request waits for the end; the node closes what waits for two minutes. */
const waitMsMax = 60_000;
/** How long the node's last word is waited for once it has left: it was sent before. */
const lastWordMs = 1_000;

/** What the node says when it is asked to leave. */
interface Accepted {
  readonly node: string;
  readonly partitions: number;
  readonly backups: number;
}

/** The node's last word: whether it had handed everything over; `unknown`: it ended without one. */
type LastWord = "drained" | "cut-short" | "unknown";

/** `ringcache drain`: exit code 0 once the node has left with nothing left to hand over. */
export async function drain(context: ClientContext): Promise<number> {
  const release = keepAlive();
  const operation = new Drain(context);
  try {
    return await operation.run();
  } finally {
    operation.end();
    release();
  }
}

class Drain {
  readonly #context: ClientContext;
  readonly #members: Members;
  readonly #progress: Progress;
  readonly #fromMs: number;
  #node = "";
  /** How much there was to hand over, and how much there was when it was looked at last. */
  #total = 0;
  #left = 0;
  #over = false;

  constructor(context: ClientContext) {
    const { runtime, terminal } = context;
    this.#context = context;
    this.#members = new Members(context);
    this.#progress = new Progress({ stream: terminal.stderr, runtime, env: terminal.env });
    this.#fromMs = runtime.monotonicMs();
  }

  get #elapsedMs(): number {
    return this.#context.runtime.monotonicMs() - this.#fromMs;
  }

  async run(): Promise<number> {
    const { values, runtime, out } = this.#context;
    // Before it is asked: it may be gone by the time that its answer has been read.
    const first = await this.#members.status(values.timeout);
    const isAlone = first.members.filter(({ dead, leaving }) => dead === "" && !leaving).length <= 1;
    const { body } = await ask(this.#context, "POST", "/drain", { accepted: [202] });
    const { node, partitions, backups } = body as unknown as Accepted;
    this.#node = node;
    this.#total = partitions + backups;
    const word = this.#lastWord();
    await this.#untilItHasLeft(memberOf(first, node)?.peer);
    const said = await Promise.race([word, sleep(runtime, lastWordMs).then((): LastWord => "unknown")]);
    this.#progress.clear();
    if (!isAlone) this.#check(said);
    const what = isAlone
      ? "it was the last node, so its entries are gone"
      : `${held(this.#total)} handed over in ${formatDuration(this.#elapsedMs)}`;
    await out(`${node} has left: ${what}.\n`);
    return 0;
  }

  end(): void {
    this.#over = true;
    this.#progress.clear();
  }

  /** Throws unless it had handed everything over. */
  #check(said: LastWord): void {
    if (said === "drained" || (said === "unknown" && this.#left === 0)) return;
    throw new CommandError(
      said === "cut-short"
        ? `${this.#node} has left, but its --drain-timeout was over before everything was handed over: ${held(this.#left)} left.`
        : `${this.#node} ended before it had handed everything over: ${held(this.#left)} left when it was last heard of.`,
      1,
    );
  }

  /** Resolves when it is no member any more, or nobody answers any more. */
  async #untilItHasLeft(peer: string | undefined): Promise<void> {
    const { values, runtime } = this.#context;
    this.#left = this.#total;
    for (;;) {
      const report = await this.#look();
      const self = report && memberOf(report, this.#node);
      // One that is there again at another address is a new process, and one that is dead hands nothing over.
      if (self === undefined || self.peer !== peer || self.dead !== "") return;
      this.#left = self.partitions + self.backups;
      const done = Math.max(this.#total - this.#left, 0);
      this.#progress.step({ done, total: this.#total, text: "partitions and copies handed over" });
      if (this.#elapsedMs >= values.timeout) {
        const time = formatDuration(values.timeout);
        throw new CommandError(
          `${this.#node} has not left within ${time}: ${held(this.#left)} left to hand over. It goes on by itself.`,
          1,
        );
      }
      await sleep(runtime, pollMs);
    }
  }

  /** Undefined: nobody answers any more. */
  async #look(): Promise<StatusReport | undefined> {
    try {
      return await this.#members.status(lookMsMax);
    } catch (error) {
      if (error instanceof CommandError) return undefined;
      throw error;
    }
  }

  async #lastWord(): Promise<LastWord> {
    while (!this.#over) {
      try {
        const { body } = await ask(this.#context, "POST", "/drain?wait=true", { timeoutMs: waitMsMax });
        return body.drained === true ? "drained" : "cut-short";
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        if (!(error instanceof UnreachableError) || !error.timedOut) break;
      }
    }
    return "unknown";
  }
}

function memberOf(report: StatusReport, node: string): StatusReport["members"][number] | undefined {
  return report.members.find(({ id }) => id === node);
}

function held(count: number): string {
  return `${count} ${count === 1 ? "partition or copy" : "partitions and copies"}`;
}
