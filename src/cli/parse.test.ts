import { describe, expect, test } from "vitest";
import { backupsMax, defaultNodeConfig } from "../config.ts";
import { machineMemoryBytes } from "../runtime.ts";
import { CommandError } from "./command-error.ts";
import { nodeConfig } from "./node-config.ts";
import { optionNames, options } from "./options.ts";
import { type CommandLine, nearest, parse } from "./parse.ts";

type Environment = Parameters<typeof parse>[1];

function run(args: string, env: Environment = {}): CommandLine {
  const request = parse(args.split(" ").filter(Boolean), env);
  if (request.kind !== "run") throw new Error(`expected a run, got ${request.kind}`);
  return request;
}

function refusal(args: string | string[], env: Environment = {}): { message: string; exitCode: number } {
  try {
    parse(typeof args === "string" ? args.split(" ") : args, env);
  } catch (error) {
    if (error instanceof CommandError) return { message: error.message, exitCode: error.exitCode };
    throw error;
  }
  throw new Error(`"${args}" was accepted`);
}

describe("spellings", () => {
  test.each(["-node x", "--node x", "--node=x", "-node=x"])("%s", (args) => {
    expect(run(args)).toMatchObject({ command: "start", values: { node: "x" } });
  });

  test("the command word may stand before, behind or nowhere", () => {
    expect(run("start --node x").command).toBe("start");
    expect(run("--nodes 2 dev")).toMatchObject({ command: "dev", values: { nodes: 2 } });
    expect(run("").command).toBe("start");
  });

  test("the last of two counts", () => {
    expect(run("dev --nodes 3 --nodes 5").values.nodes).toBe(5);
  });

  test("a value may hold an equals sign", () => {
    expect(run("get --url=http://h:1/?a=b k").values.url).toBe("http://h:1/?a=b");
  });

  test("negative numbers and what follows -- are arguments", () => {
    expect(run("set n -5").operands).toEqual(["n", "-5"]);
    expect(run("get -- --help").operands).toEqual(["--help"]);
    expect(run("set --ttl 1.5 -- -k --v")).toMatchObject({ operands: ["-k", "--v"], values: { ttl: 1.5 } });
  });

  test("an empty argument is an argument", () => {
    expect(parse(["set", "k", ""], {})).toMatchObject({ operands: ["k", ""] });
  });
});

describe("environment", () => {
  test("flag beats environment beats default", () => {
    const env = { RINGCACHE_NODE: "from-env", RINGCACHE_PARTITIONS: "7" };
    expect(run("--node from-flag", env).values).toMatchObject({
      node: "from-flag",
      partitions: 7,
      platform: "cache-platform",
    });
  });

  test("an empty variable is no variable", () => {
    expect(run("", { RINGCACHE_NODE: "" }).values.node).toBe("node-1");
  });

  test("a wrong variable is named as such", () => {
    expect(refusal([], { RINGCACHE_PARTITIONS: "many" })).toEqual({
      message: 'RINGCACHE_PARTITIONS must be a whole number from 1 to 16384, not "many".',
      exitCode: 2,
    });
  });

  test("a variable of another command doesn't matter", () => {
    expect(run("get k", { RINGCACHE_PARTITIONS: "many" }).command).toBe("get");
  });

  test("every variable is named after its option", () => {
    for (const name of optionNames) {
      const { env } = options[name] as { env?: string };
      if (env !== undefined) expect(env).toBe(`RINGCACHE_${name.toUpperCase().replaceAll("-", "_")}`);
    }
  });
});

