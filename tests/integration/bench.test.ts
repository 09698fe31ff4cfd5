/** That the benchmarks run and say what they promise to say; what they measure is not judged here. */
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const main = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), "bench", "main.mjs");

function bench(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

const fields = ["bench", "case", "unit", "value", "baseline", "ratio", "target", "reached"];

test.each([
  ["routed-rpc", [8]],
  ["http", [0.8, 0.6]],
  ["replication", [0.45, 1]],
  ["metrics", [1.03, 1.03, 1.03, 1, 1]],
])("%s prints one line of JSON per comparison", { timeout: 120_000 }, async (name, targets) => {
  const { code, stdout, stderr } = await bench(name, "--json", "--rounds", "1", "--seconds", "0.1");
  expect(code, stderr).toBe(0);
  // How far it is goes where the figures don't, without control characters where there is no terminal.
  expect(stderr).toMatch(/^\[[#.]{24}\] \d+\/\d+ .+\n/);
  expect(stderr).not.toContain("\x1b");
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  for (const line of lines) {
    expect(Object.keys(line)).toEqual(fields);
    expect(line.bench).toBe(name);
    for (const field of ["value", "baseline", "ratio"]) expect(line[field]).toBeGreaterThan(0);
    const { ratio, target } = line as { ratio: number; target: number | null };
    const isBound = name === "metrics" || String(line.case).includes("against the bound");
    const isReached = isBound ? ratio <= (target ?? 0) : ratio >= (target ?? 0);
    expect(line.reached).toBe(target === null ? null : isReached);
  }
  expect(lines.map(({ target }) => target).filter((target) => target !== null)).toEqual(targets);
});

test("lists the benchmarks when none is named, and refuses one that there isn't", async () => {
  const listed = await bench();
  expect(listed.code).toBe(0);
  expect(listed.stdout).toContain("routed-rpc");
  const refused = await bench("nope");
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('no benchmark "nope"');
});
