/** A node of the cache in a process of its own, called the way its front doors call it. */
import { bytesSerializer, createCache } from "../../dist/index.js";
import { closedLoop } from "../support/closed-loop.mjs";
import { serve } from "../support/serve.mjs";

const get = 1;
const set = 2;
const noBytes = Buffer.alloc(0);
let cache;
let keys;
let keyTexts;
let valueBytes;

serve({
  /** `options`: more of what `createCache` takes. */
  async join(nats, node, options = {}) {
    cache = await createCache({ node, nats, serializer: bytesSerializer, ...options });
  },
  /** Every partition where it belongs, with all its copies. */
  async settled(nodes) {
    await cache.node.ring.waitForNodes(nodes);
    const giveUpAt = performance.now() + 30_000;
    for (;;) {
      await cache.node.ring.waitForPartitions();
      const { under_replicated_partitions, copying_partitions } = cache.node.status();
      if (under_replicated_partitions === 0 && copying_partitions === 0) return;
      if (performance.now() > giveUpAt) throw new Error("copies are missing after 30 s");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  },
  /** Stores `count` values under keys that `owner` owns; the keys are what {@link run} gets. */
  async fill(owner, count, sizeBytes) {
    keys = [];
    valueBytes = sizeBytes;
    for (let i = 0; keys.length < count; i++) {
      const key = `user:${String(i).padStart(8, "0")}`;
      if (cache.node.ring.nodeFor(key) !== owner) continue;
      await cache.set(key, Buffer.alloc(sizeBytes, 0x61));
      keys.push(Buffer.from(key));
    }
    keyTexts = keys.map(String);
    return keys[0].length;
  },
  /** Chooses keys that other nodes own, for {@link runSets}. */
  chooseRemote(count) {
    keys = [];
    for (let i = 0; keys.length < count; i++) {
      const key = `user:${String(i).padStart(8, "0")}`;
      if (cache.node.ring.nodeFor(key) !== cache.node.nodeId) keys.push(Buffer.from(key));
    }
  },
  /** Sets as an HTTP or Redis door does. */
  runSets(inFlight, seconds, sizeBytes) {
    const value = Buffer.alloc(sizeBytes, 0x61);
    let next = 0;
    const issue = (done) => {
      const key = keys[next];
      next = next + 1 === keys.length ? 0 : next + 1;
      cache.node.execute({ op: set, key, value, expiresAtMs: 0, expected: undefined }, done);
    };
    return closedLoop(issue, inFlight, seconds);
  },
  /** Gets as an HTTP or Redis door does. */
  run(inFlight, seconds) {
    let next = 0;
    const issue = (done) => {
      const key = keys[next];
      next = next + 1 === keys.length ? 0 : next + 1;
      cache.node.execute(
        { op: get, key, value: noBytes, expiresAtMs: 0, expected: undefined },
        (error, reply) => {
          if (error === undefined && reply.value.length !== valueBytes)
            done(new Error("not the value stored"));
          else done(error);
        },
      );
    };
    return closedLoop(issue, inFlight, seconds);
  },
  /** Gets as an application does: with strings and promises. */
  runLibrary(inFlight, seconds) {
    let next = 0;
    const issue = (done) => {
      const key = keyTexts[next];
      next = next + 1 === keyTexts.length ? 0 : next + 1;
      cache.get(key).then((value) => {
        done(value?.length === valueBytes ? undefined : new Error("not the value stored"));
      }, done);
    };
    return closedLoop(issue, inFlight, seconds);
  },
});
