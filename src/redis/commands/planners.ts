/** All commands that come down to steps: EXEC carries them out together. */
import type { Planners } from "../plan.ts";
import { keyPlanners } from "./keys.ts";
import { scriptPlanners } from "./scripts.ts";
import { stringPlanners } from "./strings.ts";

export const planners: Planners = { ...stringPlanners, ...keyPlanners, ...scriptPlanners };
