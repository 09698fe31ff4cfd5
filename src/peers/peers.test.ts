import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { MemoryTransport } from "../../tests/support/memory-transport.ts";
import type { RingcacheError } from "../errors.ts";
import { silentLog } from "../log.ts";
import { systemRuntime } from "../runtime.ts";
import { encodeFrame, FrameType } from "./frames.ts";
import { encodeHello } from "./handshake.ts";
import type { IncomingRequest, LinkEvent, PeerAddress, PeerIdentity } from "./messages.ts";
import { Peers, type PeersOptions } from "./peers.ts";
import { tcpTransport } from "./tcp.ts";
import type { Transport } from "./transport.ts";

const secret = Buffer.alloc(32, 1);
const host = "127.0.0.1";
const a: PeerIdentity = { id: "a", incarnation: "a1" };
const b: PeerIdentity = { id: "b", incarnation: "b1" };
const echo = 1;
const silent = 2;
const open: Peers[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((peers) => peers.close()));
});

function make(self: PeerIdentity, options: Partial<PeersOptions> = {}): Peers {
  const peers = new Peers({
    runtime: systemRuntime,
    transport: tcpTransport,
    log: silentLog,
    platform: "p",
    self,
    secret,
    ...options,
  });
  peers.handle(echo, (request) => request.reply(request.payload));
  peers.handle(silent, () => {});
  open.push(peers);
  return peers;
}

async function listening(self: PeerIdentity, options: Partial<PeersOptions> = {}, port = 0) {
  const peers = make(self, options);
  const address: PeerAddress = { ...self, ...(await peers.listen(host, port)) };
  return { peers, address };
}

/** The end of a call that is to fail. */
function failure(peers: Peers, to: PeerAddress, kind: number, timeoutMs = 10_000, payload = Buffer.alloc(9)) {
  return new Promise<RingcacheError>((resolve, reject) => {
    let within = true;
    const failed = (error: RingcacheError): void => {
      if (within) reject(new Error("failed within call"));
      else resolve(error);
    };
    peers.call(to, kind, payload, timeoutMs, { reply: () => reject(new Error("answered")), failed });
    within = false;
  });
}

function event(peers: Peers, wanted: LinkEvent): Promise<PeerAddress> {
  return new Promise((resolve) => {
    const stop = peers.onLink((peer, what) => {
      if (what !== wanted) return;
      stop();
      resolve(peer);
    });
  });
}

/** What a raw connection that sends `bytes` gets until the other side closes it. */
function raw(port: number, ...parts: Buffer[]): Promise<Buffer> {
  return new Promise((resolve) => {
    const got: Buffer[] = [];
    const socket = connect(port, host, () => {
      for (const part of parts) socket.write(part);
    });
    socket.on("data", (bytes) => got.push(bytes));
    socket.on("error", () => {});
    socket.on("close", () => resolve(Buffer.concat(got)));
  });
}

