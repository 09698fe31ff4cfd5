/**
 * Set-up, then the program `ringcache` with the arguments given, in this same process: a shell between npm and the
 * program (`a && b`) would take the signals that tell it to drain.
 */
import { setup } from "./setup.mjs";

await setup();
await import("../dist/cli/main.js");
