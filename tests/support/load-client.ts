/**
 * A client under load that knows what every one of its keys must hold: keys of its own, one operation at a time on
 * each of them, so that each answer can be checked to the letter.
 */
import { HttpClient, type JsonAnswer } from "./http-client.ts";
import type { NodeProcess } from "./node-process.ts";

const keysMax = 400;
/** Operations under way at once, on different keys. */
const lanes = 2;
const longTtlSeconds = 3_600;
const briefTtlSeconds = 0.5;
/** Between two operations of a lane: steady load instead of as much as the machine can take. */
const pauseMs = 2;

export class LoadClient {
  readonly name: string;
  readonly errors: string[] = [];
  operations = 0;
  /** How often the node that was used said that it was leaving. */
  movedAway = 0;
  longestMs = 0;
  /** Where to go when the node says that it is about to leave. */
  readonly #another: () => NodeProcess;
  #node: NodeProcess;
  #http: HttpClient;
  /** Per key, the acknowledged value; absent: it must not be there. */
  readonly #expected = new Map<string, string>();
  readonly #touched = new Set<string>();
  #version = 0;
  #stopping = false;
  #running: Promise<void>[] = [];
  #underWay = new Map<HttpClient, number>();

  constructor(name: string, node: NodeProcess, another: () => NodeProcess) {
    this.name = name;
    this.#another = another;
    this.#node = node;
    this.#http = new HttpClient(node.httpPort, lanes);
  }

  get node(): NodeProcess {
    return this.#node;
  }

  get keyCount(): number {
    return this.#expected.size;
  }

  run(): void {
    for (let lane = 0; lane < lanes; lane++) this.#running.push(this.#lane(lane));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
    this.#http.close();
  }

  /** The next operations go to `node`; resolves when none is under way on the one before. */
  async moveTo(node: NodeProcess): Promise<void> {
    const before = this.#http;
    this.#node = node;
    this.#http = new HttpClient(node.httpPort, lanes);
    while ((this.#underWay.get(before) ?? 0) > 0) await pause(5);
    this.#underWay.delete(before);
    before.close();
  }

  /** Asks `node` for every key that was ever touched; what isn't as acknowledged. */
  async readBack(node: NodeProcess): Promise<string[]> {
    const wrong: string[] = [];
    const keys = [...this.#touched];
    const read = async (): Promise<void> => {
      for (let key = keys.pop(); key !== undefined; key = keys.pop()) {
        const answer = await node.http.get(key);
        const difference = this.#difference(key, answer);
        if (difference !== undefined) wrong.push(`read back from ${node.id}: ${difference}`);
      }
    };
    await Promise.all([read(), read(), read(), read()]);
    return wrong;
  }

  async #lane(lane: number): Promise<void> {
    for (let i = lane; !this.#stopping; i += lanes) {
      // Each lane has keys of its own: every `lanes`th.
      const key = `${this.name}:${(i * 7) % (keysMax * lanes)}`;
      const startMs = performance.now();
      try {
        await this.#operate(key, i);
      } catch (error) {
        this.#error(key, String(error));
      }
      this.longestMs = Math.max(this.longestMs, performance.now() - startMs);
      this.operations++;
      await pause(pauseMs);
    }
  }

  async #operate(key: string, i: number): Promise<void> {
    const http = this.#http;
    this.#underWay.set(http, (this.#underWay.get(http) ?? 0) + 1);
    try {
      const dice = Math.random();
      if (dice < 0.05) await this.#setBrief(http, i);
      else if (dice < 0.45) await this.#set(http, key, i);
      else if (dice < 0.9) await this.#get(http, key);
      else await this.#delete(http, key);
    } finally {
      this.#underWay.set(http, this.#underWay.get(http)! - 1);
    }
  }

  /** A node that is about to leave ends its connections with an answer: the next operation goes to another one. */
  async #sent(http: HttpClient, sent: Promise<JsonAnswer>): Promise<JsonAnswer> {
    const answer = await sent;
    if (answer.closes && http === this.#http) {
      this.movedAway++;
      void this.moveTo(this.#another());
    }
    return answer;
  }

  async #set(http: HttpClient, key: string, i: number): Promise<void> {
    const value = `${key}#${++this.#version}`.padEnd(20 + (i % 500), "x");
    this.#touched.add(key);
    const answer = await this.#sent(http, http.set(key, value, i % 5 === 0 ? longTtlSeconds : undefined));
    if (answer.status === 200) this.#expected.set(key, value);
    else this.#error(key, `set: ${JSON.stringify(answer)}`);
  }

  /** An entry that expires soon, perhaps while its partition moves. When it goes isn't exactly known: nobody asks. */
  async #setBrief(http: HttpClient, i: number): Promise<void> {
    const key = `${this.name}:brief:${i}`;
    const answer = await this.#sent(http, http.set(key, "brief", briefTtlSeconds));
    if (answer.status !== 200) this.#error(key, `set: ${JSON.stringify(answer)}`);
  }

  async #get(http: HttpClient, key: string): Promise<void> {
    const difference = this.#difference(key, await this.#sent(http, http.get(key)));
    if (difference !== undefined) this.#error(key, `get: ${difference}`);
  }

  async #delete(http: HttpClient, key: string): Promise<void> {
    const { status, body } = await this.#sent(http, http.delete(key));
    const deleted = (body as { deleted?: unknown } | undefined)?.deleted;
    if (status !== 200 || deleted !== this.#expected.has(key))
      this.#error(key, `delete: ${status} ${JSON.stringify(body)}, there: ${this.#expected.has(key)}`);
    if (status === 200) this.#expected.delete(key);
  }

  #difference(key: string, { status, body }: JsonAnswer): string | undefined {
    const expected = this.#expected.get(key);
    const { value } = (body ?? {}) as { value?: unknown };
    const right = expected === undefined ? status === 404 : status === 200 && value === expected;
    return right ? undefined : `${key} must be ${expected?.slice(0, 40)}, not ${status} ${cut(body)}`;
  }

  #error(key: string, what: string): void {
    const now = new Date().toISOString();
    this.errors.push(`${now} ${this.name} on ${this.#node.id}, ${key}: ${what.slice(0, 300)}`);
  }
}

function cut(body: unknown): string {
  return JSON.stringify(body)?.slice(0, 120) ?? "nothing";
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
