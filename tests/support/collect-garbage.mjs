/**
 * Preloaded into a node: at SIGUSR2 it collects all garbage and says what memory it has then, in bytes. Without it V8 has some more
 * or less megabytes of it by chance.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

process.on("SIGUSR2", () => {
  collect();
  collect();
  process.stderr.write(`collected ${process.memoryUsage.rss()}\n`);
});
