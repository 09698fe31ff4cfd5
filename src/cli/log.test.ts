import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { createLog, type LogOptions } from "./log.ts";

function linesOf(
  options: Omit<LogOptions, "stream">,
  write: (log: ReturnType<typeof createLog>) => void,
): string[] {
  const stream = new PassThrough();
  write(createLog({ ...options, stream }));
  return String(stream.read() ?? "")
    .split("\n")
    .filter(Boolean);
}

test("json: one object per event, with its fields", () => {
  const [line = ""] = linesOf({ level: "info", format: "json" }, (log) =>
    log
      .child({ node: "node-1" })
      .info({ event: "serving", http: "h:1", platform: "p", nats: "n" }, "serving on h:1"),
  );
  expect(JSON.parse(line)).toEqual({
    level: "info",
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    node: "node-1",
    event: "serving",
    http: "h:1",
    platform: "p",
    nats: "n",
    msg: "serving on h:1",
  });
});

test("human: one line per event, also with an error in it", () => {
  const lines = linesOf({ level: "info", format: "human" }, (log) => {
    log.info({ event: "serving", http: "h:1", platform: { a: [1, 2] }, nats: "n" }, "serving");
    log.error({ event: "defect", err: new Error("broken") }, "a defect");
  });
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(/INFO.*serving.*"event":"serving"/);
  expect(lines[1]).toMatch(/ERROR.*a defect.*broken/);
});

test("below the level nothing is written", () => {
  const write = (log: ReturnType<typeof createLog>): void => {
    log.debug({ event: "stranger", remote: "r", code: "c" }, "a");
    log.warn({ event: "rejoin-failed", error: "e" }, "b");
  };
  expect(linesOf({ level: "warn", format: "json" }, write)).toHaveLength(1);
  expect(linesOf({ level: "silent", format: "json" }, write)).toHaveLength(0);
});
