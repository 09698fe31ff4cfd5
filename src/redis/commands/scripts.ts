/** EVAL and its kin: no interpreter, but native code for the scripts that well-known packages send. */
import { createHash } from "node:crypto";
import { isKnownScript } from "../../cache/steps/scripts.ts";
import { StepCode } from "../../cache/steps/step.ts";
import type { Call } from "../call.ts";
import type { Handlers } from "../command-table.ts";
import { notAnInteger, numberOf, wordOf } from "../numbers.ts";
import { oneStep, type Planner, type Planners, planned } from "../plan.ts";

const noScript = "NOSCRIPT No matching script. Please use EVAL.";

function shaOf(text: Buffer): string {
  return createHash("sha1").update(text).digest("hex");
}

/** `sha`: of the request's second argument. */
function evaluate(sha: (argument: Buffer) => string | undefined, unknown: string): Planner {
  return (args) => {
    const name = sha(args[1]!);
    if (name === undefined) return unknown;
    const count = numberOf(args[2]!);
    if (count === undefined) return notAnInteger;
    if (count > args.length - 3) return "ERR Number of keys can't be greater than number of args";
    if (count < 0) return "ERR Number of keys can't be negative";
    if (!isKnownScript(name)) return unknown;
    const keys = args.slice(3, 3 + count);
    return oneStep(StepCode.script, keys, [Buffer.from(name, "latin1"), ...args.slice(3 + count)]);
  };
}

const evalText = evaluate(
  shaOf,
  "ERR this script is not one of those that are built in; there is no interpreter",
);
const evalSha = evaluate(
  (argument) => (argument.length === 40 ? argument.toString("latin1").toLowerCase() : undefined),
  noScript,
);

export const scriptPlanners: Planners = {
  eval: evalText,
  eval_ro: evalText,
  evalsha: evalSha,
  evalsha_ro: evalSha,
};

export const scriptCommands: Handlers = {
  ...planned(scriptPlanners),

  "script|load"(call: Call) {
    const sha = shaOf(call.args[2]!);
    if (isKnownScript(sha)) call.text(sha);
    else call.error("ERR this script is not one of those that are built in; there is no interpreter");
  },

  "script|exists"(call: Call) {
    const { out, args } = call;
    out.array(args.length - 2);
    for (const sha of args.slice(2)) {
      out.integer(isKnownScript(sha.toString("latin1").toLowerCase()) ? 1 : 0);
    }
    call.end();
  },

  "script|flush"(call: Call) {
    const mode = wordOf(call.args[2]);
    if (call.args.length > 3 || (call.args.length === 3 && mode !== "ASYNC" && mode !== "SYNC")) {
      call.error("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
    } else call.ok();
  },
};
