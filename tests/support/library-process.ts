/** The other side of `library-child.mjs`: an application in a process of its own, told what to do. */
import { fileURLToPath } from "node:url";
import { Program } from "./node-process.ts";

const script = fileURLToPath(new URL("library-child.mjs", import.meta.url));
const answerMsMax = 30_000;

export interface ChildOptions {
  readonly kind: "cache" | "ring";
  /** What `createCache` or `joinRing` gets. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Where the hooks of a ring write down what they do. */
  readonly hooksFile?: string;
  readonly hookMs?: number;
}

/** What the child threw. */
export class ChildError extends Error {
  readonly code: string;
  readonly outcome: string;

  constructor(error: { code: string; message: string; outcome: string }) {
    super(error.message);
    this.code = error.code;
    this.outcome = error.outcome;
  }
}

type Answer = [id: number, result: unknown, error?: { code: string; message: string; outcome: string }];

export class LibraryProcess extends Program {
  #calls = 0;

  constructor({ kind, options, hooksFile, hookMs = 0 }: ChildOptions) {
    const hooks = hooksFile === undefined ? [] : [hooksFile, String(hookMs)];
    super([kind, JSON.stringify(options), ...hooks], script);
  }

  async ready(): Promise<this> {
    await this.until(() => this.#answer("ready"), "the library's child is ready", answerMsMax);
    return this;
  }

  /** Calls a method of the child's cache or ring. Throws what it threw, as a {@link ChildError}. */
  async do<R = unknown>(method: string, ...args: readonly unknown[]): Promise<R> {
    const id = ++this.#calls;
    this.send(JSON.stringify([id, method, ...args]));
    const [, result, error] = await this.until(() => this.#answer(id), method, answerMsMax);
    if (error !== undefined) throw new ChildError(error);
    return result as R;
  }

  #answer(id: number | "ready"): Answer | undefined {
    const prefix = `[${JSON.stringify(id)}`;
    const end = this.stdout.lastIndexOf("\n") + 1;
    const lines = this.stdout.slice(0, end).split("\n");
    const line = lines.find((text) => text.startsWith(`${prefix},`) || text === `${prefix}]`);
    return line === undefined ? undefined : (JSON.parse(line) as Answer);
  }
}
