/**
 * The commands of the door: what a handler is, what is known of each command, and how the bytes of a name lead to it. A
 * command is there if it has a handler; what Redis tells about it is in {@link commandLines}.
 */
import type { Call } from "./call.ts";
import { commandLines } from "./command-lines.ts";

/**
 * Carries one request out. It takes what it needs of `call.args` before it waits for anything, writes one whole reply to
 * `call.out` in one go, then calls `call.end()`, now or in a later turn, exactly once; `call.ok()` and the like do both.
 */
export type Handler = (call: Call) => void;

/** By full name in lower case: `get`, `client|id`. */
export type Handlers = Readonly<Record<string, Handler>>;

/** Where keys are, as COMMAND INFO tells it. */
export interface KeySpec {
  readonly flags: readonly string[];
  /** The argument with which the search begins. */
  readonly index: number;
  readonly kind: "range" | "keynum";
  /** `range`: last key, step, limit. `keynum`: index of the number of keys, of the first key, step. */
  readonly numbers: readonly [number, number, number];
}

/**
 * How a request stands to the others of its connection that have no answer yet. `free`: it touches no data. `keys`: it
 * waits for those that have one of its keys and may not have been carried out. `alone`: it waits for all, all wait for it.
 */
export type Order = "free" | "keys" | "alone";

export interface CommandSpec {
  /** In lower case, with the container: `client|id`. */
  readonly name: string;
  /** How many arguments, the name's included; negative: at least as many. */
  readonly arity: number;
  readonly flags: ReadonlySet<string>;
  /** Positions of the keys; `firstKey` 0: none, or they move. A negative `lastKey` counts from the end. */
  readonly firstKey: number;
  readonly lastKey: number;
  readonly keyStep: number;
  readonly categories: readonly string[];
  readonly tips: readonly string[];
  readonly keySpecs: readonly KeySpec[];
  readonly group: string;
  readonly since: string;
  readonly summary: string;
  /** Undefined: it is only a container. */
  readonly handler: Handler | undefined;
  readonly subcommands: readonly CommandSpec[];
  /** Some of its arguments may be keys. */
  readonly hasKeys: boolean;
  readonly order: Order;
  /** Its handler may keep views of its arguments beyond its end: what is watched, subscribed to, or queued. */
  readonly mayKeep: boolean;
  /** Where its key is, if it has exactly one; else 0. */
  readonly onlyKey: number;
  /** Runs at once between MULTI and EXEC too. */
  readonly runsInMulti: boolean;
  /** Allowed before AUTH. */
  readonly needsNoAuth: boolean;
  /** Allowed while a connection of RESP2 is subscribed. */
  readonly runsSubscribed: boolean;
}

const inMulti = new Set(["exec", "discard", "multi", "watch", "quit", "reset"]);
const subscribed = new Set([
  ...["ping", "quit", "reset", "subscribe", "unsubscribe", "psubscribe", "punsubscribe"],
  ...["ssubscribe", "sunsubscribe"],
]);
/** They touch data, but name no keys, or aren't to be overtaken. */
const alone = new Set([
  ...[
    "keys",
    "scan",
    "randomkey",
    "dbsize",
    "flushdb",
    "flushall",
    "exec",
    "unwatch",
    "swapdb",
    "wait",
    "publish",
  ],
  ...[
    "subscribe",
    "unsubscribe",
    "psubscribe",
    "punsubscribe",
    "ssubscribe",
    "sunsubscribe",
    "spublish",
    "reset",
  ],
  ...["script|load", "script|exists", "script|flush", "cluster|countkeysinslot", "cluster|getkeysinslot"],
  // Between partitions they take several turns; and a reply has the protocol of its moment.
  ...["hello", "rename", "renamenx", "copy", "msetnx"],
]);

export class CommandTable {
  /** Without subcommands, sorted by name. */
  readonly commands: readonly CommandSpec[];
  /** By the hash of the name; names of the same hash follow each other. */
  readonly #byHash = new Map<number, CommandSpec[]>();
  readonly #byName = new Map<string, CommandSpec>();

