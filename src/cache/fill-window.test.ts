import { expect, test } from "vitest";
import { FillWindow } from "./fill-window.ts";

const piece = 64 * 1024;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A fill that always has more to send, until it is called off. */
class Fill {
  sent = 0;
  isOver = false;

  constructor(window: FillWindow) {
    void this.#run(window);
  }

  async #run(window: FillWindow): Promise<void> {
    for (;;) {
      await window.room();
      if (this.isOver) return window.ended(0);
      window.sent(piece);
      this.sent++;
    }
  }
}

test("all fills to a node together have a quarter of a megabyte on the way, and take turns", async () => {
  const window = new FillWindow();
  const fills = [new Fill(window), new Fill(window)];
  const sent = (): number => fills.reduce((sum, fill) => sum + fill.sent, 0);
  await turn();
  // Each of them may have begun its piece while there was room.
  const first = sent();
  expect(first * piece).toBeGreaterThanOrEqual(256 * 1024);
  expect(first * piece).toBeLessThan(256 * 1024 + fills.length * piece);
  for (let confirmed = 1; confirmed <= 20; confirmed++) {
    window.ended(piece);
    await turn();
    expect(sent() - confirmed).toBeLessThanOrEqual(first);
    expect((sent() - confirmed) * piece).toBeGreaterThanOrEqual(256 * 1024 - piece);
  }
  for (const fill of fills) expect(fill.sent).toBeGreaterThan(8);
});

test("a fill that was called off while it waited leaves its place to the next", async () => {
  const window = new FillWindow();
  const first = new Fill(window);
  await turn();
  const second = new Fill(window);
  await turn();
  expect([first.sent, second.sent]).toEqual([4, 0]);
  first.isOver = true;
  window.ended(piece);
  await turn();
  expect([first.sent, second.sent]).toEqual([4, 1]);
});