describe("values", () => {
  test("the defaults are those of the seed", () => {
    expect(run("").values).toMatchObject({
      node: "node-1",
      nats: "nats://localhost:4222",
      http: { host: "", port: 8080 },
      partitions: 64,
      platform: "cache-platform",
    });
    expect(run("dev").values).toMatchObject({ nodes: 3, http: { host: "", port: 8081 } });
  });

  test.each([
    [":8080", { host: "", port: 8080 }],
    ["8080", { host: "", port: 8080 }],
    ["host:8080", { host: "host", port: 8080 }],
    ["127.0.0.1:0", { host: "127.0.0.1", port: 0 }],
    ["[::1]:8080", { host: "::1", port: 8080 }],
  ])("--http %s", (text, address) => {
    expect(run(`-http ${text}`).values.http).toEqual(address);
  });

  test.each([
    "",
    ":",
    "host",
    "host:",
    ":65536",
    ":-1",
    "a b:80",
    "::1:80",
    "[zz]:80",
    "http://h:80",
    ":8080x",
  ])("--http '%s' is refused", (text) => {
    expect(refusal([`--http=${text}`]).exitCode).toBe(2);
  });

  test.each([
    ["500ms", 500],
    ["3s", 3_000],
    ["1.5s", 1_500],
    ["1m", 60_000],
  ])("--request-deadline %s", (text, ms) => {
    expect(run(`--request-deadline ${text}`).values["request-deadline"]).toBe(ms);
  });

  test.each(["500", "3 s", "s", "-1s", "1h", "9ms", "11m", "1e3ms", "NaNs", ""])(
    "--request-deadline '%s' is refused",
    (text) => {
      expect(refusal([`--request-deadline=${text}`]).message).toMatch(
        /^--request-deadline must be a duration/,
      );
    },
  );

  test.each(["0", "16385", "1.5", "x", "", "1e2", " 1"])("--partitions '%s' is refused", (text) => {
    expect(refusal([`--partitions=${text}`]).exitCode).toBe(2);
  });

  test("bounds are inside", () => {
    expect(run("--partitions 1").values.partitions).toBe(1);
    expect(run("--partitions 16384").values.partitions).toBe(16_384);
    expect(run("dev --nodes 16").values.nodes).toBe(16);
    expect(run("--backups 0").values.backups).toBe(0);
    expect(run(`dev --backups ${backupsMax}`).values.backups).toBe(backupsMax);
    expect(refusal(`--backups ${backupsMax + 1}`).exitCode).toBe(2);
    expect(refusal("dev --nodes 17").exitCode).toBe(2);
    expect(refusal("dev --nodes 0").exitCode).toBe(2);
  });

  test.each(["", "a b", "a/b", "a*", "a>", "é", "x".repeat(65)])(
    "the name '%s' is refused with exit code 1",
    (text) => {
      expect(refusal([`--node=${text}`]).exitCode).toBe(1);
      expect(refusal([`--platform=${text}`]).exitCode).toBe(1);
    },
  );

  test("a platform has no dot, a node may", () => {
    expect(run("--node a.b").values.node).toBe("a.b");
    expect(refusal("--platform a.b").exitCode).toBe(1);
  });

  test.each(["nats://h:4222", "tls://h", "h:4222", "nats://u:p@h:1,nats://[::1]:2"])("--nats %s", (text) => {
    expect(run(`--nats ${text}`).values.nats).toBe(text);
  });

  test.each(["", "http://h:1", "nats://", "nats://h:x", "a,,b"])("--nats '%s' is refused", (text) => {
    expect(refusal([`--nats=${text}`]).exitCode).toBe(2);
  });

  test.each([
    ["http://h:1/", "http://h:1"],
    ["h:1", "http://h:1"],
    [":1", "http://localhost:1"],
  ])("--url %s", (text, url) => {
    expect(run(`get k -url ${text}`).values.url).toBe(url);
  });

  test("--ttl", () => {
    expect(run("set k v --ttl 60").values.ttl).toBe(60);
    for (const text of ["-1", "x", "Infinity", "1s", "9".repeat(400)]) {
      expect(refusal(["set", "k", "v", `--ttl=${text}`]).exitCode).toBe(2);
    }
  });

  test("a lease lasts two heartbeats", () => {
    expect(run("--heartbeat 1s --lease 2s").values.lease).toBe(2_000);
    expect(refusal("--heartbeat 1s --lease 1999ms").message).toBe(
      "--lease (1999ms) must be at least twice --heartbeat (1000ms).",
    );
  });
});

describe("one sentence for what is wrong", () => {
  test.each([
    ["--nod x", "Unknown option --nod; did you mean --node?"],
    ["-hlep", "Unknown option --hlep; did you mean --help?"],
    ["--colour red", "Unknown option --colour; `ringcache --help` lists the options."],
    ["--constructor x", "Unknown option --constructor; `ringcache --help` lists the options."],
    ["strat", 'Unknown command "strat"; did you mean "start"?'],
    ["-node a extra", 'Unknown command "extra"; `ringcache --help` lists the commands.'],
    ["start extra", '`ringcache start` takes no arguments; "extra" is too much.'],
    ["get", "`ringcache get KEY`: the KEY is missing."],
    ["set k", "`ringcache set KEY VALUE`: the VALUE is missing."],
    ["set k v w", '`ringcache set` takes only KEY and VALUE; "w" is too much.'],
    ["--node", "--node needs a value: 1 to 64 letters, digits, `-`, `_` or `.`."],
    ["--node --http :1", "--node needs a value: 1 to 64 letters, digits, `-`, `_` or `.`."],
    ["--nodes 3", "--nodes is not an option of `ringcache start`, but of `dev`."],
    ["status --json=yes", "--json takes no value."],
  ])("%s", (args, message) => {
    expect(refusal(args)).toEqual({ message, exitCode: 2 });
  });

  test("what was typed is cut when it is long", () => {
    expect(refusal([`--partitions=${"9".repeat(5_000)}`]).message.length).toBeLessThan(200);
    expect(nearest("x".repeat(1_000_000), ["start"])).toBeUndefined();
  });
});

