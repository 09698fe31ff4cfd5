/** The new owner's side of a handoff: copies that are coming in, each usable only once it is known to be whole. */
import { crc32 } from "node:zlib";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { IncomingRequest } from "../peers/messages.ts";
import { PartitionStore } from "../storage/partition-store.ts";
import {
  applyRecords,
  decodeFinal,
  decodeMessage,
  type HandoffMessage,
  no,
  Step,
  yes,
} from "./handoff-wire.ts";
import type { Partition } from "./partitions.ts";
import { Receipts } from "./receipts.ts";

interface Copy extends Partition {
  readonly from: string;
  readonly move: number;
  readonly session: number;
  sequence: number;
  checksum: number;
  whole: boolean;
}

export interface ReceiverOptions {
  readonly log: Log;
  /** Whether this node serves the partition now. */
  isActive(partition: number): boolean;
  /** This node owns the partition, so that a copy would be older than what it has, or it has left the ring. */
  refuses(partition: number): boolean;
}

export class HandoffReceiver {
  readonly #options: ReceiverOptions;
  readonly #copies = new Map<number, Copy>();

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  serve(request: IncomingRequest): void {
    let taken = false;
    try {
      taken = this.#take(decodeMessage(request.payload), request.from.incarnation);
    } catch (error) {
      this.#options.log.error(
        { event: "handoff-invalid", from: request.from.id, error: messageOf(error) },
        "refused a handoff message",
      );
    }
    request.reply(taken ? yes : no);
  }

  /** The whole copy that came with this move; undefined if there is none. Any other copy is dropped. */
  take(partition: number, move: number): Partition | undefined {
    const copy = this.#copies.get(partition);
    this.#copies.delete(partition);
    return copy?.whole === true && copy.move === move
      ? { store: copy.store, receipts: copy.receipts }
      : undefined;
  }

  /** Drops copies of moves that are off. */
  retain(isComing: (partition: number, move: number) => boolean): void {
    for (const [partition, copy] of this.#copies) {
      if (!isComing(partition, copy.move)) this.#copies.delete(partition);
    }
  }

  clear(): void {
    this.#copies.clear();
  }

  #take(message: HandoffMessage, from: string): boolean {
    const { partition, move, session, sequence } = message;
    if (message.step === Step.active) return this.#options.isActive(partition);
    if (this.#options.refuses(partition)) return false;
    if (message.step === Step.begin) {
      const known = this.#copies.get(partition);
      if (known !== undefined && known.move > move) return false;
      // Sessions of one sender count up: this one comes late, over a link that was lost, and is over.
      if (known?.from === from && known.move === move && known.session > session) return false;
      const data = { store: new PartitionStore(), receipts: new Receipts() };
      this.#copies.set(partition, { ...data, from, move, session, sequence: 0, checksum: 0, whole: false });
      return true;
    }
    const copy = this.#copies.get(partition);
    if (copy === undefined || copy.from !== from || copy.move !== move || copy.session !== session)
      return false;
    if (sequence !== ++copy.sequence) {
      this.#copies.delete(partition);
      return false;
    }
    return message.step === Step.final ? finish(copy, message.body) : apply(copy, message.body);
  }
}

function apply(copy: Copy, records: Buffer): boolean {
  copy.whole = false;
  copy.checksum = crc32(records, copy.checksum);
  applyRecords(records, {
    set: (key, value, expiresAtMs) => copy.store.set(key, value, expiresAtMs),
    // The deletion of what isn't there, or has expired here already, is none the less done.
    delete: (key) => void copy.store.delete(key, 0),
    receipts: (encoded) => copy.receipts.add(encoded),
  });
  return true;
}

function finish(copy: Copy, body: Buffer): boolean {
  const { entries, checksum } = decodeFinal(body);
  copy.whole = copy.checksum === checksum && copy.store.size === entries;
  return copy.whole;
}
