/** Operations that can't go on just now: their partition is sealed, opening or without an owner. Bounded. */
import type { Runtime, Timer } from "../runtime.ts";

export interface Waiter {
  readonly partition: number;
  readonly deadlineAtMs: number;
  /** What it keeps in memory. */
  readonly sizeBytes: number;
  /** Something has changed, or the time it asked for has come: it may enter again. */
  retry(): void;
  expire(): void;
  close(): void;
}

interface Seat {
  readonly waiter: Waiter;
  readonly retryAtMs: number;
}

export const waitersMax = 65_536;
const waitingBytesMax = 256 * 1024 * 1024;
const sweepMs = 10;

export class WaitingRoom {
  readonly #runtime: Runtime;
  readonly #seats = new Map<number, Seat[]>();
  #count = 0;
  #sizeBytes = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  get count(): number {
    return this.#count;
  }

  /** False: it is full, and the waiter was not taken. `retryInMs`: also retried after that time, changed or not. */
  enter(waiter: Waiter, retryInMs = Number.POSITIVE_INFINITY): boolean {
    if (this.#closed) {
      waiter.close();
      return true;
    }
    if (this.#count >= waitersMax || this.#sizeBytes + waiter.sizeBytes > waitingBytesMax) return false;
    this.#count++;
    this.#sizeBytes += waiter.sizeBytes;
    const seats = this.#seats.get(waiter.partition);
    const seat = { waiter, retryAtMs: this.#runtime.monotonicMs() + retryInMs };
    if (seats === undefined) this.#seats.set(waiter.partition, [seat]);
    else seats.push(seat);
    this.#timer ??= this.#runtime.after(sweepMs, () => this.#sweep());
    return true;
  }

  /** Lets everybody who waits for the partition try again, in the order in which they came. */
  wake(partition: number): void {
    for (const seat of this.#take(partition)) seat.waiter.retry();
  }

  wakeAll(): void {
    for (const partition of [...this.#seats.keys()]) this.wake(partition);
  }

  /** Whoever waits, or comes later, is told that the node is closed. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const partition of [...this.#seats.keys()]) {
      for (const seat of this.#take(partition)) seat.waiter.close();
    }
  }

  #take(partition: number): Seat[] {
    const seats = this.#seats.get(partition) ?? [];
    this.#seats.delete(partition);
    for (const seat of seats) this.#left(seat);
    return seats;
  }

  #left(seat: Seat): void {
    this.#count--;
    this.#sizeBytes -= seat.waiter.sizeBytes;
  }

  #sweep(): void {
    this.#timer = undefined;
    const nowMs = this.#runtime.monotonicMs();
    const late: Seat[] = [];
    const due: Seat[] = [];
    for (const [partition, seats] of this.#seats) {
      const staying = seats.filter((seat) => {
        if (seat.waiter.deadlineAtMs <= nowMs) late.push(seat);
        else if (seat.retryAtMs <= nowMs) due.push(seat);
        else return true;
        this.#left(seat);
        return false;
      });
      if (staying.length > 0) this.#seats.set(partition, staying);
      else this.#seats.delete(partition);
    }
    for (const seat of late) seat.waiter.expire();
    for (const seat of due) seat.waiter.retry();
    if (this.#count > 0) this.#timer ??= this.#runtime.after(sweepMs, () => this.#sweep());
  }
}
