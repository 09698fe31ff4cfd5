/**
 * The house rules that a machine can check. The pages that are made from tables are written anew with
 * `npx vitest run tests/tidy.test.ts -u`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { type Option, optionNames, options } from "../src/cli/options.ts";
import { errorTable } from "../src/errors.ts";
import { type LogEventEntry, logEvents } from "../src/log-events.ts";
import { processMetrics } from "../src/metrics/process.ts";
import { metricTable } from "../src/metrics/table.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lineCountMax = 400;

interface Source {
  /** Relative to the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

function sourcesUnder(folder: string, pattern: RegExp): Source[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !/[\\/](node_modules|dist|\.git|\.artefacts)[\\/]/.test(file))
    .map((file) => ({
      path: relative(root, file).split(sep).join("/"),
      text: readFileSync(file, "utf8"),
    }));
}

const isTest = ({ path }: Source): boolean => path.endsWith(".test.ts");
const everySource = sourcesUnder("src", /\.ts$/);
const shipped = everySource.filter((source) => !isTest(source));
const tests = [...everySource.filter(isTest), ...sourcesUnder("tests", /\.ts$/)];

/** The text without comments and plain strings, at the same line numbers. */
function codeOf(text: string): string {
  const pattern = /(`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"/g;
  return text.replace(
    pattern,
    (match, template: string | undefined) => template ?? match.replace(/[^\n]/g, " "),
  );
}

/** `path:line: the line`, for every line of the sources' code that matches. */
function linesThatMatch(sources: readonly Source[], pattern: RegExp): string[] {
  return sources.flatMap(({ path, text }) => {
    const original = text.split("\n");
    return codeOf(text)
      .split("\n")
      .flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${original[i]!.trim()}`] : []));
  });
}

/** Higher may import lower; folders of one level don't know each other. */
const levels: Readonly<Record<string, number>> = {
  cli: 6,
  http: 5,
  redis: 5,
  dashboard: 5,
  index: 5,
  cache: 4,
  ring: 3,
  peers: 2,
  coordination: 2,
  storage: 2,
  sockets: 1,
  errors: 1,
  log: 1,
  "log-events": 1,
  runtime: 1,
  tracing: 1,
  config: 1,
  metrics: 1,
  planted: 1,
};

/** The folder of a file in `src`, or the name of a file that stands in `src` itself. */
function partOf(path: string): string {
  return path.split("/")[1]!.replace(/\.ts$/, "");
}

