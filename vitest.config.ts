import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "tests/**/*.test.ts"],
    // Real processes share two cores: one file at a time keeps their clocks honest.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 120_000,
    // A page on two busy cores may take its time.
    expect: { poll: { timeout: 15_000 } },
  },
});
