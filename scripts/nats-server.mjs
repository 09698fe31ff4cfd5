/**
 * Finds a `nats-server`, or installs one through the system's package manager. Only Node's own modules: it runs before
 * the dependencies are there.
 *
 *     node scripts/nats-server.mjs
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Debian's package puts it into /usr/sbin, which isn't on every user's PATH; Homebrew's folders may be missing too. */
const otherFolders = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];

const advice =
  "Install it from https://github.com/nats-io/nats-server/releases, put it on PATH, or name it in NATS_SERVER.";

/**
 * The binary to use: what NATS_SERVER names, else the one on PATH, else a freshly installed one.
 *
 * @returns {{ path: string, version: string }}
 * @throws {Error} one sentence that says what to do
 */
export function ensureNatsServer() {
  const named = process.env.NATS_SERVER;
  if (named) {
    const path = find(named);
    if (path === undefined) throw new Error(`NATS_SERVER names ${named}, which isn't an executable file.`);
    return { path, version: versionOf(path) };
  }
  let path = find("nats-server");
  if (path === undefined) {
    install();
    path = find("nats-server");
  }
  if (path === undefined) {
    throw new Error(`nats-server was installed but is in none of the usual places. ${advice}`);
  }
  return { path, version: versionOf(path) };
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

function versionOf(path) {
  const { status, stdout, stderr, error } = spawnSync(path, ["--version"], {
    encoding: "utf8",
    timeout: 10_000,
  });
  const version = /v?(\d+\.\d+\.\d+\S*)/.exec(`${stdout ?? ""}${stderr ?? ""}`)?.[1];
  if (status !== 0 || version === undefined) {
    throw new Error(
      `${path} doesn't run as a nats-server (${error?.message ?? `exit code ${status}`}). ${advice}`,
    );
  }
  return version;
}

function install() {
  if (process.platform === "darwin" && find("brew") !== undefined) {
    run(find("brew"), ["install", "nats-server"]);
    return;
  }
  const apt = process.platform === "linux" ? find("apt-get") : undefined;
  if (apt === undefined) {
    throw new Error(
      `nats-server isn't on PATH, and there is no apt-get or brew to install it with. ${advice}`,
    );
  }
  const isRoot = process.getuid?.() === 0;
  const sudo = isRoot ? undefined : find("sudo");
  if (!isRoot && sudo === undefined) {
    throw new Error(
      `nats-server isn't on PATH, and installing it needs root: run \`apt-get install nats-server\` as root. ${advice}`,
    );
  }
  const asRoot = sudo === undefined ? [] : [sudo, "-n"];
  // An outdated package list is no reason to give up: the package may be in it.
  run(...command([...asRoot, apt, "update"]), { mayFail: true });
  run(...command([...asRoot, "env", "DEBIAN_FRONTEND=noninteractive", apt, "install", "-y", "nats-server"]));
}

function command([program, ...args]) {
  return [program, args];
}

function run(program, args, { mayFail = false } = {}) {
  const line = [program, ...args].join(" ");
  console.log(`nats-server isn't here; running: ${line}`);
  // Their own words go to stderr, so that stdout stays this script's.
  const { status, error } = spawnSync(program, args, {
    stdio: ["ignore", process.stderr.fd, process.stderr.fd],
    timeout: 300_000,
  });
  if (status === 0 || mayFail) return;
  const why = error?.message ?? `exit code ${status}`;
  throw new Error(`nats-server isn't on PATH, and installing it failed (${line}: ${why}). ${advice}`);
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const { path, version } = ensureNatsServer();
    console.log(`nats-server ${version} at ${path}`);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
