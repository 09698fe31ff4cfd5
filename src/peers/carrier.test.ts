import { afterEach, describe, expect, it } from "vitest";
import { MemoryTransport } from "../../tests/support/memory-transport.ts";
import type { RingcacheError } from "../errors.ts";
import { silentLog } from "../log.ts";
import { systemRuntime } from "../runtime.ts";
import type { IncomingRequest, LinkEvent, PeerAddress, PeerIdentity } from "./messages.ts";
import { Peers } from "./peers.ts";
import { tcpTransport } from "./tcp.ts";
import type { ByteStream, Transport } from "./transport.ts";

const host = "127.0.0.1";
/** Calls of both go over the connection that this one makes. */
const low: PeerIdentity = { id: "a", incarnation: "a1" };
const high: PeerIdentity = { id: "b", incarnation: "b1" };
const echo = 1;
const held = 2;
const open: Node[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map(({ peers }) => peers.close()));
});

interface Dialed {
  readonly stream: ByteStream;
  bytes: number;
}

/** A node and the connections that it made, oldest first. */
class Node {
  readonly peers: Peers;
  readonly dialed: Dialed[] = [];
  readonly events: LinkEvent[] = [];
  readonly held: IncomingRequest[] = [];
  address: PeerAddress;
  #arrived: () => void = () => {};

  constructor(self: PeerIdentity, over: Transport) {
    const transport: Transport = {
      listen: (where, port, accept) => over.listen(where, port, accept),
      connect: (where, port, handlers) => {
        const stream = over.connect(where, port, handlers);
        const dialed = { stream, bytes: 0 };
        this.dialed.push(dialed);
        return {
          remote: stream.remote,
          get queuedBytes() {
            return stream.queuedBytes;
          },
          end: () => stream.end(),
          destroy: () => stream.destroy(),
          write(bytes) {
            dialed.bytes += bytes.length;
            return stream.write(bytes);
          },
        };
      },
    };
    const log = silentLog;
    const secret = Buffer.alloc(32, 1);
    this.peers = new Peers({ runtime: systemRuntime, transport, log, platform: "p", self, secret });
    this.peers.handle(echo, (request) => request.reply(request.payload));
    this.peers.handle(held, (request) => {
      this.held.push(request);
      this.#arrived();
    });
    this.peers.onLink((_, event) => this.events.push(event));
    this.address = { ...self, host, port: 0 };
    open.push(this);
  }

  async listen(): Promise<void> {
    this.address = { ...this.address, ...(await this.peers.listen(host, 0)) };
  }

  /** Resolves when the node has `count` requests to hold. */
  async holds(count: number): Promise<void> {
    while (this.held.length < count) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }

  echo(to: Node, text: string): Promise<string> {
    return this.peers.requestPromise(to.address, echo, Buffer.from(text), 10_000).then(String);
  }

  /** Undefined: answered. */
  ends(to: Node, timeoutMs = 10_000): Promise<RingcacheError | undefined> {
    return new Promise((resolve) => {
      this.peers.call(to.address, held, Buffer.alloc(1), timeoutMs, {
        reply: () => resolve(undefined),
        failed: resolve,
      });
    });
  }

  async waitFor(event: LinkEvent): Promise<void> {
    while (!this.events.includes(event)) await new Promise((resolve) => systemRuntime.soon(() => resolve(0)));
  }
}

async function pair(over: Transport): Promise<{ a: Node; b: Node }> {
  const [a, b] = [new Node(low, over), new Node(high, over)];
  await Promise.all([a.listen(), b.listen()]);
  a.peers.retain([b.address]);
  b.peers.retain([a.address]);
  await Promise.all([a.waitFor("up"), b.waitFor("up")]);
  await carried(a, b);
  return { a, b };
}

/** Resolves once b's calls go over a's connection: its own carries nothing any more. */
async function carried(a: Node, b: Node): Promise<void> {
  for (;;) {
    const before = b.dialed.at(-1)!.bytes;
    await b.echo(a, "x");
    if (b.dialed.at(-1)!.bytes === before) return;
  }
}

