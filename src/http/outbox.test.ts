import type { ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { silentLog } from "../log.ts";
import { systemRuntime } from "../runtime.ts";
import { Outbox } from "./outbox.ts";

/** An outbox whose turn ends when `endTurn` is called. */
function outboxOfOneTurn(): { outbox: Outbox; endTurn: () => void } {
  const soon: (() => void)[] = [];
  const runtime = { ...systemRuntime, soon: (fn: () => void) => void soon.push(fn) };
  const endTurn = (): void => {
    for (const fn of soon.splice(0)) fn();
  };
  return { outbox: new Outbox(runtime, silentLog), endTurn };
}

const response = (destroyed: string[] = []): ServerResponse =>
  ({ destroy: () => destroyed.push("destroyed") }) as unknown as ServerResponse;

test("answers of one turn go out together, in order, at its end", () => {
  const { outbox, endTurn } = outboxOfOneTurn();
  const sent: string[] = [];
  const send = (_res: ServerResponse, status: number, body: string): void => void sent.push(status + body);
  outbox.add(response(), 200, "a", send);
  outbox.add(response(), 404, "b", send);
  expect(sent).toEqual([]);
  endTurn();
  expect(sent).toEqual(["200a", "404b"]);
  outbox.add(response(), 200, "c", send);
  endTurn();
  expect(sent).toEqual(["200a", "404b", "200c"]);
});

test("an answer that can't be sent closes its connection and no other", () => {
  const { outbox, endTurn } = outboxOfOneTurn();
  const destroyed: string[] = [];
  const sent: string[] = [];
  const broken = (): void => {
    throw new Error("headers were sent already");
  };
  outbox.add(response(destroyed), 200, "", broken);
  outbox.add(response(), 200, "b", (_res, _status, body) => void sent.push(body));
  endTurn();
  expect(destroyed).toEqual(["destroyed"]);
  expect(sent).toEqual(["b"]);
});
