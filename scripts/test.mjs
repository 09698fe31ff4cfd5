/** Everything that `npm test` does, step by step; arguments are passed on to Vitest. Ends at the first step that fails. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { binOf, fail, root, setup } from "./setup.mjs";

const args = process.argv.slice(2);

function step(heading) {
  console.log(`\n== ${heading}`);
}

function tool(packageName, command, args, env = {}) {
  return spawnSync(process.execPath, [binOf(packageName, command), ...args], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  }).status;
}

function check(heading, packageName, command, args) {
  step(heading);
  if (tool(packageName, command, args) !== 0) fail(`the step "${heading}" failed.`);
}

step("Dependencies and build");
await setup();
check("Types of the tests", "typescript", "tsc", ["-p", "tsconfig.test.json"]);
check("Types of the dashboard's page", "typescript", "tsc", ["-p", "src/dashboard/page/tsconfig.json"]);
check("Lint and format", "@biomejs/biome", "biome", ["check"]);
check("Package", "publint", "publint", ["--strict"]);

step("Programs that the tests run");
const programs = await import("./programs.mjs");
let found;
try {
  found = {
    NATS_SERVER: programs.ensureNatsServer(),
    REDIS_SERVER: programs.ensureRedisServer(),
    PROMETHEUS: programs.ensurePrometheus(),
    PROMTOOL: programs.ensurePromtool(),
    CHROMIUM: programs.ensureChromium(),
  };
} catch (error) {
  fail(error.message);
}
for (const { path, version } of Object.values(found)) console.log(`${path}, version ${version}`);

const counts = { passed: 0, failed: 0, skipped: 0 };

/** Runs Vitest by means of `run`, which gets arguments for it and returns its exit code; ends with it if that isn't 0. */
function tests(heading, run) {
  step(heading);
  const resultFile = join(root, ".artefacts", "vitest.json");
  mkdirSync(join(root, ".artefacts"), { recursive: true });
  rmSync(resultFile, { force: true });
  const status = run(["--reporter=default", "--reporter=json", `--outputFile.json=${resultFile}`, ...args]);
  if (existsSync(resultFile)) {
    const result = JSON.parse(readFileSync(resultFile, "utf8"));
    // A file that can't even be loaded holds no tests that could fail: it counts as one.
    const broken = result.testResults.filter(
      (file) => file.status === "failed" && file.assertionResults.length === 0,
    );
    counts.passed += result.numPassedTests;
    counts.failed += result.numFailedTests + broken.length;
    counts.skipped += result.numPendingTests;
  }
  if (status !== 0) end(status ?? 1);
}

function end(status) {
  const { passed, failed, skipped } = counts;
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  process.exit(status);
}

const env = Object.fromEntries(Object.entries(found).map(([name, { path }]) => [name, path]));
tests("Tests", (reporting) => tool("vitest", "vitest", ["run", ...reporting], env));
// Named files are of the tests above: see `npm run test:chaos` for those below.
if (args.length === 0) {
  tests("Failures of real processes", (reporting) => {
    const script = join(root, "scripts", "chaos.mjs");
    const options = { cwd: root, stdio: "inherit", env: { ...process.env, ...env } };
    return spawnSync(process.execPath, [script, ...reporting], options).status;
  });
}
end(0);
