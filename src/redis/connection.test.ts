import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { MapDoor } from "../../tests/support/map-door.ts";
import { silentLog } from "../log.ts";
import { systemRuntime } from "../runtime.ts";
import { type RedisDoor, type RedisOptions, startRedis } from "./server.ts";

const door = new MapDoor(systemRuntime);
const opened: { readonly doors: RedisDoor[]; readonly clients: Client[] } = { doors: [], clients: [] };

afterEach(async () => {
  door.release();
  for (const client of opened.clients.splice(0)) client.socket.destroy();
  await Promise.all(opened.doors.splice(0).map((one) => one.close()));
});

async function start(options: Partial<RedisOptions> = {}): Promise<RedisDoor> {
  const ring = () => undefined;
  const base = {
    host: "127.0.0.1",
    port: 0,
    door,
    ring,
    log: silentLog,
    runtime: systemRuntime,
    debug: true,
  };
  const started = await startRedis({ ...base, ...options });
  opened.doors.push(started);
  return started;
}

/** Collects what comes, as latin1. */
class Client {
  readonly socket: Socket;
  text = "";
  ended = false;
  #changed: () => void = () => {};

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    opened.clients.push(this);
    this.socket.on("error", () => {});
    this.socket.setEncoding("latin1").on("data", (chunk: string) => {
      this.text += chunk;
      this.#changed();
    });
    this.socket.on("end", () => {
      this.ended = true;
      this.#changed();
    });
  }

  send(text: string): void {
    this.socket.write(Buffer.from(text, "latin1"));
  }

  async until(holds: (text: string) => boolean): Promise<void> {
    while (!holds(this.text)) await new Promise<void>((resolve) => (this.#changed = resolve));
  }

  /** What has come once it is at least as long as what is expected. */
  async receive(expected: string): Promise<void> {
    await this.until((text) => text.length >= expected.length || this.ended);
    expect(this.text).toBe(expected);
    this.text = "";
  }

  async untilEnd(): Promise<string> {
    await this.until(() => this.ended);
    return this.text;
  }
}

async function client(options: Partial<RedisOptions> = {}): Promise<Client> {
  return new Client((await start(options)).port);
}

function request(...args: string[]): string {
  return `*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join("")}`;
}

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;

/** A session of one connection: what is sent, and all that comes back. */
const session: readonly (readonly [sent: string, reply: string])[] = [
  ["PING\r\n", "+PONG\r\n"],
  [request("PING", "a b"), bulk("a b")],
  [request("ECHO", "\r\n\0"), bulk("\r\n\0")],
  [request("SET", "k", "v"), "+OK\r\n"],
  [request("GET", "k"), bulk("v")],
  [request("gEt", "none"), "$-1\r\n"],
  ["get k\r\n", bulk("v")],
  [request("SELECT", "0"), "+OK\r\n"],
  [request("SELECT", "1"), "-ERR DB index is out of range\r\n"],
  [request("SELECT", "x"), "-ERR value is not an integer or out of range\r\n"],
  [request("nope", "a", "b\r\nc"), "-ERR unknown command 'nope', with args beginning with: 'a' 'b  c' \r\n"],
  [request("nope"), "-ERR unknown command 'nope', with args beginning with: \r\n"],
  [request("GET"), "-ERR wrong number of arguments for 'get' command\r\n"],
  [request("Get", "a", "b"), "-ERR wrong number of arguments for 'get' command\r\n"],
  [request("CLIENT"), "-ERR wrong number of arguments for 'client' command\r\n"],
  [request("Client", "foo"), "-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n"],
  [request("client", "ID", "x"), "-ERR wrong number of arguments for 'client|id' command\r\n"],
  [request("client|id"), "-ERR unknown command 'client|id', with args beginning with: \r\n"],
  [request("CLIENT", "GETNAME"), "$-1\r\n"],
  [
    request("CLIENT", "SETNAME", "a b"),
    "-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
  ],
  [request("CLIENT", "SETNAME", "me"), "+OK\r\n"],
  [request("CLIENT", "GETNAME"), bulk("me")],
  [request("CLIENT", "SETINFO", "LIB-NAME", "lib"), "+OK\r\n"],
  [request("CLIENT", "SETINFO", "x", "lib"), "-ERR Unrecognized option 'x'\r\n"],
  [request("CLIENT", "NO-EVICT", "on"), "+OK\r\n"],
  [request("CLIENT", "NO-TOUCH", "x"), "-ERR syntax error\r\n"],
  [request("CLIENT", "REPLY", "x"), "-ERR syntax error\r\n"],
  [request("HELLO", "4"), "-NOPROTO unsupported protocol version\r\n"],
  [request("HELLO", "x"), "-ERR Protocol version is not an integer or out of range\r\n"],
  [request("HELLO", "3", "x"), "-ERR Syntax error in HELLO option 'x'\r\n"],
  [request("AUTH", "x", "y", "z"), "-ERR syntax error\r\n"],
  [request("AUTH", "who", "x"), "-WRONGPASS invalid username-password pair or user is disabled.\r\n"],
  [request("WAIT", "0", "-1"), "-ERR timeout is negative\r\n"],
  [request("MODULE", "LIST"), "*0\r\n"],
  [request("COMMAND", "INFO", "nope"), "*1\r\n*-1\r\n"],
  [request("COMMAND", "GETKEYS", "SET", "a", "b"), `*1\r\n${bulk("a")}`],
  [
    request("CONFIG", "GET", "save", "APPENDONLY"),
    `*4\r\n${bulk("appendonly")}${bulk("no")}${bulk("save")}${bulk("")}`,
  ],
  [request("GET", ""), "-ERR the key is empty\r\n"],
  [request("RESET"), "+RESET\r\n"],
  [request("CLIENT", "GETNAME"), "$-1\r\n"],
  ["*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"],
];
const sent = session.map(([text]) => text).join("");
const received = session.map(([, reply]) => reply).join("");

describe("a session", () => {
  test("request by request", async () => {
    const one = await client();
    for (const [text, reply] of session) {
      one.send(text);
      await one.receive(reply);
    }
    await one.untilEnd();
  });

  test("at once", async () => {
    const one = await client();
    one.send(sent);
    expect(await one.untilEnd()).toBe(received);
  });

  test("byte by byte", async () => {
    const one = await client();
    for (const byte of sent) {
      one.send(byte);
      await new Promise(setImmediate);
    }
    expect(await one.untilEnd()).toBe(received);
  });

  test("with its sending side closed at once", async () => {
    const one = await client();
    one.socket.end(Buffer.from(sent, "latin1"));
    expect(await one.untilEnd()).toBe(received);
  });
});

describe("while operations wait", () => {
  test("replies keep the order of the requests", async () => {
    const one = await client();
    one.send(request("SET", "a", "1"));
    await one.receive("+OK\r\n");
    door.hold();
    one.send(`${request("GET", "a")}PING\r\n${request("GET", "b")}${request("ECHO", "x")}nope\r\n`);
    await door.untilHeld(2);
    expect(one.text).toBe("");
    door.release();
    await one.receive(
      `${bulk("1")}+PONG\r\n$-1\r\n${bulk("x")}-ERR unknown command 'nope', with args beginning with: \r\n`,
    );
  });

  test("a later request with the same key doesn't overtake", async () => {
    const one = await client();
    door.hold();
    one.send(`${request("SET", "order", "1")}${request("GET", "order")}${request("SET", "other", "2")}`);
    await door.untilHeld(1);
    // Whatever comes behind it on another connection is begun, so the GET would have been.
    const other = await client();
    other.send(request("GET", "order"));
    await door.untilHeld(2);
    expect(door.heldCount).toBe(2);
    door.release();
    await one.receive(`+OK\r\n${bulk("1")}+OK\r\n`);
  });

  test("their keys and values stay what they were, whatever comes in meanwhile", async () => {
    const one = await client();
    door.hold();
    const count = 200;
    for (let i = 0; i < count; i++) {
      one.send(request("SET", `kept:${i}`, `value ${i} ${"x".repeat(i * 10)}`));
      await door.untilHeld(i + 1);
    }
    door.release();
    await one.receive("+OK\r\n".repeat(count));
    for (let i = 0; i < count; i++) {
      one.send(request("GET", `kept:${i}`));
      await one.receive(bulk(`value ${i} ${"x".repeat(i * 10)}`));
    }
  });

  test("no more than so many are begun", async () => {
    const one = await client({ limits: { unansweredMax: 5 } });
    door.hold();
    one.send(Array.from({ length: 12 }, (_, i) => request("GET", `many:${i}`)).join(""));
    await door.untilHeld(5);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const heldBefore = door.executed;
    door.release();
    await one.receive("$-1\r\n".repeat(12));
    expect(door.executed - heldBefore).toBe(12);
  });

  test("the door closes only when they are answered", async () => {
    const started = await start();
    const one = new Client(started.port);
    door.hold();
    one.send(request("GET", "late"));
    await door.untilHeld(1);
    let closed = false;
    const closing = started.close().then(() => {
      closed = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(closed).toBe(false);
    door.release();
    await one.receive("$-1\r\n");
    await closing;
  });
});

describe("bounds", () => {
  test("replies to a client that doesn't read are not made without end", async () => {
    const started = await start({ limits: { unsentBytesMax: 100_000 } });
    const one = new Client(started.port);
    one.send(request("SET", "large", "x".repeat(1_000_000)));
    await one.receive("+OK\r\n");
    one.socket.pause();
    const before = door.executed;
    const count = 500;
    one.send(request("GET", "large").repeat(count));
    const reader = new Client(started.port);
    // As many as the buffers between the two take, which is far from all.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(door.executed - before).toBeLessThan(100);
    reader.send("PING\r\n");
    await reader.receive("+PONG\r\n");
    one.socket.resume();
    const whole = bulk("x".repeat(1_000_000)).length * count;
    let size = 0;
    one.socket.removeAllListeners("data");
    for await (const chunk of one.socket) {
      size += (chunk as string).length;
      if (size >= whole) break;
    }
    expect(size).toBe(whole);
  });

  test("clients", async () => {
    const started = await start({ limits: { clientsMax: 1 } });
    const one = new Client(started.port);
    one.send("PING\r\n");
    await one.receive("+PONG\r\n");
    const other = new Client(started.port);
    expect(await other.untilEnd()).toBe("-ERR max number of clients reached\r\n");
    one.send("PING\r\n");
    await one.receive("+PONG\r\n");
  });

  test("a value beyond 16 MiB is refused, and the connection goes on", async () => {
    const one = await client();
    one.send(request("SET", "huge", "x".repeat(16 * 1024 * 1024 + 1)));
    one.send("PING\r\n");
    await one.until((text) => text.endsWith("+PONG\r\n"));
    expect(one.text).toBe(
      "-ERR the request or a value in it is too large: at most 16777216 bytes\r\n+PONG\r\n",
    );
  });

  test("one of 16 MiB isn't", async () => {
    const one = await client();
    const value = "y".repeat(16 * 1024 * 1024);
    one.send(`${request("SET", "huge", value)}${request("GET", "huge")}`);
    await one.receive(`+OK\r\n${bulk(value)}`);
  });
});

test.each([
  "POST / HTTP/1.1\r\n\r\nSET smuggled 1\r\n",
  "GET x y\r\nhost: 127.0.0.1\r\n\r\nSET smuggled 1\r\n",
])("what a browser sends is cut off before its body: %j", async (text) => {
  const one = await client();
  one.send(text);
  await one.untilEnd();
  const other = await client();
  other.send(request("GET", "smuggled"));
  await other.receive("$-1\r\n");
});

test("CLIENT REPLY OFF, SKIP and ON", async () => {
  const one = await client();
  const skip = request("CLIENT", "REPLY", "SKIP");
  one.send(`${skip}${request("SET", "quiet", "1")}${request("GET", "quiet")}${skip}nope\r\nPING\r\n`);
  await one.receive(`${bulk("1")}+PONG\r\n`);
  one.send(
    `${request("CLIENT", "REPLY", "OFF")}PING\r\n${skip}PING\r\nPING\r\n${request("CLIENT", "REPLY", "ON")}PING\r\n`,
  );
  await one.receive("+OK\r\n+PONG\r\n");
});

test("a reply that isn't wanted is left out when it comes later, too", async () => {
  const one = await client();
  door.hold();
  one.send(`${request("CLIENT", "REPLY", "SKIP")}${request("GET", "a")}${request("GET", "b")}PING\r\n`);
  await door.untilHeld(2);
  door.release();
  await one.receive("$-1\r\n+PONG\r\n");
});

describe("a password", () => {
  const password = "secret";
  const needed = "-NOAUTH Authentication required.\r\n";
  const wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

  test("is asked for before anything else", async () => {
    const one = await client({ password });
    one.send(`${request("GET", "a")}PING\r\n${request("AUTH", "wrong")}${request("AUTH", "user", password)}`);
    await one.receive(`${needed}${needed}${wrong}${wrong}`);
    one.send(`nope\r\n${request("AUTH", password)}PING\r\n${request("RESET")}PING\r\n`);
    await one.receive(
      `-ERR unknown command 'nope', with args beginning with: \r\n+OK\r\n+PONG\r\n+RESET\r\n${needed}`,
    );
    one.send(`${request("AUTH", "default", password)}PING\r\nQUIT\r\nPING\r\n`);
    expect(await one.untilEnd()).toBe("+OK\r\n+PONG\r\n+OK\r\n");
  });

  test("is taken with HELLO, which changes nothing without it", async () => {
    const one = await client({ password });
    one.send(request("HELLO", "3"));
    await one.until((text) => text.endsWith("\r\n"));
    expect(one.text).toMatch(/^-NOAUTH HELLO must be called with the client already authenticated/);
    one.text = "";
    one.send(`${request("HELLO", "3", "AUTH", "default", "wrong")}${request("GET", "a")}`);
    await one.receive(`${wrong}${needed}`);
    one.send(
      `${request("HELLO", "3", "AUTH", "default", password, "SETNAME", "me")}${request("CLIENT", "GETNAME")}`,
    );
    await one.until((text) => text.endsWith(bulk("me")));
    expect(one.text.replace(/\$2\r\nid\r\n:\d+/, "$2\r\nid\r\n:1")).toBe(
      `%7\r\n${bulk("server")}${bulk("redis")}${bulk("version")}${bulk("7.4.0")}${bulk("proto")}:3\r\n${bulk("id")}:1\r\n` +
        `${bulk("mode")}${bulk("standalone")}${bulk("role")}${bulk("master")}${bulk("modules")}*0\r\n${bulk("me")}`,
    );
    one.text = "";
    one.send(request("GET", "none"));
    await one.receive("_\r\n");
  });

  test("keeps requests small until it is given", async () => {
    const one = await client({ password });
    one.send("*11\r\n");
    expect(await one.untilEnd()).toBe("-ERR Protocol error: unauthenticated multibulk length\r\n");
  });
});

test("a failure of the cache layer, in the words of Redis", async () => {
  const { RingcacheError } = await import("../errors.ts");
  const one = await client();
  const fail = async (error: InstanceType<typeof RingcacheError>, text: string): Promise<void> => {
    door.failure = error;
    one.send(request("SET", "a", "1"));
    await one.receive(`-${text}\r\n`);
    door.failure = undefined;
  };
  await fail(
    new RingcacheError("MEMORY_FULL", "x"),
    "OOM command not allowed when used memory > 'maxmemory'.",
  );
  await fail(new RingcacheError("NOT_READY", "it joins"), "LOADING it joins");
  await fail(new RingcacheError("OVERLOADED", "much"), "ERR OVERLOADED much");
  await fail(
    new RingcacheError("LINK_LOST", "gone", { outcome: "unknown" }),
    "ERR LINK_LOST gone (it may have been carried out)",
  );
});

test("a port that is taken is refused", async () => {
  const { port } = await start();
  await expect(start({ port })).rejects.toMatchObject({ code: "PORT_UNUSABLE" });
});

test("a client that goes while its requests wait leaves nothing behind", async () => {
  const started = await start();
  const one = new Client(started.port);
  door.hold();
  one.send(request("GET", "a").repeat(10));
  await door.untilHeld(1);
  one.socket.resetAndDestroy();
  const other = new Client(started.port);
  await once(other.socket, "connect");
  other.send(request("CLIENT", "LIST"));
  await other.until((text) => text.endsWith("\n\r\n"));
  door.release();
  for (;;) {
    other.text = "";
    other.send(request("CLIENT", "LIST"));
    await other.until((text) => text.endsWith("\n\r\n"));
    if (other.text.split("\n").filter((line) => line.startsWith("id=")).length === 1) break;
  }
});
