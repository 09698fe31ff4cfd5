/** The log of a running node: one line per event, JSON for machines or coloured text for people. */
import { pino } from "pino";
import pretty from "pino-pretty";
import type { Log } from "../log.ts";

export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error" | "silent";
  /** `auto`: human if stdout is a terminal, else json. */
  readonly format: "auto" | "human" | "json";
  /** Receives the lines; default stdout, written synchronously so that the last words of a process aren't lost. */
  readonly stream?: NodeJS.WritableStream;
}

/** `child(fields)` makes one that adds fields to every line. */
export interface RootLog extends Log {
  child(fields: object): Log;
}

/** A pino logger. */
export function createLog({ level, format, stream }: LogOptions): RootLog {
  const human = format === "human" || (format === "auto" && process.stdout.isTTY === true);
  const settings = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    // Whatever name a caller gives the error, it is written with type, message and stack.
    serializers: { err: pino.stdSerializers.err, error: pino.stdSerializers.err },
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (!human) return pino(settings, stream ?? pino.destination({ dest: 1, sync: true }));
  return pino(
    // pino-pretty spreads what is under pino's error key over many lines; under a key that isn't used it stays on one.
    { ...settings, errorKey: "thrown" },
    // A stream in this process, not a worker: what was logged before an exit has been written.
    pretty({
      destination: stream ?? 1,
      sync: true,
      colorize: stream === undefined && process.stdout.isTTY === true,
      singleLine: true,
      errorLikeObjectKeys: [],
      translateTime: "SYS:HH:MM:ss.l",
    }),
  );
}
