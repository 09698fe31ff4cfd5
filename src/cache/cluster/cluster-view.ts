/**
 * The whole cluster from one node: its table, the samples of all nodes, and the events. The other nodes are asked once a second, and
 * only while somebody watches.
 */
import { RingcacheError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Ring } from "../../ring/ring.ts";
import { livingMembers, type Table } from "../../ring/table.ts";
import type { Runtime, Timer } from "../../runtime.ts";
import { logHappenings } from "./event-lines.ts";
import { EventLog } from "./event-log.ts";
import { LocalEvents } from "./local-events.ts";
import type {
  ClusterEvent,
  ClusterReport,
  ClusterWatcher,
  NodeSample,
  SampleHistory,
  Samples,
} from "./report.ts";
import { type Measures, Sampler, sampleEveryMs } from "./sampler.ts";
import { countFew, type Happening, strengthEvents, tableEvents } from "./table-events.ts";
import { tableChange, tableReport } from "./table-report.ts";

const sampleMethod = "cache.sample";
const eventsMethod = "cache.events";
/** A node that doesn't answer within this is left out of what is told. */
const answerMsMax = 800;
/** At once; each costs next to nothing, but not nothing. */
const watchersMax = 64;
/** Of members that are and were. */
const addressesMax = 1_024;
/** Kept while a node joins. */
const tablesMax = 256;
/** Two nodes see one event so far apart, at most. */
const sameWithinMs = 5_000;

export interface ClusterViewOptions {
  readonly ring: Ring;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly backups: number;
  readonly platform: string;
  measure(): Measures;
  /** What came before this was made. */
  readonly tables: TablesSeen;
}

/** What is asked of a node: events of its own past that one, and its last minutes. */
interface SampleRequest {
  readonly since: number;
  readonly history: boolean;
}

interface SampleAnswer {
  readonly sample?: NodeSample;
  readonly history?: SampleHistory;
  /** What only it knows. */
  readonly events: readonly ClusterEvent[];
  readonly last: number;
}

/** What is known of one other node. */
interface Other {
  sample: NodeSample | undefined;
  /** Its events up to this one are known here. */
  last: number;
  asked: boolean;
}

/** The tables that come while a node joins: nothing but a node that has joined is asked what has happened. */
export class TablesSeen {
  readonly #ring: Ring;
  readonly #tables: [Table, Table][] = [];
  readonly #see = (table: Table, previous: Table): void => {
    this.#tables.push([table, previous]);
    if (this.#tables.length > tablesMax) this.#tables.shift();
  };

