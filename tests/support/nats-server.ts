/** A real nats-server of a test's own: a free port, a directory of its own, gone when the test or its process ends. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

export interface NatsServerOptions {
  /** Where it listens; 127.0.0.1 if absent. */
  readonly host?: string;
  /** Any free one if absent. */
  readonly port?: number;
  /** Kept at the end; without it, a temporary directory that is removed. */
  readonly storeDir?: string;
  readonly jetstream?: boolean;
  /** More command-line arguments, like `--user`. */
  readonly args?: readonly string[];
  /** What the command line begins with, like `ip netns exec NAME`: something that becomes the server. */
  readonly launcher?: readonly string[];
}

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** The end of what all its processes so far have logged. */
  readonly output: string;
  /** SIGTERM, or SIGKILL after 10 s; the temporary directory is removed. Twice is once. */
  stop(): Promise<void>;
  /** SIGKILL; the data stay. */
  kill(): Promise<void>;
  /** SIGTERM, or SIGKILL after 10 s; the data stay. */
  terminate(): Promise<void>;
  /** Starts again on the same port and data; ends the running one first (SIGTERM). */
  restart(): Promise<void>;
  /** Deletes the data of a server that isn't running. */
  wipe(): void;
  /** Resolves when the server is stopped: until then it may still answer. */
  pause(): Promise<void>;
  resume(): void;
}

const readyMsMax = 20_000;
const outputSizeMax = 100_000;
const defaultHost = "127.0.0.1";

export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const storeDir = options.storeDir ?? mkdtempSync(join(tmpdir(), "ringcache-nats-"));
  const isTemporary = options.storeDir === undefined;
  const port = options.port ?? (await freePort());
  let running = await launch(port, storeDir, options, isTemporary);
  let before = "";
  return {
    url: `nats://${options.host ?? defaultHost}:${port}`,
    port,
    get pid() {
      return running.child.pid ?? -1;
    },
    get output() {
      return before + running.output();
    },
    async stop() {
      await end(running, "SIGTERM");
      if (isTemporary) rmSync(storeDir, { recursive: true, force: true });
    },
    kill: () => end(running, "SIGKILL"),
    terminate: () => end(running, "SIGTERM"),
    async restart() {
      await end(running, "SIGTERM");
      before = (before + running.output()).slice(-outputSizeMax);
      running = await launch(port, storeDir, options, isTemporary);
    },
    wipe() {
      if (!hasEnded(running.child)) throw new Error("wipe() while the nats-server runs");
      rmSync(storeDir, { recursive: true, force: true });
    },
    async pause() {
      running.child.kill("SIGSTOP");
      await untilStopped(running.child.pid ?? -1);
    },
    resume: () => void running.child.kill("SIGCONT"),
  };
}

interface Running {
  readonly child: ChildProcess;
  /** Ends the server if this process dies without doing so: its end of the pipe closes. */
  readonly watchdog: ChildProcess;
  readonly exited: Promise<void>;
  readonly output: () => string;
}

async function launch(
  port: number,
  storeDir: string,
  options: NatsServerOptions,
  isTemporary: boolean,
): Promise<Running> {
  const { host = defaultHost, jetstream = true, launcher = [] } = options;
  const args = ["-a", host, "-p", String(port), ...(options.args ?? [])];
  if (jetstream) args.push("-js", "-sd", storeDir);
  const [command, ...rest] = [...launcher, process.env.NATS_SERVER || "nats-server", ...args];
  const child = spawn(command!, rest, {
    stdio: ["ignore", "ignore", "pipe"],
    // Debian puts it into /usr/sbin, which isn't on every user's PATH.
    env: {
      ...process.env,
      PATH: `${process.env.PATH ?? ""}${delimiter}/usr/sbin${delimiter}/usr/local/sbin`,
    },
  });
  let output = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-outputSizeMax);
  });
  let failed: Error | undefined;
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", (error) => {
      failed = error;
      resolve();
    });
  });
  const script = 'read -r _; kill -9 "$0" 2>/dev/null; if [ -n "$1" ]; then rm -rf "$1"; fi';
  const watchdog = spawn("sh", ["-c", script, String(child.pid), isTemporary ? storeDir : ""], {
    stdio: ["pipe", "ignore", "ignore"],
    // A Ctrl-C in the terminal goes to the whole group; the watchdog is to outlive it.
    detached: true,
  });
  const running = { child, watchdog, exited, output: () => output };
  const giveUpAt = performance.now() + readyMsMax;
  while (!(await isReady(host, port, jetstream))) {
    if (hasEnded(child) || failed !== undefined || performance.now() > giveUpAt) {
      await end(running, "SIGKILL");
      throw new Error(`nats-server didn't start on port ${port}: ${failed?.message ?? output.slice(-4_000)}`);
    }
    await pause(20);
  }
  return running;
}

async function end(running: Running, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  const { child, watchdog, exited } = running;
  if (!hasEnded(child) && child.pid !== undefined) {
    child.kill(signal);
    // A stopped process gets its SIGTERM only once it runs again.
    child.kill("SIGCONT");
    const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await exited;
    clearTimeout(late);
  }
  watchdog.kill("SIGKILL");
}

/** A signal takes its time to reach every thread. Other systems than Linux don't say it of each: they get a moment. */
async function untilStopped(pid: number): Promise<void> {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return pause(100);
  const giveUpAt = performance.now() + readyMsMax;
  // Behind the name, which is in brackets: the state, T if stopped.
  const isStopped = (task: string): boolean =>
    /^T/.test(readFileSync(`${tasks}/${task}/stat`, "utf8").replace(/^.*\) /, ""));
  while (!readdirSync(tasks).every(isStopped)) {
    if (performance.now() > giveUpAt) throw new Error(`process ${pid} doesn't stop`);
    await pause(1);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** The first line that a server sends says whether it has JetStream; it listens only once its data are recovered. */
function isReady(host: string, port: number, jetstream: boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    let text = "";
    socket.setTimeout(1_000, () => socket.destroy());
    socket.on("data", (chunk) => {
      text += chunk.toString();
      if (!text.includes("\r\n")) return;
      resolve(!jetstream || text.includes('"jetstream":true'));
      socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(false));
  });
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === "object") resolve(address.port);
        else reject(new Error("no port"));
      });
    });
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
