/**
 * While a node can't reach the store, it asks the other members for tables that it hasn't seen. One that was published
 * just before the store went away may have come to some members only: without it, who handed a partition over
 * doesn't know that it may let go, and the new owner waits for it until the store is back.
 *
 * What is learned so is what the watch would have shown: a published table with its revision, of the same life of the store.
 */
import type { Log } from "../log.ts";
import type { IncomingRequest } from "../peers/messages.ts";
import type { Peers } from "../peers/peers.ts";
import type { Runtime, Timer } from "../runtime.ts";
import { PeerKind } from "./calls.ts";
import type { TableStore } from "./table-store.ts";

const epochBytes = 6;
const revisionBytes = 6;
const nothing = Buffer.alloc(0);

export interface TableExchangeOptions {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly peers: Pick<Peers, "call" | "handle">;
  readonly tables: TableStore;
  readonly selfId: string;
  /** Between two rounds of questions. */
  readonly intervalMs: number;
  /** The store can't be reached, or doesn't answer: watches show nothing. */
  isCutOff(): boolean;
}

export class TableExchange {
  readonly #options: TableExchangeOptions;
  /** Incarnations that have been asked and haven't answered: one question at a time to each. */
  readonly #asked = new Set<string>();
  #timer: Timer | undefined;

  constructor(options: TableExchangeOptions) {
    this.#options = options;
    options.peers.handle(PeerKind.newerTable, (request) => request.reply(this.#answer(request)));
    this.#schedule();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #schedule(): void {
    const { intervalMs, isCutOff, runtime } = this.#options;
    this.#timer = runtime.after(intervalMs, () => {
      this.#schedule();
      if (isCutOff()) this.#ask();
    });
  }

  #ask(): void {
    const { intervalMs, log, peers, selfId, tables } = this.#options;
    const { epoch, members } = tables.table;
    const generation = tables.generation;
    const question = Buffer.alloc(epochBytes + Buffer.byteLength(generation));
    question.writeUIntBE(epoch, 0, epochBytes);
    question.write(generation, epochBytes);
    for (const member of members) {
      const { id, incarnation, dead } = member;
      if (id === selfId || dead !== "" || this.#asked.has(incarnation)) continue;
      this.#asked.add(incarnation);
      peers.call(member, PeerKind.newerTable, question, 2 * intervalMs, {
        reply: (answer) => {
          this.#asked.delete(incarnation);
          if (answer.length <= revisionBytes || tables.generation !== generation) return;
          const revision = answer.readUIntBE(0, revisionBytes);
          if (!tables.overhear(answer.subarray(revisionBytes), revision)) return;
          const message = `learned table ${tables.table.epoch} from ${id} while the store can't be reached`;
          log.info({ event: "table-overheard", epoch: tables.table.epoch, from: id }, message);
        },
        failed: () => this.#asked.delete(incarnation),
      });
    }
  }

  #answer({ payload }: IncomingRequest): Buffer {
    if (payload.length < epochBytes) return nothing;
    const known = this.#options.tables.published(payload.readUIntBE(0, epochBytes));
    if (known === undefined || payload.toString("utf8", epochBytes) !== known.generation) return nothing;
    const revision = Buffer.alloc(revisionBytes);
    revision.writeUIntBE(known.revision, 0, revisionBytes);
    return Buffer.concat([revision, known.value]);
  }
}
