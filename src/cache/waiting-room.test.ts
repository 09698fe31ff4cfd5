import { beforeEach, expect, test } from "vitest";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { type Waiter, WaitingRoom } from "./waiting-room.ts";

let runtime: ManualRuntime;
let room: WaitingRoom;
let events: string[];

beforeEach(() => {
  runtime = new ManualRuntime();
  room = new WaitingRoom(runtime);
  events = [];
});

function waiter(name: string, partition = 0, deadlineInMs = 100, sizeBytes = 1): Waiter {
  return {
    partition,
    sizeBytes,
    deadlineAtMs: runtime.monotonicMs() + deadlineInMs,
    retry: () => void events.push(`retry ${name}`),
    expire: () => void events.push(`expire ${name}`),
    close: () => void events.push(`close ${name}`),
  };
}

test("wakes those of the partition, once, in the order in which they came", () => {
  for (const name of ["a", "b", "c"]) room.enter(waiter(name));
  room.enter(waiter("d", 1));
  room.wake(0);
  room.wake(0);
  expect(events).toEqual(["retry a", "retry b", "retry c"]);
  expect(room.count).toBe(1);
  room.wakeAll();
  expect(events.at(-1)).toBe("retry d");
  expect(room.count).toBe(0);
});

test("one that enters again while it is woken waits for the next time", () => {
  const again: Waiter = {
    ...waiter("again"),
    retry: () => {
      events.push("again");
      room.enter(again);
    },
  };
  room.enter(again);
  room.enter(waiter("b"));
  room.wake(0);
  expect(events).toEqual(["again", "retry b"]);
  expect(room.count).toBe(1);
});

test("a deadline ends the wait soon after it, and not before; nothing stays armed when nobody waits", async () => {
  room.enter(waiter("short", 0, 100));
  room.enter(waiter("long", 0, 1_000));
  await runtime.advance(99);
  expect(events).toEqual([]);
  await runtime.advance(11);
  expect(events).toEqual(["expire short"]);
  await runtime.advance(1_000);
  expect(events).toEqual(["expire short", "expire long"]);
  expect(room.count).toBe(0);
  expect(runtime.timers).toBe(0);
});

test("one that asked for it is retried after its time, unless its deadline comes first", async () => {
  room.enter(waiter("soon", 0, 1_000), 20);
  room.enter(waiter("late", 1, 10), 20);
  await runtime.advance(31);
  expect(events).toEqual(["expire late", "retry soon"]);
});

test("is bounded in waiters and in bytes, and has room again when somebody left", () => {
  const half = 128 * 1024 * 1024;
  expect(room.enter(waiter("a", 0, 100, half))).toBe(true);
  expect(room.enter(waiter("b", 1, 100, half))).toBe(true);
  expect(room.enter(waiter("c", 2, 100, 1))).toBe(false);
  room.wake(0);
  expect(room.enter(waiter("c", 2, 100, 1))).toBe(true);
  room.wakeAll();
  for (let i = 0; i < 65_536; i++) expect(room.enter(waiter("x", i % 7, 100, 0)) || i).toBe(true);
  expect(room.enter(waiter("x", 0, 100, 0))).toBe(false);
  room.wake(3);
  expect(room.enter(waiter("x", 0, 100, 0))).toBe(true);
});

test("closing tells whoever waits and whoever comes later", () => {
  room.enter(waiter("a"));
  room.close();
  expect(room.enter(waiter("b"))).toBe(true);
  expect(events).toEqual(["close a", "close b"]);
  expect(room.count).toBe(0);
  expect(runtime.timers).toBe(0);
});
