import { afterEach, beforeEach, expect, test } from "vitest";
import { MapDoor } from "../../tests/support/map-door.ts";
import { RawClient, rawRequest } from "../../tests/support/raw-http.ts";
import { until } from "../../tests/support/recorder.ts";
import type { ClusterEvent } from "../cache/cluster/report.ts";
import { RingcacheError } from "../errors.ts";
import { silentLog } from "../log.ts";
import { systemRuntime } from "../runtime.ts";
import { streamsMax } from "./event-streams.ts";
import { type HttpDoor, startHttp } from "./server.ts";

let door: MapDoor;
let http: HttpDoor;
const clients: RawClient[] = [];

beforeEach(async () => {
  door = new MapDoor(systemRuntime);
  const own = { door, log: silentLog, runtime: systemRuntime };
  http = await startHttp({ host: "127.0.0.1", port: 0, ...own, limits: { closeGraceMs: 0 } });
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await http.close();
});

async function watch(read: (text: string) => void = () => {}): Promise<RawClient> {
  const client = new RawClient(http.port);
  clients.push(client);
  client.socket.on("data", (chunk: Buffer) => read(chunk.toString("latin1")));
  const { size } = door.watchers;
  await client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  await until(() => door.watchers.size > size, "it watches");
  return client;
}

const get = (target: string, headers = ""): ReturnType<typeof rawRequest> =>
  rawRequest(http.port, Buffer.from(`GET ${target} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`));

function tell(events: readonly ClusterEvent[]): void {
  for (const watcher of door.watchers) watcher.happened(events);
}

test("a stream begins with the state, tells what happens, and ends when the node stops", async () => {
  const client = await watch();
  tell([{ id: 1, at_ms: 5, kind: "joined", node: "node-2" }]);
  await http.close();
  const sent = await client.untilClosed();
  expect(sent).toMatch(/^HTTP\/1\.1 200 OK\r\nContent-Type: text\/event-stream; charset=utf-8\r\n/);
  const state = sent.indexOf('event: state\ndata: {"node":"node-1"');
  const happened = sent.indexOf(
    'event: happened\ndata: [{"id":1,"at_ms":5,"kind":"joined","node":"node-2"}]\n\n',
  );
  expect(state).toBeGreaterThan(0);
  expect(happened).toBeGreaterThan(state);
  // The last chunk of a body that is complete.
  expect(sent.endsWith("0\r\n\r\n")).toBe(true);
  expect(door.watchers.size).toBe(0);
});

test("a client that doesn't read costs a bounded amount of memory, gets the state anew when it does, and is closed if it never does", async () => {
  let states = 0;
  const client = await watch((text) => {
    states += text.split("event: state").length - 1;
  });
  await until(() => states === 1, "a state");
  client.socket.pause();
  const large: ClusterEvent[] = Array.from({ length: 20_000 }, (_, id) => ({
    ...{ id, at_ms: 1, kind: "joined", node: "a node with a name" },
  }));
  // Each is more than a megabyte: after some the kernel takes no more.
  for (let i = 0; i < 20; i++) {
    tell([...large]);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  client.socket.resume();
  await until(() => {
    tell([]);
    return states === 2;
  }, "a second state");
  client.socket.pause();
  await until(() => {
    tell([...large]);
    return door.watchers.size === 0;
  }, "it is given up");
});

test("so many clients may watch, and the next is refused; when one goes there is room again", async () => {
  for (let i = 0; i < streamsMax; i++) await watch();
  const refused = await get("/events");
  expect([refused.status, JSON.parse(refused.body).error.code]).toEqual([503, "OVERLOADED"]);
  clients.pop()!.close();
  await until(() => door.watchers.size === streamsMax - 1, "it has gone");
  await watch();
});

test("a node that can't tell refuses", async () => {
  door.failure = new RingcacheError("NOT_READY", "It is still joining.");
  const refused = await get("/events");
  expect([refused.status, JSON.parse(refused.body).error.code]).toEqual([503, "NOT_READY"]);
  door.failure = undefined;
});

test("only pages of members may read across origins", async () => {
  door.http = "127.0.0.1:8081";
  const allowed = async (origin: string): Promise<string | undefined> => {
    const { headers } = await get("/lookup?key=a", `Origin: ${origin}\r\n`);
    expect(headers.vary).toBe("Origin");
    return headers["access-control-allow-origin"];
  };
  expect(await allowed("http://127.0.0.1:8081")).toBe("http://127.0.0.1:8081");
  // The same machine by another name.
  expect(await allowed("http://localhost:8081")).toBe("http://localhost:8081");
  expect(await allowed("http://localhost:8082")).toBeUndefined();
  expect(await allowed("http://evil.example:8081")).toBeUndefined();
  expect(await allowed("https://127.0.0.1:8081")).toBeUndefined();
  expect(await allowed("null")).toBeUndefined();
  const cluster = await get("/cluster", "Origin: http://127.0.0.1:8081\r\n");
  expect(cluster.headers["access-control-allow-origin"]).toBe("http://127.0.0.1:8081");
  expect(JSON.parse(cluster.body)).toMatchObject({ node: "node-1", table: { epoch: 1 } });
  // What changes or shows values is for no page at all.
  const value = await get("/get?key=a", "Origin: http://127.0.0.1:8081\r\n");
  expect(value.headers["access-control-allow-origin"]).toBeUndefined();
});

test("looks up where a key is", async () => {
  const found = await get("/lookup?key=%C3%A9");
  expect(JSON.parse(found.body)).toEqual({
    ...{ key: "é", slot: 0, partition: 0, owner: "node-1", backups: [], incoming: "" },
    ...{ found: false, ttl_seconds: null, value_bytes: null, memory_bytes: null },
  });
  expect((await get("/lookup")).status).toBe(400);
});
