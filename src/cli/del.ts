import { ask, type ClientContext } from "./client.ts";

/** `ringcache del KEY` */
export async function del(context: ClientContext): Promise<number> {
  const [key = ""] = context.operands;
  const { body } = await ask(context, "DELETE", `/delete?key=${encodeURIComponent(key)}`);
  await context.out(body.deleted === true ? `deleted on ${body.node}\n` : "not there\n");
  return 0;
}
