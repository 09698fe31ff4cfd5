/** Redis's own tools, as Debian ships them: redis-cli and redis-benchmark. */
import { spawn } from "node:child_process";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { RespConnection } from "../support/redis-resp.ts";
import { type RedisSubject, startRedisSubject } from "../support/redis-subject.ts";

let subject: RedisSubject;

beforeAll(async () => {
  subject = await startRedisSubject();
});
afterAll(() => subject?.end());
beforeEach(async () => {
  expect(await cli(0, "FLUSHALL")).toBe("OK\n");
});

interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a program to its end, or until `enough` of its output is there. */
function run(
  program: string,
  args: readonly string[],
  input = "",
  enough: (output: string) => boolean = () => false,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, TERM: "dumb" },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk;
        if (enough(output)) child.kill();
      });
    }
    const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
    // It may have ended before it read anything.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/** What redis-cli prints through the door of one node. */
async function cli(door: 0 | 1 | 2, ...args: readonly string[]): Promise<string> {
  const { code, output } = await run("redis-cli", ["-p", String(subject.ports[door]), ...args]);
  if (code !== 0) throw new Error(`redis-cli ${args.join(" ")} ended with ${code}: ${output}`);
  return output;
}

async function fill(count: number): Promise<void> {
  const connection = await RespConnection.connect(subject.ports[0]);
  const pairs = Array.from({ length: count }, (_, i) => [`key:${i}`, "v".repeat(i + 1)]).flat();
  expect(String(await connection.command("MSET", ...pairs))).toBe("+OK\r\n");
  connection.close();
}

