/** The cache's part in the comings and goings of partitions: it moves their data. The ring says when. */
import type { Log } from "../log.ts";
import { PeerKind } from "../ring/calls.ts";
import type { PartitionKeeper } from "../ring/ownership.ts";
import type { Ring } from "../ring/ring.ts";
import { type Member, memberOf } from "../ring/table.ts";
import { type Runtime, sleep } from "../runtime.ts";
import { PartitionStore } from "../storage/partition-store.ts";
import { HandoffReceiver } from "./handoff-receiver.ts";
import { HandoffSender } from "./handoff-sender.ts";
import { encodeMessage, Step, yes } from "./handoff-wire.ts";
import type { Partition, Partitions } from "./partitions.ts";
import { Receipts } from "./receipts.ts";

const activeTimeoutMs = 1_000;
const activePollMs = 50;

export class CacheKeeper implements PartitionKeeper {
  readonly #ring: Ring;
  readonly #runtime: Runtime;
  readonly #partitions: Partitions;
  readonly #receiver: HandoffReceiver;
  readonly #senders = new Map<number, HandoffSender>();
  /** Copies of partitions that were handed over, until their new owners serve them. */
  readonly #retained = new Map<number, Partition>();
  readonly #moves = new Map<number, number>();
  #sessions = 0;
  /** Lets what waits for the partition try again. */
  readonly #wake: (partition: number) => void;

  constructor(
    ring: Ring,
    runtime: Runtime,
    log: Log,
    partitions: Partitions,
    wake: (partition: number) => void,
  ) {
    this.#ring = ring;
    this.#runtime = runtime;
    this.#partitions = partitions;
    this.#wake = wake;
    this.#receiver = new HandoffReceiver({
      log,
      isActive: (partition) => ring.serves(partition),
      refuses: (partition) => ring.state === "left" || ring.holds(partition),
    });
    ring.peers.handle(PeerKind.handoff, (request) => this.#receiver.serve(request));
  }

  /** Drops copies of moves that the newest table has called off. */
  tableChanged(): void {
    const { table, nodeId } = this.#ring;
    this.#receiver.retain((partition, move) => {
      const row = table.rows[partition];
      // A copy may be ahead of the table here; one for an older move than the row's is void.
      return row !== undefined && (row.owner === nodeId || row.incoming === nodeId || table.epoch < move);
    });
  }

  async copy(partition: number, to: Member, move: number): Promise<void> {
    const sender = new HandoffSender({
      peers: this.#ring.peers,
      runtime: this.#runtime,
      data: this.#partitions.get(partition),
      partition,
      to,
      move,
      session: ++this.#sessions,
    });
    this.#senders.get(partition)?.abort();
    this.#senders.set(partition, sender);
    this.#moves.set(partition, move);
    this.#partitions.tap(partition, sender);
    try {
      await sender.copy();
    } catch (error) {
      this.#untap(partition, sender);
      throw error;
    }
  }

  async seal(partition: number): Promise<void> {
    const sender = this.#senders.get(partition);
    if (sender === undefined) throw new Error(`partition ${partition} has not been copied`);
    // From here on only the sweep of expired entries could change the store, and the receiver has one of its own.
    this.#partitions.tap(partition, undefined);
    await sender.finish();
  }

  abort(partition: number): void {
    const sender = this.#senders.get(partition);
    if (sender !== undefined) this.#untap(partition, sender);
    this.#wake(partition);
  }

  activate(partition: number, move: number): void {
    const copy = this.#receiver.take(partition, move);
    this.#retained.delete(partition);
    // A partition that was to go and stayed still has its store.
    if (!this.#partitions.has(partition))
      this.#partitions.open(partition, copy ?? { store: new PartitionStore(), receipts: new Receipts() });
    this.#wake(partition);
  }

  release(partition: number, to: Member | undefined): void {
    const move = this.#moves.get(partition) ?? 0;
    const sender = this.#senders.get(partition);
    if (sender !== undefined) this.#untap(partition, sender);
    const data = this.#partitions.remove(partition);
    if (to !== undefined && data !== undefined) {
      this.#retained.set(partition, data);
      void this.#retainUntilActive(partition, data, to, move);
    }
    this.#wake(partition);
  }

  close(): void {
    for (const [partition, sender] of [...this.#senders]) this.#untap(partition, sender);
    this.#receiver.clear();
    this.#retained.clear();
  }

  #untap(partition: number, sender: HandoffSender): void {
    if (this.#senders.get(partition) === sender) {
      this.#senders.delete(partition);
      this.#moves.delete(partition);
      this.#partitions.tap(partition, undefined);
    }
    sender.abort();
  }

  /** The copy here goes only after the new owner serves its own, or is no longer the one to serve. */
  async #retainUntilActive(partition: number, data: Partition, to: Member, move: number): Promise<void> {
    const question = encodeMessage({
      step: Step.active,
      partition,
      move,
      session: 0,
      sequence: 0,
      body: Buffer.alloc(0),
    });
    while (this.#retained.get(partition) === data) {
      const { table } = this.#ring;
      const stillTheirs =
        table.rows[partition]!.owner === to.id && memberOf(table, to.id)?.incarnation === to.incarnation;
      if (!stillTheirs) break;
      const answer = await this.#ring.peers
        .requestPromise(to, PeerKind.handoff, question, activeTimeoutMs)
        .catch(() => undefined);
      if (answer?.equals(yes) === true) break;
      await sleep(this.#runtime, activePollMs);
    }
    if (this.#retained.get(partition) === data) this.#retained.delete(partition);
  }
}