  constructor(handlers: Handlers) {
    this.commands = specsOf(handlers);
    for (const spec of this.commands.flatMap((command) => [command, ...command.subcommands])) {
      this.#byName.set(spec.name, spec);
      const hash = hashOf(Buffer.from(spec.name));
      this.#byHash.set(hash, [...(this.#byHash.get(hash) ?? []), spec]);
    }
  }

  /** The command of that name, whatever its case; not its subcommand. */
  find(name: Uint8Array): CommandSpec | undefined {
    const candidates = this.#byHash.get(hashOf(name));
    return candidates?.find((spec) => sameName(spec.name, name));
  }

  /** By full name in lower case. */
  named(name: string): CommandSpec | undefined {
    return this.#byName.get(name);
  }
}

/** FNV-1a over the name in lower case. */
function hashOf(name: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ lower(name[i]!), 0x01000193);
  return hash;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}

function sameName(name: string, bytes: Uint8Array): boolean {
  if (name.length !== bytes.length) return false;
  for (let i = 0; i < bytes.length; i++) if (name.charCodeAt(i) !== lower(bytes[i]!)) return false;
  // The full name of a subcommand isn't a command's.
  return !name.includes("|");
}

interface MutableSpec extends CommandSpec {
  readonly subcommands: CommandSpec[];
}

/** Throws for a handler of a command that {@link commandLines} doesn't know. */
function specsOf(handlers: Handlers): CommandSpec[] {
  const missing = new Set(Object.keys(handlers));
  const specs = new Map<string, MutableSpec>();
  for (const line of commandLines.trim().split("\n")) {
    const spec = parseLine(line, handlers);
    missing.delete(spec.name);
    specs.set(spec.name, spec);
  }
  if (missing.size > 0) throw new Error(`nothing is known of the command ${[...missing].join(", ")}`);
  for (const spec of specs.values()) {
    const [container, subcommand] = spec.name.split("|");
    if (subcommand !== undefined && spec.handler !== undefined) specs.get(container!)!.subcommands.push(spec);
  }
  return [...specs.values()]
    .filter(({ name, handler, subcommands }) => {
      return !name.includes("|") && (handler !== undefined || subcommands.length > 0);
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function parseLine(line: string, handlers: Handlers): MutableSpec {
  const [
    name = "",
    arity,
    flags = "",
    keys = "",
    categories = "",
    tips = "",
    specs = "",
    group = "",
    since = "",
  ] = line.split(" ");
  const summary = line.split(" ").slice(9).join(" ");
  const [firstKey = 0, lastKey = 0, keyStep = 0] = keys.split(",").map(Number);
  const keySpecs = listed(specs, ";").map(parseKeySpec);
  const hasKeys = keySpecs.some((spec) => !spec.flags.includes("not_key"));
  return {
    ...{ name, arity: Number(arity), flags: new Set(listed(flags)), firstKey, lastKey, keyStep, keySpecs },
    ...{ categories: listed(categories), tips: listed(tips), group, since, summary },
    handler: handlers[name],
    subcommands: [],
    hasKeys,
    order: alone.has(name) ? "alone" : hasKeys ? "keys" : "free",
    onlyKey: onlyKeyOf(keySpecs),
    mayKeep: group !== "string" && group !== "generic",
    runsInMulti: inMulti.has(name),
    needsNoAuth: flags.split(",").includes("no_auth"),
    runsSubscribed: subscribed.has(name),
  };
}

function onlyKeyOf(specs: readonly KeySpec[]): number {
  const [spec] = specs;
  const isOne = specs.length === 1 && spec!.kind === "range" && spec!.numbers[0] === 0;
  return isOne && !spec!.flags.includes("not_key") ? spec!.index : 0;
}

function listed(text: string, separator = ","): string[] {
  return text === "-" ? [] : text.split(separator);
}

/** `RW+access@1:range,0,1,0`. */
function parseKeySpec(text: string): KeySpec {
  const [, flags = "", index, kind = "", a, b, c] = /^(.*)@(\d+):(\w+),(-?\d+),(\d+),(\d+)$/.exec(text)!;
  return {
    flags: flags.split("+"),
    index: Number(index),
    kind: kind === "keynum" ? "keynum" : "range",
    numbers: [Number(a), Number(b), Number(c)],
  };
}