describe("redis-cli", () => {
  test("one command", async () => {
    expect(await cli(0, "SET", "a", "1", "EX", "1000")).toBe("OK\n");
    expect(await cli(1, "GET", "a")).toBe("1\n");
    expect(await cli(2, "INCR", "a")).toBe("2\n");
    expect(Number(await cli(0, "TTL", "a"))).toBeGreaterThan(500);
    expect(await cli(0, "GET", "absent")).toBe("\n");
    expect(await cli(1, "DEL", "a", "absent")).toBe("1\n");
    expect((await run("redis-cli", ["-p", String(subject.ports[0]), "-e", "GET"])).output).toBe(
      "ERR wrong number of arguments for 'get' command\n",
    );
    expect((await run("redis-cli", ["-p", String(subject.ports[0])], "SET b 2\nGET b\nQUIT\n")).output).toBe(
      "OK\n2\n",
    );
  });

  test("-3: RESP3", async () => {
    expect(await cli(0, "-3", "SET", "a", "1")).toBe("OK\n");
    expect(await cli(1, "-3", "--no-raw", "GET", "a")).toBe('"1"\n');
    expect(await cli(2, "-3", "--no-raw", "GET", "absent")).toBe("(nil)\n");
    expect(await cli(2, "-3", "--no-raw", "HELLO")).toMatch(/"proto" => \(integer\) 3/);
  });

  test("-c: whichever node it is given", async () => {
    for (const [i, port] of subject.clusterPorts.entries()) {
      for (let n = 0; n < 6; n++) {
        const { output } = await run("redis-cli", ["-c", "-p", String(port), "SET", `c:${n}`, `${i}`]);
        expect(output).toBe("OK\n");
      }
    }
    for (const port of subject.clusterPorts) {
      expect((await run("redis-cli", ["-c", "-p", String(port), "GET", "c:3"])).output).toBe("2\n");
      const { output } = await run("redis-cli", ["-p", String(port), "CLUSTER", "INFO"]);
      expect(output).toMatch(/^cluster_state:ok\r$/m);
      expect(output).toMatch(/^cluster_slots_ok:16384\r$/m);
      const nodes = await run("redis-cli", ["-p", String(port), "CLUSTER", "NODES"]);
      expect(nodes.output.trim().split("\n")).toHaveLength(3);
      expect(nodes.output.match(/myself,master/g)).toHaveLength(1);
    }
    const slot = await run("redis-cli", [
      "-p",
      String(subject.clusterPorts[0]),
      "CLUSTER",
      "KEYSLOT",
      "{user}:1",
    ]);
    expect(slot.output).toBe("5474\n");
  });

  test("--scan, with and without a pattern", async () => {
    await fill(300);
    const keys = (await cli(1, "--scan")).trim().split("\n");
    expect(new Set(keys).size).toBe(300);
    const some = (await cli(2, "--scan", "--pattern", "key:12?")).trim().split("\n");
    expect([...new Set(some)].sort()).toEqual(Array.from({ length: 10 }, (_, i) => `key:12${i}`));
  });

  test("--bigkeys and --memkeys", async () => {
    await fill(100);
    const { output } = await run("redis-cli", ["-p", String(subject.ports[1]), "--bigkeys"]);
    expect(output).toMatch(/Biggest string found .*"key:99"\S* has 100 bytes/);
    expect(output).toMatch(/100 strings with 5050 bytes/);
    const memory = await run("redis-cli", ["-p", String(subject.ports[2]), "--memkeys"]);
    expect(memory.output).toMatch(/Biggest string found .*"key:\d+"\S* has \d+ bytes/);
  });

  test("--stat", async () => {
    await fill(5);
    const args = ["-p", String(subject.ports[0]), "--stat", "-i", "0.05"];
    const { output } = await run("redis-cli", args, "", (text) => text.split("\n").length > 5);
    expect(output).toMatch(/keys\s+mem\s+clients/);
    // Keys, memory, clients, blocked, requests since the last line, connections.
    expect(output).toMatch(/^\d+\s+\d+(\.\d+)?[BKMG]\s+\d+\s+\d+\s+\d+ \(\+\d+\)\s+\d+/m);
  });

  test("--pipe", async () => {
    const lines = Array.from({ length: 2_000 }, (_, i) => `SET pipe:${i} ${i}\r\n`).join("");
    const { output } = await run("redis-cli", ["-p", String(subject.ports[1]), "--pipe"], lines);
    expect(output).toContain("errors: 0, replies: 2000");
    expect(await cli(2, "GET", "pipe:1999")).toBe("1999\n");
  });

  test("--latency and INFO", async () => {
    const args = ["-p", String(subject.ports[0]), "--raw", "--latency", "-i", "1"];
    expect((await run("redis-cli", args)).output).toMatch(/^\d+ \d+ [\d.]+ \d+/);
    expect(await cli(0, "INFO")).toMatch(/^loading:0\r$/m);
  });
});

describe("redis-benchmark", () => {
  test("plain", async () => {
    for (const pipeline of ["1", "16"]) {
      const args = ["-p", String(subject.ports[0]), "-n", "2000", "-c", "20", "-r", "1000", "-P", pipeline];
      const { code, output } = await run("redis-benchmark", [
        ...args,
        "-t",
        "set,get,incr,mset,ping",
        "--csv",
      ]);
      expect(code, output).toBe(0);
      const rows = output.match(/^"(\w[^"]*)","[1-9][\d.]*"/gm) ?? [];
      expect(rows.map((row) => row.split('"')[1])).toEqual([
        "PING_INLINE",
        "PING_MBULK",
        "SET",
        "GET",
        "INCR",
        "MSET (10 keys)",
      ]);
    }
  });

  test("--cluster", async () => {
    const args = ["-p", String(subject.clusterPorts[1]), "--cluster", "-n", "3000", "-c", "12", "-r", "1000"];
    const { code, output } = await run("redis-benchmark", [...args, "-t", "set,get", "-q"]);
    expect(code, output).toBe(0);
    expect(output).toContain("Cluster has 3 master nodes");
    expect(output).toMatch(/SET: [1-9][\d.]* requests per second/);
    expect(output).toMatch(/GET: [1-9][\d.]* requests per second/);
  });
});
