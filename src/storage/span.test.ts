import fc from "fast-check";
import { expect, test } from "vitest";
import { copyBytes, equalBytes, Span } from "./span.ts";

const span = new Span();

test("bytes are copied and compared at every length, on both sides of where a built-in does it", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200, size: "max" }), fc.nat(8), fc.nat(), (key, at, which) => {
      const bytes = Buffer.alloc(at + key.length + 8, 0xa5);
      copyBytes(key, 0, key.length, bytes, at);
      expect(bytes.subarray(at, at + key.length).equals(key)).toBe(true);
      expect(bytes.subarray(at + key.length).every((byte) => byte === 0xa5)).toBe(true);
      const other = Buffer.from(key);
      expect(equalBytes(bytes, at, span.of(other))).toBe(true);
      if (other.length === 0) return;
      other[which % other.length]! ^= 1 << (which % 8);
      expect(equalBytes(bytes, at, span.of(other))).toBe(false);
    }),
  );
});
