/**
 * Asks as cheaply as a Node process can, so that the server is what is measured: requests are bytes made in advance, and
 * of an answer only the status and the length are looked at. One request in flight per connection.
 */
import { connect } from "node:net";
import { closedLoop } from "../support/closed-loop.mjs";
import { serve } from "../support/serve.mjs";

const statusOk = Buffer.from("HTTP/1.1 200");
const headersEnd = Buffer.from("\r\n\r\n");

/** By target, open across rounds. */
const pools = new Map();

class Connection {
  #socket;
  #done;
  /** Bytes of the answer so far; of nearly all answers the only chunk. */
  #held;
  /** Answers of the same length begin alike: their size is worked out once. */
  #answerBytes;

  static open(port) {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () =>
        resolve(new Connection(socket)),
      );
      socket.once("error", reject);
    });
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => this.#data(chunk));
    socket.on("error", (error) => this.#done?.(error));
    socket.on("close", () => this.#done?.(new Error("the server closed a connection")));
  }

  ask(request, done) {
    this.#done = done;
    this.#socket.write(request);
  }

  #data(chunk) {
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    const size = sizeOf(bytes, this.#answerBytes);
    if (bytes.length < size) {
      this.#held = bytes;
      return;
    }
    this.#held = undefined;
    this.#answerBytes = size;
    const done = this.#done;
    this.#done = undefined;
    if (bytes.length > size) done?.(new Error("more than one answer came"));
    else if (bytes.compare(statusOk, 0, statusOk.length, 0, statusOk.length) !== 0) {
      done?.(new Error(`not a 200: ${bytes.toString("latin1")}`));
    } else done?.();
  }
}

/** The size of the whole answer; infinite while its headers aren't complete. */
function sizeOf(bytes, usual) {
  // `\r\n\r\n` stands where it stood in the last answer, and nothing is missing or left over.
  if (bytes.length === usual) return usual;
  const end = bytes.indexOf(headersEnd);
  if (end === -1) return Number.POSITIVE_INFINITY;
  const length = /\r\ncontent-length: *(\d+)/i.exec(bytes.toString("latin1", 0, end));
  if (length === null) throw new Error("an answer without Content-Length");
  return end + headersEnd.length + Number(length[1]);
}

serve({
  /** Opens `connections` to a server on this machine, which will be asked for these paths in turn. */
  async open(name, port, paths, connections) {
    const requests = paths.map((path) =>
      Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`),
    );
    const pool = await Promise.all(Array.from({ length: connections }, () => Connection.open(port)));
    pools.set(name, { requests, free: pool });
  },
  run(name, seconds) {
    const { requests, free } = pools.get(name);
    let next = 0;
    const issue = (done) => {
      const connection = free.pop();
      const request = requests[next];
      next = next + 1 === requests.length ? 0 : next + 1;
      connection.ask(request, (error) => {
        free.push(connection);
        done(error);
      });
    };
    return closedLoop(issue, free.length, seconds);
  },
});
