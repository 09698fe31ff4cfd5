/** Integers as a counter's value and as Redis's arguments write them. */

export const integerMax: bigint = 2n ** 63n - 1n;
export const integerMin: bigint = -(2n ** 63n);

/** 64 bits, signed, in decimal digits, without spaces, a plus or zeros in front; undefined if it isn't one. */
export function integerOf(bytes: Buffer): bigint | undefined {
  if (bytes.length === 0 || bytes.length > 20) return undefined;
  const text = bytes.toString("latin1");
  if (!/^(0|-?[1-9][0-9]*)$/.test(text)) return undefined;
  const number = BigInt(text);
  return number > integerMax || number < integerMin ? undefined : number;
}
