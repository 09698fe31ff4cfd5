/**
 * Carries each command out where its key is owned: here, in the same turn, or on the owner over its peer link. While
 * a partition moves, or has no owner that may serve, its commands wait up to their deadline; a node that turns out
 * not to own a partition says so, and the router of origin asks the next. Writes are numbered, so that one whose link
 * broke before its answer came can be sent again, wherever its partition is by then, and is carried out once.
 */
import { type Outcome, RingcacheError } from "../errors.ts";
import { type OperationCounters, Path, type Via } from "../metrics/operations.ts";
import type { CallHandler, IncomingRequest } from "../peers/messages.ts";
import { PeerKind } from "../ring/calls.ts";
import type { Ring } from "../ring/ring.ts";
import { type Member, memberOf } from "../ring/table.ts";
import type { Runtime } from "../runtime.ts";
import { type Command, type Done, noBytes, Op, type Reply } from "./command.ts";
import type { Waiting } from "./owned-partition.ts";
import type { Partitions } from "./partitions.ts";
import { runWrites } from "./steps/step.ts";
import { type Waiter, WaitingRoom } from "./waiting-room.ts";
import {
  Answer,
  absentAnswer,
  closedAnswer,
  decodeCommand,
  decodeFound,
  decodeNotOwner,
  encodeCommand,
  encodeFound,
  encodeNotOwner,
  fullAnswer,
  lateAnswer,
  overloadedAnswer,
  unsettledAnswer,
  type WireCommand,
} from "./wire.ts";

/** How much longer than the operation itself a call may take: the owner answers `late` by itself. */
const callGraceMs = 250;
/** Until the next attempt after one that failed without a newer table to explain it. */
const retryMs = 20;

export class Router {
  readonly ring: Ring;
  readonly runtime: Runtime;
  readonly partitions: Partitions;
  readonly room: WaitingRoom;
  readonly #counters: OperationCounters | undefined;
  /** The numbers of the writes that were sent and aren't answered; the first is the oldest. */
  readonly #unanswered = new Set<number>();
  #writes = 0;

  /** `counters`: undefined if nothing is to be counted. */
  constructor(ring: Ring, runtime: Runtime, partitions: Partitions, counters?: OperationCounters) {
    this.#counters = counters;
    this.ring = ring;
    this.runtime = runtime;
    this.partitions = partitions;
    this.room = new WaitingRoom(runtime);
    ring.peers.handle(PeerKind.command, (request) => this.#serve(request));
    ring.on("table", () => this.room.wakeAll());
    ring.on("lease", () => this.room.wakeAll());
  }

  /** The number of the next write. */
  number(): number {
    const sequence = ++this.#writes;
    this.#unanswered.add(sequence);
    return sequence;
  }

  answered(sequence: number): void {
    this.#unanswered.delete(sequence);
  }

  get oldest(): number {
    for (const sequence of this.#unanswered) return sequence;
    return 0;
  }

  /** Calls `done` exactly once; in this turn if this node owns the key and no backup has to confirm anything. */
  execute(command: Command, done: Done, deadlineMs: number, via: Via): void {
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
      new Operation(this, command, partition, nowMs + deadlineMs, watched).retry();
    }
  }

  #serve(request: IncomingRequest): void {
    const command = decodeCommand(request.payload);
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
      else owned.wait(new RemoteAnswer(request, reply, this.runtime.monotonicMs() + command.leftMs));
    }
  }
}

function answerRequest(request: IncomingRequest, reply: Reply): void {
  request.reply(reply.found ? encodeFound(reply.expiresAtMs, reply.value) : absentAnswer);
}

/** An answer to this node's own client that waits for the backups. */
class LocalAnswer implements Waiting {
  readonly deadlineAtMs: number;
  readonly #done: Done;
  readonly #reply: Reply;

  constructor(done: Done, reply: Reply, deadlineAtMs: number) {
    this.#done = done;
    this.#reply = reply;
    this.deadlineAtMs = deadlineAtMs;
  }

  acknowledged(): void {
    this.#done(undefined, this.#reply);
  }

  failed(error: RingcacheError): void {
    this.#done(error, undefined);
  }
}

/** An answer to another node's router that waits for the backups. */
class RemoteAnswer implements Waiting {
  readonly deadlineAtMs: number;
  readonly #request: IncomingRequest;
  readonly #reply: Reply;

  constructor(request: IncomingRequest, reply: Reply, deadlineAtMs: number) {
    this.#request = request;
    this.#reply = reply;
    this.deadlineAtMs = deadlineAtMs;
  }

  acknowledged(): void {
    answerRequest(this.#request, this.#reply);
  }

  failed(): void {
    this.#request.reply(unsettledAnswer);
  }
}

/** A command of this node's own clients, until it is done. */
class Operation implements Waiter, CallHandler {
  readonly partition: number;
  readonly deadlineAtMs: number;
  readonly #router: Router;
  readonly #command: Command;
  readonly #done: Done;
  #target: Member | undefined;
  /** The write's number, once it was sent. */
  #sequence = 0;
  /** The incarnation of this node under which it was sent last. */
  #sentAs = "";
  /** That of an attempt that may have been carried out without an answer: only as that one's it would be recognised. */
  #unansweredAs = "";
  /** A table of at least this epoch is needed to know more. */
  #epoch = 0;

  constructor(router: Router, command: Command, partition: number, deadlineAtMs: number, done: Done) {
    this.#router = router;
    this.#command = command;
    this.partition = partition;
    this.deadlineAtMs = deadlineAtMs;
    this.#done = done;
  }

