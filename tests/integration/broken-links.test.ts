/**
 * An embedded cluster whose links break all the time, over real TCP, while nodes join and leave. A write whose answer
 * was lost on the way is sent again and carried out once, so that no client sees more of it than a wait.
 */
import { expect, test } from "vitest";
import { noBytes, Op, type Reply } from "../../src/cache/command.ts";
import { CacheNode } from "../../src/cache/node.ts";
import { defaultNodeConfig } from "../../src/config.ts";
import { MemoryCoordination, MemoryStore } from "../../src/coordination/memory.ts";
import type { RingcacheError } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";
import { tcpTransport } from "../../src/peers/tcp.ts";
import type { ByteStream, StreamHandlers, Transport } from "../../src/peers/transport.ts";
import { systemRuntime as runtime, sleep } from "../../src/runtime.ts";

const seconds = 10;
const clients = 16;
const keysPerClient = 200;
/** Chance that a link breaks instead of delivering what has arrived. */
const breakChance = 0.002;

class BreakingTransport implements Transport {
  broken = 0;

  listen(host: string, port: number, accept: (stream: ByteStream) => StreamHandlers) {
    return tcpTransport.listen(host, port, (stream) => this.#breaking(accept(stream), () => stream));
  }

  connect(host: string, port: number, handlers: StreamHandlers): ByteStream {
    const stream = tcpTransport.connect(
      host,
      port,
      this.#breaking(handlers, () => stream),
    );
    return stream;
  }

  #breaking(handlers: StreamHandlers, stream: () => ByteStream): StreamHandlers {
    return {
      open: () => handlers.open?.(),
      close: (reason) => handlers.close(reason),
      data: (bytes) => {
        if (Math.random() >= breakChance) return handlers.data(bytes);
        this.broken++;
        stream().destroy();
        return false;
      },
    };
  }
}

type Outcome = { error: RingcacheError | undefined; value: string | undefined };

function run(node: CacheNode, op: Op, key: string, value = noBytes): Promise<Outcome> {
  return new Promise((resolve) => {
    const done = (error: RingcacheError | undefined, reply: Reply | undefined): void =>
      resolve({ error, value: reply?.found === true ? reply.value.toString() : undefined });
    node.execute({ op, key: Buffer.from(key), value, expiresAtMs: 0, expected: undefined }, done);
  });
}

test("links that break, joins and leaves: nothing is lost, done twice or failed", async () => {
  const transport = new BreakingTransport();
  const store = new MemoryStore(runtime);
  const start = (id: string): Promise<CacheNode> =>
    CacheNode.start({
      config: {
        ...defaultNodeConfig,
        node: id,
        peerHost: "127.0.0.1",
        advertiseHost: "127.0.0.1",
        requestDeadlineMs: 20_000,
      },
      coordination: new MemoryCoordination(store),
      runtime,
      transport,
      log: silentLog,
    });
  const nodes: CacheNode[] = [];
  for (const id of ["node-1", "node-2", "node-3"]) nodes.push(await start(id));

  const expected = new Map<string, string | undefined>();
  const failures: string[] = [];
  let operations = 0;
  let stopped = false;
  async function client(name: number): Promise<void> {
    for (let n = 0; !stopped; n++) {
      const node = nodes[Math.floor(Math.random() * nodes.length)]!;
      const key = `${name}/${Math.floor(Math.random() * keysPerClient)}`;
      const kind = Math.random();
      const value = `${name}-${n}`;
      const op = kind < 0.4 ? Op.set : kind < 0.5 ? Op.delete : Op.get;
      const outcome = await run(node, op, key, op === Op.set ? Buffer.from(value) : noBytes);
      operations++;
      if (outcome.error !== undefined) failures.push(`${op} ${key}: ${outcome.error.message}`);
      else if (op === Op.set) expected.set(key, value);
      else if (op === Op.delete) expected.delete(key);
      else if (outcome.value !== expected.get(key)) {
        failures.push(`${key}: read ${outcome.value}, expected ${expected.get(key)}`);
      }
      // What this node owns is answered in the same turn: let the others have theirs.
      if (n % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const running = Array.from({ length: clients }, (_, name) => client(name));
  const endMs = runtime.monotonicMs() + seconds * 1_000;
  let joins = 0;
  let leaves = 0;
  while (runtime.monotonicMs() < endMs) {
    await sleep(runtime, 200);
    if (nodes.length < 5) {
      joins++;
      nodes.push(await start(`node-${3 + joins}`));
    } else {
      leaves++;
      const [leaver] = nodes.splice(Math.floor(Math.random() * nodes.length), 1);
      await leaver!.drain();
      await leaver!.leave();
    }
  }
  stopped = true;
  await Promise.all(running);

  let lost = 0;
  for (const [key, value] of expected) if ((await run(nodes[0]!, Op.get, key)).value !== value) lost++;
  console.log(
    `broken links: ${JSON.stringify({ operations, broken: transport.broken, joins, leaves, lost, failures: failures.length })}`,
  );
  for (const node of nodes) await node.close();
  expect(failures).toEqual([]);
  expect(lost).toBe(0);
  expect(transport.broken).toBeGreaterThan(10);
  expect(leaves).toBeGreaterThan(2);
}, 120_000);
