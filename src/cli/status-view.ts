/** What `ringcache status` shows, as lines of text: pure functions of what the nodes have answered. */
import type { NodeSample, Samples } from "../cache/cluster/report.ts";
import type { StatusReport } from "../cache/command.ts";

/** The answers that are shown together. */
export interface Shown {
  readonly report: StatusReport;
  /** By node; empty if nobody could tell. */
  readonly samples: Samples;
}

export interface ViewOptions {
  readonly colours: boolean;
  /** Columns of the terminal: what doesn't fit is left out. Undefined: everything is shown. */
  readonly columns?: number | undefined;
}

/** The lines above the table of nodes, and the table. */
export interface View {
  readonly facts: readonly string[];
  /** Those of them that matter most, where there is little room. */
  readonly brief: readonly string[];
  readonly head: string;
  /** One per node; those with something to say about them first. */
  readonly rows: readonly string[];
}

type Member = StatusReport["members"][number];

/** Partitions without an owner, or with fewer copies than they are to have. */
export function isHealthy(report: StatusReport): boolean {
  return report.unowned_partitions === 0 && report.under_replicated_partitions === 0;
}

export function viewOf({ report, samples }: Shown, options: ViewOptions): View {
  const { colours, columns } = options;
  const cut = (line: string): string =>
    columns === undefined || line.length <= columns ? line : `${line.slice(0, columns - 1)}…`;
  const lineOf = ([name, value]: [string, string]): string => cut(`${name.padEnd(16)}${value}`);
  const all = factsOf(report, samples);
  const facts = all.map(lineOf);
  const brief = all.filter(([name]) => briefly.has(name)).map(lineOf);
  const members = [...report.members].sort((a, b) => rankOf(a) - rankOf(b));
  const [head = "", ...rows] = tableOf(members, samples, columns).map(cut);
  if (!colours) return { facts, brief, head, rows };
  const state = paint(facts[0]!, isHealthy(report) ? green : red);
  return {
    facts: [state, ...facts.slice(1)],
    brief: [state, ...brief.slice(1)],
    head: paint(head, bold),
    rows: rows.map((row, i) => (rankOf(members[i]!) < fine ? paint(row, yellow) : row)),
  };
}

/** For `--json`: what the nodes say, and whether that is well. */
export function asJson({ report, samples }: Shown): object {
  return { ...report, healthy: isHealthy(report), samples };
}

const [bold, red, green, yellow] = [1, 31, 32, 33];

function paint(text: string, code: number): string {
  return `\x1b[${code}m${text}\x1b[0m`;
}

/** The whole view as one text. */
export function formatStatus(shown: Shown, options: ViewOptions): string {
  const { facts, head, rows } = viewOf(shown, options);
  return `${[...facts, "", head, ...rows].join("\n")}\n`;
}

function factsOf(report: StatusReport, samples: Samples): [string, string][] {
  return [
    ["state", stateOfAll(report)],
    ["platform", report.platform],
    ["coordination", report.coordination],
    ["coordinator", report.coordinator || "none known"],
    ["epoch", String(report.epoch)],
    ["copies", formatCopies(report)],
    ["too few copies", partitions(report.under_replicated_partitions)],
    ["being copied", partitions(report.copying_partitions)],
    ["moving", partitions(report.moving_partitions)],
    ["unowned", partitions(report.unowned_partitions)],
    ...ratesOf(Object.values(samples)),
  ];
}

const briefly: ReadonlySet<string> = new Set(["state", "copies", "load"]);

function stateOfAll(report: StatusReport): string {
  const { unowned_partitions: unowned, under_replicated_partitions: lacking } = report;
  if (unowned > 0) return `UNAVAILABLE: ${partitions(unowned)} without an owner`;
  if (lacking > 0) return `DEGRADED: ${partitions(lacking)} with too few copies`;
  return report.unsettled_partitions > 0 ? "healthy, partitions or copies are moving" : "healthy";
}

