/** Numbers as Redis reads them from arguments. */
import { integerMax, integerMin, integerOf } from "../storage/integer.ts";

export const notAnInteger = "ERR value is not an integer or out of range";
export const notAFloat = "ERR value is not a valid float";
export const syntaxError = "ERR syntax error";

/** The same, as a number; beyond 2^53 nearly the same. */
export function numberOf(bytes: Buffer): number | undefined {
  const number = integerOf(bytes);
  return number === undefined ? undefined : Number(number);
}

/** What an option is called, in capitals. */
export function wordOf(bytes: Buffer | undefined): string {
  return bytes === undefined || bytes.length > 32 ? "" : bytes.toString("latin1").toUpperCase();
}

/**
 * When an entry expires: milliseconds since 1970, at least 1; undefined if that is beyond what Redis takes. `isFromNow`: what is given is
 * a time to live.
 */
export function expiryOf(
  amount: bigint,
  unitMs: 1 | 1_000,
  isFromNow: boolean,
  nowMs: number,
): number | undefined {
  const ms = amount * BigInt(unitMs);
  if (ms > integerMax || ms < integerMin) return undefined;
  const atMs = isFromNow ? ms + BigInt(Math.floor(nowMs)) : ms;
  if (atMs > integerMax) return undefined;
  return Math.max(Number(atMs), 1);
}
