import { describe, expect, it } from "vitest";
import { putWrite, type Receipt, readWrites, type Write, WriteKind, writeSizeBytes } from "./write-wire.ts";

const origins = ["", "router-1", "router-1", "", "router-1", "router-2", "router-1"];

function message(): Buffer {
  const bytes = Buffer.alloc(4096);
  let end = 0;
  let before = "";
  origins.forEach((origin, i) => {
    const key = Buffer.from(`key-${i}`);
    const value = Buffer.alloc(i * 10, i);
    const receipt = origin === "" ? undefined : { origin, sequence: 100 + i, oldest: 90 + i };
    const place = { session: 7, partition: i, lsn: 2 ** 40 + i, settled: 2 ** 40 - 1 };
    const write = {
      kind: WriteKind.set,
      completes: i === 4,
      key,
      value,
      expiresAtMs: i === 2 ? 1.5e12 : 0,
      receipt,
    };
    const from = end;
    end = putWrite(bytes, end, place, write, before);
    expect(end - from).toBeLessThanOrEqual(writeSizeBytes(key, value, receipt));
    before = origin === "" ? before : origin;
  });
  return bytes.subarray(0, end);
}

function read(bytes: Buffer): Write[] {
  const writes: Write[] = [];
  readWrites(bytes, (write) => {
    const receipt: Receipt | undefined = write.receipt && { ...write.receipt };
    writes.push({ ...write, key: Buffer.from(write.key), value: Buffer.from(write.value), receipt });
  });
  return writes;
}

describe("writes on the wire", () => {
  it("are read as they were written, each with the origin of its own", () => {
    expect(read(message())).toEqual(
      origins.map((origin, i) => ({
        session: 7,
        partition: i,
        lsn: 2 ** 40 + i,
        settled: 2 ** 40 - 1,
        kind: WriteKind.set,
        completes: i === 4,
        expiresAtMs: i === 2 ? 1.5e12 : 0,
        key: Buffer.from(`key-${i}`),
        value: Buffer.alloc(i * 10, i),
        receipt: origin === "" ? undefined : { origin, sequence: 100 + i, oldest: 90 + i },
      })),
    );
  });

  it("name an origin once as long as it is the same", () => {
    expect(
      message()
        .toString("latin1")
        .match(/router-\d/g),
    ).toEqual(["router-1", "router-2", "router-1"]);
  });

  it("are refused if the first has the origin of the one before, or the last is cut off", () => {
    const place = { session: 1, partition: 0, lsn: 1, settled: 0 };
    const receipt = { origin: "r", sequence: 1, oldest: 1 };
    const key = Buffer.from("k");
    const bytes = Buffer.alloc(100);
    const end = putWrite(
      bytes,
      0,
      place,
      { kind: 1, completes: false, key, value: key, expiresAtMs: 0, receipt },
      "r",
    );
    expect(() => read(bytes.subarray(0, end))).toThrow(RangeError);
    const whole = message();
    expect(() => read(whole.subarray(0, -1))).toThrow(RangeError);
  });
});
