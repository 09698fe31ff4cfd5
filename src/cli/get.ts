import { ask, type ClientContext } from "./client.ts";

/** `ringcache get KEY` */
export async function get(context: ClientContext): Promise<number> {
  const [key = ""] = context.operands;
  const { status, body } = await ask(context, "GET", `/get?key=${encodeURIComponent(key)}`, {
    accepted: [404],
  });
  if (status === 404 || typeof body.value !== "string") {
    await context.err(`There is no entry under ${JSON.stringify(key)}.\n`);
    return 1;
  }
  await context.out(`${body.value}\n`);
  return 0;
}
