import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MapDoor } from "../../tests/support/map-door.ts";
import { type RawAnswer, RawClient, rawRequest } from "../../tests/support/raw-http.ts";
import { silentLog } from "../log.ts";
import { systemRuntime } from "../runtime.ts";
import { defaultHttpLimits } from "./limits.ts";
import { type HttpDoor, startHttp } from "./server.ts";

const mebi = 1024 * 1024;
const door = new MapDoor(systemRuntime, "node-2");
let http: HttpDoor;

beforeAll(async () => {
  http = await startHttp({
    host: "127.0.0.1",
    port: 0,
    door,
    log: silentLog,
    runtime: systemRuntime,
    limits: { closeGraceMs: 0, lingerMs: 500 },
  });
});

afterAll(() => http.close());

const request = (method: string, target: string): Promise<RawAnswer> =>
  rawRequest(http.port, Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: x\r\n\r\n`), method === "HEAD");

function post(body: string | Uint8Array, headers = ""): Promise<RawAnswer> {
  const bytes = Buffer.from(body);
  const head = `POST /set HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${bytes.length}\r\n\r\n`;
  return rawRequest(http.port, Buffer.concat([Buffer.from(head), bytes]));
}

const set = (fields: object): Promise<RawAnswer> => post(JSON.stringify(fields));

function expectError(answer: RawAnswer, status: number, code: string): void {
  const body = JSON.parse(answer.body) as { error: { code: string; message: string } };
  expect([answer.status, body.error.code]).toEqual([status, code]);
  expect(body.error.message).toMatch(/^[A-Z/][^\n]*\.$/);
  expect(answer.headers["content-type"]).toBe("application/json; charset=utf-8");
}

async function expectAlive(): Promise<void> {
  expect((await request("GET", "/health")).body).toBe('{"status":"ok","node":"node-2"}');
}

describe("keys and values", () => {
  const nasty: [string, string][] = [
    ["plain", "user:1"],
    ["a space", "a b"],
    ["only a space", " "],
    ["slashes", "/a//b/../c"],
    ["quotes", `"'\`\\`],
    ["a percent sign", "100%"],
    ["something that looks encoded", "%41+%2B"],
    ["separators", "a&b=c?d#e;f+g"],
    ["NUL", "a\0b\0"],
    ["control characters", "\r\n\t\x7f\u0080"],
    ["emoji", "😀👩‍👩‍👧"],
    ["other scripts", "ключ 鍵 مفتاح"],
    ["line separators", "\u2028\u2029\ufeff"],
    ["the replacement character", "\ufffd"],
    ["names of JavaScript", "__proto__"],
    ["64 KiB of ASCII", "k".repeat(65536)],
    ["64 KiB of emoji", "😀".repeat(16384)],
  ];

  it.each(nasty)("carries %s as key and value, through set, get, owner and delete", async (_what, text) => {
    const query = `?key=${encodeURIComponent(text)}`;
    expect((await set({ key: text, value: text })).body).toBe('{"success":true,"node":"node-2"}');
    const got = await request("GET", `/get${query}`);
    expect(got.status).toBe(200);
    expect(JSON.parse(got.body)).toEqual({ found: true, value: text, node: "node-2" });
    expect(JSON.parse((await request("GET", `/owner${query}`)).body)).toEqual({
      key: text,
      partition: 0,
      owner: "node-2",
      is_local: true,
      this_node: "node-2",
    });
    expect((await request("DELETE", `/delete${query}`)).body).toBe('{"deleted":true,"node":"node-2"}');
    expect((await request("DELETE", `/delete${query}`)).body).toBe('{"deleted":false,"node":"node-2"}');
    const gone = await request("GET", `/get${query}`);
    expect([gone.status, gone.body]).toEqual([404, '{"found":false,"node":"node-2"}']);
  });

  it("takes the absolute form that proxies send", async () => {
    await set({ key: "é", value: "v" });
    expect(JSON.parse((await request("GET", "http://x:1/get?key=%C3%A9")).body).value).toBe("v");
  });

  it("takes the largest key where every byte is percent-encoded", async () => {
    const got = await request("GET", `/get?key=${"%61".repeat(65536)}`);
    expect(got.status).toBe(404);
    expectError(await request("GET", `/get?key=${"%61".repeat(65537)}`), 400, "KEY_TOO_LONG");
  });

  it("takes a value of 16 MiB, and not one byte more", async () => {
    const value = "v".repeat(16 * mebi);
    expect((await set({ key: "big", value })).status).toBe(200);
    expect(JSON.parse((await request("GET", "/get?key=big")).body).value).toBe(value);
    expectError(await set({ key: "big", value: `${value}v` }), 413, "VALUE_TOO_LARGE");
    expect((await request("DELETE", "/delete?key=big")).status).toBe(200);
    await expectAlive();
  });

  it("takes a value of 16 MiB that JSON makes six times as long", async () => {
    expect((await set({ key: "\0".repeat(65536), value: "\0".repeat(16 * mebi) })).status).toBe(200);
    const got = await request("GET", `/get?key=${"%00".repeat(65536)}`);
    expect(JSON.parse(got.body).value.length).toBe(16 * mebi);
    await request("DELETE", `/delete?key=${"%00".repeat(65536)}`);
  });

  it("reads the body as JSON whatever its type is said to be", async () => {
    const answer = await post(
      '{"key":"k","value":"v"}',
      "Content-Type: application/x-www-form-urlencoded\r\n",
    );
    expect(answer.status).toBe(200);
  });

  it("lets an entry expire after its ttl in seconds", async () => {
    const beforeMs = systemRuntime.wallMs();
    await set({ key: "t", value: "v", ttl: 1.5 });
    const expiresAtMs = door.expiresAtMs("t") ?? 0;
    expect(expiresAtMs).toBeGreaterThanOrEqual(beforeMs + 1_500);
    expect(expiresAtMs).toBeLessThanOrEqual(systemRuntime.wallMs() + 1_500);
    await set({ key: "t", value: "v", ttl: 0.001 });
    while ((door.expiresAtMs("t") ?? 0) > systemRuntime.wallMs()) await new Promise(setImmediate);
    expect((await request("GET", "/get?key=t")).status).toBe(404);
  });
});

