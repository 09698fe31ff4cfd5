import type { StatusReport } from "../cache/command.ts";
import { keepAlive, sleep } from "../runtime.ts";
import { ask, type ClientContext } from "./client.ts";
import { CommandError } from "./command-error.ts";
import { Members } from "./members.ts";
import { formatDuration, Progress } from "./progress.ts";

const pollMs = 200;
/** How long members are looked for at least that say how far it is. */
const lookMsMin = 2_000;
/** How often in a row nothing may be left to do before it counts: a new table takes a moment to reach every node. */
const settledLooks = 3;

/** `ringcache rebalance`: exit code 0 once nothing moves and no copy is missing. */
export async function rebalance(context: ClientContext): Promise<number> {
  const { runtime, values, terminal } = context;
  const release = keepAlive();
  const fromMs = runtime.monotonicMs();
  const progress = new Progress({ stream: terminal.stderr, runtime, env: terminal.env });
  try {
    await ask(context, "POST", "/rebalance", { accepted: [202] });
    const members = new Members(context);
    let total = 0;
    let settled = 0;
    for (;;) {
      const leftMs = values.timeout - (runtime.monotonicMs() - fromMs);
      const report = await members.status(Math.max(leftMs, lookMsMin));
      const left = report.unsettled_partitions;
      total = Math.max(total, left);
      settled = left === 0 ? settled + 1 : 0;
      if (settled >= settledLooks) {
        progress.clear();
        await context.out(`${whole(report)}\n`);
        return 0;
      }
      if (total > 0) progress.step({ done: total - left, total, text: "partitions settled" });
      if (leftMs <= 0) {
        throw new CommandError(
          `Not done within ${formatDuration(values.timeout)}: ${work(report)}. It goes on by itself.`,
          1,
        );
      }
      await sleep(runtime, pollMs);
    }
  } finally {
    progress.clear();
    release();
  }
}

function whole({ members, copies }: StatusReport): string {
  const partitions = Object.values(copies).reduce((sum, count) => sum + count, 0);
  const nodes = members.filter(({ dead }) => dead === "").length;
  return `Nothing moves and no copy is missing: ${partitions} partitions on ${nodes} ${nodes === 1 ? "node" : "nodes"}.`;
}

/** What is left to do, in words. */
function work(report: StatusReport): string {
  const parts = [
    [report.moving_partitions, "moving"],
    [report.copying_partitions, "being copied"],
    [report.under_replicated_partitions, "with too few copies"],
    [report.unowned_partitions, "without an owner"],
  ] as const;
  const said = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  const disconnected = report.coordination === "disconnected" ? "; this node doesn't reach NATS" : "";
  return `of the partitions ${said.join(", ") || "none is left"}${disconnected}`;
}
