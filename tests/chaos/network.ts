/**
 * Machines of one's own on one Linux machine: network namespaces that hang on one bridge. What one sends to another can be
 * made to vanish without either being told, one way or both, as in a network that is cut: the sender is given a hardware
 * address for the other that nobody has.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";

let made = 0;

/** Nobody's. */
const nowhere = "02:00:5e:00:53:99";

/** Why there can't be any here; undefined if there can. */
export function whyNoNetwork(): string | undefined {
  if (process.platform !== "linux") return `network namespaces are Linux's; this is ${process.platform}`;
  if (process.getuid?.() !== 0) return "making network namespaces needs root";
  const version = spawnSync("ip", ["-V"], { encoding: "utf8" });
  if (version.error !== undefined) return "there is no `ip` (Debian's package iproute2)";
  try {
    new Network(["try"]).remove();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return undefined;
}

export class Network {
  readonly #subnet: string;
  readonly #names: readonly string[];
  /** Others may have networks beside this one: each has its own names. */
  readonly #name = `${process.pid}.${++made}`;
  /** Removes everything if this process dies without doing so: its end of the pipe closes. */
  readonly #watchdog: ChildProcess;

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#subnet = freeSubnet();
    const bridge = this.#bridge;
    const script = `read -r _; ${this.#removals()
      .map((args) => `ip ${args.join(" ")}`)
      .join("; ")}`;
    this.#watchdog = spawn("sh", ["-c", script], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    try {
      ip("link", "add", bridge, "type", "bridge");
      ip("addr", "add", `${this.#subnet}.1/24`, "dev", bridge);
      ip("link", "set", bridge, "up");
      for (const name of names) this.#add(name, bridge);
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  #add(name: string, bridge: string): void {
    const namespace = this.#namespace(name);
    const port = this.#port(name);
    ip("netns", "add", namespace);
    ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    ip("link", "set", port, "master", bridge, "up");
    ip("-n", namespace, "link", "set", "lo", "up");
    ip("-n", namespace, "addr", "add", `${this.address(name)}/24`, "dev", "eth0");
    ip("-n", namespace, "link", "set", "eth0", "up");
  }

  address(name: string): string {
    return `${this.#subnet}.${10 + this.#names.indexOf(name)}`;
  }

  /** What a command that is to run on that machine begins with. The process keeps its id. */
  launcher(name: string): string[] {
    return ["ip", "netns", "exec", this.#namespace(name)];
  }

  /** From now on nothing that `from` sends to `to` arrives. */
  cut(from: string, to: string): void {
    const target = ["lladdr", nowhere, "dev", "eth0", "nud", "permanent"];
    ip("-n", this.#namespace(from), "neigh", "replace", this.address(to), ...target);
  }

  heal(from: string, to: string): void {
    ip("-n", this.#namespace(from), "neigh", "del", this.address(to), "dev", "eth0");
  }

  remove(): void {
    this.#watchdog.kill("SIGKILL");
    for (const args of this.#removals()) spawnSync("ip", args);
  }

  /** The links too: a namespace without a name lives on until the last TCP connection in it has timed out. */
  #removals(): string[][] {
    const links = [...this.#names.map((name) => this.#port(name)), this.#bridge];
    return [
      ...links.map((link) => ["link", "del", link]),
      ...this.#names.map((name) => ["netns", "del", this.#namespace(name)]),
    ];
  }

  /** A machine's end of its cable at the bridge. */
  #port(name: string): string {
    return `${this.#bridge}.${this.#names.indexOf(name)}`;
  }

  /** At most 15 characters with what is added to it: the kernel's bound. */
  get #bridge(): string {
    return `rc${this.#name}`;
  }

  #namespace(name: string): string {
    return `ringcache.${this.#name}.${name}`;
  }
}

function ip(...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}

function freeSubnet(): string {
  const used = ip("-4", "-o", "addr");
  for (let i = 0; i < 256; i++) {
    const subnet = `10.213.${(process.pid + i) % 256}`;
    if (!used.includes(` ${subnet}.`)) return subnet;
  }
  throw new Error("10.213.0.0/16 is in use here");
}
