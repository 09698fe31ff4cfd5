/** What a node counts of each peer, over real connections that come and go. */
import { afterEach, expect, test } from "vitest";
import { until } from "../../tests/support/recorder.ts";
import { silentLog } from "../log.ts";
import type { PeerReading } from "../metrics/snapshot.ts";
import { systemRuntime } from "../runtime.ts";
import type { PeerAddress, PeerIdentity } from "./messages.ts";
import { Peers } from "./peers.ts";
import { tcpTransport } from "./tcp.ts";

const host = "127.0.0.1";
const echo = 1;
const silent = 2;
const payload = Buffer.alloc(10_000);
const open: Peers[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((peers) => peers.close()));
});

async function start(self: PeerIdentity, port = 0): Promise<{ peers: Peers; address: PeerAddress }> {
  const peers = new Peers({
    ...{ runtime: systemRuntime, transport: tcpTransport, log: silentLog },
    ...{ platform: "p", self, secret: Buffer.alloc(32, 1) },
  });
  peers.handle(echo, (request) => request.reply(request.payload));
  peers.handle(silent, () => {});
  open.push(peers);
  return { peers, address: { ...self, ...(await peers.listen(host, port)) } };
}

function of(peers: Peers, peer: string): PeerReading | undefined {
  return peers.byPeer().find((reading) => reading.peer === peer);
}

test("bytes of both directions count for the peer, whichever side made the connection", async () => {
  const a = await start({ id: "a", incarnation: "a1" });
  const b = await start({ id: "b", incarnation: "b1" });
  a.peers.retain([b.address]);
  await a.peers.requestPromise(b.address, echo, payload, 10_000);
  for (const reading of [of(a.peers, "b")!, of(b.peers, "a")!]) {
    expect(reading.bytesIn).toBeGreaterThan(payload.length);
    expect(reading.bytesOut).toBeGreaterThan(payload.length);
    expect(reading).toMatchObject({ inFlight: 0, inFlightIncoming: 0, failedCalls: 0, lostLinks: 0 });
  }
  expect([of(a.peers, "b")!.up, of(b.peers, "a")!.up]).toEqual([true, false]);
  const pending = a.peers.requestPromise(b.address, silent, payload, 60_000).catch(() => {});
  await until(() => of(b.peers, "a")!.inFlightIncoming === 1, "the request arrives");
  expect(of(a.peers, "b")!.inFlight).toBe(1);
  await b.peers.close();
  await pending;
});

test("counts go on over a lost link and another incarnation, and go when the peer isn't a member any more", async () => {
  const a = await start({ id: "a", incarnation: "a1" });
  const first = await start({ id: "b", incarnation: "b1" });
  a.peers.retain([first.address]);
  await a.peers.requestPromise(first.address, echo, payload, 10_000);
  const { bytesIn, bytesOut } = of(a.peers, "b")!;
  const lost = a.peers.requestPromise(first.address, silent, payload, 60_000).catch((error: Error) => error);
  await until(() => of(first.peers, "a")?.inFlightIncoming === 1, "the request arrives");
  await first.peers.close();
  expect(await lost).toMatchObject({ code: "LINK_LOST" });
  expect(of(a.peers, "b")).toMatchObject({ up: false, failedCalls: 1, lostLinks: 1 });

  const second = await start({ id: "b", incarnation: "b2" });
  a.peers.retain([second.address]);
  await a.peers.requestPromise(second.address, echo, payload, 10_000);
  const after = of(a.peers, "b")!;
  expect(after.bytesIn).toBeGreaterThan(bytesIn + payload.length);
  expect(after.bytesOut).toBeGreaterThan(bytesOut + 2 * payload.length);
  expect(after).toMatchObject({ up: true, failedCalls: 1, lostLinks: 1 });

  a.peers.retain([]);
  expect(a.peers.byPeer()).toEqual([]);
  // Nor does what is still open at the other side bring it back.
  await second.peers.close();
  expect(a.peers.byPeer()).toEqual([]);
});
