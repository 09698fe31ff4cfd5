/** One request to a node's HTTP door, for the commands that ask a running cluster. */
import { messageOf } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import { CommandError } from "./command-error.ts";
import type { Values } from "./options.ts";

/** Where a command writes; resolved when the text has been handed over. */
export interface Output {
  out(text: string): Promise<void>;
  err(text: string): Promise<void>;
}

/** The terminal, or what stands in its place. */
export interface Terminal {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface ClientContext extends Output {
  readonly terminal: Terminal;
  readonly operands: readonly string[];
  readonly values: Values;
  readonly runtime: Runtime;
}

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Nobody answers at that address, or not in time. */
export class UnreachableError extends CommandError {
  /** Somebody may be about to answer. */
  readonly timedOut: boolean;

  constructor(message: string, timedOut: boolean, options: { cause?: unknown } = {}) {
    super(message, 1, options);
    this.timedOut = timedOut;
  }
}

export interface AskOptions {
  /** Statuses beside 200 that are answers. */
  readonly accepted?: readonly number[];
  readonly json?: unknown;
  /** Default: `--url`. */
  readonly url?: string;
  /** Default: `--timeout`. */
  readonly timeoutMs?: number;
}

/**
 * Sends the request and reads the answer, within the time-out altogether. Any other status, silence, or something that
 * is no node is a {@link CommandError} with exit code 1.
 */
export async function ask(
  { values, runtime }: Pick<ClientContext, "values" | "runtime">,
  method: string,
  path: string,
  options: AskOptions = {},
): Promise<Answer> {
  const { url = values.url, timeoutMs = values.timeout } = options;
  const abort = new AbortController();
  const timer = runtime.after(timeoutMs, () => abort.abort());
  let status: number;
  let text: string;
  try {
    const response = await fetch(url + path, {
      method,
      signal: abort.signal,
      ...(options.json === undefined ? {} : { body: JSON.stringify(options.json) }),
    });
    status = response.status;
    text = await response.text();
  } catch (error) {
    throw abort.signal.aborted
      ? new UnreachableError(`No answer from ${url} within ${Math.ceil(timeoutMs)}ms.`, true)
      : new UnreachableError(`No node can be reached at ${url}: ${reasonOf(error)}.`, false, {
          cause: error,
        });
  } finally {
    timer.cancel();
  }
  const body = parseObject(text);
  if (body === undefined) {
    throw new CommandError(`What answers at ${url} is not a ringcache node (HTTP status ${status}).`, 1);
  }
  if (status !== 200 && !options.accepted?.includes(status)) throw new CommandError(refusal(status, body), 1);
  return { status, body };
}

function refusal(status: number, body: Answer["body"]): string {
  const { code, message } = (body.error ?? {}) as { code?: unknown; message?: unknown };
  return typeof message === "string"
    ? `${message} (${code})`
    : `The node answered with HTTP status ${status}.`;
}

function parseObject(text: string): Answer["body"] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Answer["body"]) : undefined;
  } catch {
    return undefined;
  }
}

/** fetch says only "fetch failed"; what happened is in the cause, or in the causes of all addresses tried. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const { code } = cause as { code?: unknown };
  if (code === "ECONNREFUSED") return "the connection is refused";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "the host name is unknown";
  return (messageOf(cause) || String(code)).replace(/\.$/, "");
}
