import type { StatusReport } from "../cache/command.ts";
import { ask, type ClientContext } from "./client.ts";
import { CommandError } from "./command-error.ts";

/** `ringcache status [--json]` */
export async function status(context: ClientContext): Promise<number> {
  const { body } = await ask(context, "GET", "/status");
  if (context.values.json) {
    await context.out(`${JSON.stringify(body)}\n`);
    return 0;
  }
  if (!Array.isArray(body.members)) {
    throw new CommandError(`What answers at ${context.values.url} is not a ringcache node.`, 1);
  }
  await context.out(formatStatus(body as unknown as StatusReport));
  return 0;
}

export function formatStatus(report: StatusReport): string {
  const facts: [string, string][] = [
    ["platform", report.platform],
    ["coordination", report.coordination],
    ["coordinator", report.coordinator || "none known"],
    ["epoch", String(report.epoch)],
    ["moving", `${report.moving_partitions} partitions`],
    ["unowned", `${report.unowned_partitions} partitions`],
  ];
  const members = report.members.map((member) => [
    member.id,
    String(member.partitions),
    member.http || "-",
    member.peer,
    member.leaving ? "leaving" : "",
  ]);
  const table = [["NODE", "PARTITIONS", "HTTP", "PEER", ""], ...members];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return `${[...facts.map(([name, value]) => `${name.padEnd(14)}${value}`), "", ...lines].join("\n")}\n`;
}
