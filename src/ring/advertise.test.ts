import type { NetworkInterfaceInfo } from "node:os";
import { afterEach, expect, test } from "vitest";
import { silentLog } from "../log.ts";
import { Peers } from "../peers/peers.ts";
import { tcpTransport } from "../peers/tcp.ts";
import { systemRuntime as runtime } from "../runtime.ts";
import { chooseHosts, requireReachable } from "./advertise.ts";

const ipv4 = (address: string, internal: boolean): NetworkInterfaceInfo => ({
  address,
  internal,
  family: "IPv4",
  netmask: "255.0.0.0",
  mac: "00:00:00:00:00:00",
  cidr: null,
});
const interfaces = { lo: [ipv4("127.0.0.1", true)], eth0: [ipv4("192.0.2.7", false)] };

test.each([
  [
    "all on this machine",
    { advertiseHost: "", peerHost: "" },
    ["localhost", "::1"],
    "127.0.0.1",
    "127.0.0.1",
  ],
  ["NATS elsewhere", { advertiseHost: "", peerHost: "" }, ["nats.example"], "192.0.2.7", "0.0.0.0"],
  [
    "one address to listen on",
    { advertiseHost: "", peerHost: "10.0.0.1" },
    ["localhost"],
    "10.0.0.1",
    "10.0.0.1",
  ],
  [
    "any address to listen on",
    { advertiseHost: "", peerHost: "0.0.0.0" },
    ["nats.example"],
    "192.0.2.7",
    "0.0.0.0",
  ],
  ["advertised", { advertiseHost: "2001:db8::1", peerHost: "" }, ["localhost"], "2001:db8::1", "::"],
])("%s", (_name, given, nats, advertiseHost, peerHost) => {
  expect(chooseHosts(given, nats, interfaces)).toEqual({ advertiseHost, peerHost });
});

const open: Peers[] = [];
afterEach(async () => {
  for (const peers of open.splice(0)) await peers.close();
});

async function listening(id: string): Promise<{ peers: Peers; host: string; port: number }> {
  const self = { id, incarnation: `${id}-1` };
  const peers = new Peers({
    runtime,
    transport: tcpTransport,
    log: silentLog,
    platform: "p",
    self,
    secret: Buffer.alloc(32),
  });
  open.push(peers);
  return { peers, ...(await peers.listen("127.0.0.1", 0)) };
}

test("a node that is advertised where it can't be reached is refused before it joins", async () => {
  const a = await listening("a");
  const b = await listening("b");
  const self = { id: "a", incarnation: "a-1", host: a.host, port: a.port };
  await requireReachable(a.peers, self, silentLog);
  await b.peers.close();
  const nobody = requireReachable(a.peers, { ...self, port: b.port }, silentLog);
  await expect(nobody).rejects.toMatchObject({ code: "PORT_UNUSABLE", message: /nothing listens there/ });
  const c = await listening("c");
  const another = requireReachable(a.peers, { ...self, port: c.port }, silentLog);
  await expect(another).rejects.toMatchObject({ code: "PORT_UNUSABLE", message: /another node/ });
});