describe.each([
  ["TCP", (): Transport => tcpTransport],
  ["memory", (): Transport => new MemoryTransport(systemRuntime)],
])("Peers over %s", (_, transportOf) => {
  it("answers 100,000 pipelined calls, each with its own reply", async () => {
    const transport = transportOf();
    const { address } = await listening(b, { transport });
    const from = make(a, { transport });
    const count = 100_000;
    let sent = 0;
    let answered = 0;
    let wrong = 0;
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        const id = sent++;
        const payload = Buffer.alloc(8);
        payload.writeUInt32BE(id);
        from.call(address, echo, payload, 20_000, {
          reply(bytes) {
            if (bytes.length !== 8 || bytes.readUInt32BE(0) !== id) wrong++;
            if (++answered === count) resolve();
            else if (sent < count) next();
          },
          failed: reject,
        });
      };
      for (let i = 0; i < 1_000; i++) next();
    });
    expect([answered, wrong, from.stats().inFlight]).toEqual([count, 0, 0]);
  });

  it("carries 16 MiB payloads, safe from reuse, small ones around them", async () => {
    const transport = transportOf();
    const { address } = await listening(b, { transport });
    const from = make(a, { transport });
    const large = Buffer.alloc(16 * 1024 * 1024, 5);
    const replies = [
      from.requestPromise(address, echo, Buffer.from("before"), 20_000),
      from.requestPromise(address, echo, large, 20_000),
      from.requestPromise(address, echo, Buffer.from("after"), 20_000),
    ];
    large.fill(9);
    const [before, got, after] = await Promise.all(replies);
    expect([before!.toString(), after!.toString(), got!.equals(Buffer.alloc(large.length, 5))]).toEqual([
      "before",
      "after",
      true,
    ]);
  });

  it("ends a call at its deadline; a late reply is nobody else's", async () => {
    const transport = transportOf();
    const { peers, address } = await listening(b, { transport });
    const late: IncomingRequest[] = [];
    peers.handle(3, (request) => late.push(request));
    const from = make(a, { transport });
    await from.requestPromise(address, echo, Buffer.alloc(0), 10_000);
    const error = await failure(from, address, 3, 30);
    expect([error.code, error.outcome]).toEqual(["DEADLINE_EXCEEDED", "unknown"]);
    const next = from.requestPromise(address, echo, Buffer.from("next"), 10_000);
    late[0]!.reply(Buffer.from("late"));
    expect((await next).toString()).toBe("next");
  });

  it("tells up, then refused when the process is gone, then up again", async () => {
    const transport = transportOf();
    const first = await listening(b, { transport });
    const from = make(a, { transport });
    const up = event(from, "up");
    from.retain([first.address]);
    expect(await up).toEqual(first.address);
    const refused = event(from, "refused");
    await first.peers.close();
    await refused;
    const again = event(from, "up");
    await listening(b, { transport }, first.address.port);
    await again;
  });

  it("tells replaced when another incarnation answers, and probes alike", async () => {
    const transport = transportOf();
    const { peers, address } = await listening(b, { transport });
    const from = make(a, { transport });
    expect(await from.probe(address, 5_000)).toBe("alive");
    const up = event(from, "up");
    from.retain([address]);
    await up;
    const replaced = event(from, "replaced");
    peers.setSelf({ id: "b", incarnation: "b2" });
    await replaced;
    expect(await from.probe(address, 5_000)).toBe("replaced");
    const error = await failure(from, address, echo);
    expect([error.code, error.outcome]).toEqual(["PEER_REFUSED", "none"]);
    await peers.close();
    expect(await from.probe(address, 5_000)).toBe("refused");
  });

  it("says LINK_LOST, outcome unknown, for what was sent, and none for what never was", async () => {
    const transport = transportOf();
    const { peers, address } = await listening(b, { transport });
    const from = make(a, { transport });
    await from.requestPromise(address, echo, Buffer.alloc(0), 10_000);
    const arrived = new Promise<void>((resolve) => peers.handle(3, () => resolve()));
    const sent = failure(from, address, 3);
    await arrived;
    const unsent = failure(from, address, 3);
    from.retain([]);
    const errors = await Promise.all([sent, unsent]);
    expect(errors.map((error) => [error.code, error.outcome])).toEqual([
      ["LINK_LOST", "unknown"],
      ["LINK_LOST", "none"],
    ]);
  });

  it("fails what is under way with CLOSED at close, after sending the replies it has given", async () => {
    const transport = transportOf();
    const { peers, address } = await listening(b, { transport });
    const from = make(a, { transport });
    let closing: Promise<void> | undefined;
    peers.handle(3, (request) => {
      request.reply(Buffer.from("last"));
      closing = peers.close();
    });
    expect((await from.requestPromise(address, 3, Buffer.alloc(0), 10_000)).toString()).toBe("last");
    await closing;
    const other = await listening({ id: "c", incarnation: "c1" }, { transport });
    const arrived = new Promise<void>((resolve) => other.peers.handle(3, () => resolve()));
    const pending = failure(from, other.address, 3);
    await arrived;
    await from.close();
    expect([(await pending).code, (await pending).outcome]).toEqual(["CLOSED", "unknown"]);
    expect([(await failure(from, other.address, 3)).code]).toEqual(["CLOSED"]);
  });

  it("bounds calls in flight and queued bytes", async () => {
    const transport = transportOf();
    const { address } = await listening(b, { transport });
    const few = make(a, { transport, inFlightCallsMax: 2 });
    const pending = [failure(few, address, silent, 100), failure(few, address, silent, 100)];
    expect([(await failure(few, address, echo)).code]).toEqual(["OVERLOADED"]);
    await Promise.all(pending);
    const small = make(a, { transport, queuedBytesMax: 1_000 });
    const error = await failure(small, address, echo, 10_000, Buffer.alloc(1_001));
    expect([error.code, error.outcome]).toEqual(["OVERLOADED", "none"]);
  });

  it("starts over with a new link when the peer leaves its calls unanswered", async () => {
    const transport = transportOf();
    const { address } = await listening(b, { transport });
    const from = make(a, { transport, inFlightCallsMax: 2 });
    const ends = await Promise.all([failure(from, address, silent, 50), failure(from, address, silent, 50)]);
    expect(ends.map((error) => error.code)).toEqual(["DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"]);
    const down = event(from, "down");
    expect((await failure(from, address, echo)).code).toBe("OVERLOADED");
    await down;
    expect((await from.requestPromise(address, echo, Buffer.from("new"), 10_000)).toString()).toBe("new");
  });

  it("closes a link whose replies pile up beyond the bound, and logs why", async () => {
    const transport = transportOf();
    const warnings: object[] = [];
    const log = { ...silentLog, warn: (fields: object) => void warnings.push(fields) };
    const { address } = await listening(b, { transport, queuedBytesMax: 1_000, log });
    const from = make(a, { transport });
    const error = await failure(from, address, echo, 10_000, Buffer.alloc(2_000));
    expect([error.code, error.outcome]).toEqual(["LINK_LOST", "unknown"]);
    expect(warnings).toMatchObject([{ event: "link-closed", peer: "a", code: "OVERLOADED" }]);
  });

  it("never sends a call whose deadline passed before the link was open", async () => {
    const transport = transportOf();
    const first = await listening(b, { transport });
    await first.peers.close();
    const from = make(a, { transport });
    const refused = event(from, "refused");
    from.retain([first.address]);
    await refused;
    // The next attempt is at least 25 ms away.
    const error = await failure(from, first.address, 3, 0);
    expect(["DEADLINE_EXCEEDED", "PEER_REFUSED"]).toContain(error.code);
    expect(error.outcome).toBe("none");
    const { peers } = await listening(b, { transport }, first.address.port);
    let requests = 0;
    peers.handle(3, () => requests++);
    const up = event(from, "up");
    await up;
    await from.requestPromise(first.address, echo, Buffer.alloc(0), 10_000);
    expect(requests).toBe(0);
  });
});

