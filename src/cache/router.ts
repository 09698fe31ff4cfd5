/**
 * Carries each command out where its key is owned: here, in the same turn, or on the owner over its peer link. While
 * a partition moves, or has no owner that may serve, its commands wait up to their deadline; a node that turns out
 * not to own a partition says so, and the router of origin asks the next. Writes are numbered, so that one whose link
 * broke before its answer came can be sent again, wherever its partition is by then, and is carried out once.
 */
import { type OperationCounters, Path, type Via } from "../metrics/operations.ts";
import type { IncomingRequest } from "../peers/messages.ts";
import { PeerKind } from "../ring/calls.ts";
import type { Ring } from "../ring/ring.ts";
import type { Runtime } from "../runtime.ts";
import { answerRequest, LocalAnswer, memoryFull, RemoteAnswer } from "./answers.ts";
import { type Command, type Done, Op } from "./command.ts";
import { Operation } from "./operation.ts";
import type { Partitions } from "./partitions.ts";
import { type OperationTrace, type OperationTraces, TracedRequest } from "./traces.ts";
import { type Waiter, WaitingRoom } from "./waiting-room.ts";
import {
  closedAnswer,
  decodeCommand,
  encodeNotOwner,
  fullAnswer,
  lateAnswer,
  overloadedAnswer,
  type WireCommand,
} from "./wire.ts";

export class Router {
  readonly ring: Ring;
  readonly runtime: Runtime;
  readonly partitions: Partitions;
  readonly room: WaitingRoom;
  readonly #counters: OperationCounters | undefined;
  readonly #traces: OperationTraces | undefined;
  /** The writes that were sent and aren't answered, by number; the first is the oldest. */
  readonly #unanswered = new Map<number, Operation>();
  #writes = 0;

  /** `counters`, `traces`: undefined if nothing is to be counted, or traced. */
  constructor(
    ring: Ring,
    runtime: Runtime,
    partitions: Partitions,
    counters?: OperationCounters,
    traces?: OperationTraces,
  ) {
    this.#counters = counters;
    this.#traces = traces;
    this.ring = ring;
    this.runtime = runtime;
    this.partitions = partitions;
    this.room = new WaitingRoom(runtime);
    ring.peers.handle(PeerKind.command, (request) => this.#serve(request));
    ring.on("table", () => this.room.wakeAll());
    ring.on("lease", () => this.room.wakeAll());
  }

  /** The number of the next write. */
  number(operation: Operation): number {
    const sequence = ++this.#writes;
    this.#unanswered.set(sequence, operation);
    return sequence;
  }

  answered(sequence: number): void {
    this.#unanswered.delete(sequence);
  }

  get oldest(): number {
    for (const sequence of this.#unanswered.keys()) return sequence;
    return 0;
  }

  /**
   * A write under way to its owner is carried out for good: this node holds the only copy beside the owner's, and has it.
   * So its client is answered a journey there and back earlier, and by what goes between the two nodes anyway.
   */
  completed(sequence: number, found: boolean | Buffer): void {
    this.#unanswered.get(sequence)?.completed(found);
  }

  /** Calls `done` exactly once; in this turn if this node owns the key and no backup has to confirm anything. */
  execute(command: Command, done: Done, deadlineMs: number, via: Via, trace?: OperationTrace): void {
    const { ring, runtime } = this;
    const counters = this.#counters;
    const partition = command.partition ?? ring.partitionFor(command.key);
    if (ring.serves(partition)) {
      const owned = this.partitions.get(partition);
      if (!owned.isCongested) {
        const fromMs = counters?.takesSample() === true ? runtime.monotonicMs() : -1;
        const reply = owned.apply(command, runtime.wallMs(), undefined);
        if (owned.refused) {
          counters?.failed(via, command.op, "MEMORY_FULL");
          done(memoryFull(ring.nodeId, "none"), undefined);
        } else if (owned.mustWait) {
          const nowMs = runtime.monotonicMs();
          const watched = counters?.watched(via, command.op, Path.replicated, nowMs, done) ?? done;
          trace?.replicates(owned);
          owned.wait(new LocalAnswer(watched, reply, nowMs + deadlineMs));
        } else {
          counters?.answered(via, command.op);
          if (fromMs >= 0) counters!.sampled(via, fromMs);
          done(undefined, reply);
        }
        return;
      }
    }
    const stale = command.op === Op.get ? this.partitions.stale(partition) : undefined;
    if (stale !== undefined) done(undefined, stale.apply(command, runtime.wallMs(), undefined));
    else {
      const nowMs = runtime.monotonicMs();
      const watched = counters?.watched(via, command.op, Path.routed, nowMs, done) ?? done;
      new Operation(this, command, partition, nowMs + deadlineMs, watched, trace).retry();
    }
  }

  #serve(asked: IncomingRequest): void {
    const command = decodeCommand(asked.payload);
    const { trace } = command;
    const request = trace === undefined ? asked : (this.#traces?.serve(asked, command, trace) ?? asked);
    // Nearly every command: carried out in this turn, with nothing kept.
    if (this.ring.serves(command.partition)) this.carryOut(request, command);
    else new RemoteOperation(this, request, command, this.runtime.monotonicMs() + command.leftMs).retry();
  }

  /** Only while this node serves the command's partition. */
  carryOut(request: IncomingRequest, command: WireCommand): void {
    const owned = this.partitions.get(command.partition);
    const { sequence, oldest } = command;
    const receipt = sequence === 0 ? undefined : { origin: request.from.incarnation, sequence, oldest };
    if (owned.isCongested) {
      request.reply(overloadedAnswer);
    } else if (receipt !== undefined && owned.isOver(receipt)) {
      // Nobody waits for the answer.
      request.reply(lateAnswer);
    } else {
      const reply = owned.apply(command, this.runtime.wallMs(), receipt);
      if (!owned.refused) this.#counters?.carriedOut(command.op);
      if (owned.refused) request.reply(fullAnswer);
      else if (!owned.mustWait) answerRequest(request, reply);
      else {
        if (this.#traces !== undefined && request instanceof TracedRequest) request.replicates(owned);
        owned.wait(new RemoteAnswer(request, reply, this.runtime.monotonicMs() + command.leftMs));
      }
    }
  }
}

/** A command that another node's router sent here. */
class RemoteOperation implements Waiter {
  readonly deadlineAtMs: number;
  readonly #router: Router;
  readonly #request: IncomingRequest;
  readonly #command: WireCommand;

  constructor(router: Router, request: IncomingRequest, command: WireCommand, deadlineAtMs: number) {
    this.#router = router;
    this.#request = request;
    this.#command = command;
    this.deadlineAtMs = deadlineAtMs;
  }

  get partition(): number {
    return this.#command.partition;
  }

  get sizeBytes(): number {
    return this.#request.payload.length;
  }

  retry(): void {
    const { ring, room } = this.#router;
    const { partition, epoch } = this.#command;
    if (ring.serves(partition)) {
      this.#router.carryOut(this.#request, this.#command);
    } else if (
      ring.table.epoch >= epoch &&
      !ring.holds(partition) &&
      ring.nodeForPartition(partition) !== ring.nodeId
    ) {
      this.#request.reply(encodeNotOwner(ring.table.epoch));
    } else if (!room.enter(this)) {
      this.#request.reply(overloadedAnswer);
    }
  }

  expire(): void {
    this.#request.reply(lateAnswer);
  }

  close(): void {
    this.#request.reply(closedAnswer);
  }
}
