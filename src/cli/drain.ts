import type { StatusReport } from "../cache/command.ts";
import { keepAlive, sleep } from "../runtime.ts";
import { ask, type ClientContext } from "./client.ts";
import { CommandError } from "./command-error.ts";
import { Members } from "./members.ts";
import { formatDuration, Progress } from "./progress.ts";

const pollMs = 200;
/** How long members are looked for that say how far it is. */
const lookMsMax = 10_000;

/** What the node says when it is asked to leave. */
interface Accepted {
  readonly node: string;
  readonly partitions: number;
  readonly backups: number;
  readonly drain_timeout_ms: number;
}

/** `ringcache drain`: exit code 0 once the node has left with nothing left to hand over. */
export async function drain(context: ClientContext): Promise<number> {
  const release = keepAlive();
  try {
    return await new Drain(context).run();
  } finally {
    release();
  }
}

class Drain {
  readonly #context: ClientContext;
  readonly #members: Members;
  readonly #progress: Progress;
  readonly #fromMs: number;

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
    const { body } = await ask(this.#context, "POST", "/drain", { accepted: [202] });
    const { node, partitions, backups, drain_timeout_ms } = body as unknown as Accepted;
    const total = partitions + backups;
    const peer = memberOf(first, node)?.peer;
    let left = total;
    const isAlone = first.members.filter(({ dead, leaving }) => dead === "" && !leaving).length <= 1;
    for (;;) {
      const report = await this.#look();
      if (report === undefined && left > 0 && !isAlone) {
        this.#progress.clear();
        const message = `${node} doesn't answer any more, and no other member can be reached from here: whether it handed over ${held(left)} is not known.`;
        throw new CommandError(message, 1);
      }
      const self = report && memberOf(report, node);
      // One that is there again at another address is a new process: this one has left.
      if (self === undefined || self.peer !== peer) break;
      left = self.partitions + self.backups;
      if (self.dead !== "" && left > 0) {
        this.#progress.clear();
        throw new CommandError(`${node} ended before it had handed everything over: ${held(left)} left.`, 1);
      }
      this.#progress.step({
        done: Math.max(total - left, 0),
        total,
        text: "partitions and copies handed over",
      });
      if (this.#elapsedMs >= values.timeout) {
        this.#progress.clear();
        const message = `${node} has not left within ${formatDuration(values.timeout)}: ${held(left)} left to hand over. It goes on by itself.`;
        throw new CommandError(message, 1);
      }
      await sleep(runtime, pollMs);
    }
    this.#progress.clear();
    if (left > 0 && this.#elapsedMs >= drain_timeout_ms) {
      throw new CommandError(
        `${node} has left, but its --drain-timeout was over before everything was handed over.`,
        1,
      );
    }
    const what = isAlone
      ? "it was the last node, so its entries are gone"
      : `${held(total)} handed over in ${formatDuration(this.#elapsedMs)}`;
    await out(`${node} has left: ${what}.\n`);
    return 0;
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
}

function memberOf(report: StatusReport, node: string): StatusReport["members"][number] | undefined {
  return report.members.find(({ id }) => id === node);
}

function held(count: number): string {
  return `${count} ${count === 1 ? "partition or copy" : "partitions and copies"}`;
}
