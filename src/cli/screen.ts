/** The whole terminal, for something that is refreshed in place; it is given back as it was, however that ends. */
import type { Terminal } from "./client.ts";

/** Keys that are understood; others are passed over. */
export type Key = "quit" | "up" | "down" | "page-up" | "page-down" | "top";

const enter = "\x1b[?1049h\x1b[?25l";
const leave = "\x1b[?25h\x1b[?1049l";
const home = "\x1b[H";
const restOfLine = "\x1b[K";
const restOfScreen = "\x1b[J";

const keys: Readonly<Record<string, Key>> = {
  q: "quit",
  "\x03": "quit",
  "\x04": "quit",
  k: "up",
  "\x1b[A": "up",
  "\x1bOA": "up",
  j: "down",
  "\x1b[B": "down",
  "\x1bOB": "down",
  "\x1b[5~": "page-up",
  "\x1b[6~": "page-down",
  " ": "page-down",
  g: "top",
  "\x1b[H": "top",
};

/** Several arrive at once where a key is held. What isn't known is passed over, character by character. */
export function keysIn(typed: string): Key[] {
  const pressed: Key[] = [];
  for (let at = 0; at < typed.length; ) {
    const sequence = Object.keys(keys)
      .filter((one) => typed.startsWith(one, at))
      .sort((a, b) => b.length - a.length)[0];
    if (sequence !== undefined) pressed.push(keys[sequence]!);
    at += sequence?.length ?? 1;
  }
  return pressed;
}

export interface ScreenEvents {
  key(key: Key): void;
  resized(): void;
}

export class Screen {
  readonly #terminal: Terminal;
  readonly #onKey: (typed: Buffer) => void;
  readonly #onResize: () => void;
  readonly #onSignal: () => void;
  readonly #onExit = (): void => this.close();
  #open = true;

  constructor(terminal: Terminal, { key, resized }: ScreenEvents) {
    this.#terminal = terminal;
    this.#onKey = (typed) => {
      for (const pressed of keysIn(typed.toString("latin1"))) key(pressed);
    };
    this.#onResize = resized;
    this.#onSignal = () => key("quit");
    const { stdin, stdout } = terminal;
    stdout.write(enter);
    stdout.on("resize", this.#onResize);
    if (stdin.isTTY) {
      stdin.setRawMode(true);
      stdin.on("data", this.#onKey);
      stdin.resume();
    }
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, this.#onSignal);
    process.on("exit", this.#onExit);
  }

  get columns(): number {
    // A pseudo terminal whose size nobody has set has none.
    return this.#terminal.stdout.columns || 80;
  }

  get rows(): number {
    return this.#terminal.stdout.rows || 24;
  }

  /** At most {@link rows} lines of at most {@link columns} characters. */
  draw(lines: readonly string[]): void {
    if (!this.#open) return;
    const text = lines
      .slice(0, this.rows)
      .map((line) => line + restOfLine)
      // Node's raw mode, too, leaves it to the terminal to make a line feed a new line.
      .join("\n");
    this.#terminal.stdout.write(`${home}${text}${restOfScreen}`);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const { stdin, stdout } = this.#terminal;
    stdout.off("resize", this.#onResize);
    if (stdin.isTTY) {
      stdin.off("data", this.#onKey);
      stdin.setRawMode(false);
      stdin.pause();
    }
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, this.#onSignal);
    process.off("exit", this.#onExit);
    stdout.write(leave);
  }
}
