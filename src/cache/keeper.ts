/** The cache's part in the comings and goings of partitions: it holds, replicates and moves their data. The ring says when. */
import { RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerIdentity } from "../peers/messages.ts";
import { planted } from "../planted.ts";
import { PeerKind } from "../ring/calls.ts";
import type { PartitionKeeper } from "../ring/keeper.ts";
import type { Ring } from "../ring/ring.ts";
import { type Member, memberOf, namedIn, type Row } from "../ring/table.ts";
import { type Runtime, sleep } from "../runtime.ts";
import type { PartitionStore } from "../storage/partition-store.ts";
import { BackupLink } from "./backup-link.ts";
import { BackupStream } from "./backup-stream.ts";
import { noBytes } from "./command.ts";
import { Copies, type Copy, copyOf } from "./copies.ts";
import { OwnedPartition } from "./owned-partition.ts";
import type { Partitions } from "./partitions.ts";
import { MemoryPressure } from "./pressure.ts";
import { Receipts } from "./receipts.ts";
import type { Stores } from "./stores.ts";
import { type CopyTraffic, fill, Pace, resume, type TransferOptions } from "./transfer.ts";
import { encodeMessage, no, Step } from "./transfer-wire.ts";

/** How often a node asks whether a copy that no table names is still needed. */
const neededEveryMs = 1_000;

export interface KeeperOptions {
  readonly ring: Ring;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly partitions: Partitions;
  readonly stores: Stores;
  /** Lets what waits for the partition try again. */
  wake(partition: number): void;
  /** See {@link Router.completed}. */
  completed(sequence: number, found: boolean | Buffer): void;
}

export interface CopyState {
  /** The epoch at which the owner that it is of, or follows, became the owner. */
  readonly since: number;
  /** The number of the last write that it has. */
  readonly lsn: number;
  /** As of `PartitionStore.digest`. */
  digest(): number;
}

