/** `ringcache` in a real terminal: a pseudo one, which `script` makes, that of util-linux or of BSD. */
import { execFileSync, spawnSync } from "node:child_process";
import { stripVTControlCharacters } from "node:util";
import { Program } from "./node-process.ts";

const home = "\x1b[H";
const isUtilLinux = String(spawnSync("script", ["--version"]).stdout).includes("util-linux");

export class PseudoTerminal extends Program {
  /** When the program has ended, its exit code and the terminal's modes are printed. */
  constructor(args: readonly string[], columns: number, rows: number) {
    const size = `stty cols ${columns} rows ${rows}`;
    // The words that follow the launcher, without anything in them that a shell would read otherwise.
    const inner = `${size}; echo tty=\\$(tty); $*; echo exit=\\$?; stty -a`;
    const script = isUtilLinux ? `script -qfec "${inner}" /dev/null` : `script -q /dev/null sh -c "${inner}"`;
    super(args, undefined, ["sh", "-c", `TERM=xterm exec ${script}`, "sh"]);
  }

  /** What is on the screen: what was written since it was last drawn from its top. */
  get screen(): string {
    const from = this.stdout.lastIndexOf(home);
    return stripVTControlCharacters(from === -1 ? this.stdout : this.stdout.slice(from + home.length));
  }

  shows(what: RegExp, waitMs = 20_000): Promise<string> {
    return this.until(
      () => (what.test(this.screen) ? this.screen : undefined),
      `the screen shows ${what}`,
      waitMs,
    );
  }

  /** Types, as on a keyboard. */
  type(keys: string): void {
    this.write(keys);
  }

  /** As when a window is resized: the program gets SIGWINCH. */
  resize(columns: number, rows: number): void {
    const tty = /tty=(\S+)/.exec(this.stdout)?.[1];
    execFileSync("stty", [isUtilLinux ? "-F" : "-f", tty!, "cols", String(columns), "rows", String(rows)]);
  }
}
