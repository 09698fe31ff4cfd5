#!/usr/bin/env node
/** The program `ringcache`. Exit codes: 0 done, 1 could not be done, 2 wrong command line. */
import { readFileSync } from "node:fs";
import { messageOf } from "../errors.ts";
import { systemRuntime } from "../runtime.ts";
import type { ClientContext, Output } from "./client.ts";
import { CommandError } from "./command-error.ts";
import { commandHelp, generalHelp } from "./help.ts";
import type { CommandName } from "./options.ts";
import { type CommandLine, parse } from "./parse.ts";

function writeTo(stream: NodeJS.WriteStream): (text: string) => Promise<void> {
  // A reader that went away, as in `ringcache get k | head -1`, is no error.
  stream.on("error", () => {});
  return (text) => new Promise((resolve) => stream.write(text, () => resolve()));
}

const output: Output = { out: writeTo(process.stdout), err: writeTo(process.stderr) };

/** Each command is loaded when it is asked for: `get` needs neither NATS nor the logger. */
async function run({ command, operands, values }: CommandLine): Promise<number> {
  const { stdin, stdout, stderr, env } = process;
  const terminal = { stdin, stdout, stderr, env };
  const context: ClientContext = { ...output, terminal, operands, values, runtime: systemRuntime };
  const commands: Record<CommandName, () => Promise<number>> = {
    start: async () => (await import("./start.ts")).start(values, systemRuntime),
    dev: async () => (await import("./dev.ts")).dev(values, systemRuntime, output),
    status: async () => (await import("./status.ts")).status(context),
    drain: async () => (await import("./drain.ts")).drain(context),
    rebalance: async () => (await import("./rebalance.ts")).rebalance(context),
    get: async () => (await import("./get.ts")).get(context),
    set: async () => (await import("./set.ts")).set(context),
    del: async () => (await import("./del.ts")).del(context),
    owner: async () => (await import("./owner.ts")).owner(context),
  };
  return commands[command]();
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

async function main(): Promise<number> {
  try {
    const request = parse(process.argv.slice(2), process.env);
    if (request.kind === "run") return await run(request);
    await output.out(
      request.kind === "version"
        ? `${version()}\n`
        : request.command === undefined
          ? generalHelp()
          : commandHelp(request.command),
    );
    return 0;
  } catch (error) {
    await output.err(`ringcache: ${messageOf(error)}\n`);
    return error instanceof CommandError ? error.exitCode : 1;
  }
}

// Everything has been written by now; what might still keep the process alive is closed or of no use.
process.exit(await main());
