/** A real redis-server of a test's own: a free port, nothing on disk that stays, gone when the test or its process ends. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "./nats-server.ts";

export interface RedisServer {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

const readyMsMax = 20_000;

/** `inCluster`: as a node of a Redis Cluster that is yet to be made. */
export async function startRedisServer(inCluster = false): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    // The bus listens 10,000 above the client's port unless told otherwise, which may be no port at all.
    const bus = inCluster ? ["--cluster-enabled", "yes", "--cluster-port", String(await freePort())] : [];
    try {
      return await launch(bus);
    } catch (error) {
      // A port that was free a moment ago may be somebody's by now.
      if (attempt === 5 || !String(error).includes("Address already in use")) throw error;
    }
  }
}

async function launch(args: readonly string[]): Promise<RedisServer> {
  const dir = mkdtempSync(join(tmpdir(), "ringcache-redis-"));
  const port = await freePort();
  const own = [
    "--port",
    String(port),
    "--bind",
    "127.0.0.1",
    "--dir",
    dir,
    "--save",
    "",
    "--daemonize",
    "no",
  ];
  const child = spawn(process.env.REDIS_SERVER || "redis-server", [...own, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-20_000);
    });
  }
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", (error) => {
      output += `${error.message}: Debian's redis-server and redis-tools are needed`;
      resolve();
    });
  });
  // Its end of the pipe closes when this process ends, however it does.
  const script = 'read -r _; kill -9 "$0" 2>/dev/null; rm -rf "$1"';
  const watchdog = spawn("sh", ["-c", script, String(child.pid), dir], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  const stop = async (): Promise<void> => {
    if (isRunning(child)) child.kill("SIGKILL");
    await exited;
    watchdog.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  };
  const giveUpAt = performance.now() + readyMsMax;
  while (!(await answers(port))) {
    if (!isRunning(child) || performance.now() > giveUpAt) {
      await stop();
      throw new Error(`redis-server didn't start on port ${port}: ${output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { port, pid: child.pid ?? -1, stop };
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.setTimeout(1_000, () => socket.destroy());
    socket.once("data", (chunk) => {
      resolve(chunk.toString().startsWith("+PONG"));
      socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(false));
  });
}

/** Three primaries of a Redis Cluster that has come up. */
export async function startRedisCluster(): Promise<{ ports: number[]; stop(): Promise<void> }> {
  const servers: RedisServer[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
  };
  try {
    for (let i = 0; i < 3; i++) servers.push(await startRedisServer(true));
    const ports = servers.map((server) => server.port);
    await joinThem(ports);
    return { ports, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function joinThem(ports: readonly number[]): Promise<void> {
  const nodes = ports.map((port) => `127.0.0.1:${port}`);
  await promisify(execFile)("redis-cli", ["--cluster", "create", ...nodes, "--cluster-yes"]);
  for (const port of ports) {
    const giveUpAt = performance.now() + readyMsMax;
    for (;;) {
      const { stdout } = await promisify(execFile)("redis-cli", ["-p", String(port), "cluster", "info"]);
      if (stdout.includes("cluster_state:ok") && stdout.includes("cluster_known_nodes:3")) break;
      if (performance.now() > giveUpAt) throw new Error(`the Redis Cluster never came up:\n${stdout}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