describe("Peers against strangers, over TCP", () => {
  const hello = encodeHello(secret, { platform: "p", from: a, to: b }, Buffer.alloc(32, 9));
  const wrong = encodeHello(Buffer.alloc(32, 2), { platform: "p", from: a, to: b }, Buffer.alloc(32, 9));

  it.each([
    ["garbage", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["an oversized frame", Buffer.from([0x7f, 0, 0, 0])],
    ["a request before the handshake", encodeFrame(FrameType.request, echo, 1, Buffer.alloc(4))],
    ["a hello under another secret", encodeFrame(FrameType.hello, 0, 0, wrong)],
    ["silence", Buffer.alloc(0)],
    ["half a hello", encodeFrame(FrameType.hello, 0, 0, hello).subarray(0, 50)],
  ])("sends no byte to %s, closes, and keeps serving others", async (_, bytes) => {
    const { address } = await listening(b);
    const from = make(a);
    await from.requestPromise(address, echo, Buffer.alloc(1), 10_000);
    const lost: LinkEvent[] = [];
    from.onLink((_peer, what) => lost.push(what));
    expect((await raw(address.port, bytes)).length).toBe(0);
    await from.requestPromise(address, echo, Buffer.alloc(1), 10_000);
    expect(lost).toEqual([]);
  });

  it("takes no request after a replayed hello and a made-up or reflected proof", async () => {
    const { peers, address } = await listening(b);
    let requests = 0;
    peers.handle(3, () => requests++);
    const request = encodeFrame(FrameType.request, 3, 1, Buffer.alloc(4));
    for (const proof of [Buffer.alloc(32), hello.subarray(-32)]) {
      const parts = [encodeFrame(FrameType.hello, 0, 0, hello), encodeFrame(FrameType.proof, 0, 0, proof)];
      const got = await raw(address.port, ...parts, request);
      // At most the welcome: nothing of it helps to make the proof.
      expect(got.length === 0 || got[4] === FrameType.welcome).toBe(true);
    }
    expect(requests).toBe(0);
  });

  it("can't be reached under another secret, and says so", async () => {
    const { address } = await listening(b);
    const from = make(a, { secret: Buffer.alloc(32, 2) });
    const error = await failure(from, address, echo);
    expect([error.code, error.outcome]).toEqual(["PEER_UNREACHABLE", "none"]);
    expect(await from.probe(address, 5_000)).toBe("silent");
  });

  it("closes the link for a request of an unknown kind", async () => {
    const { address } = await listening(b);
    const error = await failure(make(a), address, 77);
    expect([error.code, error.outcome]).toEqual(["LINK_LOST", "unknown"]);
  });

  it("names the address that can't be listened on", async () => {
    const { address } = await listening(b);
    await expect(make(a).listen(host, address.port)).rejects.toMatchObject({
      code: "PORT_UNUSABLE",
      message: `can't listen on ${host}:${address.port}: another process listens there`,
    });
  });
});
