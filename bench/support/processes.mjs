/**
 * The processes of a benchmark. However it ends (done, failed, Ctrl-C, even killed), none of them is left behind:
 * workers end when their channel to this process closes, and so does the nats-server's watchdog.
 */
import { fork, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ensureNatsServer } from "../../scripts/programs.mjs";
import { cpuMicrosOf } from "./cpu.mjs";

const callTimeoutMs = 60_000;
const natsReadyMsMax = 20_000;
/** A folder in which each worker leaves a CPU profile when the benchmark is done. */
const profileFolder = process.env.BENCH_PROFILE;
/** How to end each process, at once. */
const running = new Set();
const workers = new Set();
const profiling = ["--cpu-prof", `--cpu-prof-dir=${profileFolder}`];

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => process.exit(128 + constants.signals[signal]));
}
process.on("exit", () => {
  for (const stopNow of running) stopNow();
});

/** Ends every process that was started; with `BENCH_PROFILE`, workers get the time to write their profiles. */
export async function stopProcesses() {
  if (profileFolder !== undefined) await Promise.allSettled([...workers].map((worker) => worker.exit()));
  for (const stopNow of running) stopNow();
  running.clear();
}

/** A Node process that answers calls; see `serve.mjs` for its side. */
class Worker {
  #child;
  #name;
  #calls = new Map();
  #lastCall = 0;
  #over;
  #ended;
  #whenEnded = new Promise((resolve) => {
    this.#ended = resolve;
  });

  constructor(name, module, args = [], execArgv = []) {
    this.#name = name;
    this.#child = fork(module, args, {
      execArgv: profileFolder === undefined ? execArgv : [...execArgv, ...profiling],
      // What it prints to stdout is for whoever asks for it; a benchmark's stdout is its figures.
      stdio: ["ignore", "pipe", "inherit", "ipc"],
      // A worker that is stopped by a Ctrl-C of its own would look like one that failed.
      detached: true,
    });
    this.#child.on("message", ({ call, result, error }) => {
      const waiting = this.#calls.get(call);
      this.#calls.delete(call);
      if (error !== undefined) waiting?.reject(new Error(`${name}: ${error}`));
      else waiting?.resolve(result);
    });
    this.#child.on("error", (error) => this.#end(error.message));
    this.#child.on("exit", (code, signal) => this.#end(`ended (${signal ?? `exit code ${code}`})`));
    running.add(this.#stopNow);
    workers.add(this);
  }

  get stdout() {
    return this.#child.stdout;
  }

  #stopNow = () => this.#child.kill("SIGKILL");

  #end(why) {
    this.#over = new Error(`the benchmark's process ${this.#name} ${why}`);
    running.delete(this.#stopNow);
    workers.delete(this);
    this.#ended();
    for (const { reject } of this.#calls.values()) reject(this.#over);
    this.#calls.clear();
  }

  /** Calls one of the worker's methods; rejects if it throws, or is no more. */
  call(method, ...args) {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    const call = ++this.#lastCall;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${this.#name}: no answer to ${method}`)),
        callTimeoutMs,
      );
      const settle = (how) => (value) => {
        clearTimeout(timer);
        how(value);
      };
      this.#calls.set(call, { resolve: settle(resolve), reject: settle(reject) });
      this.#child.send({ call, method, args });
    });
  }

  /** Dies in the middle of whatever it does. */
  async kill() {
    this.#stopNow();
    await this.#whenEnded;
  }

  /** Ends as a program does that is done. */
  async exit() {
    await this.call("exit");
    await this.#whenEnded;
  }

  /** Memory of the process, in bytes. */
  rssBytes() {
    return this.call("rssBytes");
  }

  /** CPU time of the whole process so far, in microseconds: user and system, all threads. */
  cpuMicros() {
    return this.call("cpuMicros");
  }
}

/** Starts `bench/workers/NAME.mjs`, which uses `serve.mjs`. */
export function startWorker(name, file, execArgv = []) {
  return new Worker(name, fileURLToPath(new URL(`../workers/${file}`, import.meta.url)), [], execArgv);
}

/**
 * Starts the command line as a user would, with `more` of it; resolves once it serves with the node, its HTTP port and, if it has
 * one, that for Redis clients.
 */
export async function startServer(natsUrl, node, more = []) {
  const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
  const preload = new URL("./serve.mjs", import.meta.url).href;
  const args = [
    "start",
    "--node",
    node,
    "--nats",
    natsUrl,
    "--http",
    "127.0.0.1:0",
    "--log-format",
    "json",
    ...more,
  ];
  const worker = new Worker(node, main, args, ["--import", preload]);
  const ports = await new Promise((resolve, reject) => {
    let text = "";
    const portOf = (address) => (address === undefined ? undefined : Number(/:(\d+)$/.exec(address)[1]));
    worker.stdout.on("data", (chunk) => {
      text += chunk;
      for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n")) {
        const line = JSON.parse(text.slice(0, end));
        text = text.slice(end + 1);
        if (line.event === "serving") resolve({ port: portOf(line.http), redisPort: portOf(line.redis) });
      }
    });
    worker.stdout.on("end", () => reject(new Error(`${node} ended before it served`)));
  });
  return { worker, ...ports };
}

/**
 * Starts a program that isn't Node's, with `argsIn(folder)`: a temporary folder of its own, which goes when it ends.
 * `failure()` says why it is over, if it is.
 */
export function startProgram(path, argsIn) {
  const folder = mkdtempSync(join(tmpdir(), "ringcache-bench-"));
  // In a session of its own, so that a Ctrl-C doesn't end it before those that use it.
  const child = spawn(path, argsIn(folder), { stdio: "ignore", detached: true });
  let failure;
  child.on("error", (error) => {
    failure = error.message;
  });
  child.on("exit", (code, signal) => {
    failure ??= `it ended (${signal ?? `exit code ${code}`})`;
  });
  const watch = 'read -r _; kill -9 "$0" 2>/dev/null; rm -rf "$1"';
  const watchdog = spawn("sh", ["-c", watch, String(child.pid), folder], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  const stop = () => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
    watchdog.kill("SIGKILL");
    running.delete(stop);
  };
  running.add(stop);
  return { name: path, pid: child.pid, folder, failure: () => failure, stop };
}

/** A nats-server of this benchmark's own, with JetStream, on a free port. */
export async function startNats() {
  const port = await freePort();
  const { path } = await ensureNatsServer();
  const server = startProgram(path, (folder) => [
    "-a",
    "127.0.0.1",
    "-p",
    String(port),
    "-js",
    "-sd",
    folder,
  ]);
  const giveUpAt = performance.now() + natsReadyMsMax;
  while (!(await hasJetStream(port))) {
    if (server.failure() !== undefined || performance.now() > giveUpAt) {
      throw new Error(`nats-server (${path}) didn't start: ${server.failure() ?? "no answer"}`);
    }
    await sleep(20);
  }
  return { url: `nats://127.0.0.1:${port}`, cpuMicros: () => cpuMicrosOf(server.pid) };
}

/** The first line that a server sends says whether it has JetStream, which it has once it is ready. */
function hasJetStream(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
      if (!text.includes("\r\n")) return;
      resolve(text.includes('"jetstream":true'));
      socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(false));
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
