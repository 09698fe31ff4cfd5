import { defineConfig } from "vitest/config";

/** Scenarios of failures on real processes: `npm run test:chaos`. One file at a time: their clocks share two cores. */
export default defineConfig({
  test: {
    include: ["tests/chaos/*.chaos.ts"],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 60_000,
    // Each scenario's line appears when it is done, without a heading of its own.
    disableConsoleIntercept: true,
  },
});
