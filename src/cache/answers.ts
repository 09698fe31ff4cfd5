/** What an operation is answered: here, to another node's router, and once the backups have what the answer rests on. */
import { type Outcome, RingcacheError } from "../errors.ts";
import type { IncomingRequest } from "../peers/messages.ts";
import type { Done, Reply } from "./command.ts";
import type { Waiting } from "./unsettled.ts";
import { absentAnswer, encodeFound, unsettledAnswer } from "./wire.ts";

export function answerRequest(request: IncomingRequest, reply: Reply): void {
  request.reply(reply.found ? encodeFound(reply.expiresAtMs, reply.value) : absentAnswer);
}

/** An answer to this node's own client that waits for the backups. */
export class LocalAnswer implements Waiting {
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
export class RemoteAnswer implements Waiting {
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

export function memoryFull(node: string, outcome: Outcome): RingcacheError {
  const message = `node "${node}" or a backup of it has no memory left, and nothing may be evicted`;
  return new RingcacheError("MEMORY_FULL", message, { outcome });
}
