/** An operation of this node's own clients that isn't carried out in the turn in which it is asked for. */
import { RingcacheError } from "../errors.ts";
import type { CallHandler } from "../peers/messages.ts";
import { PeerKind } from "../ring/calls.ts";
import { type Member, memberOf } from "../ring/table.ts";
import { LocalAnswer, memoryFull } from "./answers.ts";
import { type Command, type Done, noBytes, Op, type Reply } from "./command.ts";
import type { Router } from "./router.ts";
import { runWrites } from "./steps/step.ts";
import type { OperationTrace } from "./traces.ts";
import type { Waiter } from "./waiting-room.ts";
import { Answer, decodeFound, decodeNotOwner, encodeCommand } from "./wire.ts";

/** How much longer than the operation itself a call may take: the owner answers `late` by itself. */
const callGraceMs = 250;
/** Until the next attempt after one that failed without a newer table to explain it. */
const retryMs = 20;

/** A command of this node's own clients, until it is done. */
export class Operation implements Waiter, CallHandler {
  readonly partition: number;
  readonly deadlineAtMs: number;
  readonly #router: Router;
  readonly #command: Command;
  readonly #done: Done;
  readonly #trace: OperationTrace | undefined;
  #target: Member | undefined;
  /** The write's number, once it was sent. */
  #sequence = 0;
  /** The incarnation of this node under which it was sent last. */
  #sentAs = "";
  /** That of an attempt that may have been carried out without an answer: only as that one's it would be recognised. */
  #unansweredAs = "";
  /** A table of at least this epoch is needed to know more. */
  #epoch = 0;
  #state: "here" | "sent" | "over" = "here";

  constructor(
    router: Router,
    command: Command,
    partition: number,
    deadlineAtMs: number,
    done: Done,
    trace: OperationTrace | undefined,
  ) {
    this.#router = router;
    this.#trace = trace;
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
      if (owned.mustWait) {
        this.#trace?.replicates(owned);
        owned.wait(new LocalAnswer(done, reply, this.deadlineAtMs));
      } else this.#finish(undefined, reply);
      return;
    }
    if (target === undefined || target.id === ring.nodeId || leftMs <= 0) {
      this.#wait();
      return;
    }
    this.#target = target;
    this.#sentAs = origin;
    if (this.#sequence === 0 && changes(this.#command)) this.#sequence = this.#router.number(this);
    const oldest = this.#sequence === 0 ? 0 : this.#router.oldest;
    const trace = this.#trace?.context;
    const sending = { partition, epoch: table.epoch, leftMs, sequence: this.#sequence, oldest, trace };
    const frame = encodeCommand(this.#command, sending);
    this.#state = "sent";
    ring.peers.call(target, PeerKind.command, frame, leftMs + callGraceMs, this);
  }

  /** The answer of the owner, or what happened to the question, says nothing new after this. */
  completed(found: boolean | Buffer): void {
    if (this.#state !== "sent") return;
    this.#state = "over";
    const value = typeof found === "boolean" ? noBytes : found;
    this.#finish(undefined, { found: found !== false, value, expiresAtMs: 0, node: this.#target!.id });
  }

  reply(answer: Buffer): void {
    if (this.#state === "over") return;
    this.#state = "here";
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
    if (this.#state === "over") return;
    this.#state = "here";
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

function changes(command: Command): boolean {
  const { op } = command;
  return op === Op.set || op === Op.delete || op === Op.cas || (op === Op.run && runWrites(command));
}
