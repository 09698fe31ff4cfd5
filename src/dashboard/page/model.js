// @ts-check
/** The cluster as the page knows it: what a node has told, applied. It knows nothing of how it is shown. */

import { introduce } from "./identity.js";

/**
 * @typedef {import("../../cache/cluster/report.ts").ClusterState} ClusterState
 * @typedef {import("../../cache/cluster/report.ts").TableChange} TableChange
 * @typedef {import("../../cache/cluster/report.ts").Samples} Samples
 * @typedef {import("../../cache/cluster/report.ts").NodeSample} NodeSample
 * @typedef {import("../../cache/cluster/report.ts").ClusterEvent} ClusterEvent
 * @typedef {import("../../cache/cluster/report.ts").MemberReport} Member
 */

/**
 * One partition; nodes by id, so that it stays right when members change their places.
 * @typedef {{ owner: string, backups: string[], term: number, incoming: string, wanted: string[] }} Row
 */

/**
 * @typedef {{ from: string, to: string, count: number, atMs: number }} Move
 */

/** Five minutes, a second apart. */
export const historySeconds = 300;
/** For how long a move that is over is still shown: it may have taken milliseconds. */
export const afterglowMs = 2_500;
const eventsMax = 200;
/** More than that without a sample is a gap. */
const gapSecondsMax = 4;

export const plotted = /** @type {const} */ ([
  "operations_per_second",
  "memory_share",
  "hit_ratio",
  "latency_p99_seconds",
]);
/** @typedef {typeof plotted[number]} Plotted */

export class Model {
  node = "";
  platform = "";
  backupCount = 0;
  epoch = 0;
  coordinator = "";
  /** @type {readonly Member[]} */
  members = [];
  /** @type {Row[]} */
  rows = [];
  /** @type {Samples} */
  samples = {};
  /** Newest first. @type {ClusterEvent[]} */
  events = [];
  /** Those that are over. @type {Move[]} */
  pastMoves = [];
  /** By partition: when its owner changed, on this page's clock. @type {Map<number, number>} */
  changedAtMs = new Map();
  /** By node, then by {@link plotted}: a value a second, the last one of the newest second. @type {Map<string, Record<Plotted, (number | null)[]>>} */
  history = new Map();
  /** The newest second of the history, since 1970. */
  second = Math.floor(Date.now() / 1000);
  /** Counted up by what changes: who draws compares. */
  version = { table: 0, samples: 0, events: 0 };
  /** @type {Map<string, { owned: number, copies: number }>} */
  #counts = new Map();
  #countedFor = -1;

  /** @param {ClusterState} state */
  begin(state) {
    const isSame = this.platform === state.platform;
    this.node = state.node;
    this.platform = state.platform;
    this.backupCount = state.backup_count;
    const { table } = state;
    const id = namesOf(table.members);
    const before = isSame ? this.rows : [];
    const rows = table.owners.map((owner, p) => {
      const backups = (table.backups[p] ?? []).map(id);
      const wanted = table.wanted[p]?.map(id) ?? backups;
      return {
        owner: id(owner),
        backups,
        term: table.terms[p] ?? 0,
        incoming: id(table.incoming[p] ?? -1),
        wanted,
      };
    });
    // What happened while no node could be heard shows as any other change.
    if (before.length === rows.length)
      for (const [p, row] of rows.entries()) this.#noteOwner(p, before[p], row);
    this.rows = rows;
    this.epoch = table.epoch;
    this.coordinator = table.coordinator;
    this.members = table.members;
    introduce(table.members.map(({ id: name }) => name));
    this.#advance();
    for (const [node, columns] of Object.entries(state.histories)) {
      const memoryMax = state.samples[node]?.memory_max_bytes ?? 0;
      const own = this.#historyOf(node);
      const fill = (/** @type {Plotted} */ name, /** @type {readonly (number | null)[]} */ values) => {
        values.slice(-historySeconds).forEach((value, i, { length }) => {
          own[name][historySeconds - length + i] ??= value;
        });
      };
      fill("operations_per_second", columns.operations_per_second);
      fill("hit_ratio", columns.hit_ratio);
      fill("latency_p99_seconds", columns.latency_p99_seconds);
      fill(
        "memory_share",
        columns.memory_bytes.map((bytes) => (bytes === null ? null : share(bytes, memoryMax))),
      );
    }
    this.samples = state.samples;
    this.events = [...state.events].reverse().slice(0, eventsMax);
    this.version = {
      table: this.version.table + 1,
      samples: this.version.samples + 1,
      events: this.version.events + 1,
    };
  }

  /** Whether it could be applied; if not, a new state is needed. @param {TableChange} change */
  change(change) {
    if (change.previous !== this.epoch) return false;
    const id = namesOf(change.members);
    for (const [p, owner, backups, term, incoming, wanted] of change.rows) {
      const row = {
        owner: id(owner),
        backups: backups.map(id),
        term,
        incoming: id(incoming),
        wanted: wanted.map(id),
      };
      this.#noteOwner(p, this.rows[p], row);
      this.rows[p] = row;
    }
    this.epoch = change.epoch;
    this.coordinator = change.coordinator;
    this.members = change.members;
    this.version.table++;
    return true;
  }

