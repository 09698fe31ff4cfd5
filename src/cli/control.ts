/** What may be asked of a node that the command line starts. */
import type { CacheNode } from "../cache/node.ts";
import { RingcacheError } from "../errors.ts";
import type { NodeControl } from "../http/control.ts";
import { planMethod } from "../ring/coordinator.ts";
import type { Values } from "./options.ts";

/** `node`: undefined until it has joined. `leave` is called when somebody may and does ask for it, perhaps again. */
export function nodeControl(
  values: Values,
  node: () => CacheNode | undefined,
  leave: () => void,
): NodeControl {
  const joined = (): CacheNode => {
    const found = node();
    if (found === undefined) throw new RingcacheError("NOT_READY", "This node is still joining the ring.");
    return found;
  };
  return {
    drainFrom: values["drain-from"],
    drainTimeoutMs: values["drain-timeout"],
    drain() {
      const found = joined();
      leave();
      return found.drain();
    },
    async plan() {
      const { ring } = joined();
      if (ring.coordinator === "") {
        throw new RingcacheError("NOT_READY", "No member is known to coordinate just now.");
      }
      await ring.call(ring.coordinator, planMethod);
    },
  };
}
