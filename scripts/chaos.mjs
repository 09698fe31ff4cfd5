/**
 * `npm run test:chaos`: scenarios of failures on real processes, after whatever set-up they need. Arguments are passed on
 * to Vitest: a file's name, or `-t` and a part of a title, runs only those.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { ensureNatsServer } from "./programs.mjs";
import { binOf, fail, root, setup } from "./setup.mjs";

await setup();
let natsServer;
try {
  natsServer = ensureNatsServer().path;
} catch (error) {
  fail(error.message);
}
// What is there afterwards is of this run.
rmSync(join(root, ".artefacts", "chaos"), { recursive: true, force: true });
const config = ["run", "--config", "tests/chaos/vitest.config.ts", "--root", "."];
const { status } = spawnSync(
  process.execPath,
  [binOf("vitest", "vitest"), ...config, ...process.argv.slice(2)],
  { cwd: root, stdio: "inherit", env: { ...process.env, NATS_SERVER: natsServer } },
);
process.exit(status ?? 1);
