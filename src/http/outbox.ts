/**
 * Holds the answers to operations until all requests that came in with them have been read, and sends them together.
 * Between reading and writing in turns, each answer would wake its client for itself: measured, a request costs half
 * as much again. An answer that is alone goes out in the same event-loop turn.
 */
import type { ServerResponse } from "node:http";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime.ts";

/** One answer; `send` puts it on the wire. */
interface Answer {
  readonly res: ServerResponse;
  readonly status: number;
  readonly body: string;
  readonly send: (res: ServerResponse, status: number, body: string) => void;
}

/** It holds at most one answer per request under way. */
export class Outbox {
  readonly #runtime: Runtime;
  readonly #log: Log;
  readonly #flush = (): void => this.#sendAll();
  #answers: Answer[] = [];

  constructor(runtime: Runtime, log: Log) {
    this.#runtime = runtime;
    this.#log = log;
  }

  add(res: ServerResponse, status: number, body: string, send: Answer["send"]): void {
    if (this.#answers.push({ res, status, body, send }) === 1) this.#runtime.soon(this.#flush);
  }

  #sendAll(): void {
    const answers = this.#answers;
    this.#answers = [];
    for (const { res, status, body, send } of answers) {
      try {
        send(res, status, body);
      } catch (thrown) {
        // The others aren't to pay for it.
        this.#log.error(
          { event: "defect-survived", where: "http", err: thrown },
          `defect while sending an HTTP answer: ${messageOf(thrown)}`,
        );
        res.destroy();
      }
    }
  }
}
