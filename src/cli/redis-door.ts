/** The Redis door of a node that the command line starts. */
import type { Log } from "../log.ts";
import type { RingView } from "../redis/context.ts";
import { defaultRedisLimits } from "../redis/limits.ts";
import { type RedisDoor, startRedis } from "../redis/server.ts";
import type { Runtime } from "../runtime.ts";
import type { DoorSlot } from "./door-slot.ts";
import type { Values } from "./options.ts";

/** Undefined if none is wanted. `ring`: undefined until the node has joined. */
export async function openRedis(
  values: Values,
  runtime: Runtime,
  log: Log,
  door: DoorSlot,
  ring: () => RingView | undefined,
  address = values.redis,
): Promise<RedisDoor | undefined> {
  if (address === undefined) return undefined;
  return startRedis({
    ...address,
    ...{ door, ring, log, runtime },
    password: values["redis-password"],
    cluster: values["redis-cluster"],
    // Whatever was accepted before the door closes is answered.
    limits: { closeTimeoutMs: values["request-deadline"] + defaultRedisLimits.closeTimeoutMs },
  });
}
