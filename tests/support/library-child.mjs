/**
 * An application of its own that uses the library by its package name. It is told what to do by lines of JSON,
 * `[id, method, ...arguments]`, and answers `[id, result]` or `[id, null, error]`.
 *
 * Arguments: `cache` or `ring`, the options, and for a ring the file in which the hooks write down what they do and
 * for how many milliseconds they take their time.
 */
import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createCache } from "ringcache";
import { joinRing } from "ringcache/ring";

const [kind, optionsJson, hooksFile, hookMsText] = process.argv.slice(2);
const options = JSON.parse(optionsJson);
const events = [];
let ring;

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** One key per partition. */
const keys = new Map();
function keyOf(partition) {
  for (let i = 0; !keys.has(partition); i++) keys.set(ring.partitionFor(`k${i}`), `k${i}`);
  return keys.get(partition);
}

/** A slow hook that writes down when it starts and ends, and whether the node says meanwhile that it owns a key. */
function hook(name) {
  return async (partitions) => {
    const note = (what) => {
      const owned =
        ring === undefined ? [] : partitions.filter((partition) => ring.ownsKey(keyOf(partition)));
      // One small write at the end of the file: what several processes write stays in the order of the writes.
      appendFileSync(hooksFile, `${JSON.stringify([what, options.node, partitions, owned])}\n`);
    };
    note(`${name} starts`);
    await new Promise((resolve) => setTimeout(resolve, Number(hookMsText)));
    note(`${name} ends`);
  };
}

async function openRing() {
  const hooks = hooksFile === undefined ? {} : { onOwn: hook("own"), onRelease: hook("release") };
  ring = await joinRing({ ...options, ...hooks });
  ring.on("joined", (member) => events.push(["joined", member.id]));
  ring.on("left", (member) => events.push(["left", member.id]));
  ring.on("table", (table, previous) => events.push(["table", table.epoch, previous.epoch]));
  ring.handle("echo", (payload, { from }) => ({ node: ring.nodeId, from, payload }));
  ring.handle("fail", () => {
    throw new Error("no luck today");
  });
  ring.handle("reverse", (bytes) => Uint8Array.from(bytes).reverse());
  ring.handle("owns", (key) => ring.ownsKey(key));
  ring.handle("slow", () => new Promise(() => {}));
  return ring;
}

const target = kind === "cache" ? await createCache(options) : await openRing();
const own = {
  events: () => events,
  stats: () => (kind === "cache" ? target.node.stats() : target.stats()),
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const [id, method, ...args] = JSON.parse(line);
  try {
    say([id, (await (own[method] ?? target[method].bind(target))(...args)) ?? null]);
    if (method === "close") process.exit(0);
  } catch (error) {
    say([id, null, { code: error.code, message: error.message, outcome: error.outcome }]);
  }
});
say(["ready"]);
