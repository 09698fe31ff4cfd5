/**
 * The steps by which a partition goes to its next owner, which is a backup already:
 *
 *   the keeper seals (operations queue) until every backup has everything → `onRelease` → the table changes
 *
 * Until the change has been sent the partition may be taken back. After that it stays sealed until a newer table is
 * known: it is another's then, or still this node's.
 */
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { MoveCounters } from "../metrics/moves.ts";
import { planted } from "../planted.ts";
import type { Runtime } from "../runtime.ts";
import type { Hooks, PartitionsHook } from "./hooks.ts";
import type { PartitionKeeper } from "./keeper.ts";
import type { Handover, Reign, View } from "./reign.ts";
import type { Member, Row } from "./table.ts";

/** Partitions sealed and handed over together. */
const batchMax = 8;
/** For so long operations queue at most before the change is sent. */
const sealMsMax = 1_000;
const retryDelayMs = 100;
const retryDelayMsMax = 5_000;
const plantedUnsealMs = 300;

export interface HandoversOptions {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly keeper: PartitionKeeper | undefined;
  readonly hooks: Hooks;
  readonly counters: MoveCounters;
  onRelease(): readonly PartitionsHook[];
  /** The store doesn't answer: nothing is sealed that would stay so. */
  isStuck(): boolean;
  successorOf(reign: Reign): Member | undefined;
  /** Have the table changed by those whose phase is `handing`. */
  publish(): void;
  /** The handover is off, and onRelease hasn't run: serve on. */
  serveOn(reign: Reign): void;
  /** The handover is off, and onRelease has run: serve after another onOwn. */
  reopen(reign: Reign): void;
  /** Look at the reign's row again. */
  review(reign: Reign): void;
}

interface Step {
  readonly reign: Reign;
  readonly handover: Handover;
  readonly end: Promise<void>;
}

export class Handovers {
  readonly #options: HandoversOptions;
  readonly #ready = new Set<Reign>();
  #awake = false;
  #stopped = false;

  constructor(options: HandoversOptions) {
    this.#options = options;
  }

  /** Calls off what the newest table calls off, and notes what can begin; {@link start} begins it. */
  review(reign: Reign, row: Row, view: View): void {
    const to = view.successorOf(row);
    const { handover } = reign;
    if (row.incoming === "") {
      reign.failures = 0;
      reign.movesSinceMs = undefined;
    } else reign.movesSinceMs ??= this.#options.runtime.monotonicMs();
    if (handover !== undefined) {
      // Had the table been changed by it, this node wouldn't be the owner any more.
      if (handover.sentOn !== undefined && view.table.epoch > handover.sentOn) handover.sentOn = undefined;
      if (handover.sentOn !== undefined || handover.to.incarnation === to?.incarnation) return;
      this.#callOff(reign);
    }
    const begins =
      reign.state === "active" &&
      reign.pause === undefined &&
      to !== undefined &&
      // It would stay sealed until they have left the row.
      view.dropsOf(reign, row).length === 0;
    if (begins) this.#ready.add(reign);
    else this.#ready.delete(reign);
  }

  /** `handed`: by a handover. */
  endReign(reign: Reign, handed: boolean): void {
    this.#ready.delete(reign);
    reign.pause?.cancel();
    if (reign.handover !== undefined) this.#count(reign, reign.handover, handed);
    reign.handover?.ended();
    reign.handover = undefined;
  }

  /** Only if that bug is planted: what was sent and has no answer counts as failed. */
  unanswered(reign: Reign): void {
    const { handover } = reign;
    if (handover?.sentOn === undefined) return;
    handover.sentOn = undefined;
    this.#fail({ reign, handover, end: Promise.resolve() }, new Error("no answer"));
  }

