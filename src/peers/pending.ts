/** The calls of one link that have not ended, found by call id without a map, a timer or an object per call. */
import type { CallHandler } from "./messages.ts";

/** A call id is a slot and, above it, how often that slot was used before: 16 bits each. */
const slotBits = 16;
const slotMask = 0xffff;
/** The most calls that a table can hold. */
export const pendingCallsMax = 1 << slotBits;

/** Stands for a call whose deadline passed after it was sent: its reply may still come. */
const abandoned: CallHandler = { reply() {}, failed() {} };
/** The frame number of a call that was not yet written. */
export const notWritten: number = Number.POSITIVE_INFINITY;
/** Deadline of a slot that has none. */
const never = Number.POSITIVE_INFINITY;

export interface EndedCall {
  readonly handler: CallHandler;
  /** The number of its request's frame, or {@link notWritten}. */
  readonly frame: number;
}

export class PendingCalls {
  readonly #max: number;
  /** Undefined: the slot is free. */
  readonly #handlers: (CallHandler | undefined)[] = [];
  readonly #deadlinesMs: number[] = [];
  readonly #frames: number[] = [];
  readonly #uses: number[] = [];
  readonly #free: number[] = [];
  #abandoned = 0;

  constructor(max: number) {
    this.#max = Math.min(max, pendingCallsMax);
  }

  /** Calls whose caller still waits. */
  get waiting(): number {
    return this.size - this.#abandoned;
  }

  /** Calls that were sent, were given up at their deadline, and have not been answered. */
  get abandoned(): number {
    return this.#abandoned;
  }

  /** Calls that wait, and those that a reply may still come to. */
  get size(): number {
    return this.#handlers.length - this.#free.length;
  }

  /** The new call's id, or -1 when the table is full. */
  add(handler: CallHandler, deadlineMs: number, frame: number): number {
    let slot = this.#free.pop();
    if (slot === undefined) {
      slot = this.#handlers.length;
      if (slot >= this.#max) return -1;
      this.#uses.push(0);
      this.#handlers.push(handler);
      this.#deadlinesMs.push(deadlineMs);
      this.#frames.push(frame);
      return slot;
    }
    this.#handlers[slot] = handler;
    this.#deadlinesMs[slot] = deadlineMs;
    this.#frames[slot] = frame;
    return ((this.#uses[slot]! << slotBits) | slot) >>> 0;
  }

  has(callId: number): boolean {
    const slot = callId & slotMask;
    return this.#handlers[slot] !== undefined && this.#uses[slot] === callId >>> slotBits;
  }

  /** Takes out a call that was not yet written, to be made elsewhere; undefined if there is no such call any more. */
  withdraw(callId: number): { handler: CallHandler; deadlineMs: number } | undefined {
    const deadlineMs = this.#deadlinesMs[callId & slotMask]!;
    const handler = this.take(callId);
    return handler && { handler, deadlineMs };
  }

  /** Ends the call that was answered and returns its handler; undefined if there is no such call. */
  take(callId: number): CallHandler | undefined {
    const slot = callId & slotMask;
    const handler = this.#handlers[slot];
    if (handler === undefined || this.#uses[slot] !== callId >>> slotBits) return undefined;
    if (handler === abandoned) this.#abandoned--;
    this.#release(slot);
    return handler;
  }

  /**
   * Takes the calls whose deadline is not after `nowMs`. The slot of one that was written stays taken until its
   * reply comes, so that a late reply is never another call's, and the peer never has more than the bound to do.
   */
  expire(nowMs: number): EndedCall[] {
    const ended: EndedCall[] = [];
    for (let slot = 0; slot < this.#handlers.length; slot++) {
      const handler = this.#handlers[slot];
      if (handler === undefined || handler === abandoned || this.#deadlinesMs[slot]! > nowMs) continue;
      const frame = this.#frames[slot]!;
      ended.push({ handler, frame });
      if (frame === notWritten) {
        this.#release(slot);
      } else {
        this.#handlers[slot] = abandoned;
        this.#deadlinesMs[slot] = never;
        this.#abandoned++;
      }
    }
    return ended;
  }

  /** The earliest deadline; infinite if no caller waits. */
  nextDeadlineMs(): number {
    let next = never;
    for (const deadlineMs of this.#deadlinesMs) if (deadlineMs < next) next = deadlineMs;
    return next;
  }

  /** Every call whose caller still waits: nobody does any more. The reply to one that was written may still come. */
  abandonAll(): EndedCall[] {
    return this.expire(never);
  }

  #release(slot: number): void {
    this.#handlers[slot] = undefined;
    this.#deadlinesMs[slot] = never;
    this.#uses[slot] = (this.#uses[slot]! + 1) & slotMask;
    this.#free.push(slot);
  }
}
