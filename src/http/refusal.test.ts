import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MapDoor } from "../../tests/support/map-door.ts";
import { RawClient, rawRequest } from "../../tests/support/raw-http.ts";
import { Op } from "../cache/command.ts";
import { silentLog } from "../log.ts";
import { systemRuntime } from "../runtime.ts";
import { type HttpDoor, startHttp } from "./server.ts";

let door: MapDoor;
let http: HttpDoor;

const get = (key: string): string => `GET /get?key=${key} HTTP/1.1\r\nHost: x\r\n\r\n`;

beforeEach(async () => {
  door = new MapDoor(systemRuntime);
  door.execute(
    { op: Op.set, key: Buffer.from("k"), value: Buffer.from("v"), expiresAtMs: 0, expected: undefined },
    () => {},
  );
  const limits = { closeGraceMs: 0, lingerMs: 200 };
  http = await startHttp({
    host: "127.0.0.1",
    port: 0,
    door,
    log: silentLog,
    runtime: systemRuntime,
    limits,
  });
});

afterEach(() => http.close());

describe("bytes that aren't HTTP", () => {
  it.each([
    ["garbage", "\x00\x01\x02\r\n\r\n", 400, "HTTP_INVALID"],
    ["another protocol", "GET /health RTSP/3.0\r\n\r\n", 400, "HTTP_INVALID"],
    ["an unknown method", "BREW /get HTTP/1.1\r\n\r\n", 400, "HTTP_INVALID"],
    ["a bad header", "GET /health HTTP/1.1\r\nbad header\r\n\r\n", 400, "HTTP_INVALID"],
    ["a bad length", "POST /set HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "HTTP_INVALID"],
    [
      "two lengths",
      "POST /set HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      400,
      "HTTP_INVALID",
    ],
    [
      "a length and chunks",
      "POST /set HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      400,
      "HTTP_INVALID",
    ],
    ["a bad chunk", "POST /set HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "HTTP_INVALID"],
    ["a long URL", `GET /get?key=${"a".repeat(300_000)} HTTP/1.1\r\n\r\n`, 431, "HEADERS_TOO_LARGE"],
    ["a long header", `GET /health HTTP/1.1\r\nX: ${"a".repeat(300_000)}\r\n\r\n`, 431, "HEADERS_TOO_LARGE"],
    ["a proxy's request", "CONNECT example.org:443 HTTP/1.1\r\n\r\n", 404, "PATH_UNKNOWN"],
  ])("answers %s", async (_what, bytes, status, code) => {
    const client = new RawClient(http.port);
    void client.send(bytes);
    const answer = await client.answer();
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([status, code]);
    expect(answer.headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(await client.untilClosed()).toBe("");
    expect((await rawRequest(http.port, "GET /health HTTP/1.1\r\n\r\n")).status).toBe(200);
  });

  it("answers the requests before them first", async () => {
    door.hold();
    const client = new RawClient(http.port);
    await client.send(`${get("k")}${get("none")}garbage\r\n\r\n`);
    await door.untilHeld(2);
    door.release();
    expect((await client.answer()).status).toBe(200);
    expect((await client.answer()).status).toBe(404);
    expect((await client.answer()).status).toBe(400);
    expect(await client.untilClosed()).toBe("");
  });

  it("answers the requests before them first, also when they don't wait", async () => {
    const client = new RawClient(http.port);
    await client.send(`${get("k")}${get("none")}garbage\r\n\r\n`);
    const statuses = [await client.answer(), await client.answer(), await client.answer()].map(
      (a) => a.status,
    );
    expect(statuses).toEqual([200, 404, 400]);
  });
});
