import { ask, type ClientContext } from "./client.ts";

/** `ringcache owner KEY` */
export async function owner(context: ClientContext): Promise<number> {
  const [key = ""] = context.operands;
  const { body } = await ask(context, "GET", `/owner?key=${encodeURIComponent(key)}`);
  if (context.values.json) {
    await context.out(`${JSON.stringify(body)}\n`);
    return 0;
  }
  if (body.owner === "") {
    await context.err(`Partition ${body.partition} has no owner just now.\n`);
    return 1;
  }
  await context.out(`${body.owner}\n`);
  return 0;
}
