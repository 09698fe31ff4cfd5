/**
 * How much of all fills to one node may be on its way there: they share the connection with operations and with the writes of
 * all partitions, and all of these wait behind what is in flight. Each fill may be one piece beyond it.
 */
const windowBytes = 256 * 1024;

export class FillWindow {
  #inFlightBytes = 0;
  /** In the order in which they came. */
  #waiting: (() => void)[] = [];

  /** Resolves when a fill may send its next piece; in this turn's microtasks if it may already. */
  async room(): Promise<void> {
    // Whoever was woken before has taken the room by the time this one looks.
    while (this.#inFlightBytes >= windowBytes) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  sent(sizeBytes: number): void {
    this.#inFlightBytes += sizeBytes;
  }

  /** What was sent has been confirmed, or never will be. */
  ended(sizeBytes: number): void {
    this.#inFlightBytes -= sizeBytes;
    if (this.#inFlightBytes < windowBytes) this.#waiting.shift()?.();
  }
}
