/** GET and SET without options: the cache's own operations, which cost less than steps do. */
import { noBytes, Op } from "../../cache/command.ts";
import type { Handler, Handlers } from "../command-table.ts";

/** `general` carries out a SET with options. */
export function plainCommands(general: Handler): Handlers {
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
  };
}
