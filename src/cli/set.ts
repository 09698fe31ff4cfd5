import { ask, type ClientContext } from "./client.ts";

/** `ringcache set KEY VALUE [--ttl SECONDS]` */
export async function set(context: ClientContext): Promise<number> {
  const [key, value] = context.operands;
  const { body } = await ask(context, "POST", "/set", { json: { key, value, ttl: context.values.ttl } });
  await context.out(`stored on ${body.node}\n`);
  return 0;
}
