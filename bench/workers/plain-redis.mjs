/**
 * What a plain server over node:net can do: GET and SET of a `Map`, each request answered as soon as it is parsed. No expiry, no bound, no
 * checks, no other nodes.
 */
import { createServer } from "node:net";
import { serve } from "../support/serve.mjs";

const carriageReturn = 13;
const zero = 48;
const ok = Buffer.from("+OK\r\n");
const absent = Buffer.from("$-1\r\n");
const unknown = Buffer.from("-ERR unknown command\r\n");
const lineEnd = Buffer.from("\r\n");
const values = new Map();

serve({
  listen() {
    const server = createServer({ noDelay: true }, (socket) => {
      let rest;
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
        const replies = [];
        let end = 0;
        for (let request = parse(bytes, 0); request !== undefined; request = parse(bytes, end)) {
          replies.push(...answer(request.args));
          end = request.end;
        }
        rest = end < bytes.length ? bytes.subarray(end) : undefined;
        if (replies.length > 0) socket.write(replies.length === 1 ? replies[0] : Buffer.concat(replies));
      });
    });
    return new Promise((resolve, reject) => {
      server.on("error", reject);
      server.listen(0, "127.0.0.1", () => resolve(server.address().port));
    });
  },
});

function answer([command, key, value]) {
  if (command === "SET") {
    values.set(key, Buffer.from(value, "latin1"));
    return [ok];
  }
  if (command !== "GET") return [unknown];
  const found = values.get(key);
  return found === undefined ? [absent] : [Buffer.from(`$${found.length}\r\n`), found, lineEnd];
}

/** The request that begins at `from`, unless its end is still to come. */
function parse(bytes, from) {
  let at = from;
  const number = () => {
    let result = 0;
    for (at++; at < bytes.length && bytes[at] !== carriageReturn; at++)
      result = result * 10 + bytes[at] - zero;
    at += 2;
    return result;
  };
  const args = [];
  for (let left = number(); left > 0; left--) {
    const length = number();
    args.push(bytes.latin1Slice(at, at + length));
    at += length + 2;
  }
  return args.length > 0 && at <= bytes.length ? { args, end: at } : undefined;
}