describe.each([
  ["TCP", (): Transport => tcpTransport],
  ["memory", (): Transport => new MemoryTransport(systemRuntime)],
])("calls in both directions over %s", (_, transportOf) => {
  it("share the connection of the node with the lower id", async () => {
    const { a, b } = await pair(transportOf());
    const [ofA, ofB] = [a.dialed[0]!.bytes, b.dialed[0]!.bytes];
    const answers = Array.from({ length: 100 }, (_, i) => [a.echo(b, `a${i}`), b.echo(a, `b${i}`)]).flat();
    expect(await Promise.all(answers)).toEqual(
      Array.from({ length: 100 }, (_, i) => [`a${i}`, `b${i}`]).flat(),
    );
    expect(b.dialed[0]!.bytes).toBe(ofB);
    expect(a.dialed[0]!.bytes).toBeGreaterThan(ofA);
    expect([a.dialed.length, b.dialed.length]).toEqual([1, 1]);
    expect([a, b].map(({ peers }) => peers.stats())).toMatchObject([
      { linksUp: 1, linksAccepted: 1, inFlight: 0, inFlightIncoming: 0 },
      { linksUp: 1, linksAccepted: 1, inFlight: 0, inFlightIncoming: 0 },
    ]);
  });

  it("leave in one write, with the replies of the same turn and what is called at its end", async () => {
    const { a, b } = await pair(transportOf());
    const writes: number[] = [];
    const { stream } = a.dialed[0]!;
    const write = stream.write.bind(stream);
    stream.write = (bytes) => {
      writes.push(bytes.length);
      return write(bytes);
    };
    const asked = b.ends(a);
    await a.holds(1);
    let atEnd: Promise<string> | undefined;
    a.peers.atTurnEnd(b.address, () => {
      atEnd = a.echo(b, "at the end");
    });
    a.held[0]!.reply(Buffer.alloc(1));
    const called = a.echo(b, "called");
    expect([await asked, await called, await atEnd]).toEqual([undefined, "called", "at the end"]);
    expect(writes.length).toBe(1);
  });

  it("all end when the shared connection breaks, and go on over new ones", async () => {
    const { a, b } = await pair(transportOf());
    const sent = [a.ends(b), b.ends(a)];
    await Promise.all([a.holds(1), b.holds(1)]);
    a.dialed[0]!.stream.destroy();
    const errors = await Promise.all(sent);
    expect(errors.map((error) => [error?.code, error?.outcome])).toEqual([
      ["LINK_LOST", "unknown"],
      ["LINK_LOST", "unknown"],
    ]);
    await Promise.all([a.waitFor("down"), b.waitFor("down")]);
    expect(await Promise.all([a.echo(b, "1"), b.echo(a, "2")])).toEqual(["1", "2"]);
    await carried(a, b);
  });

  it("end for the node whose own connection breaks, without a word to the other; late replies are nobody's", async () => {
    const { a, b } = await pair(transportOf());
    const [ofA, ofB] = [a.ends(b), b.ends(a)];
    await Promise.all([a.holds(1), b.holds(1)]);
    b.dialed[0]!.stream.destroy();
    expect((await ofB)?.code).toBe("LINK_LOST");
    const next = b.ends(a);
    await a.holds(2);
    a.held[0]!.reply(Buffer.alloc(1));
    await b.echo(a, "after the late reply");
    expect(b.peers.stats().inFlight).toBe(1);
    a.held[1]!.reply(Buffer.alloc(1));
    b.held[0]!.reply(Buffer.alloc(1));
    expect([await next, await ofA]).toEqual([undefined, undefined]);
    expect(a.events).toEqual(["up"]);
    await carried(a, b);
  });

  it("of one node end when it wants no link any more; those of the other go on", async () => {
    const { a, b } = await pair(transportOf());
    const [ofA, ofB] = [a.ends(b), b.ends(a)];
    await Promise.all([a.holds(1), b.holds(1)]);
    b.peers.retain([]);
    expect((await ofB)?.code).toBe("LINK_LOST");
    a.held[0]!.reply(Buffer.alloc(1));
    b.held[0]!.reply(Buffer.alloc(1));
    expect([await ofA, await a.echo(b, "on")]).toEqual([undefined, "on"]);
    expect(a.events).toEqual(["up"]);
    // Over the same connection again, next to what was late.
    expect(await b.echo(a, "back")).toBe("back");
  });

  it("change over under load, in the order in which they were made", async () => {
    const over = transportOf();
    const [a, b] = [new Node(low, over), new Node(high, over)];
    await Promise.all([a.listen(), b.listen()]);
    const got: number[] = [];
    a.peers.handle(3, (request) => {
      got.push(request.payload.readUInt32BE());
      request.reply(request.payload);
    });
    let made = 0;
    let stopped = false;
    const loop = async (): Promise<void> => {
      while (!stopped) {
        const number = Buffer.alloc(4);
        number.writeUInt32BE(made++);
        await b.peers.requestPromise(a.address, 3, number, 10_000);
      }
    };
    const loops = Array.from({ length: 8 }, loop);
    while (got.length < 100) await b.echo(a, "before");
    a.peers.retain([b.address]);
    await a.waitFor("up");
    await carried(a, b);
    stopped = true;
    await Promise.all(loops);
    expect(got).toEqual(Array.from({ length: made }, (_, i) => i));
  });

  it("stay where they are while one isn't answered", async () => {
    const over = transportOf();
    const [a, b] = [new Node(low, over), new Node(high, over)];
    await Promise.all([a.listen(), b.listen()]);
    const waits = b.ends(a);
    await a.holds(1);
    a.peers.retain([b.address]);
    await a.waitFor("up");
    expect(await Promise.all([b.echo(a, "1"), b.echo(a, "2")])).toEqual(["1", "2"]);
    const before = b.dialed[0]!.bytes;
    await b.echo(a, "3");
    expect(b.dialed[0]!.bytes).toBeGreaterThan(before);
    a.held[0]!.reply(Buffer.alloc(1));
    expect(await waits).toBe(undefined);
    await carried(a, b);
  });
});
