/** `ringcache status --watch`: the same, refreshed in place, for as long as any member answers and longer. */
import { keepAlive, sleep } from "../runtime.ts";
import type { ClientContext } from "./client.ts";
import { CommandError } from "./command-error.ts";
import type { Members } from "./members.ts";
import { formatDuration, hasColours } from "./progress.ts";
import { type Key, Screen } from "./screen.ts";
import { asJson, isHealthy, type Shown, type View, viewOf } from "./status-view.ts";

const everyMs = 1_000;
/** How long members are looked for before the screen says that none answers. */
const lookMsMax = 4_000;

export interface Notice {
  /** For how long nobody has answered; 0: somebody does. */
  readonly silentMs: number;
  /** Who answers, and who was asked for it. */
  readonly url: string;
  readonly askedUrl: string;
}

/** What is above the table when something is to be said about who answers. */
export function noticeLine({ silentMs, url, askedUrl }: Notice): string {
  if (silentMs > 0)
    return `NOBODY ANSWERS, since ${formatDuration(silentMs)}; what follows is older; asking on`;
  return url === askedUrl ? `from ${url}` : `from ${url}, as ${askedUrl} doesn't answer`;
}

/**
 * At most `height` lines: the facts, the less important ones only if there is room, and of the table what fits from `top`
 * on. Also the `top` that counts: no further down than the end.
 */
export function screenLines(
  notice: string,
  { facts, brief, head, rows }: View,
  top: number,
  height: number,
): { readonly lines: readonly string[]; readonly top: number } {
  const kept = [...facts];
  const above = (): string[] => [notice, "", ...kept, "", head];
  for (let i = kept.length - 1; i >= 0 && above().length + rows.length > height; i--) {
    if (!brief.includes(kept[i]!)) kept.splice(i, 1);
  }
  const room = height - above().length;
  if (rows.length <= room) return { lines: [...above(), ...rows], top: 0 };
  const count = Math.max(room - 1, 0);
  const from = Math.min(top, rows.length - count);
  const where =
    count === 0
      ? `${rows.length} nodes don't fit`
      : `nodes ${from + 1} to ${from + count} of ${rows.length}; the arrow keys scroll`;
  const lines = [...above().slice(0, Math.max(height - 1, 0)), ...rows.slice(from, from + count), where];
  return { lines: lines.slice(0, height), top: from };
}

export class StatusWatch {
  readonly #context: ClientContext;
  readonly #members: Members;
  readonly #askedUrl: string;
  #shown: Shown;
  #answeredMs: number;
  #silent = false;
  #top = 0;
  #quit: () => void = () => {};
  #screen: Screen | undefined;

  constructor(context: ClientContext, members: Members, shown: Shown) {
    this.#context = context;
    this.#members = members;
    this.#askedUrl = context.values.url;
    this.#shown = shown;
    this.#answeredMs = context.runtime.monotonicMs();
  }

  /** Resolves when it is told to quit, with the exit code of the last report. */
  async run(): Promise<number> {
    const quit = new Promise<void>((resolve) => {
      this.#quit = resolve;
    });
    let over = false;
    const screen = new Screen(this.#context.terminal, {
      key: (key) => this.#key(key),
      resized: () => this.#draw(),
    });
    this.#screen = screen;
    const release = keepAlive();
    try {
      this.#draw();
      const refreshing = (async () => {
        while (!over) {
          await sleep(this.#context.runtime, everyMs);
          if (!over) await this.#refresh();
        }
      })();
      await Promise.race([quit, refreshing]);
    } finally {
      over = true;
      screen.close();
      release();
    }
    return isHealthy(this.#shown.report) && !this.#silent ? 0 : 1;
  }

  async #refresh(): Promise<void> {
    try {
      this.#shown = await this.#members.look(lookMsMax);
      this.#answeredMs = this.#context.runtime.monotonicMs();
      this.#silent = false;
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      this.#silent = true;
    }
    this.#draw();
  }

  #key(key: Key): void {
    const page = Math.max((this.#screen?.rows ?? 24) - 20, 1);
    const steps: Partial<Record<Key, number>> = { up: -1, down: 1, "page-up": -page, "page-down": page };
    if (key === "quit") this.#quit();
    else if (key === "top") this.#top = 0;
    else this.#top += steps[key] ?? 0;
    this.#draw();
  }

  #draw(): void {
    const screen = this.#screen;
    if (screen === undefined) return;
    const { terminal, runtime } = this.#context;
    // A line that fills the last column would be wrapped, or lose its end.
    const columns = Math.max(screen.columns - 1, 20);
    const view = viewOf(this.#shown, { colours: hasColours(terminal.stdout, terminal.env), columns });
    const silentMs = this.#silent ? runtime.monotonicMs() - this.#answeredMs : 0;
    const notice = noticeLine({ silentMs, url: this.#members.url, askedUrl: this.#askedUrl });
    const { lines, top } = screenLines(notice.slice(0, columns), view, Math.max(this.#top, 0), screen.rows);
    this.#top = top;
    screen.draw(lines);
  }
}

/** `--watch --json`: a line a second. Ends with the signal or the pipe that ends the process. */
export async function watchLines(context: ClientContext, members: Members, first: Shown): Promise<number> {
  const release = keepAlive();
  let open = true;
  let healthy = true;
  context.terminal.stdout.on("error", () => {
    open = false;
  });
  const stop = (): void => {
    open = false;
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  for (let shown: Shown | undefined = first; open; ) {
    healthy = shown !== undefined && isHealthy(shown.report);
    const line = shown === undefined ? { healthy: false, error: "no member answers" } : asJson(shown);
    await context.out(`${JSON.stringify(line)}\n`);
    await sleep(context.runtime, everyMs);
    try {
      shown = await members.look(lookMsMax);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      shown = undefined;
    }
  }
  release();
  return healthy ? 0 : 1;
}
