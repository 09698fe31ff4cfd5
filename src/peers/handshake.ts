/**
 * How two nodes prove to each other that they know the platform's secret, before any request is taken:
 *
 *     dialing side                                      accepting side
 *     hello   version, platform, who I am, whom I mean,
 *             nonce, MAC                            →   closes without a byte unless the MAC is right
 *                                                   ←   welcome  who I am, nonce, MAC over hello and welcome
 *     proof   MAC over hello and welcome            →   requests are taken from here on
 *
 * Each MAC is HMAC-SHA256 under a label of its own, so none can stand in for another, and the last two cover both
 * nonces and both identities: a replayed hello gets no further than a welcome, as the proof needs the secret.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { RingcacheError } from "../errors.ts";
import type { PeerIdentity } from "./messages.ts";

/** Nodes that speak another version don't understand each other's frames. */
export const protocolVersion = 2;

export const nonceBytes = 32;
const macBytes = 32;
/** A name is preceded by its length in one byte. */
const nameBytesMax = 255;

type Label = "hello" | "welcome" | "proof";

export interface Hello {
  readonly platform: string;
  readonly from: PeerIdentity;
  /** Whom the dialing side means to reach. */
  readonly to: PeerIdentity;
}

function mac(secret: Uint8Array, label: Label, ...parts: Uint8Array[]): Buffer {
  const hmac = createHmac("sha256", secret).update(`ringcache ${label}\0`);
  // Lengths first: no two different lists of parts run together into the same bytes.
  for (const part of parts) hmac.update(`${part.length}:`).update(part);
  return hmac.digest();
}

function name(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length > nameBytesMax) {
    throw new RingcacheError(
      "OPTION_INVALID",
      `a node's or platform's name is longer than ${nameBytesMax} bytes`,
    );
  }
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

function identity({ id, incarnation }: PeerIdentity): Buffer {
  return Buffer.concat([name(id), name(incarnation)]);
}

/** Reads the fields of a message; `ok` turns false when one runs past the end. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  ok = true;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  take(size: number): Buffer {
    if (this.#at + size > this.#bytes.length) this.ok = false;
    const taken = this.#bytes.subarray(this.#at, this.#at + size);
    this.#at += size;
    return taken;
  }

  byte(): number {
    return this.take(1)[0] ?? 0;
  }

  name(): string {
    return this.take(this.byte()).toString("utf8");
  }

  identity(): PeerIdentity {
    return { id: this.name(), incarnation: this.name() };
  }

  get finished(): boolean {
    return this.ok && this.#at === this.#bytes.length;
  }
}

/** Splits a message into what is signed and its MAC; undefined unless the MAC is right. */
function signedPart(
  secret: Uint8Array,
  label: Label,
  message: Buffer,
  ...before: Uint8Array[]
): Buffer | undefined {
  if (message.length < macBytes) return undefined;
  const signed = message.subarray(0, message.length - macBytes);
  const given = message.subarray(signed.length);
  return timingSafeEqual(given, mac(secret, label, ...before, signed)) ? signed : undefined;
}

export function encodeHello(secret: Uint8Array, hello: Hello, nonce: Uint8Array): Buffer {
  const signed = Buffer.concat([
    Buffer.of(protocolVersion),
    name(hello.platform),
    identity(hello.from),
    identity(hello.to),
    nonce,
  ]);
  return Buffer.concat([signed, mac(secret, "hello", signed)]);
}

/** Undefined for a stranger: another secret, version or platform, or no hello at all. */
export function decodeHello(secret: Uint8Array, platform: string, message: Buffer): Hello | undefined {
  const signed = signedPart(secret, "hello", message);
  if (signed === undefined) return undefined;
  const reader = new Reader(signed);
  if (reader.byte() !== protocolVersion) return undefined;
  const hello: Hello = { platform: reader.name(), from: reader.identity(), to: reader.identity() };
  reader.take(nonceBytes);
  return reader.finished && hello.platform === platform ? hello : undefined;
}

/** The answer to `hello`, the whole message that came in. */
export function encodeWelcome(
  secret: Uint8Array,
  self: PeerIdentity,
  nonce: Uint8Array,
  hello: Buffer,
): Buffer {
  const signed = Buffer.concat([identity(self), nonce]);
  return Buffer.concat([signed, mac(secret, "welcome", hello, signed)]);
}

/** Who answered `hello`, the whole message that was sent; undefined if it doesn't know the secret. */
export function decodeWelcome(secret: Uint8Array, message: Buffer, hello: Buffer): PeerIdentity | undefined {
  const signed = signedPart(secret, "welcome", message, hello);
  if (signed === undefined) return undefined;
  const reader = new Reader(signed);
  const who = reader.identity();
  reader.take(nonceBytes);
  return reader.finished ? who : undefined;
}

export function encodeProof(secret: Uint8Array, hello: Buffer, welcome: Buffer): Buffer {
  return mac(secret, "proof", hello, welcome);
}

export function proofIsRight(secret: Uint8Array, proof: Buffer, hello: Buffer, welcome: Buffer): boolean {
  return proof.length === macBytes && timingSafeEqual(proof, mac(secret, "proof", hello, welcome));
}

export function sameIdentity(a: PeerIdentity, b: PeerIdentity): boolean {
  return a.id === b.id && a.incarnation === b.incarnation;
}
