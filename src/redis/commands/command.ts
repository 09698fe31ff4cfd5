/** COMMAND: what commands there are, for clients that ask rather than know. */
import { globOf } from "../../cache/steps/glob.ts";
import type { Call } from "../call.ts";
import type { CommandSpec, Handlers, KeySpec } from "../command-table.ts";
import { commandOf } from "../dispatch.ts";
import { positionsOf } from "../key-positions.ts";
import type { ReplyWriter } from "../writer.ts";
import { textOf } from "./arguments.ts";

export const commandCommands: Handlers = {
  command: (call) => listed(call, call.context.commands.commands),

  "command|count": (call) => call.integer(call.context.commands.commands.length),

  "command|info": (call) => listed(call, call.args.length > 2 ? named(call) : call.context.commands.commands),

  "command|docs"(call) {
    const found = (call.args.length > 2 ? named(call) : call.context.commands.commands).filter(
      (spec) => spec !== undefined,
    );
    call.out.map(found.length);
    for (const spec of found) writeDocs(call.out, spec);
    call.end();
  },

  "command|list"(call) {
    const names = namesFor(call);
    if (names === undefined) {
      call.error("ERR syntax error");
      return;
    }
    call.out.array(names.length);
    for (const name of names) call.out.text(name);
    call.end();
  },

  "command|getkeys": (call) => keys(call, false),

  "command|getkeysandflags": (call) => keys(call, true),
};

function named(call: Call): (CommandSpec | undefined)[] {
  return call.args.slice(2).map((name) => call.context.commands.named(textOf(name).toLowerCase()));
}

function listed(call: Call, specs: readonly (CommandSpec | undefined)[]): void {
  call.out.array(specs.length);
  for (const spec of specs) {
    // Redis has the null array here.
    if (spec === undefined) call.out.nullArray();
    else writeInfo(call.out, spec);
  }
  call.end();
}

function writeInfo(out: ReplyWriter, spec: CommandSpec): void {
  out.array(10);
  out.text(spec.name);
  out.integer(spec.arity);
  out.set(spec.flags.size);
  for (const flag of spec.flags) out.simple(flag);
  out.integer(spec.firstKey);
  out.integer(spec.lastKey);
  out.integer(spec.keyStep);
  out.set(spec.categories.length);
  for (const category of spec.categories) out.simple(`@${category}`);
  out.set(spec.tips.length);
  for (const tip of spec.tips) out.text(tip);
  out.set(spec.keySpecs.length);
  for (const keySpec of spec.keySpecs) writeKeySpec(out, keySpec);
  if (spec.subcommands.length === 0) out.set(0);
  else {
    out.array(spec.subcommands.length);
    for (const subcommand of spec.subcommands) writeInfo(out, subcommand);
  }
}

function writeKeySpec(out: ReplyWriter, { flags, index, kind, numbers }: KeySpec): void {
  out.map(3);
  out.text("flags");
  out.set(flags.length);
  for (const flag of flags) out.simple(flag);
  out.text("begin_search");
  out.map(2);
  out.text("type");
  out.text("index");
  out.text("spec");
  out.map(1);
  out.text("index");
  out.integer(index);
  out.text("find_keys");
  out.map(2);
  out.text("type");
  out.text(kind);
  out.text("spec");
  out.map(3);
  const names = kind === "range" ? ["lastkey", "keystep", "limit"] : ["keynumidx", "firstkey", "keystep"];
  for (const [i, name] of names.entries()) {
    out.text(name);
    out.integer(numbers[i]!);
  }
}

function writeDocs(out: ReplyWriter, spec: CommandSpec): void {
  const { subcommands } = spec;
  out.text(spec.name);
  out.map(subcommands.length > 0 ? 4 : 3);
  for (const name of ["summary", "since", "group"] as const) {
    out.text(name);
    out.text(spec[name]);
  }
  if (subcommands.length === 0) return;
  out.text("subcommands");
  out.map(subcommands.length);
  for (const subcommand of subcommands) writeDocs(out, subcommand);
}

/** COMMAND LIST [FILTERBY ACLCAT category | PATTERN pattern | MODULE name]. */
function namesFor({ args, context }: Call): string[] | undefined {
  const all = context.commands.commands.flatMap((spec) => [spec, ...spec.subcommands]);
  if (args.length === 2) return context.commands.commands.map((spec) => spec.name);
  if (args.length !== 5 || textOf(args[2]!).toLowerCase() !== "filterby") return undefined;
  const value = textOf(args[4]!).toLowerCase();
  switch (textOf(args[3]!).toLowerCase()) {
    case "aclcat":
      return all.filter((spec) => spec.categories.includes(value)).map((spec) => spec.name);
    case "pattern": {
      const matches = globOf(Buffer.from(value));
      return all.filter((spec) => matches(Buffer.from(spec.name))).map((spec) => spec.name);
    }
    case "module":
      return [];
    default:
      return undefined;
  }
}

function keys(call: Call, withFlags: boolean): void {
  const args = call.args.slice(2);
  const spec = commandOf(call.context.commands, args);
  if (typeof spec === "string") {
    const unknown = spec.startsWith("ERR unknown");
    call.error(`ERR Invalid ${unknown ? "command specified" : "number of arguments specified for command"}`);
    return;
  }
  const found: { readonly key: Buffer; readonly flags: readonly string[] }[] = [];
  for (const keySpec of spec.keySpecs) {
    const positions = positionsOf(keySpec, args);
    if (positions === undefined) {
      call.error("ERR Invalid arguments specified for command");
      return;
    }
    for (const i of positions) found.push({ key: args[i]!, flags: keySpec.flags });
  }
  if (found.length === 0) {
    call.error("ERR The command has no key arguments");
    return;
  }
  call.out.array(found.length);
  for (const { key, flags } of found) {
    if (withFlags) call.out.array(2);
    call.out.bulk(key);
    if (!withFlags) continue;
    call.out.set(flags.length);
    for (const flag of flags) call.out.simple(flag);
  }
  call.end();
}
