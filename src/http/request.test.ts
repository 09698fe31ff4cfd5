import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expiresAtMsMax } from "../cache/command.ts";
import { RingcacheError } from "../errors.ts";
import { keyOfPlainTail, keyOfQuery, setCommandOf } from "./request.ts";

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof RingcacheError) return thrown.code;
    throw thrown;
  }
  return "none";
}

const set = (fields: object, nowMs = 1_000): ReturnType<typeof setCommandOf> =>
  setCommandOf(Buffer.from(JSON.stringify(fields)), nowMs);

describe("keyOfQuery", () => {
  it.each([
    ["key=a", "a"],
    ["key=a+b", "a b"],
    ["key=a%2Bb%20c", "a+b c"],
    ["key=a%00b", "a\0b"],
    ["key=100%25", "100%"],
    ["key=a=b", "a=b"],
    ["key=a/b?c#d", "a/b?c#d"],
    ["key=%F0%9F%98%80", "😀"],
    ["key=\xc3\xa9", "é"],
    ["other=1&key=a&more=2", "a"],
    ["key=a&key=b", "a"],
    ["%6Bey=a", "a"],
    ["&&key=a&", "a"],
  ])("takes %j as %j", (query, key) => {
    expect(keyOfQuery(query).toString("utf8")).toBe(key);
  });

  it.each([
    ["", "KEY_MISSING"],
    ["key", "KEY_MISSING"],
    ["key=", "KEY_MISSING"],
    ["Key=a", "KEY_MISSING"],
    ["key=&key=a", "KEY_MISSING"],
    ["xkey=a", "KEY_MISSING"],
    ["key=%", "URL_INVALID"],
    ["key=%4", "URL_INVALID"],
    ["key=%zz", "URL_INVALID"],
    ["key=%4&x=1", "URL_INVALID"],
    ["key=a&x=%", "URL_INVALID"],
    ["key=%FF", "URL_INVALID"],
    ["key=%C0%80", "URL_INVALID"],
    ["key=%ED%A0%80", "URL_INVALID"],
    ["key=\xe9", "URL_INVALID"],
  ])("refuses %j: %s", (query, code) => {
    expect(codeOf(() => keyOfQuery(query))).toBe(code);
  });

  it("reads what URLSearchParams writes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), (key) => {
        expect(keyOfQuery(new URLSearchParams({ key }).toString()).toString("utf8")).toBe(key);
        expect(keyOfQuery(`key=${encodeURIComponent(key)}`).toString("utf8")).toBe(key);
      }),
    );
  });

  it("takes a key of 64 KiB and not one byte more", () => {
    const query = `key=${"%61".repeat(65536)}`;
    expect(keyOfQuery(query).length).toBe(65536);
    expect(codeOf(() => keyOfQuery(`${query}a`))).toBe("KEY_TOO_LONG");
  });
});

describe("keyOfPlainTail", () => {
  it("agrees with keyOfQuery wherever it answers", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii" }), (text) => {
        const key = keyOfPlainTail(`/get?key=${text}`, 9);
        if (key !== undefined) expect(key).toEqual(keyOfQuery(`key=${text}`));
      }),
    );
  });

  it.each(["", "a%20b", "a+b", "a&b", "\xc3\xa9"])("leaves %j to keyOfQuery", (text) => {
    expect(keyOfPlainTail(`/get?key=${text}`, 9)).toBeUndefined();
  });
});

describe("setCommandOf", () => {
  it.each([
    [undefined, 0],
    [0, 0],
    [-0, 0],
    [1, 2_000],
    [0.5, 1_500],
    [1.1, 2_100],
    [1e-9, 1_001],
    [Number.MIN_VALUE, 1_001],
  ])("a ttl of %j from 1000 ends at %j", (ttl, expiresAtMs) => {
    expect(set({ key: "k", value: "v", ttl }).expiresAtMs).toBe(expiresAtMs);
  });

  it("takes a ttl up to the last date and not a millisecond more", () => {
    expect(set({ key: "k", value: "v", ttl: 1 }, expiresAtMsMax - 1_000).expiresAtMs).toBe(expiresAtMsMax);
    expect(codeOf(() => set({ key: "k", value: "v", ttl: 1.001 }, expiresAtMsMax - 1_000))).toBe(
      "TTL_INVALID",
    );
  });

  it("keeps an empty value and passes unknown fields over", () => {
    const command = set({ key: "k", value: "", more: 1 });
    expect([command.key.toString(), command.value.length]).toEqual(["k", 0]);
  });

  it("has no prototype to be fooled with", () => {
    expect(codeOf(() => setCommandOf(Buffer.from('{"__proto__":{"key":"k","value":"v"}}'), 0))).toBe(
      "KEY_MISSING",
    );
  });
});
