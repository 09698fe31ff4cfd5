/** What is asked of a server rather than of its data. */
import { globOf } from "../../cache/steps/glob.ts";
import { integerOf } from "../../storage/integer.ts";
import type { Call } from "../call.ts";
import type { Handlers } from "../command-table.ts";
import type { RedisContext } from "../context.ts";
import { textOf } from "./arguments.ts";
import { infoText } from "./info.ts";

export const serverCommands: Handlers = {
  info(call) {
    call.out.verbatim(
      infoText(
        call.connection,
        call.args.slice(1).map((name) => textOf(name).toLowerCase()),
      ),
    );
    call.end();
  },

  "config|get"(call) {
    const patterns = call.args.slice(2).map((pattern) => globOf(Buffer.from(textOf(pattern).toLowerCase())));
    const found = Object.entries(parameters(call.context)).filter(([name]) => {
      const bytes = Buffer.from(name);
      return patterns.some((matches) => matches(bytes));
    });
    call.out.map(found.length);
    for (const [name, value] of found) {
      call.out.text(name);
      call.out.text(String(value));
    }
    call.end();
  },

  time(call) {
    const nowMs = call.context.runtime.wallMs();
    const seconds = Math.floor(nowMs / 1000);
    call.out.array(2);
    call.out.text(String(seconds));
    call.out.text(String(Math.floor((nowMs - seconds * 1000) * 1000)));
    call.end();
  },

  /** Nothing is ever saved: as a Redis without snapshots, which names the time of its start. */
  lastsave: (call) => call.integer(Math.floor(call.context.statistics.startedWallMs / 1000)),

  /** A write is acknowledged only once its backups have it: there is nothing to wait for. */
  wait(call) {
    const count = integerOf(call.args[1]!);
    const timeoutMs = integerOf(call.args[2]!);
    if (count === undefined) {
      call.error("ERR value is not an integer or out of range");
      return;
    }
    if (timeoutMs === undefined) {
      call.error("ERR timeout is not an integer or out of range");
      return;
    }
    if (timeoutMs < 0n) {
      call.error("ERR timeout is negative");
      return;
    }
    call.integer(backupsOf(call.context));
  },

  "module|list"(call) {
    call.out.array(0);
    call.end();
  },

  debug,
};

/** How many copies beside the owner's a write has that was answered, where fewest have it. */
function backupsOf({ ring }: RedisContext): number {
  const counts = ring?.table.rows.map((row) => row.backups.length) ?? [];
  return counts.length === 0 ? 0 : counts.reduce((least, count) => Math.min(least, count));
}

function debug(call: Call): void {
  const { args, context } = call;
  if (!context.debug) {
    call.error(
      'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.',
    );
    return;
  }
  const subcommand = textOf(args[1]!);
  const seconds = args.length === 3 ? Number(textOf(args[2]!)) : Number.NaN;
  if (subcommand.toLowerCase() !== "sleep" || !(seconds >= 0)) {
    call.out.errorLatin1(
      `ERR unknown subcommand or wrong number of arguments for '${subcommand}'. Try DEBUG HELP.`,
    );
    call.end();
    return;
  }
  // Redis stands still meanwhile; here only this connection waits.
  context.runtime.after(seconds * 1000, () => call.ok());
}

/** What CONFIG GET knows: the parameters that clients and tools ask for. */
function parameters(context: RedisContext): Readonly<Record<string, string | number>> {
  const { limits } = context;
  return {
    appendonly: "no",
    appendfsync: "everysec",
    bind: context.host,
    "client-output-buffer-limit": `normal ${limits.outputBytesMax} 0 0 slave 0 0 0 pubsub ${limits.pubsubOutputBytesMax} 0 0`,
    "client-query-buffer-limit": limits.requestBytesMax,
    "cluster-enabled": context.cluster === "always" ? "yes" : "no",
    databases: 1,
    maxclients: limits.clientsMax,
    maxmemory: memoryMaxBytes(context),
    "maxmemory-policy": "allkeys-lfu",
    "notify-keyspace-events": "",
    port: context.port,
    "proto-max-bulk-len": limits.bulkBytesMax,
    "replica-read-only": "yes",
    requirepass: context.password === "" ? "" : "********",
    save: "",
    "slave-read-only": "yes",
    "tcp-keepalive": 60,
    timeout: 0,
  };
}

function memoryMaxBytes({ door, ring }: RedisContext): number {
  return ring === undefined ? 0 : door.stats().memory_max_bytes;
}
