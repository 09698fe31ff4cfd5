/** Every command of the door. */
import type { Handlers } from "../command-table.ts";
import { clientCommands } from "./client.ts";
import { clusterCommands } from "./cluster.ts";
import { commandCommands } from "./command.ts";
import { connectionCommands } from "./connection.ts";
import { serverCommands } from "./server.ts";

export const handlers: Handlers = {
  ...connectionCommands,
  ...clientCommands,
  ...commandCommands,
  ...serverCommands,
  ...clusterCommands,
};
