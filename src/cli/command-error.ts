/** Ends a command: the sentence goes to stderr, the process exits with `exitCode`. */
export class CommandError extends Error {
  /** 2: the command line is wrong. 1: it was understood, but could not be carried out. */
  readonly exitCode: 1 | 2;

  constructor(message: string, exitCode: 1 | 2, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CommandError";
    this.exitCode = exitCode;
  }
}
