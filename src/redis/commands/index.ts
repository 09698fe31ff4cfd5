/** Every command of the door. */
import type { Handlers } from "../command-table.ts";
import { clientCommands } from "./client.ts";
import { clusterCommands } from "./cluster.ts";
import { commandCommands } from "./command.ts";
import { connectionCommands } from "./connection.ts";
import { keyCommands } from "./keys.ts";
import { keyspaceCommands } from "./keyspace.ts";
import { plainCommands } from "./plain.ts";
import { pubsubCommands } from "./pubsub.ts";
import { scriptCommands } from "./scripts.ts";
import { serverCommands } from "./server.ts";
import { stringCommands } from "./strings.ts";
import { transactionCommands } from "./transactions.ts";

export const handlers: Handlers = {
  ...connectionCommands,
  ...clientCommands,
  ...commandCommands,
  ...serverCommands,
  ...clusterCommands,
  ...stringCommands,
  ...plainCommands(stringCommands.set!, stringCommands.mset!),
  ...keyCommands,
  ...keyspaceCommands,
  ...transactionCommands,
  ...scriptCommands,
  ...pubsubCommands,
};
