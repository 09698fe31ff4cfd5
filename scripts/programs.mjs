/**
 * Finds the programs that tests and benchmarks need, or installs them through the system's package manager. Only Node's own
 * modules: it runs before the dependencies are there.
 *
 *     node scripts/programs.mjs
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Debian's packages put them into /usr/sbin, which isn't on every user's PATH; Homebrew's folders may be missing too. */
const otherFolders = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];

const natsServer = {
  name: "nats-server",
  variable: "NATS_SERVER",
  packages: { apt: ["nats-server"], brew: ["nats-server"] },
  advice:
    "Install it from https://github.com/nats-io/nats-server/releases, put it on PATH, or name it in NATS_SERVER.",
};

/** With redis-cli and redis-benchmark, which are in the same packages. */
const redisServer = {
  name: "redis-server",
  variable: "REDIS_SERVER",
  packages: { apt: ["redis-server", "redis-tools"], brew: ["redis"] },
  advice: "Install it from https://redis.io/downloads, put it on PATH, or name it in REDIS_SERVER.",
};

const prometheus = {
  name: "prometheus",
  variable: "PROMETHEUS",
  packages: { apt: ["prometheus"], brew: ["prometheus"] },
  advice: "Install it from https://prometheus.io/download, put it on PATH, or name it in PROMETHEUS.",
};

/** In the same packages. */
const promtool = {
  ...prometheus,
  name: "promtool",
  variable: "PROMTOOL",
  advice: "It comes with Prometheus, https://prometheus.io/download: put it on PATH, or name it in PROMTOOL.",
};

const chromium = {
  name: "chromium",
  /** What else it may be called. */
  others: [
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  ],
  variable: "CHROMIUM",
  packages: { apt: ["chromium"], brew: ["--cask", "chromium"] },
  advice: "Install Chromium or Chrome, put it on PATH, or name it in CHROMIUM.",
};

/**
 * The binary to use: what NATS_SERVER names, else the one on PATH, else a freshly installed one.
 *
 * @returns {{ path: string, version: string }}
 * @throws {Error} one sentence that says what to do
 */
export function ensureNatsServer() {
  return ensure(natsServer);
}

/** The same for redis-server, which REDIS_SERVER names. */
export function ensureRedisServer() {
  return ensure(redisServer);
}

/** The same for prometheus, which PROMETHEUS names. */
export function ensurePrometheus() {
  return ensure(prometheus);
}

/** The same for promtool, which PROMTOOL names. */
export function ensurePromtool() {
  return ensure(promtool);
}

/** The same for Chromium or Chrome, which CHROMIUM names. */
export function ensureChromium() {
  return ensure(chromium);
}

function ensure(program) {
  const { name, others = [], variable, advice } = program;
  const findAny = () => [name, ...others].map(find).find((path) => path !== undefined);
  const named = process.env[variable];
  if (named) {
    const path = find(named);
    if (path === undefined) throw new Error(`${variable} names ${named}, which isn't an executable file.`);
    return { path, version: versionOf(path, program) };
  }
  let path = findAny();
  if (path === undefined) {
    install(program);
    path = findAny();
  }
  if (path === undefined) {
    throw new Error(`${name} was installed but is in none of the usual places. ${advice}`);
  }
  return { path, version: versionOf(path, program) };
}

function find(name) {
  if (name.includes("/")) return isExecutable(name) ? name : undefined;
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return [...folders, ...otherFolders].map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function versionOf(path, { name, advice }) {
  const { status, stdout, stderr, error } = spawnSync(path, ["--version"], {
    encoding: "utf8",
    // The first start reads a browser's some hundred MB from the disk: 8 s were seen, on a slower disk more than 10.
    timeout: 120_000,
  });
  const version = /v?=?(\d+\.\d+\.\d+\S*)/.exec(`${stdout ?? ""}${stderr ?? ""}`)?.[1];
  if (status !== 0 || version === undefined) {
    throw new Error(
      `${path} doesn't run as a ${name} (${error?.message ?? `exit code ${status}`}). ${advice}`,
    );
  }
  return version;
}

function install(program) {
  const { name, packages, advice } = program;
  if (process.platform === "darwin" && find("brew") !== undefined) {
    run(program, find("brew"), ["install", ...packages.brew]);
    return;
  }
  const apt = process.platform === "linux" ? find("apt-get") : undefined;
  if (apt === undefined) {
    throw new Error(`${name} isn't on PATH, and there is no apt-get or brew to install it with. ${advice}`);
  }
  const isRoot = process.getuid?.() === 0;
  const sudo = isRoot ? undefined : find("sudo");
  if (!isRoot && sudo === undefined) {
    const line = `apt-get install ${packages.apt.join(" ")}`;
    throw new Error(
      `${name} isn't on PATH, and installing it needs root: run \`${line}\` as root. ${advice}`,
    );
  }
  const asRoot = sudo === undefined ? [] : [sudo, "-n"];
  // An outdated package list is no reason to give up: the package may be in it.
  run(program, ...command([...asRoot, apt, "update"]), { mayFail: true });
  const quietly = ["env", "DEBIAN_FRONTEND=noninteractive"];
  run(program, ...command([...asRoot, ...quietly, apt, "install", "-y", ...packages.apt]));
}

function command([program, ...args]) {
  return [program, args];
}

function run({ name, advice }, program, args, { mayFail = false } = {}) {
  const line = [program, ...args].join(" ");
  console.log(`${name} isn't here; running: ${line}`);
  // Their own words go to stderr, so that stdout stays this script's.
  const { status, error } = spawnSync(program, args, {
    stdio: ["ignore", process.stderr.fd, process.stderr.fd],
    timeout: 300_000,
  });
  if (status === 0 || mayFail) return;
  const why = error?.message ?? `exit code ${status}`;
  throw new Error(`${name} isn't on PATH, and installing it failed (${line}: ${why}). ${advice}`);
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    for (const program of [natsServer, redisServer, prometheus, promtool, chromium]) {
      const { path, version } = ensure(program);
      console.log(`${program.name} ${version} at ${path}`);
    }
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
