/**
 * Clients that use a cache as applications do: each asks for a key and, if it isn't there, stores it; of far more than there is room
 * for. Keys are asked for by Zipf's law, values are 100 bytes to 20 KB, and of every eighth key they expire.
 */
import { existsSync, readFileSync } from "node:fs";
import { HttpClient } from "./http-client.ts";
import type { NodeProcess } from "./node-process.ts";

const valueBytesMin = 100;
const valueBytesMax = 20_000;
/** Flatter than most: what there is no room for is asked for soon. */
const exponent = 0.8;
const ttlEvery = 8;
const ttlSeconds = 5;
const filler = "x".repeat(valueBytesMax);

export interface CacheLoadOptions {
  readonly keyCount: number;
  /** Requests under way at once. */
  readonly lanes: number;
  /** Every so many hits one stores its key anew; 0: none does. */
  readonly renewEvery?: number;
}

interface Door {
  readonly node: NodeProcess;
  readonly http: HttpClient;
  underWay: number;
}

export class CacheLoad {
  requests = 0;
  hits = 0;
  misses = 0;
  readonly failures: string[] = [];
  readonly #options: CacheLoadOptions;
  readonly #cumulative: Float64Array;
  readonly #doors: Door[] = [];
  #turn = 0;
  #over = false;
  #lanes: Promise<void>[] = [];

  constructor(doors: readonly NodeProcess[], options: CacheLoadOptions) {
    this.#options = options;
    this.#cumulative = zipf(options.keyCount);
    for (const node of doors) this.enter(node);
  }

  run(): this {
    this.#lanes = Array.from({ length: this.#options.lanes }, () => this.#lane());
    return this;
  }

  async stop(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#lanes);
    for (const { http } of this.#doors) http.close();
  }

  /** Resolves when so many more requests have been answered. */
  async pass(requests: number): Promise<void> {
    const target = this.requests + requests;
    while (this.requests < target && this.failures.length === 0) await pause(20);
  }

  /** The node is one of the doors from now on. */
  enter(node: NodeProcess): void {
    this.#doors.push({ node, http: new HttpClient(node.httpPort, this.#options.lanes), underWay: 0 });
  }

  /** The node is none of the doors any more; resolves when no request is under way there. */
  async leave(node: NodeProcess): Promise<void> {
    const at = this.#doors.findIndex((door) => door.node === node);
    const [door] = this.#doors.splice(at, 1);
    while (door!.underWay > 0) await pause(5);
    door!.http.close();
  }

  async #lane(): Promise<void> {
    while (!this.#over) {
      const door = this.#doors[this.#turn++ % this.#doors.length]!;
      const number = this.#next();
      door.underWay++;
      try {
        await this.#use(door.http, number);
      } catch (error) {
        this.failures.push(`${door.node.id}, key ${number}: ${String(error).slice(0, 300)}`);
      }
      door.underWay--;
    }
  }

  async #use(http: HttpClient, number: number): Promise<void> {
    const key = `load:${number}`;
    const value = valueFor(number);
    const { status, body } = await http.get(key);
    this.requests++;
    if (status === 200) {
      if ((body as { value: string }).value !== value) throw new Error("get: not what was stored");
      this.hits++;
      const { renewEvery = 0 } = this.#options;
      if (renewEvery === 0 || this.hits % renewEvery > 0) return;
    } else if (status === 404) this.misses++;
    else throw new Error(`get: ${status} ${JSON.stringify(body)}`);
    const stored = await http.set(key, value, number % ttlEvery === 0 ? ttlSeconds : undefined);
    this.requests++;
    if (stored.status !== 200) throw new Error(`set: ${stored.status} ${JSON.stringify(stored.body)}`);
  }

  #next(): number {
    const cumulative = this.#cumulative;
    const wanted = Math.random() * cumulative.at(-1)!;
    let low = 0;
    let high = cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (cumulative[middle]! > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Its size says nothing about how often the key is asked for. */
function valueFor(number: number): string {
  const share = (Math.imul(number + 1, 0x9e3779b1) >>> 8) / 2 ** 24;
  return `${number}:${filler.slice(0, valueBytesMin + Math.floor(share * (valueBytesMax - valueBytesMin)))}`;
}

function zipf(keyCount: number): Float64Array {
  const cumulative = new Float64Array(keyCount);
  let sum = 0;
  for (let rank = 1; rank <= keyCount; rank++) {
    sum += rank ** -exponent;
    cumulative[rank - 1] = sum;
  }
  return cumulative;
}

/** Memory of the process, in bytes. */
export function rssOf({ pid }: NodeProcess): number {
  const file = `/proc/${pid}/status`;
  const kilobytes = existsSync(file) ? /^VmRSS:\s*(\d+) kB/m.exec(readFileSync(file, "utf8")) : null;
  if (kilobytes === null) throw new Error(`${file} doesn't say how much memory the process has`);
  return Number(kilobytes[1]) * 1024;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