function importsOf({ path, text }: Source): string[] {
  const pattern = /(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g;
  return [...text.matchAll(pattern)].map((match) => join(dirname(path), match[1]!).split(sep).join("/"));
}

test("every part of src has its level", () => {
  expect(
    [...new Set(everySource.map(({ path }) => partOf(path)))].filter((part) => !(part in levels)),
  ).toEqual([]);
});

test("imports point downwards", () => {
  const upwards = shipped.flatMap((source) =>
    importsOf(source)
      .filter((target) => {
        const [from, to] = [partOf(source.path), partOf(target)];
        const bothBase = levels[from] === 1 && levels[to] === 1;
        return from !== to && !bothBase && !(levels[from]! > levels[to]!);
      })
      .map((target) => `${source.path} imports ${target}`),
  );
  expect(upwards).toEqual([]);
});

test("what ships imports no test and nothing outside src", () => {
  const wrong = shipped.flatMap((source) =>
    importsOf(source)
      .filter((target) => target.endsWith(".test.ts") || !target.startsWith("src/"))
      .map((target) => `${source.path} imports ${target}`),
  );
  expect(wrong).toEqual([]);
});

test("time and chance come from the runtime", () => {
  const elsewhere = shipped.filter(({ path }) => path !== "src/runtime.ts");
  const pattern =
    /\bDate\b(?!\s*:)|\b(set|clear)(Timeout|Interval|Immediate)\b(?!\s*[(]?\s*:)|\bMath\.random\b|\bperformance\b|\bprocess\.(hrtime|uptime|nextTick)\b|\bAbortSignal\.timeout\b/;
  // `server.setTimeout` and the like are settings of Node's own classes.
  const found = linesThatMatch(elsewhere, pattern).filter((line) => !/[\w)\]]\.setTimeout\(/.test(line));
  expect(found).toEqual([]);
  const timers = elsewhere.filter(({ text }) => /from "(node:)?(timers|perf_hooks)/.test(text));
  expect(timers.map(({ path }) => path)).toEqual([]);
});

test("a file fits in a head", () => {
  const long = shipped.filter(({ text }) => text.trimEnd().split("\n").length > lineCountMax);
  expect(long.map(({ path, text }) => `${path}: ${text.split("\n").length} lines`)).toEqual([]);
});

test("everything has a name: no default exports", () => {
  expect(linesThatMatch(everySource, /\bexport\s+default\b|\bas\s+default\b/)).toEqual([]);
});

test("no type is given up, no check is silenced", () => {
  // The words are put together here so that this file doesn't contain them.
  const silenced = new RegExp(`@ts-${"(ignore|nocheck)"}`);
  const found = everySource.filter(({ text }) => silenced.test(text)).map(({ path }) => path);
  expect(found).toEqual([]);
});

test("no test is left out", () => {
  const pattern =
    /\b(test|it|describe|suite|bench)(\.\w+)*\.(only|skip|todo|skipIf|runIf|fails)\b|\bx(it|describe)\(/;
  expect(linesThatMatch(tests, pattern)).toEqual([]);
});

test("no path of somebody's machine", () => {
  const pattern = new RegExp(`(^|[\\s"'\`(=:])/${"(work|home|root|Users|mnt)"}/`);
  const files = [
    ...["src", "tests", "scripts", "docs", "bench", ".ci"].flatMap((folder) => {
      try {
        return sourcesUnder(folder, /./);
      } catch (error) {
        // A folder that isn't there yet holds nothing.
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
        throw error;
      }
    }),
    ...readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(md|json|ts)$/.test(entry.name))
      .map((entry) => ({ path: entry.name, text: readFileSync(join(root, entry.name), "utf8") })),
  ];
  const found = files.flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
  );
  expect(found).toEqual([]);
});

test("docs/errors.md is the table of errors", async () => {
  const rows = Object.entries(errorTable).map(
    ([code, { status, meaning }]) => `| \`${code}\` | ${status} | ${meaning} |`,
  );
  const page = [
    "# Errors",
    "",
    "Every error has a stable `code`. In the library it is a `RingcacheError` with `code`, `message`, `outcome` and,",
    'if something led to it, `cause`; over HTTP it is `{"error":{"code","message"}}` with the status below.',
    "`outcome` is `none` if the operation did not take effect and never will, `unknown` if it may have or still may.",
    "",
    "This page is made from `src/errors.ts`: `npx vitest run tests/tidy.test.ts -u` writes it anew.",
    "",
    "| code | HTTP status | meaning |",
    "|---|---|---|",
    ...rows,
    "",
  ].join("\n");
  await expect(page).toMatchFileSnapshot("../docs/errors.md");
});

test("every event of the log is in its table, and every one there is logged", () => {
  // That name, level and fields of a call are those of the table is the compiler's to check.
  const logged = shipped
    .filter(({ path }) => path !== "src/log-events.ts")
    .flatMap(({ text }) => [...text.matchAll(/\bevent: "([a-z-]+)"/g)].map((match) => match[1]!));
  expect([...new Set(logged)].sort()).toEqual(Object.keys(logEvents).sort());
});

test("docs/logs.md is the table of log events", async () => {
  const rows = Object.entries(logEvents).map(([event, entry]) => {
    const { level, fields, meaning }: LogEventEntry = entry;
    const described = Object.entries(fields).map(([name, what]) => `\`${name.replace("?", "")}\`: ${what}`);
    return `| \`${event}\` | ${level} | ${described.join("; ")} | ${meaning} |`.replaceAll("|  |", "| |");
  });
  const page = [
    "# Logs",
    "",
    "A node writes one line per event to stdout: JSON, or on a terminal (`--log-format human`) text. Nothing is written per request, key or",
    "client that behaves. `--log-level` leaves out what is less important; `silent` leaves out everything.",
    "",
    "```json",
    '{"level":"warn","time":"2026-11-27T20:15:04.482Z","node":"node-1","event":"node-died","member":"node-3","proof":"process","msg":"node-3 is dead: its process is gone"}',
    "```",
    "",
    "Every line has `level`, `time` (UTC, in milliseconds), `event`, `msg` (a sentence for people, which may change) and, but for what the",
    "process as a whole says, `node`. The events and their fields below are stable; more may be added. No line has a key, a value or a password.",
    "Where a field is called `error` it is a message, `err` has `type`, `message` and `stack`.",
    "",
    "The library gives the same events to the logger that it is given (`log`), and logs nothing without one.",
    "",
    "What to alert on: `partitions-lost`, `partitions-orphaned`, `copy-missing` (data is gone or waits), `drain-incomplete`, `isolated`, `fenced`,",
    "`nats-closed`, `defect`, `defect-survived`. A `…-retry` or `…-unanswered` now and then is no reason to act; many in a row are.",
    "",
    "This page is made from `src/log-events.ts`: `npx vitest run tests/tidy.test.ts -u` writes it anew.",
    "",
    "| event | level | fields | what it means |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
  await expect(page).toMatchFileSnapshot("../docs/logs.md");
});

/** One row of the page: what the option is, and how its value is written. */
function optionRow(name: string, option: Option<unknown>): string {
  const { kind, env, commands, description, defaultIn = {} } = option;
  const preset = (text: string): string => (text === "" || kind.placeholder === "" ? "" : `\`${text}\``);
  const presets = [
    preset(option.default),
    ...Object.entries(defaultIn).map(([command, text]) => `${preset(text)} in \`${command}\``),
  ].join(", ");
  const cells = [
    `\`--${name}\``,
    env === undefined ? "" : `\`${env}\``,
    presets,
    kind.unit,
    kind.bound,
    commands.map((command) => `\`${command}\``).join(" "),
    description,
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`.replaceAll("|  |", "| |");
}

test("docs/options.md is the table of options", async () => {
  const page = [
    "# Options",
    "",
    "An option is written `-name VALUE`, `--name VALUE`, `-name=VALUE` or `--name=VALUE`; the last one counts if it is",
    "given twice. It beats its environment variable, which beats the default; an empty variable counts as not set.",
    "A duration always has its unit: `500ms`, `1.5s`, `1m`. After `--`, everything is an argument.",
    "",
    "A wrong command line ends with one sentence on stderr and exit code 2; what was understood and can't be done (a",
    "name that the platform can't use, a port that is taken, no NATS) with exit code 1.",
    "",
    "This page is made from `src/cli/options.ts`: `npx vitest run tests/tidy.test.ts -u` writes it anew.",
    "",
    "| option | environment | default | unit | must be | commands | what it does |",
    "|---|---|---|---|---|---|---|",
    ...optionNames.map((name) => optionRow(name, options[name])),
    "",
  ].join("\n");
  await expect(page).toMatchFileSnapshot("../docs/options.md");
});

test("docs/operations.md ends with the tables of metrics", async () => {
  const path = join(root, "docs", "operations.md");
  const mark = "<!-- From here on made from src/metrics";
  const [text] = readFileSync(path, "utf8").split(mark);
  const cell = (words: string): string => words.replaceAll("|", "\\|");
  const head = ["| metric | labels | what it is | when it moves |", "|---|---|---|---|"];
  const chapters = Object.entries(metricTable).flatMap(([chapter, rows]) => [
    `### ${chapter}`,
    "",
    ...head,
    ...rows.map(({ name, type, labels, help, advice }) => {
      const names = labels.map((label) => `\`${label}\``).join(" ");
      return `| \`${name}\` (${type}) | ${names} | ${cell(help)} | ${cell(advice)} |`.replace("|  |", "| |");
    }),
    "",
  ]);
  const ofProcess = Object.entries(processMetrics).map(([name, { help, advice }]) =>
    `| \`${name}\` | ${cell(help)} | ${cell(advice)} |`.replace("|  |", "| |"),
  );
  const page = [
    `${text}${mark}: npx vitest run tests/tidy.test.ts -u writes it anew. -->`,
    "",
    ...chapters,
    "### The process",
    "",
    "Of prom-client; one set per process, also if several nodes run in it, as in `ringcache dev`. On Linux; other systems lack some.",
    "",
    "| metric | what it is | when it moves |",
    "|---|---|---|",
    ...ofProcess,
    "",
  ].join("\n");
  await expect(page).toMatchFileSnapshot("../docs/operations.md");
});

test("docs/dependencies.md gives the reason for every dependency, and for no other", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };
  const page = readFileSync(join(root, "docs", "dependencies.md"), "utf8");
  const sections = [...page.matchAll(/^### (\S+)$/gm)].map((match) => match[1]);
  const wanted = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  expect(sections.sort()).toEqual(wanted.sort());
});
