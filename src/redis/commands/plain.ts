/** GET, SET without options and MSET: the cache's own operations, which cost less than steps do. */
import { noBytes, Op } from "../../cache/command.ts";
import type { RingcacheError } from "../../errors.ts";
import type { Call } from "../call.ts";
import type { Handler, Handlers } from "../command-table.ts";

/** `general` and `generalMany` carry out a SET with options, and an MSET of keys that aren't all this node's. */
export function plainCommands(general: Handler, generalMany: Handler): Handlers {
  return {
    get(call) {
      const key = call.args[1]!;
      const command = { op: Op.get, key, value: noBytes, expiresAtMs: 0, expected: undefined };
      call.context.door.execute(command, call.onValue);
    },

    set(call) {
      if (call.args.length !== 3) {
        general(call);
        return;
      }
      const [, key, value] = call.args as readonly [Buffer, Buffer, Buffer];
      const command = { op: Op.set, key, value, expiresAtMs: 0, expected: undefined };
      call.context.door.execute(command, call.onOk);
    },

    mset(call) {
      if (call.args.length % 2 === 1 && servesAll(call)) setEach(call);
      else generalMany(call);
    },
  };
}

function servesAll({ args, context: { ring } }: Call): boolean {
  if (ring === undefined) return false;
  for (let i = 1; i < args.length; i += 2) if (!ring.serves(ring.partitionFor(args[i]!))) return false;
  return true;
}

/** All are set in this turn, with nothing in between. */
function setEach(call: Call): void {
  const { args, context } = call;
  let left = (args.length - 1) / 2;
  let failure: RingcacheError | undefined;
  const done = (error: RingcacheError | undefined): void => {
    failure ??= error;
    if (--left > 0) return;
    if (failure === undefined) call.ok();
    else call.fail(failure);
  };
  for (let i = 1; i < args.length; i += 2) {
    const [key, value] = [args[i]!, args[i + 1]!];
    context.door.execute({ op: Op.set, key, value, expiresAtMs: 0, expected: undefined }, done);
  }
}
