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
    ["copies", formatCopies(report)],
    ["too few copies", partitions(report.under_replicated_partitions)],
    ["being copied", partitions(report.copying_partitions)],
    ["moving", partitions(report.moving_partitions)],
    ["unowned", partitions(report.unowned_partitions)],
  ];
  const members = report.members.map((member) => [
    member.id,
    String(member.partitions),
    String(member.backups),
    member.zone || "-",
    member.http || "-",
    member.peer,
    stateOf(member),
  ]);
  const table = [["NODE", "PARTITIONS", "BACKUPS", "ZONE", "HTTP", "PEER", ""], ...members];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return `${[...facts.map(([name, value]) => `${name.padEnd(16)}${value}`), "", ...lines].join("\n")}\n`;
}

/** The partitions with the fewest copies first: they are what one looks for. */
function formatCopies({ backups, copies }: StatusReport): string {
  const groups = Object.entries(copies).sort(([a], [b]) => Number(a) - Number(b));
  if (groups.length === 0) return "none";
  return groups.map(([number, count]) => `${number} of ${backups + 1}: ${partitions(count)}`).join(", ");
}

function partitions(count: number): string {
  return `${count} ${count === 1 ? "partition" : "partitions"}`;
}

function stateOf({ leaving, dead }: StatusReport["members"][number]): string {
  if (dead !== "") return dead === "gone" ? "dead" : "silent";
  return leaving ? "leaving" : "";
}
