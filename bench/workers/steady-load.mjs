/**
 * Clients at a steady pace over HTTP, one per key, each with one request at a time: what a failure or a rebuild does to
 * them is how long they wait, and how long nothing is acknowledged in a partition.
 */
import { Agent, request } from "node:http";
import { partitionOf, slotOf } from "../../dist/ring/slots.js";
import { serve } from "../support/serve.mjs";

const partitions = 64;
const value = "v".repeat(100);
const agent = new Agent({ keepAlive: true, maxSockets: 1_000 });

/** One key in each partition. */
const keys = new Map();
for (let i = 0; keys.size < partitions; i++) {
  const partition = partitionOf(slotOf(Buffer.from(`k${i}`)), partitions);
  if (!keys.has(partition)) keys.set(partition, `k${i}`);
}

let current;

class Clients {
  #ports;
  #pauseMs;
  #running;
  #over = false;
  #error;
  #acknowledged = new Map();
  #latenciesMs = [];

  constructor(ports, pauseMs) {
    this.#ports = ports;
    this.#pauseMs = pauseMs;
    this.#running = [...keys].map(([partition, key], i) =>
      this.#client(partition, key, i).catch((error) => {
        this.#error ??= error;
      }),
    );
  }

  async #client(partition, key, i) {
    const times = [performance.now()];
    this.#acknowledged.set(partition, times);
    await pause(Math.random() * this.#pauseMs);
    for (let turn = i; !this.#over; turn++) {
      const startedAtMs = performance.now();
      // Reads and writes by turns, at each of the doors.
      const port = this.#ports[(turn >> 1) % this.#ports.length];
      await (turn % 2 === 0 ? post(port, key) : get(port, key));
      const answeredAtMs = performance.now();
      times.push(answeredAtMs);
      this.#latenciesMs.push(answeredAtMs - startedAtMs);
      await pause(this.#pauseMs * (0.5 + Math.random()));
    }
  }

  async stop() {
    this.#over = true;
    await Promise.all(this.#running);
    if (this.#error !== undefined) throw this.#error;
    const sorted = this.#latenciesMs.sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    return {
      longestGapMs: this.#longestGapMs(),
      medianMs: at(0.5),
      p99Ms: at(0.99),
      operations: sorted.length,
    };
  }

  #longestGapMs() {
    let longest = 0;
    for (const times of this.#acknowledged.values()) {
      for (let i = 1; i < times.length; i++) longest = Math.max(longest, times[i] - times[i - 1]);
    }
    return longest;
  }
}

function get(port, key) {
  return ask({ port, method: "GET", path: `/get?key=${key}` });
}

function post(port, key) {
  return ask({ port, method: "POST", path: "/set" }, JSON.stringify({ key, value }));
}

function ask(options, body) {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", agent, ...options }, (answer) => {
      let text = "";
      answer.on("data", (chunk) => {
        text += chunk;
      });
      answer.on("error", reject);
      answer.on("end", () => {
        // A key that nobody has written yet isn't there.
        if (answer.statusCode === 200 || answer.statusCode === 404) resolve();
        else reject(new Error(`${options.method} ${options.path}: ${answer.statusCode} ${text}`));
      });
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

serve({
  /** Clients begin, at the doors on these ports. */
  start(ports, pauseMs) {
    current = new Clients(ports, pauseMs);
  },
  /** Ends them; rejects if any of them got an error. */
  stop: () => current.stop(),
  /** Stores `entries` values of `sizeBytes` each, from now on beside what clients use. */
  async fill(port, entries, sizeBytes) {
    const large = "x".repeat(sizeBytes);
    let next = 0;
    const lane = async () => {
      for (let i = next++; i < entries; i = next++) {
        await ask({ port, method: "POST", path: "/set" }, JSON.stringify({ key: `fill:${i}`, value: large }));
      }
    };
    await Promise.all(Array.from({ length: 8 }, lane));
  },
});
