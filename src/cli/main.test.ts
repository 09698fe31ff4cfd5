/** The built program, run as a process of its own. `npm test` builds it first. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MapDoor } from "../../tests/support/map-door.ts";
import { type HttpDoor, startHttp } from "../http/server.ts";
import { silentLog } from "../log.ts";
import { systemRuntime } from "../runtime.ts";
import { commands } from "./options.ts";

const program = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The environment of whoever runs the tests must not reach the program. */
function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("RINGCACHE_")));
}

async function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { env: { ...cleanEnv(), ...env } });
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output.stderr += text;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, ...output };
}

beforeAll(() => {
  if (!existsSync(program)) throw new Error("dist is missing: run `npm run build` first");
});

describe("without a cluster", () => {
  test("--version prints the version of the package", async () => {
    const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
    const { version } = JSON.parse(manifest) as { version: string };
    expect(await run(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  test("--help lists every command", async () => {
    const { code, stdout, stderr } = await run(["--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const name of Object.keys(commands)) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, "m"));
  });

  test.each(Object.keys(commands))("%s --help", async (command) => {
    const { code, stdout, stderr } = await run([command, "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`Usage: ringcache ${command}`);
  });

  test.each([
    [["--nod", "x"], "ringcache: Unknown option --nod; did you mean --node?\n"],
    [["sett", "k", "v"], 'ringcache: Unknown command "sett"; did you mean "set"?\n'],
    [["get"], "ringcache: `ringcache get KEY`: the KEY is missing.\n"],
  ])("%j: one sentence, exit code 2", async (args, stderr) => {
    expect(await run(args)).toEqual({ code: 2, stdout: "", stderr });
  });

  test("dev: no room for the ports, exit code 2", async () => {
    const { code, stdout, stderr } = await run(["dev", "--http", ":65535"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toBe("ringcache: --http 65535 leaves no room for 3 ports.\n");
  });

  test("nobody at the address: one sentence, exit code 1", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, "close");
    const url = `http://127.0.0.1:${port}`;
    const stderr = `ringcache: No node can be reached at ${url}: the connection is refused.\n`;
    expect(await run(["get", "k"], { RINGCACHE_URL: url })).toEqual({ code: 1, stdout: "", stderr });
  });

  test("somebody who never answers: one sentence, exit code 1", async () => {
    const server = createServer((socket) => socket.on("error", () => {})).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    const ended = await run(["get", "k", "--url", url, "--timeout", "200ms"]);
    server.close();
    expect(ended).toEqual({
      code: 1,
      stdout: "",
      stderr: `ringcache: No answer from ${url} within 200ms.\n`,
    });
  });
});

describe("against an HTTP door", () => {
  let http: HttpDoor;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    const door = new MapDoor(systemRuntime);
    http = await startHttp({ host: "127.0.0.1", port: 0, door, log: silentLog, runtime: systemRuntime });
    env = { RINGCACHE_URL: `http://127.0.0.1:${http.port}` };
  });
  afterAll(() => http.close());

  test.each(["plain", "a b/c?d&e=f#g%h", "naïve 🦊", '"quoted"'])(
    "set, get, del of the key '%s'",
    async (key) => {
      expect(await run(["set", key, "v ü\n\tw"], env)).toMatchObject({
        code: 0,
        stdout: "stored on node-1\n",
      });
      expect(await run(["get", key], env)).toEqual({ code: 0, stdout: "v ü\n\tw\n", stderr: "" });
      expect(await run(["del", key], env)).toMatchObject({ code: 0, stdout: "deleted on node-1\n" });
      expect(await run(["del", key], env)).toMatchObject({ code: 0, stdout: "not there\n" });
      const stderr = `There is no entry under ${JSON.stringify(key)}.\n`;
      expect(await run(["get", key], env)).toEqual({ code: 1, stdout: "", stderr });
    },
  );

  test("a large value arrives whole", async () => {
    const value = "0123456789".repeat(10_000);
    await run(["set", "large", value], env);
    expect((await run(["get", "large"], env)).stdout).toBe(`${value}\n`);
  });

  test("a refusal of the node is told with its code", async () => {
    const { code, stdout, stderr } = await run(["get", ""], env);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^ringcache: .*\(KEY_MISSING\)\n$/);
  });

  test("owner and status", async () => {
    expect(await run(["owner", "k"], env)).toEqual({ code: 0, stdout: "node-1\n", stderr: "" });
    const { code, stdout } = await run(["status"], env);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^platform +\S+$/m);
    expect(stdout).toMatch(/^NODE +PARTITIONS +BACKUPS +OPS\/S +HITS +P99 +MEMORY +ZONE +HTTP +PEER$/m);
    const report: unknown = JSON.parse((await run(["status", "--json"], env)).stdout);
    expect(report).toMatchObject({ platform: expect.any(String), members: expect.any(Array) });
  });
});
