/** Which faults a run is made of. */
import type { Profile } from "./schedule.ts";
import { hostileStore, type StoreFaults } from "./sim-store.ts";

export interface RunProfile extends Profile {
  /** One of these is drawn. */
  readonly backups: readonly number[];
  /** The probability that more may fail at once than the backups make good. */
  readonly reckless: number;
  /** The probability that nodes are in zones. */
  readonly zones: number;
  /** While faults go on. */
  readonly store: StoreFaults;
  /** Of the links, one of these; absent: from one machine to a slow network. */
  readonly delayMs?: readonly number[];
  readonly clients?: number;
  /** How long a client thinks at most: one value between these for a run. */
  readonly thinkMs?: readonly [min: number, max: number];
  /** Beside one or two nodes at the start, at least so many more, up to one more than backups. */
  readonly nodesMore?: number;
  /** The probability that a client appends to a value rather than doing anything else to it. */
  readonly appends?: number;
  /** Memory of each node for its entries, between these; absent: enough. With less, entries are evicted all the time. */
  readonly memoryBytes?: readonly [min: number, max: number];
}

/** Shorter than anything that may count as a failure: see `health.ts`. */
const shortMs = [10, 800] as const;
/** From half a lease to three. */
const longMs = [2_000, 12_000] as const;

/** The one that the seeds are run with. */
export const everything: RunProfile = {
  faultsMs: [4_000, 12_000],
  everyMs: [250, 1_500],
  burst: 0.3,
  weights: {
    join: 14,
    leave: 10,
    kill: 9,
    restart: 8,
    "restart-all": 0.5,
    pause: 9,
    isolate: 5,
    blackout: 4,
    deaf: 2,
    mute: 2,
    "cut-pair": 6,
    "cut-one-way": 5,
    split: 2,
    "slow-link": 5,
    "slow-node": 2,
    "break-link": 8,
    "break-node": 3,
    "cut-store": 7,
    rewatch: 4,
    "store-gap": 2,
    "store-stop": 1,
  },
  long: 0.4,
  shortMs,
  longMs,
  outageMinute: 0.01,
  outageTenMinutes: 0.000_5,
  wipe: 0.04,
  backups: [0, 1, 1, 1, 2],
  reckless: 0.12,
  zones: 0.15,
  store: hostileStore,
};

/** Nodes that can't hold what they are given: entries go, on all copies alike, and never come back. */
const tight: RunProfile = { ...everything, memoryBytes: [3 * 1024, 24 * 1024] };

/** What is done twice shows for good, and answers are more than whether something was there: runs of steps. */
const runs: RunProfile = { ...everything, appends: 0.4, reckless: 0 };

const nothingElse = { outageMinute: 0, outageTenMinutes: 0, wipe: 0, reckless: 0 };

/** A store whose answers come late or never, and whose watches lag, while partitions move all the time. */
const handovers: RunProfile = {
  ...everything,
  ...nothingElse,
  weights: { join: 10, leave: 8 },
  faultsMs: [8_000, 14_000],
  everyMs: [200, 1_000],
  long: 0,
  backups: [1],
  thinkMs: [20, 60],
  store: { ...hostileStore, delayMs: [0.1, 60], lostAnswer: 0.4, watchLagMsMax: 800 },
};

/** Nodes that lose the store, and then perhaps the others, on links whose answers take long. */
const blackouts: RunProfile = {
  ...everything,
  ...nothingElse,
  weights: { join: 2, blackout: 3, "cut-store": 6 },
  everyMs: [500, 1_500],
  long: 1,
  longMs: [6_000, 10_000],
  backups: [1],
  nodesMore: 1,
  delayMs: [100],
};

/** Owners that die while writes are on their way to their backups. */
const failovers: RunProfile = {
  ...everything,
  ...nothingElse,
  weights: { join: 6, kill: 8, restart: 6, "slow-link": 8, "cut-one-way": 8, "cut-pair": 6, "break-link": 4 },
  faultsMs: [6_000, 10_000],
  everyMs: [200, 600],
  burst: 0.5,
  long: 0.1,
  backups: [1, 2],
  clients: 16,
  thinkMs: [20, 80],
};

/** Owners that come back after others have taken over. */
const comebacks: RunProfile = {
  ...everything,
  ...nothingElse,
  weights: { join: 4, kill: 8, blackout: 6, "cut-one-way": 8, "cut-pair": 4 },
  faultsMs: [8_000, 12_000],
  everyMs: [300, 1_000],
  burst: 0.4,
  long: 0.3,
  longMs: [4_500, 7_000],
  backups: [2],
  nodesMore: 2,
  clients: 16,
  thinkMs: [20, 80],
};

/** What is rare in `everything`, in every run. */
const wipes: RunProfile = { ...everything, wipe: 1 };
const recklessness: RunProfile = { ...everything, reckless: 1 };
const inZones: RunProfile = { ...everything, backups: [1, 1, 2], reckless: 0, zones: 1 };

export const profiles = {
  everything,
  runs,
  tight,
  wipes,
  recklessness,
  inZones,
  handovers,
  blackouts,
  failovers,
  comebacks,
} as const satisfies Record<string, RunProfile>;
export type ProfileName = keyof typeof profiles;