describe("help and version", () => {
  test.each([
    ["--help", undefined],
    ["-h", undefined],
    ["help", undefined],
    ["get --help", "get"],
    ["help get", "get"],
    ["get --url --help", "get"],
    ["set k v extra -help", "set"],
  ])("%s", (args, command) => {
    expect(parse(args.split(" "), {})).toEqual({ kind: "help", command });
  });

  test.each(["--version", "-version", "-v", "get --version"])("%s", (args) => {
    expect(parse(args.split(" "), {})).toEqual({ kind: "version" });
  });
});

describe("the configuration of a node", () => {
  const http = { host: "", port: 8080 };
  const external = {
    family: "IPv4",
    internal: false,
    address: "10.0.0.7",
    netmask: "",
    mac: "",
    cidr: null,
  } as const;
  const loopback = { ...external, internal: true, address: "127.0.0.1" };
  const interfaces = { lo: [loopback], eth0: [external] };
  const config = (args: string) => nodeConfig(run(args).values, http, undefined, interfaces);

  test("its defaults are defaultNodeConfig, but for the addresses and the share of memory in bytes", () => {
    expect(config("")).toEqual({
      ...defaultNodeConfig,
      maxMemoryBytes: Math.floor(machineMemoryBytes() / 2),
      peerHost: "127.0.0.1",
      advertiseHost: "127.0.0.1",
      advertiseHttp: "127.0.0.1:8080",
    });
  });

  test.each([
    ["512mb", 512 * 1024 ** 2],
    ["1.5GB", 1.5 * 1024 ** 3],
    ["4096kb", 4 * 1024 ** 2],
    ["25%", Math.floor(machineMemoryBytes() / 4)],
  ])("--max-memory %s is %i bytes", (text, bytes) => {
    expect(config(`--max-memory ${text}`).maxMemoryBytes).toBe(bytes);
  });

  test.each(["512", "1mb", "0%", "91%", "-5mb", "1tb", ""])("--max-memory %s is refused", (text) => {
    expect(refusal([`--max-memory=${text}`]).exitCode).toBe(2);
  });

  test("backups and zone are handed on", () => {
    expect(config("--backups 2 --zone rack-7")).toMatchObject({ backups: 2, zone: "rack-7" });
  });

  test.each([
    ["", "127.0.0.1", "127.0.0.1"],
    ["--nats nats://nats.example:4222", "0.0.0.0", "10.0.0.7"],
    ["--nats nats://127.0.0.1:4222,nats://[::1]:4222", "127.0.0.1", "127.0.0.1"],
    ["--nats nats://127.0.0.1:4222,nats://nats.example", "0.0.0.0", "10.0.0.7"],
    ["--advertise cache-1.example", "0.0.0.0", "cache-1.example"],
    ["--advertise [fd00::1]", "::", "fd00::1"],
    ["--peer-port 10.0.0.9:7000", "10.0.0.9", "10.0.0.9"],
    ["--peer-port 0.0.0.0:7000", "0.0.0.0", "127.0.0.1"],
    ["--peer-port 10.0.0.9:7000 --advertise outside", "10.0.0.9", "outside"],
  ])("'%s' listens on %s and advertises %s", (args, peerHost, advertiseHost) => {
    expect(config(args)).toMatchObject({ peerHost, advertiseHost });
  });

  test("without an external address there is only this machine", () => {
    expect(nodeConfig(run("--nats far:4222").values, http, undefined, { lo: [loopback] }).advertiseHost).toBe(
      "127.0.0.1",
    );
  });

  test("a specific HTTP host is told as it is", () => {
    const { advertiseHttp } = nodeConfig(run("").values, { host: "::1", port: 1 }, undefined, interfaces);
    expect(advertiseHttp).toBe("[::1]:1");
  });

  test("the Redis door is told of as the HTTP door is; without one there is nothing to tell", () => {
    const redisAt = (host: string) =>
      nodeConfig(run("").values, http, { host, port: 6379 }, interfaces).advertiseRedis;
    expect([redisAt(""), redisAt("10.0.0.9")]).toEqual(["127.0.0.1:6379", "10.0.0.9:6379"]);
    expect(config("").advertiseRedis).toBe("");
  });

  test("Redis is off in start and on in dev, unless said otherwise", () => {
    expect(run("").values.redis).toBeUndefined();
    expect(run("--redis :6379").values.redis).toEqual({ host: "", port: 6379 });
    expect(run("dev").values.redis).toEqual({ host: "", port: 6381 });
    expect(run("dev --redis off").values.redis).toBeUndefined();
    expect(refusal(["--redis", "on"]).exitCode).toBe(2);
  });
});