  /** What becomes ready in the same turn goes together. */
  start(): void {
    if (this.#awake || this.#stopped || this.#ready.size === 0 || this.#options.isStuck()) return;
    this.#awake = true;
    this.#options.runtime.soon(() => void this.#run());
  }

  stop(): void {
    this.#stopped = true;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#stopped && !this.#options.isStuck()) {
        const batch = this.#nextBatch();
        if (batch.length === 0) break;
        await this.#handOver(batch);
      }
    } finally {
      this.#awake = false;
    }
  }

  /** To one node at a time: the partitions for one that answers don't stay sealed for one that doesn't. */
  #nextBatch(): Step[] {
    let to: Member | undefined;
    const batch: Step[] = [];
    for (const reign of this.#ready) {
      if (batch.length >= batchMax) break;
      const successor = this.#options.successorOf(reign);
      if (successor === undefined || reign.state !== "active") {
        this.#ready.delete(reign);
        continue;
      }
      to ??= successor;
      if (successor.incarnation !== to.incarnation) continue;
      this.#ready.delete(reign);
      batch.push(begin(reign, to, this.#options.runtime.monotonicMs()));
    }
    return batch;
  }

  async #handOver(batch: readonly Step[]): Promise<void> {
    const { hooks, onRelease, publish, runtime } = this.#options;
    for (const { reign } of batch) reign.state = "sealed";
    await Promise.all(batch.map((step) => this.#seal(step)));

    const release = onRelease();
    const released = batch.filter(isCurrent);
    for (const { reign, handover } of released) {
      handover.phase = "releasing";
      if (release.length > 0) reign.hooks = "released";
    }
    if (released.length > 0 && release.length > 0) {
      await hooks.run(
        "onRelease",
        release,
        released.map(({ reign }) => reign.partition),
      );
    }
    // Whatever was called off meanwhile, by a table or by the end of the reign, isn't current any more.
    const handing = released.filter(isCurrent);
    if (handing.length === 0 || this.#stopped) return;
    for (const step of handing) {
      step.handover.phase = "handing";
      runtime.after(sealMsMax, () => this.#takeBack(step));
    }
    publish();
    await Promise.all(handing.map(({ end }) => end));
  }

  async #seal(step: Step): Promise<void> {
    const { keeper, runtime } = this.#options;
    const { reign } = step;
    if (keeper === undefined) return;
    try {
      // Called off, it isn't waited for: it may be sealed anew before that answers.
      await Promise.race([within(runtime, sealMsMax, keeper.seal(reign.partition)), step.end]);
    } catch (error) {
      if (isCurrent(step)) this.#fail(step, error);
    }
  }

  /** The store hasn't even been asked yet, and may not be for long: nothing was sent, so it may be served again. */
  #takeBack(step: Step): void {
    if (this.#stopped || !isCurrent(step)) return;
    if (step.handover.sentOn === undefined) this.#fail(step, new Error("the table can't be changed now"));
    else this.#options.runtime.after(sealMsMax, () => this.#takeBack(step));
  }

  #fail(step: Step, error: unknown): void {
    const { log, review, runtime } = this.#options;
    const { reign, handover } = step;
    log.warn(
      {
        event: "handover-retry",
        partition: reign.partition,
        to: handover.to.id,
        phase: handover.phase,
        error: messageOf(error),
      },
      `handing partition ${reign.partition} over to ${handover.to.id} failed, trying again`,
    );
    const delayMs = Math.min(retryDelayMs * 2 ** reign.failures, retryDelayMsMax) * (1 + runtime.random());
    reign.failures++;
    reign.pause = runtime.after(delayMs, () => {
      reign.pause = undefined;
      review(reign);
    });
    this.#callOff(reign);
    review(reign);
  }

  #callOff(reign: Reign): void {
    const { handover } = reign;
    if (handover !== undefined) this.#count(reign, handover, false);
    reign.handover = undefined;
    if (reign.hooks === "released") this.#options.reopen(reign);
    else this.#options.serveOn(reign);
    handover?.ended();
  }

  #count(reign: Reign, { sealedAtMs }: Handover, handed: boolean): void {
    const { counters, runtime } = this.#options;
    const nowMs = runtime.monotonicMs();
    counters.sealed.add(nowMs - sealedAtMs);
    if (!handed) counters.handoffsCalledOff++;
    else {
      counters.handedOver++;
      counters.handoff.add(nowMs - (reign.movesSinceMs ?? sealedAtMs));
    }
  }

  /** The table may change by it from this turn on. */
  sent(reign: Reign): void {
    if (!planted.unsealByTimer) return;
    this.#options.runtime.after(plantedUnsealMs, () => {
      if (reign.state === "sealed" && !this.#stopped) this.#options.serveOn(reign);
    });
  }
}

function begin(reign: Reign, to: Member, sealedAtMs: number): Step {
  let ended = (): void => {};
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const handover: Handover = { to, sealedAtMs, phase: "sealing", sentOn: undefined, ended };
  reign.handover = handover;
  return { reign, handover, end };
}

function isCurrent({ reign, handover }: Step): boolean {
  return reign.handover === handover;
}

/** Rejects if `promise` hasn't settled after `delayMs`. */
function within(runtime: Runtime, delayMs: number, promise: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = runtime.after(delayMs, () => reject(new Error(`not done within ${delayMs} ms`)));
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}