  constructor(ring: Ring) {
    this.#ring = ring;
    ring.on("table", this.#see);
  }

  /** Each with the one before it, oldest first. From now on none is kept. */
  take(): [Table, Table][] {
    this.#ring.off("table", this.#see);
    return this.#tables.splice(0);
  }
}

export class ClusterView {
  /** Where the HTTP doors of members are and were, the latest last. */
  readonly httpAddresses: Set<string> = new Set();
  readonly #options: ClusterViewOptions;
  readonly #log = new EventLog();
  readonly #local: LocalEvents;
  readonly #sampler: Sampler;
  readonly #watchers = new Set<ClusterWatcher>();
  /** By incarnation. */
  readonly #others = new Map<string, Other>();
  /** Partitions that lack a copy. */
  #few = 0;
  #coordinator = "";
  #seeded: Promise<void> | undefined;
  #reporting: Promise<ClusterReport> | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: ClusterViewOptions) {
    this.#options = options;
    const { ring, runtime, measure } = options;
    this.#local = new LocalEvents(ring.nodeId);
    for (const [table, previous] of options.tables.take()) this.#tableChanged(table, previous);
    this.#sampler = new Sampler({ runtime, measure, sampled: (sample) => this.#sampled(sample) });
    ring.on("table", (table, previous) => this.#tableChanged(table, previous));
    ring.on("fenced", () => this.#happened([{ kind: "fenced", node: ring.nodeId }], true));
    ring.handle<SampleRequest, SampleAnswer>(sampleMethod, (request) => this.#answer(request));
    ring.handle<undefined, readonly ClusterEvent[]>(eventsMethod, () => this.#log.events);
  }

  /** Asks every other node, for up to {@link answerMsMax}; whoever asks meanwhile gets the same. */
  report(): Promise<ClusterReport> {
    this.#reporting ??= Promise.all([this.#seed(), this.#askAll(false)]).then(() => {
      this.#reporting = undefined;
      return this.#report();
    });
    return this.#reporting;
  }

  /** The watcher is told a state, and then everything that comes after it. Throws OVERLOADED. */
  async watch(watcher: ClusterWatcher): Promise<void> {
    if (this.#watchers.size >= watchersMax) {
      throw new RingcacheError("OVERLOADED", `${watchersMax} watch the cluster through this node already`);
    }
    const [, histories] = await Promise.all([this.#seed(), this.#askAll(true)]);
    if (this.#closed) throw new RingcacheError("CLOSED", "the node was closed");
    this.#watchers.add(watcher);
    this.#timer ??= this.#schedule();
    watcher.began({ ...this.#report(), histories });
  }

  unwatch(watcher: ClusterWatcher): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  close(): void {
    this.#closed = true;
    this.#sampler.close();
    this.#timer?.cancel();
    this.#watchers.clear();
  }

  #report(): ClusterReport {
    const { ring, runtime, backups, platform } = this.#options;
    return {
      node: ring.nodeId,
      platform,
      now_ms: Math.round(runtime.wallMs()),
      backup_count: backups,
      table: tableReport(ring.table, ring.coordinator),
      samples: this.#samples(),
      events: this.#log.events,
    };
  }

  #samples(): Samples {
    const { ring } = this.#options;
    const samples: Record<string, NodeSample> = {};
    for (const { id, incarnation } of livingMembers(ring.table)) {
      const sample = id === ring.nodeId ? this.#sampler.latest : this.#others.get(incarnation)?.sample;
      if (sample !== undefined) samples[id] = sample;
    }
    return samples;
  }

  #tableChanged(table: Table, previous: Table): void {
    const { ring } = this.#options;
    this.#noteAddresses(table);
    const few = countFew(table);
    // The first table that a node sees of a cluster that was there before it is nothing that happened.
    const isFirst = previous.epoch === 0 && table.epoch > 1;
    const events = isFirst ? [] : [...tableEvents(table, previous), ...strengthEvents(few, this.#few)];
    this.#few = few;
    const known = new Set(table.members.map(({ incarnation }) => incarnation));
    for (const incarnation of this.#others.keys())
      if (!known.has(incarnation)) this.#others.delete(incarnation);
    if (this.#watchers.size > 0) {
      const change = tableChange(table, previous, ring.coordinator);
      for (const watcher of this.#watchers) watcher.changed(change);
    }
    this.#happened(events, false);
  }

  #noteAddresses({ members }: Table): void {
    for (const { http } of members) {
      if (http === "") continue;
      this.httpAddresses.delete(http);
      this.httpAddresses.add(http);
    }
    for (const address of this.httpAddresses) {
      if (this.httpAddresses.size <= addressesMax) break;
      this.httpAddresses.delete(address);
    }
  }

  /** `isLocal`: only this node knows, so it is told to those who ask. */
  #happened(happenings: readonly Happening[], isLocal: boolean): void {
    if (happenings.length === 0) return;
    const { log, ring, runtime } = this.#options;
    logHappenings(log, ring.nodeId, ring.coordinator === ring.nodeId, happenings);
    const atMs = runtime.wallMs();
    if (isLocal) this.#local.add(happenings, atMs);
    const events = this.#log.add(happenings, atMs);
    for (const watcher of this.#watchers) watcher.happened(events);
  }

  #sampled(sample: NodeSample): void {
    const { coordinator } = this.#options.ring;
    if (coordinator !== this.#coordinator && coordinator !== "") {
      this.#happened([{ kind: "coordinator", node: coordinator }], false);
      this.#coordinator = coordinator;
    }
    this.#happened(this.#local.noticed(sample), true);
  }

  #schedule(): Timer {
    return this.#options.runtime.after(sampleEveryMs, () => {
      this.#timer = this.#schedule();
      void this.#askAll(false).then(() => {
        if (this.#closed) return;
        const samples = this.#samples();
        for (const watcher of this.#watchers) watcher.sampled(samples);
      });
    });
  }

  /** Resolves with the histories that were asked for when all have answered or their time is over. */
  async #askAll(history: boolean): Promise<Record<string, SampleHistory>> {
    const { ring } = this.#options;
    const others = livingMembers(ring.table).filter(({ id }) => id !== ring.nodeId);
    const histories: Record<string, SampleHistory> = history
      ? { [ring.nodeId]: this.#sampler.history() }
      : {};
    await Promise.all(
      others.map(async ({ id, incarnation }) => {
        const answer = await this.#ask(id, incarnation, history);
        if (answer?.history !== undefined) histories[id] = answer.history;
      }),
    );
    return histories;
  }

  async #ask(id: string, incarnation: string, history: boolean): Promise<SampleAnswer | undefined> {
    const other = this.#others.get(incarnation) ?? { sample: undefined, last: 0, asked: false };
    // One that doesn't answer isn't asked again and again.
    if (other.asked && !history) return undefined;
    this.#others.set(incarnation, other);
    other.asked = true;
    const request: SampleRequest = { since: other.last, history };
    try {
      const answer = await this.#options.ring.call<SampleAnswer>(id, sampleMethod, request, answerMsMax);
      other.sample = answer.sample;
      // Another answer may have brought them meanwhile.
      const events = answer.events.filter((event) => event.id > other.last);
      other.last = Math.max(other.last, answer.last);
      if (events.length > 0 && !this.#closed) this.#happened(events.map(withoutId), false);
      return answer;
    } catch {
      // It is slow, gone, or older than this request: then nothing is shown of it.
      other.sample = undefined;
      return undefined;
    } finally {
      other.asked = false;
    }
  }

  #answer({ since, history }: SampleRequest): SampleAnswer {
    const { latest } = this.#sampler;
    return {
      ...(latest !== undefined && { sample: latest }),
      ...(history && { history: this.#sampler.history() }),
      ...this.#local.since(since),
    };
  }

  /** Once: what happened before this node was there, from the member that is there longest. */
  #seed(): Promise<void> {
    // It numbers the events anew, which those who watch would take for others.
    if (this.#watchers.size === 0) this.#seeded ??= this.#askForPast();
    return this.#seeded ?? Promise.resolve();
  }

  async #askForPast(): Promise<void> {
    const { ring } = this.#options;
    const oldest = livingMembers(ring.table)[0];
    if (oldest === undefined || oldest.id === ring.nodeId) return;
    const firstMs = this.#log.events[0]?.at_ms ?? this.#options.runtime.wallMs();
    try {
      const past = await ring.call<readonly ClusterEvent[]>(oldest.id, eventsMethod, undefined, answerMsMax);
      const own = this.#log.events;
      // What both have seen has two times: each saw it when it got to know the table.
      const isKnown = (event: ClusterEvent): boolean =>
        own.some((seen) => isSame(seen, event) && Math.abs(seen.at_ms - event.at_ms) < sameWithinMs);
      this.#log.prepend(past.filter((event) => event.at_ms < firstMs && !isKnown(event)));
    } catch {
      this.#seeded = undefined;
    }
  }
}

function withoutId({ id: _, at_ms: __, ...happening }: ClusterEvent): Happening {
  return happening;
}

function isSame(a: ClusterEvent, b: ClusterEvent): boolean {
  return a.kind === b.kind && a.node === b.node && a.from === b.from;
}
