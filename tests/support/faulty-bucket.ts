/** A bucket whose next writes and reads go wrong in the ways that a NATS store may. */
import type {
  Bucket,
  Entry,
  Watch,
  WatchHandlers,
  WriteResult,
} from "../../src/coordination/coordination.ts";
import { RingcacheError } from "../../src/errors.ts";

export type Fault =
  /** The write is carried out and answered. */
  | "none"
  /** Answered as a conflict, though nothing else was written. */
  | "conflict"
  /** Carried out, but no answer comes. */
  | "stored-unanswered"
  /** Not carried out, and no answer comes. */
  | "lost"
  /** No answer comes, and it is carried out when {@link FaultyBucket.deliverLate} is called. */
  | "late"
  /** Neither carried out nor answered before {@link FaultyBucket.release} is called. */
  | "held";

export class FaultyBucket implements Bucket {
  /** Each write takes the next one; without one it goes well. */
  readonly faults: Fault[] = [];
  /** Each get answers the next one instead of what is there. */
  readonly staleGets: (Entry | undefined)[] = [];
  /** As if this node were cut off: neither reads nor writes get an answer or take effect. */
  cutOff = false;
  /**
   * Watches deliver nothing while this is true, and catch up with the next change after it. A loss of data is told in
   * the end; until then nothing gets an answer.
   */
  #deaf = false;
  writes = 0;
  readonly #bucket: Bucket;
  #late: (() => Promise<WriteResult>)[] = [];
  #held: (() => void)[] = [];
  #untold: (() => void)[] = [];

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  get name(): string {
    return this.#bucket.name;
  }

  get generation(): string {
    return this.#untold.length > 0 ? "" : this.#bucket.generation;
  }

  get deaf(): boolean {
    return this.#deaf;
  }

  set deaf(deaf: boolean) {
    this.#deaf = deaf;
    if (!deaf) for (const tell of this.#untold.splice(0)) tell();
  }

  async get(key: string): Promise<Entry | undefined> {
    if (this.cutOff || this.#untold.length > 0) throw noAnswer();
    return this.staleGets.length > 0 ? this.staleGets.shift() : this.#bucket.get(key);
  }

  create(key: string, value: Uint8Array): Promise<WriteResult> {
    return this.#write(() => this.#bucket.create(key, value));
  }

  update(key: string, value: Uint8Array, revision: number): Promise<WriteResult> {
    return this.#write(() => this.#bucket.update(key, value, revision));
  }

  remove(key: string, revision: number): Promise<WriteResult> {
    return this.#write(() => this.#bucket.remove(key, revision));
  }

  watch(handlers: WatchHandlers): Watch {
    return this.#bucket.watch({
      ...handlers,
      change: (change) => {
        if (!this.deaf) handlers.change(change);
      },
      lost: () => {
        // What was under way is of the life before.
        this.#late = [];
        if (this.deaf) this.#untold.push(() => handlers.lost());
        else handlers.lost();
      },
    });
  }

  async deliverLate(): Promise<WriteResult[]> {
    const late = this.#late;
    this.#late = [];
    const results: WriteResult[] = [];
    for (const run of late) results.push(await run());
    return results;
  }

  release(): void {
    const held = this.#held;
    this.#held = [];
    for (const go of held) go();
  }

  async #write(run: () => Promise<WriteResult>): Promise<WriteResult> {
    this.writes++;
    if (this.cutOff || this.#untold.length > 0) throw noAnswer();
    switch (this.faults.shift() ?? "none") {
      case "conflict":
        return { written: false };
      case "lost":
        throw noAnswer();
      case "stored-unanswered":
        await run();
        throw noAnswer();
      case "late":
        this.#late.push(run);
        throw noAnswer();
      case "held":
        return this.#hold(run);
      default:
        return run();
    }
  }

  async #hold(run: () => Promise<WriteResult>): Promise<WriteResult> {
    const { generation } = this;
    await new Promise<void>((resolve) => this.#held.push(resolve));
    // It was meant for the bucket before.
    if (generation !== this.generation) throw noAnswer();
    return run();
  }
}

function noAnswer(): RingcacheError {
  return new RingcacheError("COORDINATION_TIMEOUT", "no answer");
}
