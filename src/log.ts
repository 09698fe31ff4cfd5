/** The shape of a logger that this project's classes need; a pino logger fits. Fields first, then the sentence. */
import type { LogEvent, LogLevel, logEvents } from "./log-events.ts";

type Events = typeof logEvents;
type Table<E extends LogEvent> = Events[E]["fields"];

/** What one event is logged with: its name, and its fields of the table. */
type FieldsOf<E extends LogEvent> = { readonly event: E } & {
  readonly [F in keyof Table<E> as F extends `${string}?` ? never : F]: unknown;
} & { readonly [F in keyof Table<E> as F extends `${infer Name}?` ? Name : never]?: unknown };

/** What may be logged at a level: the events that have it. */
export type LogFields<L extends LogLevel> = {
  [E in LogEvent]: Events[E]["level"] extends L ? FieldsOf<E> : never;
}[LogEvent];

export interface Log {
  debug(fields: LogFields<"debug">, message: string): void;
  info(fields: LogFields<"info">, message: string): void;
  warn(fields: LogFields<"warn">, message: string): void;
  error(fields: LogFields<"error">, message: string): void;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
