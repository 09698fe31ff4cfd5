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

export interface ClientContext extends Output {
  readonly operands: readonly string[];
  readonly values: Values;
  readonly runtime: Runtime;
}

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * Sends the request and reads the answer, within `--timeout` altogether. Statuses in `accepted` are answers; any
 * other, silence, or something that is no node is a {@link CommandError} with exit code 1.
 */
export async function ask(
  { values, runtime }: ClientContext,
  method: string,
  path: string,
  options: { readonly accepted?: readonly number[]; readonly json?: unknown } = {},
): Promise<Answer> {
  const abort = new AbortController();
  const timer = runtime.after(values.timeout, () => abort.abort());
  let status: number;
  let text: string;
  try {
    const response = await fetch(values.url + path, {
      method,
      signal: abort.signal,
      ...(options.json === undefined ? {} : { body: JSON.stringify(options.json) }),
    });
    status = response.status;
    text = await response.text();
  } catch (error) {
    throw abort.signal.aborted
      ? new CommandError(`No answer from ${values.url} within ${values.timeout}ms.`, 1)
      : new CommandError(`No node can be reached at ${values.url}: ${reasonOf(error)}.`, 1, { cause: error });
  } finally {
    timer.cancel();
  }
  const body = parseObject(text);
  if (body === undefined) {
    throw new CommandError(
      `What answers at ${values.url} is not a ringcache node (HTTP status ${status}).`,
      1,
    );
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
