import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MapDoor } from "../../tests/support/map-door.ts";
import { RawClient, rawRequest } from "../../tests/support/raw-http.ts";
import { Op } from "../cache/command.ts";
import { RingcacheError } from "../errors.ts";
import { silentLog } from "../log.ts";
import { systemRuntime } from "../runtime.ts";
import type { HttpLimits } from "./limits.ts";
import { type HttpDoor, startHttp } from "./server.ts";

let door: MapDoor;
let http: HttpDoor;

async function start(limits: Partial<HttpLimits> = {}): Promise<void> {
  http = await startHttp({
    host: "127.0.0.1",
    port: 0,
    door,
    log: silentLog,
    runtime: systemRuntime,
    limits: { closeGraceMs: 0, lingerMs: 200, ...limits },
  });
}

async function restart(limits: Partial<HttpLimits>): Promise<void> {
  await http.close();
  await start(limits);
}

function store(key: string, value: string): void {
  door.execute(
    { op: Op.set, key: Buffer.from(key), value: Buffer.from(value), expiresAtMs: 0, expected: undefined },
    () => {},
  );
}

const get = (key: string): string => `GET /get?key=${key} HTTP/1.1\r\nHost: x\r\n\r\n`;
const post = (body: string): string =>
  `POST /set HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

beforeEach(async () => {
  door = new MapDoor(systemRuntime);
  await start();
});

afterEach(() => http.close());

describe("listening", () => {
  it("says in one sentence that the port is in use", async () => {
    const second = startHttp({
      host: "127.0.0.1",
      port: http.port,
      door,
      log: silentLog,
      runtime: systemRuntime,
    });
    await expect(second).rejects.toMatchObject({
      code: "PORT_UNUSABLE",
      message: `HTTP can't listen on 127.0.0.1:${http.port}: the port is already in use.`,
    });
  });

  it.each([
    ["192.0.2.1", 0],
    ["127.0.0.1", 70_000],
    ["no-such-host.invalid", 0],
  ])("refuses %s:%i", async (host, port) => {
    const other = startHttp({ host, port, door, log: silentLog, runtime: systemRuntime });
    await expect(other).rejects.toMatchObject({ code: "PORT_UNUSABLE" });
  });
});

describe("connections", () => {
  it("answers many requests on one", async () => {
    const client = new RawClient(http.port);
    for (let i = 0; i < 20; i++) {
      await client.send(post(JSON.stringify({ key: `k${i}`, value: `v${i}` })));
      expect((await client.answer()).status).toBe(200);
      await client.send(get(`k${i}`));
      expect(JSON.parse((await client.answer()).body)).toEqual({
        found: true,
        value: `v${i}`,
        node: "node-1",
      });
    }
    client.close();
  });

  it("answers pipelined requests in their order", async () => {
    for (let i = 0; i < 50; i++) store(`k${i}`, `v${i}`);
    const client = new RawClient(http.port);
    await client.send(Array.from({ length: 50 }, (_, i) => get(`k${i}`)).join(""));
    for (let i = 0; i < 50; i++) expect(JSON.parse((await client.answer()).body).value).toBe(`v${i}`);
    client.close();
  });

  it("closes when the client asks for it, and with HTTP/1.0", async () => {
    for (const request of [
      "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n",
      "GET /health HTTP/1.0\r\n\r\n",
    ]) {
      const client = new RawClient(http.port);
      await client.send(request);
      expect((await client.answer()).status).toBe(200);
      expect(await client.untilClosed()).toBe("");
    }
  });

  it("understands a request that comes in two pieces, wherever it is cut", async () => {
    const request = post('{"key":"é","value":"v"}');
    const bytes = Buffer.from(request);
    const client = new RawClient(http.port);
    for (let cut = 1; cut < bytes.length; cut++) {
      await client.send(bytes.subarray(0, cut));
      await new Promise(setImmediate);
      await client.send(bytes.subarray(cut));
      expect((await client.answer()).status).toBe(200);
    }
    client.close();
    expect(door.executed).toBe(bytes.length - 1);
  });

  it("understands a request that comes byte by byte", async () => {
    const client = new RawClient(http.port);
    for (const byte of Buffer.from(post('{"key":"é","value":"v"}'))) await client.send(Uint8Array.of(byte));
    expect((await client.answer()).body).toBe('{"success":true,"node":"node-1"}');
    client.close();
  });

  it("takes chunked bodies", async () => {
    const chunks = ['{"key":', '"k","va', 'lue":"v"}'].map((c) => `${c.length.toString(16)}\r\n${c}\r\n`);
    const request = `POST /set HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.join("")}0\r\n\r\n`;
    expect((await rawRequest(http.port, request)).status).toBe(200);
  });

  it("tells a client that expects it to go on", async () => {
    const client = new RawClient(http.port);
    const body = '{"key":"k","value":"v"}';
    await client.send(`POST /set HTTP/1.1\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`);
    expect((await client.answer()).status).toBe(100);
    await client.send(body);
    expect((await client.answer()).status).toBe(200);
    client.close();
  });

  it("tells a client that expects it to go on with too much not to", async () => {
    const client = new RawClient(http.port);
    await client.send("POST /set HTTP/1.1\r\nContent-Length: 999999999\r\nExpect: 100-continue\r\n\r\n");
    const answer = await client.answer();
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([413, "BODY_TOO_LARGE"]);
    expect(await client.untilClosed()).toBe("");
  });

  it("forgets a client that disconnects while its operation waits", async () => {
    door.hold();
    const client = new RawClient(http.port);
    await client.send(get("k"));
    await door.untilHeld(1);
    client.close();
    await once(client.socket, "close");
    await new Promise(setImmediate);
    door.release();
    expect((await rawRequest(http.port, get("k"))).status).toBe(404);
  });

  it("gives back what a body that broke off was counted as", async () => {
    const body = JSON.stringify({ key: "k", value: "v".repeat(1_500) });
    await restart({ bodiesSizeBytesMax: 2_000 });
    for (let i = 0; i < 5; i++) {
      const client = new RawClient(http.port);
      await client.send(post(body).slice(0, -1));
      client.socket.end();
      await client.untilClosed();
      client.close();
    }
    expect((await rawRequest(http.port, post(body))).status).toBe(200);
  });

  it("refuses a body while too many others are being received", async () => {
    await restart({ bodiesSizeBytesMax: 2_000 });
    const body = JSON.stringify({ key: "k", value: "v".repeat(1_500) });
    const first = new RawClient(http.port);
    await first.send(post(body).slice(0, -1));
    // Whichever of the two is counted second is refused; the first one's bytes are here before the second's.
    let refused = await rawRequest(http.port, post(body));
    while (refused.status === 200) refused = await rawRequest(http.port, post(body));
    expect(refused.status).toBe(503);
    expect(JSON.parse(refused.body).error).toMatchObject({ code: "OVERLOADED", outcome: "none" });
    await first.send("}");
    expect((await first.answer()).status).toBe(200);
    first.close();
  });
});

