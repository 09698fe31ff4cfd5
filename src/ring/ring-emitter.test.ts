import { expect, test } from "vitest";
import { silentLog } from "../log.ts";
import { RingEmitter } from "./ring-emitter.ts";

class Emitter extends RingEmitter {
  say(): void {
    this.tell("lost", [1, 2]);
  }
}

test("a listener that throws is logged, and those behind it are told all the same", () => {
  const errors: object[] = [];
  const emitter = new Emitter({ ...silentLog, error: (fields) => void errors.push(fields) });
  const told: number[][] = [];
  emitter.on("lost", () => {
    throw new Error("no");
  });
  emitter.on("lost", (partitions) => void told.push(partitions));
  emitter.once("lost", (partitions) => void told.push(partitions));
  emitter.say();
  emitter.say();
  expect(told).toEqual([
    [1, 2],
    [1, 2],
    [1, 2],
  ]);
  expect(errors).toHaveLength(2);
});