  get sizeBytes(): number {
    const { key, value, expected } = this.#command;
    return key.length + value.length + (expected?.length ?? 0);
  }

  retry(): void {
    const { ring, runtime, partitions } = this.#router;
    const { partition } = this;
    const { table } = ring;
    const target = memberOf(table, ring.nodeForPartition(partition));
    const leftMs = this.deadlineAtMs - runtime.monotonicMs();
    const origin = ring.incarnation;
    const unknownHere = this.#unansweredAs !== "" && this.#unansweredAs !== origin;
    if (table.epoch < this.#epoch || unknownHere) {
      this.#wait();
      return;
    }
    if (ring.serves(partition)) {
      const owned = partitions.get(partition);
      if (owned.isCongested) {
        this.#fail("OVERLOADED", `partition ${partition} has too many operations waiting for its backups`);
        return;
      }
      const sent = this.#unansweredAs !== "";
      const receipt = sent ? { origin, sequence: this.#sequence, oldest: this.#router.oldest } : undefined;
      const reply = owned.apply(this.#command, runtime.wallMs(), receipt);
      if (owned.refused) {
        this.#refuse(ring.nodeId);
        return;
      }
      const done: Done = (error, answer) => this.#finish(error, answer);
      if (owned.mustWait) owned.wait(new LocalAnswer(done, reply, this.deadlineAtMs));
      else this.#finish(undefined, reply);
      return;
    }
    if (target === undefined || target.id === ring.nodeId || leftMs <= 0) {
      this.#wait();
      return;
    }
    this.#target = target;
    this.#sentAs = origin;
    if (this.#sequence === 0 && changes(this.#command)) this.#sequence = this.#router.number();
    const oldest = this.#sequence === 0 ? 0 : this.#router.oldest;
    const sending = { partition, epoch: table.epoch, leftMs, sequence: this.#sequence, oldest };
    const frame = encodeCommand(this.#command, sending);
    ring.peers.call(target, PeerKind.command, frame, leftMs + callGraceMs, this);
  }

  reply(answer: Buffer): void {
    const node = this.#target!.id;
    switch (answer[0]) {
      case Answer.found:
        this.#finish(undefined, decodeFound(answer, node));
        break;
      case Answer.absent:
        this.#finish(undefined, { found: false, value: noBytes, expiresAtMs: 0, node });
        break;
      case Answer.notOwner: {
        const epoch = decodeNotOwner(answer);
        // A table that this node has too can't explain it; then it looks again shortly.
        const explained = epoch > this.#router.ring.table.epoch;
        if (explained) this.#epoch = epoch;
        this.#wait(explained ? undefined : retryMs);
        break;
      }
      case Answer.late:
        this.expire();
        break;
      case Answer.unsettled:
        if (changes(this.#command)) this.#unansweredAs = this.#sentAs;
        this.#wait(retryMs);
        break;
      case Answer.full:
        this.#refuse(node);
        break;
      case Answer.overloaded:
        this.#fail("OVERLOADED", `node "${node}" has too many operations waiting`);
        break;
      default:
        this.#wait(retryMs);
    }
  }

  failed(error: RingcacheError): void {
    const unknown = error.outcome === "unknown" && changes(this.#command);
    if (error.code === "OVERLOADED" || (unknown && error.code === "DEADLINE_EXCEEDED")) {
      this.#finish(error, undefined);
      return;
    }
    // Not the present one: a link breaks because this node has just become another incarnation.
    if (unknown) this.#unansweredAs = this.#sentAs;
    this.#wait(retryMs);
  }

  expire(): void {
    const owner = this.#router.ring.nodeForPartition(this.partition);
    const what = `partition ${this.partition} (owner "${owner}") could not serve the operation in time`;
    if (this.#unansweredAs === "") this.#fail("DEADLINE_EXCEEDED", `${what}; it was not carried out`);
    else this.#fail("LINK_LOST", `${what}; an attempt whose link broke may have been carried out`);
  }

  close(): void {
    this.#fail("CLOSED", "the node was closed");
  }

  #wait(retryInMs?: number): void {
    const { room, runtime } = this.#router;
    if (runtime.monotonicMs() >= this.deadlineAtMs) this.expire();
    else if (!room.enter(this, retryInMs))
      this.#fail("OVERLOADED", "too many operations are waiting on this node");
  }

  #refuse(node: string): void {
    this.#finish(memoryFull(node, this.#unansweredAs === "" ? "none" : "unknown"), undefined);
  }

  #fail(code: "DEADLINE_EXCEEDED" | "OVERLOADED" | "LINK_LOST" | "CLOSED", message: string): void {
    const outcome = this.#unansweredAs === "" ? "none" : "unknown";
    this.#finish(new RingcacheError(code, message, { outcome }), undefined);
  }

  #finish(error: RingcacheError | undefined, reply: Reply | undefined): void {
    if (this.#sequence > 0) this.#router.answered(this.#sequence);
    this.#done(error, reply);
  }
}

function memoryFull(node: string, outcome: Outcome): RingcacheError {
  const message = `node "${node}" or a backup of it has no memory left, and nothing may be evicted`;
  return new RingcacheError("MEMORY_FULL", message, { outcome });
}

function changes(command: Command): boolean {
  const { op } = command;
  return op === Op.set || op === Op.delete || op === Op.cas || (op === Op.run && runWrites(command));
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
