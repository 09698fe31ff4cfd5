/**
 * Set-up, then the program `ringcache` with the arguments given, in this same process: a shell between npm and the
 * program would take the signals that tell it to drain. For the same reason the npm scripts begin with `exec`; where
 * the shell has none (cmd.exe), start this file with `node`.
 */
import { setup } from "./setup.mjs";

await setup();
await import("../dist/cli/main.js");