  /** @param {Samples} samples */
  sample(samples) {
    this.samples = samples;
    this.#advance();
    for (const [node, sample] of Object.entries(samples)) {
      const own = this.#historyOf(node);
      const last = historySeconds - 1;
      own.operations_per_second[last] = sample.operations_per_second;
      own.hit_ratio[last] = sample.hit_ratio;
      own.latency_p99_seconds[last] = sample.latency_p99_seconds;
      own.memory_share[last] = share(sample.memory_bytes, sample.memory_max_bytes);
      for (const name of plotted) closeGap(own[name]);
    }
    this.version.samples++;
  }

  /** @param {readonly ClusterEvent[]} events */
  happen(events) {
    for (const event of events) {
      const known = this.events.findIndex(({ id }) => id === event.id);
      if (known >= 0) this.events.splice(known, 1);
      this.events.unshift(event);
    }
    this.events.length = Math.min(this.events.length, eventsMax);
    this.version.events++;
  }

  /** @param {string} id */
  member(id) {
    return this.members.find((member) => member.id === id);
  }

  /** How many partitions a node owns, and of how many it holds a copy. @param {string} id */
  holdings(id) {
    if (this.#countedFor !== this.version.table) {
      this.#countedFor = this.version.table;
      this.#counts.clear();
      const countsOf = (/** @type {string} */ node) => {
        let counts = this.#counts.get(node);
        counts ??= { owned: 0, copies: 0 };
        this.#counts.set(node, counts);
        return counts;
      };
      for (const { owner, backups } of this.rows) {
        countsOf(owner).owned++;
        for (const backup of backups) countsOf(backup).copies++;
      }
    }
    return this.#counts.get(id) ?? { owned: 0, copies: 0 };
  }

  /** Moves that go on, and those that are just over, by pair of nodes. @returns {(Move & { isOver: boolean })[]} */
  moves() {
    /** @type {Map<string, Move & { isOver: boolean }>} */
    const moves = new Map();
    const add = (
      /** @type {string} */ from,
      /** @type {string} */ to,
      /** @type {number} */ count,
      /** @type {boolean} */ isOver,
    ) => {
      const key = `${from} ${to}`;
      const move = moves.get(key);
      if (move === undefined) moves.set(key, { from, to, count, atMs: 0, isOver });
      else {
        move.count += count;
        move.isOver &&= isOver;
      }
    };
    for (const { owner, incoming } of this.rows)
      if (incoming !== "" && owner !== "") add(owner, incoming, 1, false);
    const nowMs = performance.now();
    this.pastMoves = this.pastMoves.filter(({ atMs }) => nowMs - atMs < afterglowMs);
    for (const { from, to, count } of this.pastMoves) add(from, to, count, true);
    return [...moves.values()].sort((a, b) => b.count - a.count);
  }

  /** @param {number} p @param {Row | undefined} was @param {Row} row */
  #noteOwner(p, was, row) {
    if (was === undefined || was.owner === row.owner || was.owner === "") return;
    const atMs = performance.now();
    this.changedAtMs.set(p, atMs);
    const move = this.pastMoves.find(({ from, to }) => from === was.owner && to === row.owner);
    if (move === undefined) this.pastMoves.push({ from: was.owner, to: row.owner, count: 1, atMs });
    else {
      move.count++;
      move.atMs = atMs;
    }
  }

  /** @param {string} node */
  #historyOf(node) {
    let own = this.history.get(node);
    if (own === undefined) {
      const column = () => new Array(historySeconds).fill(null);
      own = {
        operations_per_second: column(),
        memory_share: column(),
        hit_ratio: column(),
        latency_p99_seconds: column(),
      };
      this.history.set(node, own);
    }
    return own;
  }

  /** Moves all histories on to the present second; forgets nodes of which nothing is left in them. */
  #advance() {
    const second = Math.floor(Date.now() / 1000);
    const steps = Math.min(Math.max(second - this.second, 0), historySeconds);
    this.second = Math.max(second, this.second);
    if (steps === 0) return;
    const present = new Set(this.members.map(({ id }) => id));
    for (const [node, own] of this.history) {
      for (const name of plotted) {
        own[name].splice(0, steps);
        while (own[name].length < historySeconds) own[name].push(null);
      }
      if (!present.has(node) && own.memory_share.every((value) => value === null)) this.history.delete(node);
    }
  }
}

/** Samples come a second apart, give or take: the seconds between two get the later one's value. @param {(number | null)[]} values */
function closeGap(values) {
  const last = values.length - 1;
  const before = values.findLastIndex((value, i) => i < last && value !== null);
  if (before >= 0 && last - before <= gapSecondsMax) values.fill(values[last] ?? null, before + 1, last);
}

/** @param {number} bytes @param {number} maxBytes */
function share(bytes, maxBytes) {
  return maxBytes > 0 ? bytes / maxBytes : null;
}

/** @param {readonly Member[]} members @returns {(place: number) => string} */
function namesOf(members) {
  return (place) => members[place]?.id ?? "";
}

/** What a partition lacks. @param {Row} row @param {ReadonlySet<string>} living @returns {"unowned" | "few" | "whole"} */
export function stateOfRow(row, living) {
  if (!living.has(row.owner)) return "unowned";
  const copies = row.backups.filter((id) => living.has(id)).length;
  return copies < row.wanted.length ? "few" : "whole";
}

/** @param {readonly Member[]} members @returns {Set<string>} */
export function livingIds(members) {
  return new Set(members.filter(({ dead }) => dead === "").map(({ id }) => id));
}
