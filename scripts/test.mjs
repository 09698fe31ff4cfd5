/** Everything that `npm test` does, step by step; arguments are passed on to Vitest. Ends at the first step that fails. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { binOf, fail, root, setup } from "./setup.mjs";

const resultFile = join(root, ".artefacts", "vitest.json");

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
check("Lint and format", "@biomejs/biome", "biome", ["check"]);
check("Package", "publint", "publint", ["--strict"]);

step("nats-server");
const { ensureNatsServer } = await import("./nats-server.mjs");
const { path: natsServer, version } = await ensureNatsServer();
console.log(`${natsServer}, version ${version}`);

step("Tests");
mkdirSync(join(root, ".artefacts"), { recursive: true });
rmSync(resultFile, { force: true });
const status = tool(
  "vitest",
  "vitest",
  [
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${resultFile}`,
    ...process.argv.slice(2),
  ],
  { NATS_SERVER: natsServer },
);
if (existsSync(resultFile)) {
  const result = JSON.parse(readFileSync(resultFile, "utf8"));
  // A file that can't even be loaded holds no tests that could fail: it counts as one.
  const broken = result.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.length === 0,
  );
  console.log(`\n${result.numPassedTests} passed, ${result.numFailedTests + broken.length} failed`);
}
process.exit(status ?? 1);
