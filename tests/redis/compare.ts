/** When two replies to one command count as the same, and where they are known to differ and why. */
import { type Argument, decode, type Node, shown } from "../support/redis-resp.ts";

/** A reply that is known to be another one here, and why. What follows it isn't compared: the two may hold other things by then. */
interface Difference {
  readonly why: string;
  /** `command`: name and arguments in upper case. */
  readonly applies: (command: readonly string[], expected: Node, actual: Node) => boolean;
}

const says = (node: Node, start: string): boolean => isError(node) && node.text!.startsWith(start);

/** All of them; `docs/redis.md` says each. */
const differences: readonly Difference[] = [
  {
    why: "WATCH compares what a key holds: one that wasn't there, came and went counts as unchanged",
    applies: ([name], expected, actual) =>
      name === "EXEC" && isNull(expected) && !isNull(actual) && !isError(actual),
  },
  {
    why: "EXEC with arguments is refused without ending the transaction",
    applies: ([name, extra], expected) =>
      name === "EXEC" &&
      extra !== undefined &&
      says(expected, "EXECABORT Transaction discarded because of: wrong"),
  },
];

/** How long the two servers may be apart in carrying out one step: a loaded machine's worst. */
const apartMsMax = 10_000;

type Rule = "same" | "time" | "form" | "set" | "scan" | "encoding" | "count";

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

/** Whether Redis may hold by this what has expired already: it keeps what is set with an expiry in the past until it comes across it. */
function mayExpireAtOnce(args: readonly Argument[]): boolean {
  const words = args.map((arg) => String(arg).toUpperCase());
  return words[0] === "SET" && words.some((word) => word === "EXAT" || word === "PXAT");
}

function ruleOf(args: readonly Argument[], hasExpired: boolean): Rule {
  const name = String(args[0]).toUpperCase();
  // Redis counts what has expired but was not come across yet.
  if (name === "DBSIZE" && hasExpired) return "count";
  const sub = String(args[1] ?? "").toUpperCase();
  if (name === "OBJECT") return sub === "IDLETIME" ? "form" : sub === "ENCODING" ? "encoding" : "same";
  // All of them, and how each is described.
  if (name === "COMMAND") return args.length === 1 ? "form" : "same";
  if (name === "CLIENT") return sub === "ID" ? "form" : "same";
  return rules[name] ?? "same";
}

const isNull = (node: Node): boolean => node.text === undefined && node.elements === undefined;
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
    case "encoding":
      // Redis keeps as `raw` what was once changed in place; here the value alone says.
      return a.text === "raw" || (a.text === "embstr" && b.text === "int");
    case "count":
      return Number(a.text) >= Number(b.text);
    case "scan":
      return a.elements?.length === 2 && b.elements?.length === 2;
  }
}

/** How a reply compares: as it must, not so, or in a way that is known. */
export type Verdict = { is: "same" } | { is: "known"; why: string } | { is: "different"; what: string };

/** Compares the replies of one connection, step by step; it knows which commands an EXEC carries out. */
export class Comparison {
  #queued: (readonly Argument[])[] = [];
  #hasExpired = false;

  judge(args: readonly Argument[], expected: Buffer, actual: Buffer): Verdict {
    const name = String(args[0]).toUpperCase();
    const [a, b] = [decode(expected)!.node, decode(actual)!.node];
    const queued = this.#note(name, args, a);
    this.#hasExpired ||= mayExpireAtOnce(args);
    if (expected.equals(actual)) return { is: "same" };
    if (
      name === "EXEC" &&
      queued.length > 0 &&
      a.elements?.length === queued.length &&
      b.elements?.length === queued.length
    ) {
      for (const [i, one] of queued.entries()) {
        const verdict = judged(one, a.elements[i]!, b.elements[i]!, expected, actual, this.#hasExpired);
        if (verdict.is !== "same") return verdict;
      }
      return { is: "same" };
    }
    return judged(args, a, b, expected, actual, this.#hasExpired);
  }

  /** Keeps count of what a transaction has queued; what was, before this command. */
  #note(name: string, args: readonly Argument[], reply: Node): readonly (readonly Argument[])[] {
    const queued = this.#queued;
    if (name === "MULTI" || name === "EXEC" || name === "DISCARD" || name === "RESET") {
      if (!isError(reply) || says(reply, "EXECABORT")) this.#queued = [];
    } else if (reply.text === "QUEUED") {
      this.#queued = [...queued, args];
    }
    return queued;
  }
}

function judged(
  args: readonly Argument[],
  a: Node,
  b: Node,
  expected: Buffer,
  actual: Buffer,
  hasExpired: boolean,
): Verdict {
  if (a.text !== "QUEUED" && b.text !== "QUEUED" && agrees(ruleOf(args, hasExpired), a, b)) {
    return { is: "same" };
  }
  const words = args.map((arg) => (typeof arg === "string" ? arg : arg.toString("latin1")));
  const command = words.map((one) => one.toUpperCase());
  const known = differences.find(({ applies }) => applies(command, a, b));
  if (known !== undefined) return { is: "known", why: known.why };
  const shownCommand = words.map((one) => JSON.stringify(one)).join(" ");
  const what = `${shownCommand}\n  redis-server: ${shown(expected)}\n  this cluster: ${shown(actual)}`;
  return { is: "different", what };
}