/** Of all nodes that have answered. */
function ratesOf(samples: readonly NodeSample[]): [string, string][] {
  if (samples.length === 0) return [];
  const sum = (pick: (sample: NodeSample) => number | null): number =>
    samples.reduce((total, sample) => total + (pick(sample) ?? 0), 0);
  const slowest = Math.max(...samples.map(({ latency_p99_seconds: p99 }) => p99 ?? 0));
  const used = sum((sample) => sample.memory_bytes);
  const most = sum((sample) => sample.memory_max_bytes);
  const load = [`${formatCount(sum((sample) => sample.operations_per_second))} operations/s`];
  if (slowest > 0) load.push(`p99 of the slowest node ${formatSeconds(slowest)}`);
  return [
    ["load", load.join(", ")],
    ["memory", `${formatBytes(used)} of ${formatBytes(most)}`],
  ];
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

interface Column {
  readonly title: string;
  /** Left out first where there is little room; 0: never. */
  readonly spare: number;
  readonly right?: boolean;
  cell(member: Member, sample: NodeSample | undefined): string;
}

const unknown = "-";

const columnsOfTable: readonly Column[] = [
  { title: "NODE", spare: 0, cell: ({ id }) => id },
  { title: "PARTITIONS", spare: 1, right: true, cell: (member) => String(member.partitions) },
  { title: "BACKUPS", spare: 2, right: true, cell: (member) => String(member.backups) },
  { title: "OPS/S", spare: 0, right: true, cell: (_, sample) => formatCount(sample?.operations_per_second) },
  { title: "HITS", spare: 3, right: true, cell: (_, sample) => formatShare(sample?.hit_ratio) },
  { title: "P99", spare: 4, right: true, cell: (_, sample) => formatSeconds(sample?.latency_p99_seconds) },
  { title: "MEMORY", spare: 5, right: true, cell: (_, sample) => formatMemory(sample) },
  { title: "ZONE", spare: 6, cell: ({ zone }) => zone || unknown },
  { title: "HTTP", spare: 7, cell: ({ http }) => http || unknown },
  { title: "PEER", spare: 8, cell: ({ peer }) => peer },
  { title: "", spare: 0, cell: stateOf },
];

function tableOf(members: readonly Member[], samples: Samples, width: number | undefined): string[] {
  let shown = columnsOfTable.map((column) => ({
    ...column,
    cells: [column.title, ...members.map((member) => column.cell(member, samples[member.id]))],
  }));
  const widthOf = ({ cells }: { cells: readonly string[] }): number =>
    Math.max(...cells.map((cell) => cell.length));
  const total = (): number => shown.reduce((sum, column) => sum + widthOf(column) + 2, -2);
  while (width !== undefined && total() > width) {
    const last = Math.max(...shown.map(({ spare }) => spare));
    if (last === 0) break;
    shown = shown.filter(({ spare }) => spare !== last);
  }
  return Array.from({ length: members.length + 1 }, (_, row) =>
    shown
      .map((column) => {
        const cell = column.cells[row]!;
        return column.right === true ? cell.padStart(widthOf(column)) : cell.padEnd(widthOf(column));
      })
      .join("  ")
      .trimEnd(),
  );
}

function stateOf({ leaving, dead }: Member): string {
  if (dead !== "") return dead === "gone" ? "dead" : "silent";
  return leaving ? "leaving" : "";
}

const fine = 3;

/** Where there are many, those that something is the matter with come first. */
function rankOf({ leaving, dead }: Member): number {
  if (dead !== "") return dead === "silent" ? 0 : 1;
  return leaving ? 2 : fine;
}

function formatCount(count: number | null | undefined): string {
  if (count === null || count === undefined) return unknown;
  return (count < 10 ? Number(count.toFixed(1)) : Math.round(count)).toLocaleString("en-US");
}

function formatShare(share: number | null | undefined): string {
  return share === null || share === undefined ? unknown : `${(share * 100).toFixed(1)}%`;
}

export function formatSeconds(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return unknown;
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  return seconds < 1 ? `${Number((seconds * 1_000).toPrecision(2))} ms` : `${seconds.toFixed(1)} s`;
}

const units = ["B", "kB", "MB", "GB", "TB"] as const;

/** In units of 1,024, as options write them. */
export function formatBytes(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  while (amount >= 1_024 && unit < units.length - 1) {
    amount /= 1_024;
    unit++;
  }
  return `${unit > 0 && amount < 10 ? amount.toFixed(1) : Math.round(amount)} ${units[unit]}`;
}

function formatMemory(sample: NodeSample | undefined): string {
  if (sample === undefined) return unknown;
  const { memory_bytes: used, memory_max_bytes: most } = sample;
  return `${formatBytes(used)} ${most > 0 ? `${Math.floor((used * 100) / most)}%` : ""}`.trimEnd();
}
