/** How far many runs are: one line in place on a terminal, else a line now and then. */
import type { Outcome } from "./pool.ts";

const barWidth = 24;
const everyMsTerminal = 200;
const everyMsElsewhere = 10_000;
const seedsNamedMax = 20;

export class Progress {
  readonly #count: number;
  readonly #terminal = process.stdout.isTTY === true;
  readonly #fromMs = performance.now();
  readonly #failed: number[] = [];
  #done = 0;
  #operations = 0;
  #faults = 0;
  #handoffs = 0;
  #promotions = 0;
  #shownAtMs = this.#fromMs;

  constructor(count: number) {
    this.#count = count;
  }

  get failed(): number {
    return this.#failed.length;
  }

  seed(outcome: Outcome): void {
    this.#done++;
    this.#operations += outcome.operations;
    this.#faults += outcome.faults;
    this.#handoffs += outcome.handoffs;
    this.#promotions += outcome.promotions;
    const { seed, violations } = outcome;
    if (violations.length > 0) {
      this.#failed.push(seed);
      const { kind, what } = violations[0]!;
      this.#print(`seed ${seed} FAILED with ${kind}: ${what.split("\n")[0]!.slice(0, 200)}`);
    }
    const nowMs = performance.now();
    if (nowMs - this.#shownAtMs < (this.#terminal ? everyMsTerminal : everyMsElsewhere)) return;
    this.#shownAtMs = nowMs;
    if (this.#terminal) process.stdout.write(`\r\x1b[K${this.#line()}`);
    else console.log(this.#line());
  }

  end(): void {
    this.#print(this.#line());
    const counted = [
      `${this.#operations} operations`,
      `${this.#faults} faults`,
      `${this.#handoffs} handoffs`,
      `${this.#promotions} promotions`,
    ];
    console.log(counted.join(", "));
    if (this.#failed.length === 0) return;
    const seeds = [...this.#failed].sort((a, b) => a - b);
    const more = seeds.length > seedsNamedMax ? " ..." : "";
    console.log(`failed: ${seeds.slice(0, seedsNamedMax).join(" ")}${more}`);
    console.log(`the first: npm run sim -- --seed ${seeds[0]} --trace`);
  }

  #print(line: string): void {
    console.log(this.#terminal ? `\r\x1b[K${line}` : line);
  }

  #line(): string {
    const filled = Math.floor((barWidth * this.#done) / Math.max(this.#count, 1));
    const bar = "#".repeat(filled).padEnd(barWidth, ".");
    const perSecond = this.#done / Math.max((performance.now() - this.#fromMs) / 1_000, 0.001);
    const first = this.#failed.length === 0 ? "" : `, the first ${Math.min(...this.#failed)}`;
    const state = `${this.#done}/${this.#count} seeds, ${perSecond.toFixed(1)}/s`;
    return `[${bar}] ${state}, ${this.#failed.length} failed${first}`;
  }
}