describe("reports", () => {
  it("answers /stats, /status and /ready", async () => {
    expect(JSON.parse((await request("GET", "/stats")).body)).toEqual(door.stats());
    expect(JSON.parse((await request("GET", "/status")).body)).toEqual(door.status());
    expect((await request("GET", "/ready")).body).toBe('{"ready":true,"node":"node-2"}');
    door.ready = false;
    expectError(await request("GET", "/ready"), 503, "NOT_READY");
    await expectAlive();
    door.ready = true;
  });

  it.each([
    "/health",
    "/ready",
    "/stats",
    "/status",
    "/owner?key=k",
    "/get?key=none",
    "/get?key=%C3%A9",
    "/get",
  ])("answers HEAD %s like GET, without the body", async (target) => {
    await set({ key: "é", value: "ü" });
    const whole = await request("GET", target);
    const client = new RawClient(http.port);
    await client.send(Buffer.from(`HEAD ${target} HTTP/1.1\r\nConnection: close\r\n\r\n`));
    const head = await client.answer(true);
    expect(head.status).toBe(whole.status);
    expect(head.headers["content-length"]).toBe(String(Buffer.byteLength(whole.body)));
    expect(await client.untilClosed()).toBe("");
  });
});

describe("malformed requests", () => {
  it.each([["/get"], ["/get?"], ["/get?key"], ["/get?key="], ["/get?k=a"], ["/owner"], ["/owner?key="]])(
    "GET %s names no key",
    async (target) => {
      expectError(await request("GET", target), 400, "KEY_MISSING");
      await expectAlive();
    },
  );

  it.each(["%", "%4", "%zz", "%FF", "%C0%80", "%ED%A0%80", "a%", "a&x=%", "é"])(
    "a key of %s isn't percent-encoded UTF-8",
    async (key) => {
      expectError(await request("GET", `/get?key=${key}`), 400, "URL_INVALID");
      expectError(await request("DELETE", `/delete?key=${key}`), 400, "URL_INVALID");
      await expectAlive();
    },
  );

  it("a key of more than 64 KiB is refused everywhere", async () => {
    const key = "k".repeat(65537);
    expectError(await request("GET", `/get?key=${key}`), 400, "KEY_TOO_LONG");
    expectError(await request("GET", `/owner?key=${key}`), 400, "KEY_TOO_LONG");
    expectError(await request("DELETE", `/delete?key=${key}`), 400, "KEY_TOO_LONG");
    expectError(await set({ key, value: "v" }), 400, "KEY_TOO_LONG");
    expectError(await set({ key: `${"😀".repeat(16384)}k`, value: "v" }), 400, "KEY_TOO_LONG");
    await expectAlive();
  });

  it.each([
    ["nothing", "", "BODY_NOT_JSON"],
    ["white space", " \n", "BODY_NOT_JSON"],
    ["text", "key=a&value=b", "BODY_NOT_JSON"],
    ["half an object", '{"key":"k"', "BODY_NOT_JSON"],
    ["an object and more", '{"key":"k","value":"v"} x', "BODY_NOT_JSON"],
    ["a byte order mark", '\ufeff{"key":"k","value":"v"}', "BODY_NOT_JSON"],
    ["null", "null", "BODY_NOT_JSON"],
    ["an array", '["k","v"]', "BODY_NOT_JSON"],
    ["a string", '"k"', "BODY_NOT_JSON"],
    ["a number", "1", "BODY_NOT_JSON"],
    ["very deep nesting", "[".repeat(200_000), "BODY_NOT_JSON"],
    ["a ttl that isn't JSON", '{"key":"k","value":"v","ttl":NaN}', "BODY_NOT_JSON"],
    ["no key", '{"value":"v"}', "KEY_MISSING"],
    ["an empty key", '{"key":"","value":"v"}', "KEY_MISSING"],
    ["a null key", '{"key":null,"value":"v"}', "FIELD_INVALID"],
    ["a number as key", '{"key":1,"value":"v"}', "FIELD_INVALID"],
    ["an object as key", '{"key":{},"value":"v"}', "FIELD_INVALID"],
    ["half a surrogate pair as key", '{"key":"\\ud800","value":"v"}', "FIELD_INVALID"],
    ["no value", '{"key":"k"}', "FIELD_INVALID"],
    ["a null value", '{"key":"k","value":null}', "FIELD_INVALID"],
    ["a number as value", '{"key":"k","value":1}', "FIELD_INVALID"],
    ["an array as value", '{"key":"k","value":["v"]}', "FIELD_INVALID"],
    ["half a surrogate pair as value", '{"key":"k","value":"a\\udc00b"}', "FIELD_INVALID"],
    ["a string as ttl", '{"key":"k","value":"v","ttl":"1"}', "FIELD_INVALID"],
    ["a null ttl", '{"key":"k","value":"v","ttl":null}', "FIELD_INVALID"],
    ["a boolean ttl", '{"key":"k","value":"v","ttl":true}', "FIELD_INVALID"],
    ["a negative ttl", '{"key":"k","value":"v","ttl":-1}', "TTL_INVALID"],
    ["a slightly negative ttl", '{"key":"k","value":"v","ttl":-1e-9}', "TTL_INVALID"],
    ["an infinite ttl", '{"key":"k","value":"v","ttl":1e999}', "TTL_INVALID"],
    ["a negative infinite ttl", '{"key":"k","value":"v","ttl":-1e999}', "TTL_INVALID"],
    ["a ttl beyond all dates", '{"key":"k","value":"v","ttl":8640000000000}', "TTL_INVALID"],
  ])("a body of %s", async (_what, body, code) => {
    const executed = door.executed;
    expectError(await post(body), 400, code);
    expect(door.executed).toBe(executed);
    await expectAlive();
  });

  it("a body that isn't UTF-8", async () => {
    expectError(await post(Buffer.from('{"key":"k","value":"\xff"}', "latin1")), 400, "BODY_NOT_JSON");
    await expectAlive();
  });

  it.each([
    ["POST", "/get", "GET, HEAD"],
    ["DELETE", "/get?key=k", "GET, HEAD"],
    ["GET", "/set", "POST"],
    ["HEAD", "/set", "POST"],
    ["PUT", "/set", "POST"],
    ["GET", "/delete?key=k", "DELETE"],
    ["POST", "/delete?key=k", "DELETE"],
    ["POST", "/owner", "GET, HEAD"],
    ["POST", "/stats", "GET, HEAD"],
    ["POST", "/status", "GET, HEAD"],
    ["OPTIONS", "/health", "GET, HEAD"],
    ["PATCH", "/ready", "GET, HEAD"],
  ])("%s %s isn't allowed", async (method, target, allow) => {
    const answer = await request(method, target);
    expect(answer.headers.allow).toBe(allow);
    if (method === "HEAD") expect(answer.status).toBe(405);
    else expectError(answer, 405, "METHOD_NOT_ALLOWED");
    await expectAlive();
  });

  it.each([
    ["GET", "/"],
    ["GET", "/get/"],
    ["GET", "//get?key=k"],
    ["GET", "/GET?key=k"],
    ["GET", "/%67et?key=k"],
    ["GET", "/toString"],
    ["POST", "/nothing"],
    ["OPTIONS", "*"],
  ])("%s %s: nothing there", async (method, target) => {
    expectError(await request(method, target), 404, "PATH_UNKNOWN");
    await expectAlive();
  });
});

