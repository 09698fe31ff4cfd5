/** `docs/redis.md` says what is tested, at the version that is tested. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const textOf = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

test("the table names each client and package at its installed version", () => {
  const { devDependencies } = JSON.parse(textOf("package.json")) as {
    devDependencies: Record<string, string>;
  };
  const rows = [...textOf("docs/redis.md").matchAll(/^\| `([^`]+)` \| ([\d.]+) \| (.*) \|$/gm)];
  const wanted = rows.map(([, name]) => [name, devDependencies[name!]?.replace(/^npm:.*@/, "")]);
  expect(rows.map(([, name, version]) => [name, version])).toEqual(wanted);
  expect(rows.length).toBe(14);
  const beside = rows.flatMap(([, , , text]) => [...text!.matchAll(/`([^`]+)` (\d+\.\d+\.\d+)/g)]);
  expect(beside.map(([, name, version]) => [name, version])).toEqual(
    beside.map(([, name]) => [name, devDependencies[name!]]),
  );
  expect(beside.length).toBe(3);
});
