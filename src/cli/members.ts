/** Asks the cluster for reports through whichever member answers: the one that was named, or those it has told of. */
import type { Samples } from "../cache/cluster/report.ts";
import type { StatusReport } from "../cache/command.ts";
import { ask, type ClientContext, UnreachableError } from "./client.ts";
import { CommandError } from "./command-error.ts";

/** How long one member may take, so that the next one is asked in time. */
const answerMsMax = 2_000;
/** How many silent members are asked in one go. */
const triesMax = 8;

export class Members {
  readonly #context: Pick<ClientContext, "values" | "runtime">;
  /** By id, where each was last said to be; empty until one has answered. */
  #urls = new Map<string, string>();
  /** Who answered last. */
  #url: string;
  /** What the first one said: at an address of before something else may answer by now. */
  #platform: string | undefined;

  constructor(context: Pick<ClientContext, "values" | "runtime">) {
    this.#context = context;
    this.#url = context.values.url;
  }

  /** Who answered last, or is asked first. */
  get url(): string {
    return this.#url;
  }

  /**
   * What `GET /status` answers at the member that answered last, or, if it is silent, at another one; within `leftMs`.
   * Throws an {@link UnreachableError} if nobody answers, and a {@link CommandError} if it is no node that does.
   */
  async status(leftMs: number): Promise<StatusReport> {
    const { runtime } = this.#context;
    const untilMs = runtime.monotonicMs() + leftMs;
    const others = [this.#context.values.url, ...this.#urls.values()].filter((url) => url !== this.#url);
    const candidates = [this.#url, ...new Set(others)].slice(0, triesMax);
    let first: unknown;
    for (const url of candidates) {
      const timeoutMs = Math.min(untilMs - runtime.monotonicMs(), answerMsMax);
      if (timeoutMs <= 0) break;
      try {
        const report = await this.statusAt(url, timeoutMs);
        this.#url = url;
        return report;
      } catch (error) {
        first ??= error;
      }
    }
    throw first ?? new UnreachableError(`No answer from ${this.#url} within ${leftMs}ms.`, 1);
  }

  /** Of this one and no other. */
  async statusAt(url: string, timeoutMs: number): Promise<StatusReport> {
    const { body } = await ask(this.#context, "GET", "/status", { url, timeoutMs });
    if (!Array.isArray(body.members))
      throw new CommandError(`What answers at ${url} is not a ringcache node.`, 1);
    const report = body as unknown as StatusReport;
    this.#platform ??= report.platform;
    if (report.platform !== this.#platform) {
      throw new CommandError(
        `What answers at ${url} is of the platform "${report.platform}", not "${this.#platform}".`,
        1,
      );
    }
    this.#learn(report);
    return report;
  }

  /** Both, of the member that answers; within a little more than `leftMs`. */
  async look(leftMs: number): Promise<{ report: StatusReport; samples: Samples }> {
    const report = await this.status(leftMs);
    return { report, samples: await this.samples(Math.min(leftMs, answerMsMax)) };
  }

  /** What all nodes measure of themselves, as the member knows it that answered last; empty if it can't tell. */
  async samples(timeoutMs: number): Promise<Samples> {
    try {
      const { body } = await ask(this.#context, "GET", "/cluster", { url: this.#url, timeoutMs });
      return (body.samples ?? {}) as Samples;
    } catch (error) {
      if (error instanceof CommandError) return {};
      throw error;
    }
  }

  /** A table of nobody but the dead is no reason to forget where the living are. */
  #learn({ members }: StatusReport): void {
    const living = members.filter(({ dead, http }) => dead === "" && http !== "");
    if (living.length > 0) this.#urls = new Map(living.map(({ id, http }) => [id, `http://${http}`]));
  }
}
