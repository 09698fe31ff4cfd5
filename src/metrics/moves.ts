/** Counts what happens to the partitions that a node owns: copies that it makes, handoffs, failovers. */
import { Histogram, type HistogramReading } from "./histogram.ts";

/** From the milliseconds of an empty partition to the minutes of a large one. */
export const moveBoundsMs = [
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
] as const;

/** Plain numbers, so that it can go to another node. */
export interface MovesReading {
  /** Partitions that this node has handed over to another one, and attempts that were called off. */
  readonly handedOver: number;
  readonly handoffsCalledOff: number;
  /** From when the table named another owner until that was it. */
  readonly handoff: HistogramReading;
  /** How long operations waited in it: from the sealing until another node owned the partition, or it was served on. */
  readonly sealed: HistogramReading;
  /** Copies that this node has made of its partitions on other nodes, and attempts that failed or were called off. */
  readonly copied: number;
  readonly copiesFailed: number;
  readonly copy: HistogramReading;
  /** Partitions that this node took over, as a backup, from an owner that had died. */
  readonly failovers: number;
}

export class MoveCounters {
  handedOver = 0;
  handoffsCalledOff = 0;
  copied = 0;
  copiesFailed = 0;
  failovers = 0;
  readonly handoff = new Histogram(moveBoundsMs);
  readonly sealed = new Histogram(moveBoundsMs);
  readonly copy = new Histogram(moveBoundsMs);

  read(): MovesReading {
    const { handedOver, handoffsCalledOff, copied, copiesFailed, failovers } = this;
    return {
      ...{ handedOver, handoffsCalledOff, copied, copiesFailed, failovers },
      handoff: this.handoff.read(),
      sealed: this.sealed.read(),
      copy: this.copy.read(),
    };
  }
}
