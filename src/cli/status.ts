import type { ClientContext } from "./client.ts";
import { CommandError } from "./command-error.ts";
import { Members } from "./members.ts";
import { hasColours, isTerminal } from "./progress.ts";
import { asJson, formatStatus, isHealthy } from "./status-view.ts";
import { StatusWatch, watchLines } from "./status-watch.ts";

/** `ringcache status [--watch] [--json]`: exit code 1 if partitions have no owner or too few copies. */
export async function status(context: ClientContext): Promise<number> {
  const { values, terminal } = context;
  const { stdout, env } = terminal;
  if (values.watch && !values.json && !isTerminal(stdout, env)) {
    throw new CommandError("--watch needs a terminal; with --json it writes a line a second anywhere.", 2);
  }
  const members = new Members(context);
  const shown = await members.look(values.timeout);
  if (values.watch) {
    return values.json ? watchLines(context, members, shown) : new StatusWatch(context, members, shown).run();
  }
  // What is read by a program, or cut off by no terminal's edge, is whole.
  const columns = isTerminal(stdout, env) ? stdout.columns || undefined : undefined;
  const text = values.json
    ? `${JSON.stringify(asJson(shown))}\n`
    : formatStatus(shown, { colours: hasColours(stdout, env), columns });
  await context.out(text);
  return isHealthy(shown.report) ? 0 : 1;
}
