import { expect, test } from "vitest";
import { commandLines } from "./command-lines.ts";
import { CommandTable } from "./command-table.ts";
import { handlers } from "./commands/index.ts";
import { commandOf } from "./dispatch.ts";
import { keyPositions } from "./key-positions.ts";

const table = new CommandTable(handlers);
const bytes = (words: string): Buffer[] => words.split(" ").map((word) => Buffer.from(word));

test("every line is of one command, with all its fields", () => {
  const lines = commandLines.trim().split("\n");
  const names = lines.map((line) => line.split(" ")[0]!);
  expect(new Set(names).size).toBe(names.length);
  for (const line of lines) {
    expect(line).toMatch(
      /^[a-z_]+(\|[a-z-]+)? -?\d+ [\w,-]+ -?\d+,-?\d+,\d+ [\w,-]+ [\w,:-]+ \S+ [a-z]+ \d+\.\d+\.\d+ \S/,
    );
  }
});

test("a handler of a command that nothing is known of is a mistake", () => {
  expect(() => new CommandTable({ ...handlers, nope: () => {} })).toThrow(
    "nothing is known of the command nope",
  );
});

test("a name is found in any case, and only as a whole", () => {
  expect(["get", "GET", "gEt"].map((name) => table.find(Buffer.from(name))?.name)).toEqual([
    "get",
    "get",
    "get",
  ]);
  expect(["", "ge", "getx", "g\u00e5t", "client|id"].map((name) => table.find(Buffer.from(name)))).toEqual(
    new Array(5).fill(undefined),
  );
});

test("each command is found by its name", () => {
  for (const spec of table.commands) {
    expect(table.find(Buffer.from(spec.name.toUpperCase()))).toBe(spec);
    for (const subcommand of spec.subcommands) expect(table.named(subcommand.name)).toBe(subcommand);
  }
});

test.each([
  ["GET a", [1]],
  ["MSET a 1 b 2", [1, 3]],
  ["MGET a b c", [1, 2, 3]],
  ["RENAME a b", [1, 2]],
  ["OBJECT ENCODING a", [2]],
  ["EVAL script 2 a b arg", [3, 4]],
  ["EVAL script 0 arg", []],
  ["PING", []],
])("the keys of %s", (words, positions) => {
  const args = bytes(words);
  const spec = commandOf(table, args);
  expect(typeof spec === "string" ? spec : keyPositions(spec, args)).toEqual(positions);
});

test("a number of keys that can't be is left to the handler", () => {
  for (const count of ["3", "-1", "x", "01", "99999999999"]) {
    const args = bytes(`EVAL script ${count} a b`);
    const spec = commandOf(table, args);
    expect(typeof spec === "string" ? spec : keyPositions(spec, args)).toBeUndefined();
  }
});
