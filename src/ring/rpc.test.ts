import { expect, test } from "vitest";
import type { IncomingRequest } from "../peers/messages.ts";
import { decodeAnswer, encodeCall, Handlers } from "./rpc.ts";

function ask(handlers: Handlers, payload: Buffer, owns = (): boolean => true): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const request: IncomingRequest = {
      from: { id: "caller", incarnation: "1" },
      payload,
      reply: (bytes) => resolve(Buffer.from(bytes)),
    };
    try {
      handlers.serve(request, owns);
    } catch (error) {
      reject(error);
    }
  });
}

function echo(): Handlers {
  const handlers = new Handlers();
  handlers.set("echo", async (payload, { from }) => (payload === undefined ? from : payload));
  return handlers;
}

const cyclic: { self?: unknown } = {};
cyclic.self = cyclic;

test.each([[Buffer.from([0, 255, 10])], [{ a: [1, null, "ü"] }], [""], [0], [null], [false]])(
  "the payload %o comes back as it was sent",
  async (payload) => {
    const answer = await ask(echo(), encodeCall("echo", payload));
    expect(decodeAnswer(answer, "echo", "b")).toEqual({ notOwner: false, payload });
  },
);

test("no payload is undefined, and the caller's name is told", async () => {
  expect(decodeAnswer(await ask(echo(), encodeCall("echo", undefined)), "echo", "b").payload).toBe("caller");
});

test("bytes that a handler gets are its own", async () => {
  const handlers = new Handlers();
  let kept: Uint8Array | undefined;
  handlers.set("keep", (payload) => {
    kept = payload as Uint8Array;
  });
  const frame = encodeCall("keep", Buffer.from("mine"));
  await ask(handlers, frame);
  frame.fill(0);
  expect(Buffer.from(kept!).toString()).toBe("mine");
});

test("an unknown method, a handler that throws, and an answer without a form are errors of the caller's", async () => {
  const handlers = echo();
  handlers.set("throw", () => {
    throw new Error("its own words");
  });
  handlers.set("cycle", () => cyclic);
  const codeOf = async (method: string): Promise<unknown> => {
    const frame = await ask(handlers, encodeCall(method, 1));
    try {
      return decodeAnswer(frame, method, "b");
    } catch (error) {
      return error;
    }
  };
  expect(await codeOf("nothing")).toMatchObject({ code: "METHOD_UNKNOWN", outcome: "none" });
  expect(await codeOf("throw")).toMatchObject({
    ...{ code: "HANDLER_FAILED", message: "its own words", outcome: "unknown" },
  });
  expect(await codeOf("cycle")).toMatchObject({ code: "HANDLER_FAILED" });
});

test("a call to a partition that isn't served here runs nothing", async () => {
  const handlers = new Handlers();
  let ran = 0;
  handlers.set("count", () => ++ran);
  const asked: number[] = [];
  const owns = (partition: number): boolean => {
    asked.push(partition);
    return partition === 7;
  };
  const call = async (partition?: number) =>
    decodeAnswer(await ask(handlers, encodeCall("count", 1, partition), owns as () => boolean), "count", "b");
  expect(await call(8)).toEqual({ notOwner: true, payload: undefined });
  expect(await call(7)).toEqual({ notOwner: false, payload: 1 });
  expect(await call()).toEqual({ notOwner: false, payload: 2 });
  expect(asked).toEqual([8, 7]);
});

test("a request that ends early throws in that turn, so that the link is closed and the process lives", () => {
  for (const payload of [Buffer.alloc(0), Buffer.alloc(4), Buffer.alloc(5)]) {
    const request = { from: { id: "a", incarnation: "1" }, payload, reply: () => {} };
    expect(() => echo().serve(request, () => true)).toThrow(RangeError);
  }
});

test("a method's name has 1 to 255 bytes", () => {
  expect(() => encodeCall("", 1)).toThrow(/1 to 255/);
  expect(() => encodeCall("ü".repeat(128), 1)).toThrow(/1 to 255/);
  expect(() => encodeCall("x".repeat(255), 1)).not.toThrow();
  expect(() => encodeCall("x", () => {})).toThrow(/JSON/);
});
