/** From a request to its command, and what stands in its way, in Redis's order of checks and Redis's words. */
import { keySizeBytesMax } from "../cache/command.ts";
import { emptyKey, longKey } from "./call.ts";
import { clusterRefusal } from "./cluster-refusal.ts";
import type { CommandSpec, CommandTable } from "./command-table.ts";
import type { Connection } from "./connection.ts";
import { keyPositions } from "./key-positions.ts";

/** Of a name or an argument in an error. */
const quotedMax = 128;

/** The command, or the subcommand of one that has some; or an error's text in latin1. */
export function commandOf(commands: CommandTable, args: readonly Buffer[]): CommandSpec | string {
  const command = commands.find(args[0]!);
  if (command === undefined) return unknownCommand(args);
  if (command.subcommands.length === 0 || args.length === 1) return withArity(command, args);
  const subcommand = commands.named(`${command.name}|${args[1]!.toString("latin1").toLowerCase()}`);
  if (subcommand?.handler !== undefined) return withArity(subcommand, args);
  return `ERR unknown subcommand '${quoted(args[1]!, quotedMax)}'. Try ${args[0]!.toString("latin1").toUpperCase()} HELP.`;
}

/**
 * Whether a browser sends this: a web page could make one send requests here, with commands in their bodies. Redis, too,
 * closes such a connection.
 */
export function isOfHttp(name: Buffer): boolean {
  return (name.length === 4 || name.length === 5) && /^(post|host:)$/i.test(name.toString("latin1"));
}

function withArity(spec: CommandSpec, args: readonly Buffer[]): CommandSpec | string {
  const { arity, handler } = spec;
  const fits = arity > 0 ? args.length === arity : args.length >= -arity;
  if (fits && handler !== undefined) return spec;
  return `ERR wrong number of arguments for '${spec.name}' command`;
}

function unknownCommand(args: readonly Buffer[]): string {
  let list = "";
  for (let i = 1; i < args.length && list.length < quotedMax; i++) {
    list += `'${quoted(args[i]!, quotedMax - list.length)}' `;
  }
  return `ERR unknown command '${quoted(args[0]!, quotedMax)}', with args beginning with: ${list}`;
}

/** As C prints a string: up to a zero byte. */
function quoted(bytes: Buffer, max: number): string {
  const text = bytes.toString("latin1", 0, max);
  const zero = text.indexOf("\0");
  return zero === -1 ? text : text.slice(0, zero);
}

/** Why the connection may not have this carried out now: an error's text, or undefined. */
export function refusal(
  connection: Connection,
  spec: CommandSpec,
  args: readonly Buffer[],
): string | undefined {
  if (!connection.authenticated && !spec.needsNoAuth) return "NOAUTH Authentication required.";
  if (connection.transaction !== undefined && spec.flags.has("no_multi")) {
    return "ERR Command not allowed inside a transaction";
  }
  if (spec.hasKeys) {
    const refused = spec.onlyKey > 0 ? keyRefusal(args[spec.onlyKey]!) : keysRefusal(connection, spec, args);
    if (refused !== undefined) return refused;
    if (spec.onlyKey > 0 && connection.clusterAware) {
      const elsewhere = clusterRefusal(connection, [args[spec.onlyKey]!]);
      if (elsewhere !== undefined) return elsewhere;
    }
  }
  if (connection.subscriptions > 0 && connection.protocol === 2 && !spec.runsSubscribed) {
    const name = spec.name;
    return `ERR Can't execute '${name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`;
  }
  return undefined;
}

/** Why the key can't be one: an error's text, or undefined. */
export function keyRefusal({ length }: Buffer): string | undefined {
  if (length > 0 && length <= keySizeBytesMax) return undefined;
  return length === 0 ? emptyKey : longKey;
}

function keysRefusal(connection: Connection, spec: CommandSpec, args: readonly Buffer[]): string | undefined {
  const keys = keyPositions(spec, args)?.map((i) => args[i]!);
  // The handler says what is wrong with a number of keys.
  if (keys === undefined) return undefined;
  for (const key of keys) {
    const refused = keyRefusal(key);
    if (refused !== undefined) return refused;
  }
  return connection.clusterAware ? clusterRefusal(connection, keys) : undefined;
}