export class CacheKeeper implements PartitionKeeper {
  readonly #options: KeeperOptions;
  readonly #copies: Copies;
  /** By incarnation. */
  readonly #links = new Map<string, BackupLink>();
  readonly #asking = new Set<Copy>();
  readonly #pace: Pace;
  /** What the making of copies has sent and received, in bytes. */
  readonly traffic: CopyTraffic = { sentBytes: 0, receivedBytes: 0 };
  readonly #pressure: MemoryPressure;
  #sessions = 0;
  #closed = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
    const { ring, log, partitions, stores, runtime, completed } = options;
    this.#pace = new Pace(runtime);
    this.#copies = new Copies({
      log,
      stores,
      refuses: (partition) => ring.state === "left" || ring.holds(partition),
      since: (partition) => ring.table.rows[partition]?.since ?? 0,
      self: () => ring.incarnation,
      completed,
      needs: (partition, since, session) => {
        const owned = partitions.find(partition);
        return owned?.since === since && owned.streams.some((stream) => stream.session === session);
      },
    });
    this.#pressure = new MemoryPressure({
      peers: ring.peers,
      runtime,
      stores,
      partitions,
      copies: () => this.#copiesByOwner(),
      member: (incarnation) => ring.table.members.find((member) => member.incarnation === incarnation),
    });
    ring.peers.handle(PeerKind.handoff, (request) => {
      this.traffic.receivedBytes += request.payload.length;
      this.#copies.serveTransfer(request);
      this.#pressure.noticed();
    });
    ring.peers.handle(PeerKind.replica, (request) => {
      this.#copies.serveWrites(request);
      this.#pressure.noticed();
    });
  }

  /** The copies that this node holds: those that could be promoted and their entries, those that can't yet, and what all take. */
  backups(): { complete: number; filling: number; entries: number; sizeBytes: number } {
    const held = { complete: 0, filling: 0, entries: 0, sizeBytes: 0 };
    for (const [, { whole, store }] of this.#copies.entries()) {
      held.sizeBytes += store.allocatedBytes;
      if (!whole) held.filling++;
      else {
        held.complete++;
        held.entries += store.size;
      }
    }
    return held;
  }

  /** What this node has of the partition, as its owner or as a backup; undefined if it has nothing. */
  copy(partition: number): CopyState | undefined {
    const owned = this.#options.partitions.find(partition);
    if (owned !== undefined) {
      const { since, data } = owned;
      return { since, lsn: data.lsn, digest: () => data.store.digest() };
    }
    const copy = this.#copies.get(partition);
    if (copy?.whole !== true) return undefined;
    return { since: copy.since, lsn: copy.lsn, digest: () => copy.store.digest() };
  }

  /** The most bytes that wait for one backup to confirm them. */
  get unconfirmedBytes(): number {
    let most = 0;
    for (const { unconfirmedBytes } of this.#links.values()) most = Math.max(most, unconfirmedBytes);
    return most;
  }

  /** Drops the copies that the newest table has no use for. */
  tableChanged(): void {
    const { table, nodeId, incarnation } = this.#options.ring;
    if (memberOf(table, nodeId)?.incarnation === incarnation) {
      for (const [partition, copy] of this.#copies.entries()) {
        const row = table.rows[partition]!;
        if (row.owner === nodeId || row.since < copy.since) continue;
        if (row.backups.includes(nodeId)) copy.named = true;
        // Another owner, who doesn't count this copy in; or its own owner, who has dropped it.
        else if (row.since > copy.since || copy.named) this.#copies.delete(partition);
        // Its owner may not have seen the table that calls the copy off, and make a backup of it all the same.
        else if (!namedIn(row, nodeId)) void this.#askWhetherNeeded(partition, copy);
      }
    }
    for (const [incarnation, link] of this.#links) {
      if (table.members.some((member) => member.incarnation === incarnation)) continue;
      link.close();
      this.#links.delete(incarnation);
    }
  }

  own(partition: number, row: Row): void {
    const { log, partitions, ring, stores } = this.#options;
    const copy = this.#copies.take(partition);
    const wanted = row.came !== "empty";
    if (wanted && copy === undefined) {
      log.error(
        { event: "copy-missing", partition, came: row.came },
        `partition ${partition} came by ${row.came}, but its copy isn't here: it starts empty`,
      );
      partitions.lost([partition]);
    }
    if (!wanted) copy?.store.clear();
    const data =
      wanted && copy !== undefined ? copy : { store: stores.create(), receipts: new Receipts(), lsn: 0 };
    const tail = wanted ? (copy?.tail ?? []) : [];
    const owned = new OwnedPartition(ring.nodeId, partition, row.since, data, tail);
    owned.onBroken = () => ring.backupsChanged();
    owned.onWritten = (sizeBytes) => this.#pressure.written(sizeBytes);
    owned.isFull = () => this.#pressure.isFull(owned);
    partitions.open(owned);
  }

  setBackups(partition: number, term: number, backups: readonly Member[]): void {
    const owned = this.#options.partitions.find(partition);
    if (owned === undefined) return;
    owned.term = term;
    for (const stream of [...owned.streams]) {
      if (stream.named && !backups.some((member) => stream.leadsTo(member))) this.#drop(owned, stream);
    }
    for (const member of backups) {
      let stream = owned.streams.find((one) => one.leadsTo(member));
      if (stream === undefined) {
        stream = this.#stream(owned, member);
        stream.required = true;
        void resume(this.#transfer(owned, stream));
      }
      stream.required = true;
      stream.named = true;
    }
    owned.progressed();
  }

  async ready(partition: number): Promise<void> {
    const owned = this.#options.partitions.find(partition);
    if (owned === undefined || !(await owned.until(() => owned.isSettled))) throw callOff(partition);
  }

  activate(partition: number): void {
    const owned = this.#options.partitions.get(partition);
    owned.serving = true;
    owned.tail = [];
    this.#options.wake(partition);
  }

  async fill(partition: number, to: Member): Promise<void> {
    const owned = this.#options.partitions.find(partition);
    if (owned === undefined) throw callOff(partition);
    const known = owned.streams.find((stream) => stream.leadsTo(to));
    if (known !== undefined) this.#drop(owned, known);
    const stream = this.#stream(owned, to);
    try {
      await fill(this.#transfer(owned, stream));
    } catch (error) {
      this.#drop(owned, stream);
      throw error;
    }
  }

  forget(partition: number, to: Member): void {
    const owned = this.#options.partitions.find(partition);
    const stream = owned?.streams.find((one) => one.leadsTo(to));
    if (stream !== undefined && !stream.named) this.#drop(owned!, stream);
  }

  async seal(partition: number): Promise<void> {
    const owned = this.#options.partitions.find(partition);
    if (owned === undefined) throw callOff(partition);
    owned.serving = false;
    if (!(await owned.until(() => owned.isSettled))) throw callOff(partition);
  }

  unseal(partition: number): void {
    const owned = this.#options.partitions.find(partition);
    if (owned !== undefined) owned.serving = true;
    this.#options.wake(partition);
  }

  release(partition: number, handed: boolean): void {
    const { partitions, ring } = this.#options;
    const error = new RingcacheError(
      "LINK_LOST",
      `this node lost partition ${partition} before its backups had confirmed the operation`,
      { outcome: "unknown" },
    );
    const owned = partitions.remove(partition, error);
    const row = ring.table.rows[partition]!;
    // It may have come back already, in tables that weren't seen here.
    const named = row.owner === ring.nodeId || row.backups.includes(ring.nodeId);
    if (owned !== undefined && handed && named && !planted.deleteBeforeActive) {
      this.#copies.set(partition, copyOf(owned.data, owned.since));
    } else {
      this.#copies.delete(partition);
      if (!planted.serveStaleCopy) owned?.data.store.clear();
    }
    this.#options.wake(partition);
  }

  /** That backup says that it has no copy. */
  isBroken(partition: number, backup: PeerIdentity): boolean {
    const owned = this.#options.partitions.find(partition);
    return owned?.broken.some((stream) => stream.leadsTo(backup)) ?? false;
  }

  /** Of the partitions here and of the copies: forgets the routers that are long gone. */
  reviewReceipts(): void {
    const { partitions, ring, runtime } = this.#options;
    const members = new Set(ring.table.members.map(({ incarnation }) => incarnation));
    const isMember = (origin: string): boolean => members.has(origin);
    const nowMs = runtime.monotonicMs();
    partitions.reviewReceipts(isMember, nowMs);
    for (const [, copy] of this.#copies.entries()) copy.receipts.review(isMember, nowMs);
  }

  /** This incarnation is dead: every copy is of another time. */
  forgetCopies(): void {
    this.#copies.clear();
  }

  close(): void {
    this.#closed = true;
    this.#pressure.close();
    this.#copies.clear();
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  *#copiesByOwner(): Generator<{ store: PartitionStore; owner: Member | undefined }> {
    const { table } = this.#options.ring;
    for (const [partition, { store }] of this.#copies.entries()) {
      yield { store, owner: memberOf(table, table.rows[partition]!.owner) };
    }
  }

  #transfer(owned: OwnedPartition, stream: BackupStream): TransferOptions {
    const { ring, runtime } = this.#options;
    return { peers: ring.peers, runtime, owned, stream, pace: this.#pace, traffic: this.traffic };
  }

  #stream(owned: OwnedPartition, to: Member): BackupStream {
    let link = this.#links.get(to.incarnation);
    if (link === undefined) {
      link = new BackupLink({ peers: this.#options.ring.peers, runtime: this.#options.runtime, to });
      this.#links.set(to.incarnation, link);
    }
    const stream = new BackupStream(owned, ++this.#sessions, to, link);
    owned.streams.push(stream);
    return stream;
  }

  #drop(owned: OwnedPartition, stream: BackupStream): void {
    owned.streams = owned.streams.filter((other) => other !== stream);
    stream.close();
  }

  async #askWhetherNeeded(partition: number, copy: Copy): Promise<void> {
    const { ring, runtime } = this.#options;
    if (this.#asking.has(copy)) return;
    this.#asking.add(copy);
    const { since, session } = copy;
    const question = encodeMessage({ step: Step.needed, partition, since, session, body: noBytes });
    while (!this.#closed && this.#copies.get(partition) === copy && !copy.named && copy.since === since) {
      const row = ring.table.rows[partition]!;
      if (row.since > since || namedIn(row, ring.nodeId)) break;
      const owner = memberOf(ring.table, row.owner);
      const answer =
        owner?.incarnation === copy.from
          ? await ring.peers
              .requestPromise(owner, PeerKind.handoff, question, neededEveryMs)
              .catch(() => undefined)
          : undefined;
      if (answer?.equals(no) === true) {
        if (this.#copies.get(partition) === copy && !copy.named) this.#copies.delete(partition);
        break;
      }
      await sleep(runtime, neededEveryMs);
    }
    this.#asking.delete(copy);
  }
}

function callOff(partition: number): RingcacheError {
  return new RingcacheError("CLOSED", `partition ${partition} is owned here no more`);
}
