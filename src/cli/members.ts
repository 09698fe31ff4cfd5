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
  /** Whom to ask, in this order: who answered last, those that the members tell of, who was silent when asked last. */
  #candidates: string[];
  /** What the first one said: at an address of before something else may answer by now. */
  #platform: string | undefined;

  constructor(context: Pick<ClientContext, "values" | "runtime">) {
    this.#context = context;
    this.#candidates = [context.values.url];
  }

  /** Who answered last, or is asked first. */
  get url(): string {
    return this.#candidates[0]!;
  }

  /**
   * What `GET /status` answers at the member that answered last, or, if it is silent, at another one; within `leftMs`.
   * Throws an {@link UnreachableError} if nobody answers, and a {@link CommandError} if it is no node that does.
   */
  async status(leftMs: number): Promise<StatusReport> {
    const { runtime } = this.#context;
    const untilMs = runtime.monotonicMs() + leftMs;
    let first: unknown;
    for (const url of this.#candidates.slice(0, triesMax)) {
      const timeoutMs = Math.min(untilMs - runtime.monotonicMs(), answerMsMax);
      if (timeoutMs <= 0) break;
      try {
        const report = await this.#statusAt(url, timeoutMs);
        this.#learn(url, report);
        return report;
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        first ??= error;
        // Next time those are asked first that weren't now.
        this.#candidates = [...this.#candidates.filter((other) => other !== url), url];
      }
    }
    throw first ?? new UnreachableError(`No answer from ${this.url} within ${Math.ceil(leftMs)}ms.`, true);
  }

  async #statusAt(url: string, timeoutMs: number): Promise<StatusReport> {
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
      const { body } = await ask(this.#context, "GET", "/cluster", { url: this.url, timeoutMs });
      return (body.samples ?? {}) as Samples;
    } catch (error) {
      if (error instanceof CommandError) return {};
      throw error;
    }
  }

  /** Who was asked at first is never forgotten: it may be back. */
  #learn(url: string, { members }: StatusReport): void {
    const living = members
      .filter(({ dead, http }) => dead === "" && http !== "")
      .map(({ http }) => `http://${http}`);
    const known = new Set([...living, this.#context.values.url]);
    const asBefore = this.#candidates.filter((other) => known.has(other));
    this.#candidates = [...new Set([url, ...asBefore, ...known])];
  }
}
