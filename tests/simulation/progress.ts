/** How far many runs are: one line in place on a terminal, else a line now and then. */
import { Progress as Line } from "../../src/cli/progress.ts";
import { systemRuntime } from "../../src/runtime.ts";
import type { Outcome } from "./pool.ts";

const everyMs = 10_000;
const seedsNamedMax = 20;

export class Progress {
  readonly #count: number;
  readonly #failed: number[] = [];
  readonly #line = new Line({ stream: process.stdout, runtime: systemRuntime, env: process.env, everyMs });
  #done = 0;
  #operations = 0;
  #faults = 0;
  #handoffs = 0;
  #promotions = 0;

  constructor(count: number) {
    this.#count = count;
    this.#line.step(this.#step());
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
      this.#line.say(`seed ${seed} FAILED with ${kind}: ${what.split("\n")[0]!.slice(0, 200)}`);
    }
    this.#line.step(this.#step());
  }

  end(): void {
    this.#line.end(this.#step());
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

  #step() {
    const first = this.#failed.length === 0 ? "" : `, the first ${Math.min(...this.#failed)}`;
    return { done: this.#done, total: this.#count, text: `seeds, ${this.#failed.length} failed${first}` };
  }
}
