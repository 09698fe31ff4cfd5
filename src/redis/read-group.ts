/**
 * GETs of one connection that follow each other and aren't all of this node's own keys: one call for all of them. Each reply is written
 * as soon as all before it are.
 */
import { noBytes, Op } from "../cache/command.ts";
import type { Reader } from "../cache/routed-reads.ts";
import type { Call } from "./call.ts";
import { errorText } from "./error-text.ts";

export class ReadGroup implements Reader {
  readonly #call: Call;
  /** How many there are, and how many of them are written. */
  #count = 0;
  #written = 0;
  /** By number: what came before its turn; a string is an error. */
  readonly #early = new Map<number, Buffer | string | null>();
  readonly #partitions: number[] = [];

  /** It may be used again when all are written, after {@link begin}. */
  constructor(call: Call) {
    this.#call = call;
  }

  begin(): this {
    this.#count = 0;
    this.#written = 0;
    return this;
  }

  /** The number of the next one, which must be told later, or in this turn. */
  add(partition: number): number {
    this.#partitions[this.#count] = partition;
    return this.#count++;
  }

  /** Whether the key may be among them. */
  isAbout(key: Buffer): boolean {
    const { ring } = this.#call.context;
    if (ring === undefined) return true;
    const at = this.#partitions.indexOf(ring.partitionFor(key));
    return at >= 0 && at < this.#count;
  }

  present(number: number, bytes: Uint8Array, from: number, to: number): void {
    if (number !== this.#written) {
      this.#early.set(number, Buffer.from(bytes.subarray(from, to)));
      return;
    }
    this.#call.out.bulkOf(bytes, from, to);
    this.#advance();
  }

  absent(number: number): void {
    this.#tell(number, null);
  }

  elsewhere(number: number, key: Buffer, leftMs: number): void {
    const { context, connection } = this.#call;
    const command = { op: Op.get, key, value: noBytes, expiresAtMs: 0, expected: undefined };
    context.door.execute(
      command,
      (error, reply) => {
        if (error !== undefined) this.#tell(number, errorText(error, connection.clusterAware));
        else if (reply!.found) this.present(number, reply!.value, 0, reply!.value.length);
        else this.absent(number);
      },
      leftMs,
    );
  }

  #tell(number: number, what: Buffer | string | null): void {
    if (number !== this.#written) this.#early.set(number, what);
    else {
      this.#write(what);
      this.#advance();
    }
  }

  #write(what: Buffer | string | null): void {
    const { out, context } = this.#call;
    if (typeof what === "string") {
      context.statistics.errors++;
      out.error(what);
    } else if (what === null) out.null();
    else out.bulk(what);
  }

  /** One more is written: so are those that were only waiting for it. */
  #advance(): void {
    this.#written++;
    while (this.#early.size > 0) {
      const next = this.#early.get(this.#written);
      if (next === undefined) break;
      this.#early.delete(this.#written++);
      this.#write(next);
    }
    if (this.#written === this.#count) this.#call.end();
  }
}
