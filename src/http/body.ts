/** Receives request bodies within their bounds. */
import type { IncomingMessage } from "node:http";
import { noBytes } from "../cache/command.ts";
import { RingcacheError } from "../errors.ts";
import type { HttpLimits } from "./limits.ts";

export class BodyReader {
  readonly #limits: HttpLimits;
  /** Of all bodies that are being received. */
  #heldBytes = 0;

  constructor(limits: HttpLimits) {
    this.#limits = limits;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** The error of a request whose headers already say that its body is too large. */
  announcedTooLarge(req: IncomingMessage): RingcacheError | undefined {
    const length = req.headers["content-length"];
    return length !== undefined && Number(length) > this.#limits.bodySizeBytesMax
      ? this.#tooLarge()
      : undefined;
  }

  /**
   * Calls `done` once with the body, or with BODY_TOO_LARGE or OVERLOADED as soon as that is known; what still comes
   * is then dropped. A client that disconnects before the end: `done` isn't called.
   */
  read(req: IncomingMessage, done: (error: RingcacheError | undefined, body: Buffer) => void): void {
    const announced = this.announcedTooLarge(req);
    if (announced) {
      req.resume();
      done(announced, noBytes);
      return;
    }
    let chunks: Buffer[] = [];
    let size = 0;
    let settled = false;
    const settle = (): void => {
      settled = true;
      this.#heldBytes -= size;
      chunks = [];
    };
    req.on("data", (chunk: Buffer) => {
      if (settled) return;
      size += chunk.length;
      this.#heldBytes += chunk.length;
      chunks.push(chunk);
      const error = this.#pastBound(size);
      if (error) {
        settle();
        done(error, noBytes);
      }
    });
    req.on("end", () => {
      if (settled) return;
      const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size);
      settle();
      done(undefined, body);
    });
    req.on("close", () => {
      if (!settled) settle();
    });
  }

  #pastBound(size: number): RingcacheError | undefined {
    if (size > this.#limits.bodySizeBytesMax) return this.#tooLarge();
    if (this.#heldBytes > this.#limits.bodiesSizeBytesMax) {
      return new RingcacheError("OVERLOADED", "Too many large request bodies are being received; try again.");
    }
    return undefined;
  }

  #tooLarge(): RingcacheError {
    return new RingcacheError(
      "BODY_TOO_LARGE",
      `The request body is larger than ${this.#limits.bodySizeBytesMax} bytes.`,
    );
  }
}
