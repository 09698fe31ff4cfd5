/** What a newer table means to somebody who looks after the cluster. Pure. */
import type { Member, Table } from "../../ring/table.ts";
import type { ClusterEvent } from "./report.ts";

/** An event before it is numbered. */
export type Happening = Omit<ClusterEvent, "id" | "at_ms">;

export function tableEvents(table: Table, previous: Table): Happening[] {
  return [...memberEvents(table, previous), ...partitionEvents(table, previous)];
}

/** How many partitions have fewer copies on living nodes than they are to have. Every node asks of every table: nothing is allocated. */
export function countFew({ members, rows }: Table): number {
  const living = new Set<string>();
  for (const { id, dead } of members) if (dead === "") living.add(id);
  let few = 0;
  for (const { owner, backups, wanted } of rows) {
    let copies = living.has(owner) ? 1 : 0;
    for (const id of backups) if (living.has(id)) copies++;
    if (copies < 1 + wanted.length) few++;
  }
  return few;
}

/** `few`: how many partitions lack a copy that they are to have, `fewBefore`: in the table before. */
export function strengthEvents(few: number, fewBefore: number): Happening[] {
  if (few > 0 && fewBefore === 0) return [{ kind: "degraded", node: "", partitions: few }];
  return few === 0 && fewBefore > 0 ? [{ kind: "restored", node: "" }] : [];
}

function memberEvents(table: Table, previous: Table): Happening[] {
  const events: Happening[] = [];
  const before = new Map(previous.members.map((member) => [member.incarnation, member]));
  const now = new Set(table.members.map(({ incarnation }) => incarnation));
  for (const was of previous.members) if (!now.has(was.incarnation)) events.push(...departure(was));
  for (const member of table.members) {
    const was = before.get(member.incarnation);
    if (was === undefined) events.push({ kind: "joined", node: member.id });
    else if (member.leaving && !was.leaving) events.push({ kind: "leaving", node: member.id });
    if (member.dead !== "" && (was === undefined || was.dead === ""))
      events.push({ kind: "died", node: member.id, reason: member.dead });
  }
  return events;
}

/** Nothing if it was dead before: that has been told. */
function departure({ id, dead, leaving }: Member): Happening[] {
  if (dead !== "") return [];
  return [leaving ? { kind: "left", node: id } : { kind: "died", node: id, reason: "gone" }];
}

function partitionEvents(table: Table, previous: Table): Happening[] {
  const moves = new Map<string, Happening & { partitions: number }>();
  table.rows.forEach((row, partition) => {
    const was = previous.rows[partition];
    if (was === undefined || row.since === was.since || row.owner === "") return;
    // With no copy left it begins anew; the first owner begins with nothing too.
    const kind = row.came === "empty" && was.owner !== "" ? "lost" : kinds[row.came];
    const key = `${kind} ${was.owner} ${row.owner}`;
    const move = moves.get(key);
    if (move !== undefined) move.partitions++;
    else
      moves.set(key, { kind, node: row.owner, partitions: 1, ...(was.owner !== "" && { from: was.owner }) });
  });
  return [...moves.values()];
}

const kinds = { empty: "assigned", handover: "handed-over", promotion: "promoted" } as const;