describe("bodies over the limit", () => {
  const limit = defaultHttpLimits.bodySizeBytesMax;

  it("are refused on what they say they are, and the client that goes on sending sees it", async () => {
    const client = new RawClient(http.port);
    await client.send(`POST /set HTTP/1.1\r\nContent-Length: ${limit + 1}\r\n\r\n`);
    for (let i = 0; i < 8; i++) void client.send(Buffer.alloc(mebi, 0x20));
    const answer = await client.answer();
    expectError(answer, 413, "BODY_TOO_LARGE");
    expect(answer.headers.connection).toBe("close");
    expect(await client.untilClosed()).toBe("");
    await expectAlive();
  });

  it("are refused on what was counted when they come in chunks", async () => {
    const client = new RawClient(http.port);
    await client.send("POST /set HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    const chunk = Buffer.concat([
      Buffer.from("400000\r\n"),
      Buffer.alloc(4 * mebi, 0x20),
      Buffer.from("\r\n"),
    ]);
    for (let sent = 0; sent <= limit; sent += 4 * mebi) await client.send(chunk);
    expectError(await client.answer(), 413, "BODY_TOO_LARGE");
    void client.send("0\r\n\r\n");
    expect(await client.untilClosed()).toBe("");
    await expectAlive();
  });

  it("end the connection: what is pipelined behind them isn't carried out", async () => {
    const executed = door.executed;
    const client = new RawClient(http.port);
    const body = Buffer.alloc(limit + 1, 0x20);
    await client.send(`POST /set HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n`);
    void client.send(body);
    void client.send("DELETE /delete?key=k HTTP/1.1\r\n\r\n");
    expectError(await client.answer(), 413, "BODY_TOO_LARGE");
    expect(await client.untilClosed()).toBe("");
    expect(door.executed).toBe(executed);
  });

  it("of exactly the limit are taken", async () => {
    const fields = '{"key":"k","value":"v"}';
    expect((await post(fields + " ".repeat(limit - fields.length))).status).toBe(200);
  });
});
