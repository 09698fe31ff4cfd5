/**
 * What happens to a cluster in one run, as data: drawn from the seed before the run begins, so that a shorter list of
 * the same faults can be run again. A node is named by a number; it is one of those that are there when the fault
 * comes, modulo how many they are. So a fault still means something when others before it are left out.
 */
import type { Random } from "./random.ts";

export const faultKinds = [
  "join",
  "leave",
  "kill",
  "restart",
  "restart-all",
  "pause",
  "isolate",
  "blackout",
  "deaf",
  "mute",
  "cut-pair",
  "cut-one-way",
  "split",
  "slow-link",
  "slow-node",
  "break-link",
  "break-node",
  "cut-store",
  "rewatch",
  "store-gap",
  "store-stop",
  "store-wipe",
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  /** Since the faults began. */
  readonly atMs: number;
  readonly kind: FaultKind;
  readonly node: number;
  /** The other node of a pair. Of a `split`: a bit per node, 1 for the one side. */
  readonly other: number;
  /** How long it lasts; of a restart: until the process is started again. 0 for what has no duration. */
  readonly forMs: number;
  /** Of a join: how many nodes. Of a slow link: milliseconds of delay. Else 0. */
  readonly size: number;
}

/** Which faults a run draws, and how they are spread. */
export interface Profile {
  /** Of the virtual time in which faults begin. */
  readonly faultsMs: readonly [min: number, max: number];
  /** Of the mean time between two of them, drawn once for a run. */
  readonly everyMs: readonly [min: number, max: number];
  /** The probability that a fault follows closely on the one before. */
  readonly burst: number;
  /** How often each kind comes, relative to the others. */
  readonly weights: Readonly<Partial<Record<FaultKind, number>>>;
  /** A disturbance is `long` with this probability, else shorter than anything that counts as a failure. */
  readonly long: number;
  readonly shortMs: readonly [min: number, max: number];
  readonly longMs: readonly [min: number, max: number];
  /** Probabilities that a run has one store outage of a minute, one of ten, or one loss of all data. */
  readonly outageMinute: number;
  readonly outageTenMinutes: number;
  readonly wipe: number;
}

const minuteMs = 60_000;
const burstMsMax = 150;
/** So long after the last fault all that were drawn have ended: to wait for the end of one alone finds little. */
const tailMsMax = 5_000;

function draw(kind: FaultKind, atMs: number, random: Random, profile: Profile): Fault {
  const fault = {
    atMs,
    kind,
    node: random.integer(0, 999),
    other: random.integer(0, 999),
    forMs: 0,
    size: 0,
  };
  const disturbanceMs = (): number =>
    random.between(...(random.chance(profile.long) ? profile.longMs : profile.shortMs));
  switch (kind) {
    case "join":
      return { ...fault, size: random.chance(0.7) ? 1 : random.integer(2, 3) };
    case "restart":
    case "restart-all":
      return { ...fault, forMs: random.chance(0.5) ? random.between(0, 300) : random.between(0, 5_000) };
    case "slow-link":
    case "slow-node":
      return { ...fault, forMs: random.between(100, 5_000), size: random.integer(1, 100) };
    case "store-gap":
    case "store-stop":
      return { ...fault, forMs: random.between(4_000, 9_000) };
    case "rewatch":
      return { ...fault, forMs: random.between(0, 100) };
    case "leave":
    case "kill":
    case "break-link":
    case "break-node":
    case "store-wipe":
      return fault;
    default:
      return { ...fault, forMs: disturbanceMs() };
  }
}

function weighted(random: Random, weights: Profile["weights"]): FaultKind {
  const kinds = faultKinds.filter((kind) => (weights[kind] ?? 0) > 0);
  let at = random.next() * kinds.reduce((sum, kind) => sum + weights[kind]!, 0);
  for (const kind of kinds) {
    at -= weights[kind]!;
    if (at < 0) return kind;
  }
  return kinds.at(-1)!;
}

/** In the order in which they come. Times are whole milliseconds: a schedule that was printed is the one that ran. */
export function drawSchedule(random: Random, profile: Profile): Fault[] {
  const lengthMs = random.between(...profile.faultsMs);
  const everyMs = random.between(...profile.everyMs);
  const faults: Fault[] = [];
  let atMs = random.between(0, everyMs);
  while (atMs < lengthMs) {
    faults.push(draw(weighted(random, profile.weights), atMs, random, profile));
    // Some come closely together: what is being done about the first is then under way.
    atMs += random.chance(profile.burst) ? random.between(0, burstMsMax) : random.between(0, 2 * everyMs);
  }
  const clipped = faults.map((fault) => ({
    ...fault,
    forMs: Math.min(fault.forMs, lengthMs + tailMsMax - fault.atMs),
  }));
  const once = (probability: number, kind: FaultKind, forMs: number): void => {
    if (!random.chance(probability)) return;
    const atMs = random.between(0, 0.7 * lengthMs);
    clipped.push({ ...draw(kind, atMs, random, profile), forMs });
  };
  once(profile.outageMinute, "store-stop", minuteMs);
  once(profile.outageTenMinutes, "store-stop", 10 * minuteMs);
  once(profile.wipe, "store-wipe", 0);
  return clipped
    .map((fault) => ({ ...fault, atMs: Math.round(fault.atMs), forMs: Math.round(fault.forMs) }))
    .sort((a, b) => a.atMs - b.atMs);
}

/** When everything that a schedule does by itself is over. */
export function endMsOf(schedule: readonly Fault[]): number {
  return schedule.reduce((end, { atMs, forMs }) => Math.max(end, atMs + forMs), 0);
}

/** One line: `12345 pause node=17 for=800`; what is 0 is left out. */
export function formatFault({ atMs, kind, node, other, forMs, size }: Fault): string {
  const fields = Object.entries({ node, other, for: forMs, size }).filter(([, value]) => value !== 0);
  return [
    String(atMs).padStart(6),
    kind.padEnd(11),
    ...fields.map(([name, value]) => `${name}=${value}`),
  ].join(" ");
}

export function formatSchedule(schedule: readonly Fault[]): string {
  return schedule.map((fault) => `${formatFault(fault)}\n`).join("");
}

/** Reads what {@link formatSchedule} wrote; empty lines and those that begin with `#` are skipped. Throws on others. */
export function parseSchedule(text: string): Fault[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map(parseFault);
}

function parseFault(line: string): Fault {
  const [at = "", kind = "", ...fields] = line.split(/\s+/);
  const fault = { atMs: whole(at, line), kind: knownKind(kind, line), node: 0, other: 0, forMs: 0, size: 0 };
  for (const field of fields) {
    const [name = "", value = ""] = field.split("=");
    const number = whole(value, line);
    if (name === "node") fault.node = number;
    else if (name === "other") fault.other = number;
    else if (name === "for") fault.forMs = number;
    else if (name === "size") fault.size = number;
    else throw new Error(`not a field of a fault: "${field}" in "${line}"`);
  }
  return fault;
}

function knownKind(text: string, line: string): FaultKind {
  const kind = faultKinds.find((known) => known === text);
  if (kind === undefined) throw new Error(`not a fault: "${line}"`);
  return kind;
}

function whole(text: string, line: string): number {
  if (!/^\d{1,12}$/.test(text)) throw new Error(`not a whole number: "${text}" in "${line}"`);
  return Number(text);
}
