/** Carries out the steps of one run. */
import { messageOf } from "../../errors.ts";
import * as keys from "./keys.ts";
import type { Keyspace } from "./keyspace.ts";
import { script } from "./scripts.ts";
import { type Result, type Step, StepCode } from "./step.ts";
import * as strings from "./strings.ts";

const carriers: Readonly<Partial<Record<StepCode, (space: Keyspace, step: Step) => Result>>> = {
  [StepCode.get]: strings.get,
  [StepCode.set]: strings.set,
  [StepCode.getDelete]: strings.getDelete,
  [StepCode.getExpire]: strings.getExpire,
  [StepCode.append]: strings.append,
  [StepCode.length]: strings.length,
  [StepCode.getRange]: strings.getRange,
  [StepCode.setRange]: strings.setRange,
  [StepCode.add]: strings.add,
  [StepCode.addFloat]: strings.addFloat,
  [StepCode.delete]: keys.remove,
  [StepCode.exists]: keys.exists,
  [StepCode.expire]: keys.expire,
  [StepCode.expiry]: keys.expiry,
  [StepCode.rename]: keys.rename,
  [StepCode.copy]: keys.copy,
  [StepCode.setAll]: keys.setAll,
  [StepCode.version]: keys.version,
  [StepCode.guard]: keys.guard,
  [StepCode.inspect]: keys.inspect,
  [StepCode.scan]: keys.scan,
  [StepCode.flush]: keys.flush,
  [StepCode.randomKey]: keys.randomKey,
  [StepCode.size]: keys.size,
  [StepCode.script]: script,
};

/** The steps' results, and the keys that they name: a run without any is about all of the partition. */
export interface Outcome {
  readonly results: readonly Result[];
  readonly keys: readonly Buffer[];
}

/** A step that fails changes nothing, and those after it are carried out, as in Redis; a `guard` that fails ends the run. */
export function carryOut(steps: readonly Step[], space: Keyspace): Outcome {
  const results: Result[] = [];
  const named: Buffer[] = [];
  for (const step of steps) {
    named.push(...step.keys);
    const carrier = carriers[step.code];
    let result: Result = { failure: `ERR this node does not know step ${step.code}` };
    try {
      if (carrier !== undefined) result = carrier(space, step);
    } catch (error) {
      result = { failure: `ERR ${messageOf(error)}` };
    }
    results.push(result);
    if (step.code === StepCode.guard && result !== 1) break;
  }
  return { results, keys: named };
}
