/**
 * Clients that use a cache as applications do: each asks for a key and, if it isn't there, stores it. Keys are asked for by Zipf's
 * law, values are 100 bytes to 20 KB, small ones more often, and of every eighth key they expire. A client has one request under way
 * and goes from door to door. Whatever isn't a whole, right answer is a failure.
 */
import { connect } from "node:net";
import { zipf } from "../support/eviction-workloads.mjs";
import { serve } from "../support/serve.mjs";

const requestCount = 2 ** 20;
const valueBytesMin = 100;
const valueBytesMax = 20_000;
const ttlEvery = 8;
const ttlSeconds = 20;
/** Failures that are told in words. */
const toldMax = 5;
const filler = "x".repeat(valueBytesMax);
const headersEnd = Buffer.from("\r\n\r\n");

/** The size is the key's own and says nothing about how often it is asked for. */
function valueFor(number) {
  const share = (Math.imul(number + 1, 0x9e3779b1) >>> 8) / 2 ** 24;
  const sizeBytes = Math.floor(valueBytesMin * (valueBytesMax / valueBytesMin) ** share);
  return `${number}:${filler.slice(0, sizeBytes)}`;
}

/** One request at a time over a connection that stays open. */
class Connection {
  #port;
  #socket;
  #waiting;
  #held = Buffer.alloc(0);

  constructor(port) {
    this.#port = port;
  }

  /** Resolves with the answer's status and body. */
  ask(method, path, body = "") {
    this.#socket ??= this.#open();
    const length = body === "" ? "" : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(
        `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${this.#port}\r\n${length}\r\n${body}`,
      );
    });
  }

  close() {
    this.#socket?.destroy();
  }

  #open() {
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    socket.on("data", (chunk) => this.#data(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the node closed a connection")));
    return socket;
  }

  #fail(error) {
    this.#socket = undefined;
    this.#held = Buffer.alloc(0);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }

  #data(chunk) {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const end = this.#held.indexOf(headersEnd);
    if (end === -1) return;
    const headers = this.#held.toString("latin1", 0, end);
    const from = end + headersEnd.length;
    const to = from + Number(/\r\ncontent-length: *(\d+)/i.exec(headers)?.[1] ?? 0);
    if (this.#held.length < to) return;
    const body = this.#held.toString("utf8", from, to);
    this.#held = this.#held.subarray(to);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve({ status: Number(headers.slice(9, 12)), body });
  }
}

class Load {
  requests = 0;
  hits = 0;
  misses = 0;
  failed = 0;
  told = [];
  #ports;
  #renewEvery;
  #numbers;
  #next = 0;
  #over = false;
  #clients;

  constructor(ports, { keyCount, clients, renewEvery }) {
    this.#ports = ports;
    this.#renewEvery = renewEvery;
    this.#numbers = zipf("load", { exponent: 0.99, keyCount, count: requestCount, seed: 1 }).keys;
    this.#clients = Array.from({ length: clients }, (_, i) => this.#client(i));
  }

  async stop() {
    this.#over = true;
    await Promise.all(this.#clients);
  }

  async #client(i) {
    const doors = this.#ports.map((port) => new Connection(port));
    for (let turn = i; !this.#over; turn++) {
      const number = this.#numbers[this.#next++ % requestCount];
      await this.#use(doors[turn % doors.length], number).catch((error) => {
        this.failed++;
        if (this.told.length < toldMax) this.told.push(error.message);
      });
    }
    for (const door of doors) door.close();
  }

  async #use(door, number) {
    const key = `full:${number}`;
    this.requests++;
    const { status, body } = await door.ask("GET", `/get?key=${key}`);
    if (status === 200) {
      if (!body.includes(`"value":"${valueFor(number)}"`)) throw new Error(`${key}: not what was stored`);
      this.hits++;
      if (this.#renewEvery === 0 || this.hits % this.#renewEvery > 0) return;
    } else if (status === 404) this.misses++;
    else throw new Error(`get ${key}: ${status} ${body}`);
    this.requests++;
    const ttl = number % ttlEvery === 0 ? { ttl: ttlSeconds } : {};
    const stored = await door.ask("POST", "/set", JSON.stringify({ key, value: valueFor(number), ...ttl }));
    if (stored.status !== 200) throw new Error(`set ${key}: ${stored.status} ${stored.body}`);
  }
}

let load;

serve({
  /** Clients begin at the doors on these ports; `renewEvery`: every so many hits one stores its key anew; 0: none does. */
  start(ports, { keyCount, clients, renewEvery = 0 }) {
    load = new Load(ports, { keyCount, clients, renewEvery });
  },
  /** What has happened so far. */
  counts() {
    const { requests, hits, misses, failed, told } = load;
    return { requests, hits, misses, failed, told };
  },
  stop: () => load.stop(),
});
