/** Of Redis: what clients look at to know which commands there are. */
export const redisVersion = "7.4.0";
