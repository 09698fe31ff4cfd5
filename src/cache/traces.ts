/**
 * Operations as spans: one where an operation came in, a child of it where it was carried out if that is another node, and a
 * child of these while backups have to confirm. No span has a key or a value.
 */
import { doors, type Via } from "../metrics/operations.ts";
import type { IncomingRequest, PeerIdentity } from "../peers/messages.ts";
import type { Attributes, OpenSpan, Spans } from "../tracing.ts";
import { type Command, type Done, Op } from "./command.ts";
import type { OwnedPartition } from "./owned-partition.ts";
import { type Step, StepCode } from "./steps/step.ts";
import { Answer, type WireCommand } from "./wire.ts";

/** By {@link Op}. */
const names = ["", "GET", "SET", "DELETE", "EXISTS", "COMPARE_AND_SET", "RUN"] as const;

/** By `StepCode`. */
const stepNames: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(StepCode).map(([name, code]) => [code, name]),
);
const stepKindsMax = 8;

/** By {@link Answer}: what became of it, where that isn't an answer to the client. */
const refusals: Readonly<Record<number, string>> = {
  [Answer.notOwner]: "not_owner",
  [Answer.late]: "late",
  [Answer.overloaded]: "overloaded",
  [Answer.closed]: "closed",
  [Answer.unsettled]: "unsettled",
  [Answer.full]: "full",
};

/** What the router does with the span of the operation that it carries out. */
export interface OperationTrace {
  /** Goes to the owner with the command. */
  readonly context: Buffer;
  /** The operation has been carried out here, and waits for the backups. */
  replicates(owned: OwnedPartition): void;
}

export class OperationTraces {
  readonly #spans: Spans;
  readonly #node: string;
  readonly #common: Attributes;
  readonly #platform: string;

  constructor(spans: Spans, node: string, platform: string) {
    this.#spans = spans;
    this.#node = node;
    this.#platform = platform;
    this.#common = { "db.system.name": "ringcache", "db.namespace": platform, "ringcache.node": node };
  }

  /** An operation of this node's clients; undefined: it isn't recorded. Its `done` is called instead of the given one. */
  begin(command: Command, partition: number, via: Via, done: Done): TracedOperation | undefined {
    const attributes = { ...this.#attributes(command, partition), "ringcache.door": doors[via] };
    const span = this.#spans.client(this.#nameOf(command), attributes);
    return span && new TracedOperation(span, this.#node, command.op, done);
  }

  /** An operation of another node's clients, with the context that came with it; as it came if it isn't recorded. */
  serve(request: IncomingRequest, command: WireCommand, context: Uint8Array): IncomingRequest {
    const attributes = {
      ...this.#attributes(command, command.partition),
      "ringcache.origin": request.from.id,
    };
    const span = this.#spans.server(this.#nameOf(command), attributes, context);
    return span === undefined ? request : new TracedRequest(request, span, command.op);
  }

  #nameOf({ op }: Pick<Command, "op">): string {
    return `${names[op]} ${this.#platform}`;
  }

  #attributes({ op, steps }: Pick<Command, "op" | "steps">, partition: number): Attributes {
    return {
      ...this.#common,
      "db.operation.name": names[op],
      ...(steps !== undefined && stepAttributes(steps)),
      "ringcache.partition": partition,
    };
  }
}

export class TracedOperation implements OperationTrace {
  readonly done: Done;
  readonly #span: OpenSpan;
  #replication: OpenSpan | undefined;

  constructor(span: OpenSpan, node: string, op: Op, done: Done) {
    this.#span = span;
    this.done = (error, reply) => {
      this.#replication?.end();
      if (error !== undefined) span.end({ "ringcache.outcome": error.outcome }, error.code);
      else {
        const owner = reply!.node;
        span.end({
          "ringcache.owner": owner,
          "ringcache.route": owner === node ? "local" : "routed",
          "ringcache.outcome": outcomeOf(op, reply!.found),
        });
      }
      done(error, reply);
    };
  }

  get context(): Buffer {
    return this.#span.context;
  }

  replicates(owned: OwnedPartition): void {
    this.#replication ??= replication(this.#span, owned);
  }
}

/** A request that ends its span when it is answered. */
export class TracedRequest implements IncomingRequest {
  readonly from: PeerIdentity;
  readonly payload: Buffer;
  readonly #request: IncomingRequest;
  readonly #span: OpenSpan;
  readonly #op: Op;
  #replication: OpenSpan | undefined;

  constructor(request: IncomingRequest, span: OpenSpan, op: Op) {
    this.from = request.from;
    this.payload = request.payload;
    this.#request = request;
    this.#span = span;
    this.#op = op;
  }

  replicates(owned: OwnedPartition): void {
    this.#replication ??= replication(this.#span, owned);
  }

  reply(answer: Uint8Array): void {
    this.#replication?.end();
    const refusal = refusals[answer[0]!];
    const outcome = refusal ?? outcomeOf(this.#op, answer[0] === Answer.found);
    // That it isn't the owner any more, or that the answer is to be asked for again, is no failure: its origin goes on.
    const isError = refusal !== undefined && answer[0] !== Answer.notOwner && answer[0] !== Answer.unsettled;
    this.#span.end({ "ringcache.outcome": outcome }, isError ? refusal : undefined);
    this.#request.reply(answer);
  }
}

/** What is done, not to what: of many steps the first few kinds. */
function stepAttributes(steps: readonly Step[]): Attributes {
  const kinds = new Set<string>();
  for (const { code } of steps) {
    if (kinds.size === stepKindsMax) break;
    kinds.add(stepNames[code] ?? "");
  }
  const attributes = { "ringcache.steps": [...kinds] };
  return steps.length > 1 ? { ...attributes, "db.operation.batch.size": steps.length } : attributes;
}

function replication(span: OpenSpan, { streams }: OwnedPartition): OpenSpan {
  const backups = streams.filter(({ required }) => required).map(({ to }) => to.id);
  return span.child("replicate", { "ringcache.backups": backups });
}

function outcomeOf(op: Op, found: boolean): string {
  if (op === Op.run) return "done";
  if (op === Op.set || op === Op.cas) return found ? "stored" : "not_stored";
  return found ? "found" : "absent";
}
