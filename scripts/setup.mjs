/**
 * Makes a fresh clone ready to run, with nothing but Node's own modules: dependencies, then the build in `dist`.
 * Does nothing, quickly and quietly, if both are up to date. `--force` builds in any case.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const dist = join(root, "dist");
const stampFile = join(dist, ".stamp");
const lockFile = join(root, ".artefacts", "setup.lock");
const nodeMajorMin = 20;
const lockWaitMsMax = 10 * 60 * 1000;

/** Ends the process with one sentence. */
export function fail(sentence) {
  console.error(`ringcache: ${sentence}`);
  process.exit(1);
}

/** The script that a package runs as `command`: started with this very Node, without a shell. */
export function binOf(packageName, command) {
  const folder = join(root, "node_modules", packageName);
  const { bin } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return join(folder, typeof bin === "string" ? bin : bin[command]);
}

/** Installs and builds what is missing or out of date. */
export async function setup({ force = false } = {}) {
  checkNode();
  if (!force && dependenciesInstalled() && built()) return;
  await withLock(() => {
    // Looked at again: whoever held the lock may have done it.
    if (!dependenciesInstalled()) install();
    if (force || !built()) build();
  });
}

function checkNode() {
  if (Number(process.versions.node.split(".")[0]) < nodeMajorMin) {
    fail(`Node ${nodeMajorMin} or newer is needed; this is ${process.version}.`);
  }
}

/** Compares what is installed with the lock file by content: a checkout changes times without changing anything. */
function dependenciesInstalled() {
  const installedFile = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const installed = JSON.parse(readFileSync(installedFile, "utf8")).packages;
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => path === "" || optional || installed[path]?.version === version,
  );
}

function install() {
  console.error("Installing dependencies ...");
  run("npm ci", "npm", ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"], {
    // On Windows npm is a script that only a shell can start.
    shell: process.platform === "win32",
  });
}

function built() {
  return existsSync(stampFile) && readFileSync(stampFile, "utf8") === fingerprint();
}

/** Changes with every file that the build reads: added, removed, edited. */
function fingerprint() {
  const inputs = [
    ...filesUnder(join(root, "src")),
    join(root, "tsconfig.json"),
    join(root, "package-lock.json"),
  ];
  const hash = createHash("sha256");
  for (const file of inputs.sort()) {
    const { mtimeMs, size } = statSync(file);
    hash.update(`${relative(root, file)} ${mtimeMs} ${size}\n`);
  }
  return hash.digest("hex");
}

function build() {
  console.error("Building ...");
  // Taken before the compiler reads: a file that is saved meanwhile makes the next set-up build again.
  const stamp = fingerprint();
  rmSync(stampFile, { force: true });
  // What doesn't compile isn't written: the last build that did stays in place.
  run("The build", process.execPath, [binOf("typescript", "tsc"), "-p", "tsconfig.json", "--noEmitOnError"]);
  removeStale();
  copyDashboard();
  // npm makes a bin executable only in packages that it installs.
  chmodSync(join(dist, "cli", "main.js"), 0o755);
  writeFileSync(stampFile, stamp);
}

/** What the page loads beside its own files: served as published, each with its licence. */
const pageLibraries = {
  preact: ["dist/preact.mjs"],
  htm: ["dist/htm.mjs"],
  uplot: ["dist/uPlot.esm.js", "dist/uPlot.min.css"],
};

/** The dashboard's page has no build step of its own: browsers run its files as they are. */
function copyDashboard() {
  const page = join(dist, "dashboard", "page");
  const isSource = (file) => !/(\.ts|tsconfig\.json)$/.test(file);
  cpSync(join(root, "src", "dashboard", "page"), page, { recursive: true, filter: isSource });
  const libraries = join(page, "libraries");
  mkdirSync(libraries, { recursive: true });
  for (const [name, files] of Object.entries(pageLibraries)) {
    const folder = join(root, "node_modules", name);
    for (const file of files) {
      copyFileSync(join(folder, file), join(libraries, basename(file).replace(/\.mjs$/, ".js")));
    }
    copyFileSync(join(folder, "LICENSE"), join(libraries, `${name}.LICENSE`));
  }
}

/** What the build of a source file that is no more has left behind. Written over, not emptied: nodes may run from it. */
function removeStale() {
  const page = join(dist, "dashboard", "page") + sep;
  for (const file of filesUnder(dist)) {
    if (file.startsWith(page)) {
      const source = join(root, "src", relative(dist, file));
      if (!existsSync(source) && !file.startsWith(join(page, "libraries"))) rmSync(file, { force: true });
      continue;
    }
    const source = relative(dist, file).replace(/(\.d\.ts|\.js|\.js\.map)$/, ".ts");
    if (!existsSync(join(root, "src", source)) || source.endsWith(".test.ts")) rmSync(file, { force: true });
  }
}

function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

function run(what, command, args, options = {}) {
  // The output goes to stderr: stdout belongs to the program that is started after the set-up.
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", 2, 2],
    ...options,
  });
  if (status !== 0) fail(`${what} failed (${error?.message ?? signal ?? `exit code ${status}`}).`);
}

/** One set-up at a time per clone; the lock of a process that is no more is taken over. */
async function withLock(work) {
  mkdirSync(dirname(lockFile), { recursive: true });
  const deadline = Date.now() + lockWaitMsMax;
  for (let told = false; !tryLock(); told = true) {
    const holder = lockHolder();
    if (holder === undefined) continue;
    if (!alive(holder)) {
      rmSync(lockFile, { force: true });
      continue;
    }
    if (!told) console.error(`Waiting for another set-up (process ${holder}) ...`);
    if (Date.now() > deadline) fail(`another set-up (process ${holder}) doesn't end.`);
    await sleep(200);
  }
  const unlock = () => rmSync(lockFile, { force: true });
  process.once("exit", unlock);
  work();
  process.removeListener("exit", unlock);
  unlock();
}

function tryLock() {
  try {
    writeFileSync(lockFile, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

function lockHolder() {
  try {
    const pid = Number(readFileSync(lockFile, "utf8"));
    // Empty for the moment between its making and its writing.
    return pid > 0 ? pid : process.pid;
  } catch {
    return undefined;
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await setup({ force: process.argv.includes("--force") });