describe("time-outs", () => {
  it.each([
    ["headers", "GET /health HTTP/1.1\r\nX: "],
    ["body", "POST /set HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"],
  ])("ends a request whose %s never come", async (_what, request) => {
    await restart({ headersTimeoutMs: 100, requestTimeoutMs: 200, timeoutCheckMs: 50 });
    const client = new RawClient(http.port);
    await client.send(request);
    const answer = await client.answer();
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([408, "HTTP_TIMEOUT"]);
    await client.untilClosed();
  });

  it("ends a connection on which nothing moves", async () => {
    await restart({ inactivityMs: 100 });
    door.hold();
    const client = new RawClient(http.port);
    await client.send(get("k"));
    expect(await client.untilClosed()).toBe("");
    door.release();
  });
});

describe("close", () => {
  it("answers what is under way and refuses what is new", async () => {
    store("k", "v");
    door.hold();
    const client = new RawClient(http.port);
    await client.send(get("k"));
    await door.untilHeld(1);
    const closed = http.close();
    const late = new RawClient(http.port);
    expect(await late.untilClosed()).toBe("");
    door.release();
    expect((await client.answer()).status).toBe(200);
    await closed;
    expect(await client.untilClosed()).toBe("");
  });

  it("sends an answer that is larger than the network's buffers to its end", async () => {
    store("k", "v".repeat(16 * 1024 * 1024));
    const client = new RawClient(http.port);
    client.socket.pause();
    await client.send(get("k"));
    while (door.executed < 2) await new Promise(setImmediate);
    const closed = http.close();
    client.socket.resume();
    expect(JSON.parse((await client.answer()).body).value.length).toBe(16 * 1024 * 1024);
    await closed;
  });

  it("leaves idle connections time for one last request, and tells them that it is the last", async () => {
    await restart({ closeGraceMs: 10_000, closeTimeoutMs: 20_000 });
    const client = new RawClient(http.port);
    await client.send(get("k"));
    expect((await client.answer()).headers.connection).toBe("keep-alive");
    const closed = http.close();
    await client.send(get("k") + get("k"));
    expect((await client.answer()).headers.connection).toBe("close");
    expect(await client.untilClosed()).toBe("");
    await closed;
    expect(door.executed).toBe(2);
  });

  it("waits no longer than it may", async () => {
    await restart({ closeTimeoutMs: 100 });
    door.hold();
    const client = new RawClient(http.port);
    await client.send(get("k"));
    await door.untilHeld(1);
    await http.close();
    expect(await client.untilClosed()).toBe("");
    door.release();
  });

  it("can be called twice", async () => {
    await Promise.all([http.close(), http.close()]);
  });
});

describe("a door that fails", () => {
  it.each([
    ["DEADLINE_EXCEEDED", "unknown", 503],
    ["DEADLINE_EXCEEDED", "none", 503],
    ["OVERLOADED", "none", 503],
    ["LINK_LOST", "unknown", 503],
    ["CLOSED", "none", 503],
  ] as const)("passes %s on, outcome %s", async (code, outcome, status) => {
    door.failure = new RingcacheError(code, "Why.", { outcome });
    for (const request of [
      get("k"),
      post('{"key":"k","value":"v"}'),
      "DELETE /delete?key=k HTTP/1.1\r\n\r\n",
    ]) {
      const answer = await rawRequest(http.port, request);
      expect(answer.status).toBe(status);
      expect(JSON.parse(answer.body)).toEqual({ error: { code, message: "Why.", outcome } });
    }
  });

  it("answers a defect with INTERNAL and stays up", async () => {
    door.stats = () => {
      throw new TypeError("a defect");
    };
    const answer = await rawRequest(http.port, "GET /stats HTTP/1.1\r\n\r\n");
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([500, "INTERNAL"]);
    expect((await rawRequest(http.port, get("k"))).status).toBe(404);
  });
});
