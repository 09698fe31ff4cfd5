/** From the words of the command line and the environment to validated values. */
import * as v from "valibot";
import { CommandError } from "./command-error.ts";
import {
  type CommandName,
  commands,
  type Option,
  type OptionName,
  optionNames,
  options,
  type Values,
} from "./options.ts";

export interface CommandLine {
  readonly command: CommandName;
  readonly operands: readonly string[];
  readonly values: Values;
}

/** What is asked for instead of running a command. */
export type Request =
  | ({ readonly kind: "run" } & CommandLine)
  | { readonly kind: "help"; readonly command: CommandName | undefined }
  | { readonly kind: "version" };

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws a {@link CommandError} of one sentence. */
export function parse(args: readonly string[], env: Environment): Request {
  const { words, given, help, version } = split(args);
  const asksHelp = words[0] === "help";
  const [word, ...operands] = asksHelp ? words.slice(1) : words;
  const command = word === undefined ? undefined : commandNamed(word);
  if (help || asksHelp) return { kind: "help", command };
  if (version) return { kind: "version" };
  const run = command ?? "start";
  checkOperands(run, operands);
  return { kind: "run", command: run, operands, values: resolve(run, given, env) };
}

interface Split {
  readonly words: string[];
  readonly given: Map<OptionName, string>;
  help: boolean;
  version: boolean;
}

/** A word that starts with `-` and a digit is a value, so that `set n -5` works; after `--` everything is. */
function isFlag(word: string): boolean {
  return /^--?[^-\d.]/.test(word);
}

function split(args: readonly string[]): Split {
  const result: Split = { words: [], given: new Map(), help: false, version: false };
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!;
    if (word === "--") {
      result.words.push(...args.slice(i + 1));
      break;
    }
    if (!isFlag(word)) {
      result.words.push(word);
      continue;
    }
    const [, flag = "", inline] = /^--?([^=]*)(?:=([\s\S]*))?$/.exec(word) ?? [];
    if (flag === "help" || flag === "h") result.help = true;
    else if (flag === "version" || flag === "v") result.version = true;
    else {
      const option = optionNamed(flag);
      const next = args[i + 1];
      if (options[option].kind.placeholder === "") {
        if (inline !== undefined) throw new CommandError(`--${option} takes no value.`, 2);
        result.given.set(option, "true");
      } else if (inline !== undefined) {
        result.given.set(option, inline);
      } else if (next !== undefined && next !== "--" && !isFlag(next)) {
        result.given.set(option, next);
        i++;
      } else if (!args.some((other) => /^--?(h|help)$/.test(other))) {
        throw new CommandError(`--${option} needs a value: ${options[option].kind.bound}.`, 2);
      }
    }
  }
  return result;
}

function optionNamed(flag: string): OptionName {
  if (Object.hasOwn(options, flag)) return flag as OptionName;
  const near = nearest(flag, ["help", "version", ...optionNames]);
  const advice = near === undefined ? "`ringcache --help` lists the options" : `did you mean --${near}?`;
  throw new CommandError(`Unknown option --${flag}; ${advice}`.replace(/[^?]$/, "$&."), 2);
}

function commandNamed(word: string): CommandName {
  if (Object.hasOwn(commands, word)) return word as CommandName;
  const near = nearest(word, Object.keys(commands));
  const advice = near === undefined ? "`ringcache --help` lists the commands" : `did you mean "${near}"?`;
  throw new CommandError(`Unknown command "${word}"; ${advice}`.replace(/[^?]$/, "$&."), 2);
}

function checkOperands(command: CommandName, operands: readonly string[]): void {
  const wanted: readonly string[] = commands[command].operands;
  const missing = wanted[operands.length];
  if (missing !== undefined) {
    throw new CommandError(`\`ringcache ${[command, ...wanted].join(" ")}\`: the ${missing} is missing.`, 2);
  }
  const excess = operands[wanted.length];
  if (excess !== undefined) {
    const takes = wanted.length === 0 ? "no arguments" : `only ${wanted.join(" and ")}`;
    throw new CommandError(`\`ringcache ${command}\` takes ${takes}; "${excess}" is too much.`, 2);
  }
}

function resolve(command: CommandName, given: ReadonlyMap<OptionName, string>, env: Environment): Values {
  for (const name of given.keys()) {
    const option: Option<unknown> = options[name];
    if (!option.commands.includes(command)) {
      const where = option.commands.map((other) => `\`${other}\``).join(", ");
      throw new CommandError(`--${name} is not an option of \`ringcache ${command}\`, but of ${where}.`, 2);
    }
  }
  const values = Object.fromEntries(optionNames.map((name) => [name, readOption(name, command, given, env)]));
  // Each entry was made by the schema of its own option.
  const checked = values as unknown as Values;
  if (checked.lease < 2 * checked.heartbeat) {
    throw new CommandError(
      `--lease (${checked.lease}ms) must be at least twice --heartbeat (${checked.heartbeat}ms).`,
      2,
    );
  }
  return checked;
}

function readOption(
  name: OptionName,
  command: CommandName,
  given: ReadonlyMap<OptionName, string>,
  env: Environment,
): unknown {
  const option: Option<unknown> = options[name];
  // An option of another command keeps its default: a stray variable must not stop a command that ignores it.
  const applies = option.commands.includes(command);
  const fromEnv = applies && option.env !== undefined ? env[option.env] || undefined : undefined;
  const text = given.get(name) ?? fromEnv ?? option.defaultIn?.[command] ?? option.default;
  const result = v.safeParse(option.kind.schema, text);
  if (result.success) return result.output;
  const source = given.has(name) ? `--${name}` : option.env;
  throw new CommandError(
    `${source} must be ${option.kind.bound}, not ${JSON.stringify(shortened(text))}.`,
    option.refusedWith ?? 2,
  );
}

function shortened(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** The candidate that is at most two edits away (one for short words), if any. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const distances = candidates.map((candidate) => ({ candidate, edits: editDistance(word, candidate) }));
  distances.sort((a, b) => a.edits - b.edits);
  const best = distances[0];
  return best !== undefined && best.edits <= (word.length < 4 ? 1 : 2) ? best.candidate : undefined;
}

/** Levenshtein's distance, over one row of the table. */
function editDistance(a: string, b: string): number {
  // Anything this long is no misspelling, and the work grows with the product of the lengths.
  if (a.length > 64) return Number.POSITIVE_INFINITY;
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}
