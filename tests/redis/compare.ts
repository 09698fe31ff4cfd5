/** When two replies to one command count as the same, and where they are known to differ and why. */
import { type Argument, decode, type Node, shown } from "../support/redis-resp.ts";

/** How long the two servers may be apart in carrying out one step: a loaded machine's worst. */
const apartMsMax = 10_000;

type Rule = "same" | "time" | "form" | "set" | "scan";

const rules: Readonly<Record<string, Rule>> = {
  // Counted from when the server carried it out.
  TTL: "time",
  PTTL: "time",
  EXPIRETIME: "time",
  PEXPIRETIME: "time",
  // In no particular order.
  KEYS: "set",
  // A step through the keyspace: its size is no promise, only that a whole walk meets every key.
  SCAN: "scan",
  // Any key.
  RANDOMKEY: "form",
  // What an implementation needs for an entry is its own.
  MEMORY: "form",
  // Ids, versions.
  HELLO: "form",
};

function ruleOf(args: readonly Argument[]): Rule {
  const name = String(args[0]).toUpperCase();
  const sub = String(args[1] ?? "").toUpperCase();
  if (name === "OBJECT") return sub === "IDLETIME" ? "form" : "same";
  // All of them, and how each is described.
  if (name === "COMMAND") return args.length === 1 ? "form" : "same";
  if (name === "CLIENT") return sub === "ID" ? "form" : "same";
  return rules[name] ?? "same";
}

const isError = (node: Node): boolean => node.type === "-" || node.type === "!";
const same = (a: Node, b: Node): boolean => JSON.stringify(a) === JSON.stringify(b);
const sorted = (node: Node): string => JSON.stringify((node.elements ?? []).map((one) => one.text).sort());

function agrees(rule: Rule, a: Node, b: Node): boolean {
  if (same(a, b)) return true;
  if (rule === "same" || a.type !== b.type || isError(a)) return false;
  switch (rule) {
    case "form":
      return (a.text === undefined) === (b.text === undefined);
    case "time": {
      const [one, other] = [Number(a.text), Number(b.text)];
      return one > 0 && other > 0 && Math.abs(one - other) <= apartMsMax;
    }
    case "set":
      return sorted(a) === sorted(b);
    case "scan":
      return a.elements?.length === 2 && b.elements?.length === 2;
  }
}

/** Compares the replies of one connection, step by step; it knows which commands an EXEC carries out. */
export class Comparison {
  #queued: Rule[] = [];

  /** Undefined if they agree, else what to say. */
  differs(args: readonly Argument[], expected: Buffer, actual: Buffer): string | undefined {
    const name = String(args[0]).toUpperCase();
    const [a, b] = [decode(expected)!.node, decode(actual)!.node];
    const queued = this.#queued;
    if (name === "MULTI" || name === "EXEC" || name === "DISCARD" || name === "RESET") {
      if (!isError(a) || a.text?.startsWith("EXECABORT")) this.#queued = [];
    } else if (a.text === "QUEUED") {
      this.#queued.push(ruleOf(args));
    }
    if (expected.equals(actual)) return undefined;
    if (a.text !== "QUEUED" && b.text !== "QUEUED") {
      if (name === "EXEC" && queued.length > 0) {
        const [ours, theirs] = [a.elements ?? [], b.elements ?? []];
        const isLong = ours.length === queued.length && theirs.length === queued.length;
        if (isLong && queued.every((rule, i) => agrees(rule, ours[i]!, theirs[i]!))) return undefined;
      } else if (agrees(ruleOf(args), a, b)) {
        return undefined;
      }
    }
    const command = args
      .map((arg) => JSON.stringify(typeof arg === "string" ? arg : arg.toString("latin1")))
      .join(" ");
    return `${command}\n  redis-server: ${shown(expected)}\n  this cluster: ${shown(actual)}`;
  }
}
