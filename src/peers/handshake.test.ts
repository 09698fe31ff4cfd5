import { describe, expect, it } from "vitest";
import {
  decodeHello,
  decodeWelcome,
  encodeHello,
  encodeProof,
  encodeWelcome,
  nonceBytes,
  proofIsRight,
} from "./handshake.ts";

const secret = Buffer.alloc(32, 1);
const other = Buffer.alloc(32, 2);
const a = { id: "a", incarnation: "1" };
const b = { id: "b", incarnation: "2" };
const nonce = (n: number): Buffer => Buffer.alloc(nonceBytes, n);
const hello = encodeHello(secret, { platform: "p", from: a, to: b }, nonce(1));
const welcome = encodeWelcome(secret, b, nonce(2), hello);

describe("handshake", () => {
  it("authenticates both sides", () => {
    expect(decodeHello(secret, "p", hello)).toEqual({ platform: "p", from: a, to: b });
    expect(decodeWelcome(secret, welcome, hello)).toEqual(b);
    expect(proofIsRight(secret, encodeProof(secret, hello, welcome), hello, welcome)).toBe(true);
  });

  it("takes nothing under another secret or platform", () => {
    expect(decodeHello(other, "p", hello)).toBeUndefined();
    expect(decodeHello(secret, "q", hello)).toBeUndefined();
    expect(decodeWelcome(other, welcome, hello)).toBeUndefined();
    expect(proofIsRight(other, encodeProof(secret, hello, welcome), hello, welcome)).toBe(false);
  });

  it("takes no message with any byte changed, cut short or lengthened", () => {
    for (let i = 0; i < hello.length; i++) {
      const changed = Buffer.from(hello);
      changed[i] = changed[i]! ^ 1;
      expect(decodeHello(secret, "p", changed)).toBeUndefined();
      expect(decodeHello(secret, "p", hello.subarray(0, i))).toBeUndefined();
    }
    for (let i = 0; i < welcome.length; i++) {
      const changed = Buffer.from(welcome);
      changed[i] = changed[i]! ^ 1;
      expect(decodeWelcome(secret, changed, hello)).toBeUndefined();
    }
    expect(decodeHello(secret, "p", Buffer.concat([hello, Buffer.of(0)]))).toBeUndefined();
  });

  it("takes no message in another's place, nor one of another handshake", () => {
    expect(decodeWelcome(secret, hello, hello)).toBeUndefined();
    expect(decodeHello(secret, "p", welcome)).toBeUndefined();
    expect(proofIsRight(secret, welcome.subarray(-32), hello, welcome)).toBe(false);
    const later = encodeHello(secret, { platform: "p", from: a, to: b }, nonce(3));
    expect(decodeWelcome(secret, welcome, later)).toBeUndefined();
    const laterWelcome = encodeWelcome(secret, b, nonce(4), hello);
    expect(proofIsRight(secret, encodeProof(secret, hello, welcome), hello, laterWelcome)).toBe(false);
  });
});
