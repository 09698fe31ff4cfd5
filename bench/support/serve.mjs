/**
 * A worker's side of the channel to the benchmark: serves its calls, and ends when the benchmark does. Also preloaded
 * into processes that know nothing of benchmarks, so that they report their CPU time and memory.
 */

const methods = {
  cpuMicros() {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  rssBytes: () => process.memoryUsage.rss(),
  /** So that a profile gets written. */
  exit() {
    setTimeout(() => process.exit(0), 10);
  },
};

/** Adds methods that the benchmark may call: their arguments and results are JSON. */
export function serve(more) {
  Object.assign(methods, more);
}

process.on("message", async ({ call, method, args }) => {
  try {
    process.send({ call, result: (await methods[method](...args)) ?? null });
  } catch (error) {
    process.send({ call, error: error.message });
  }
});
process.on("disconnect", () => process.exit(1));
