/** Entries that are stored once and must be there at the end, byte for byte. */
import type { HttpClient } from "../support/http-client.ts";
import type { NodeProcess } from "../support/node-process.ts";

/** Requests under way at once, all nodes together. */
const lanes = 8;

export class Ballast {
  readonly #entries: number;
  readonly #sizeBytes: number;

  constructor(entries: number, sizeBytes: number) {
    this.#entries = entries;
    this.#sizeBytes = sizeBytes;
  }

  async store(nodes: readonly NodeProcess[]): Promise<void> {
    await this.#each(nodes, async (http, i) => {
      const { status, body } = await http.set(keyOf(i), this.#valueOf(i));
      if (status !== 200) throw new Error(`${keyOf(i)} wasn't stored: ${status} ${JSON.stringify(body)}`);
    });
  }

  /** What isn't there as it was stored. */
  async missing(nodes: readonly NodeProcess[]): Promise<string[]> {
    const missing: string[] = [];
    await this.#each(nodes, async (http, i) => {
      const { status, body } = await http.get(keyOf(i));
      if ((body as { value?: unknown } | undefined)?.value !== this.#valueOf(i))
        missing.push(`${keyOf(i)}: ${status}`);
    });
    return missing;
  }

  async #each(
    nodes: readonly NodeProcess[],
    work: (http: HttpClient, i: number) => Promise<void>,
  ): Promise<void> {
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let i = next++; i < this.#entries; i = next++) await work(nodes[i % nodes.length]!.http, i);
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  #valueOf(i: number): string {
    return `${i}:`.padEnd(this.#sizeBytes, "abcdefghij");
  }
}

function keyOf(i: number): string {
  return `ballast-${i}`;
}
