/** Reading the arguments of requests. */

/** One character for each byte: what it is compared with is ASCII. */
export function textOf(bytes: Buffer): string {
  return bytes.toString("latin1");
}

/** `ON` or `OFF`, in any case. */
export function switchOf(bytes: Buffer): boolean | undefined {
  const text = textOf(bytes).toLowerCase();
  return text === "on" ? true : text === "off" ? false : undefined;
}

/** As Redis reads integers: no space, plus sign or leading zero, within 64 bits. */
export function bigIntegerOf(bytes: Buffer): bigint | undefined {
  const text = bytes.length <= 20 ? textOf(bytes) : "";
  if (!/^(0|-?[1-9]\d*)$/.test(text)) return undefined;
  const value = BigInt(text);
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

/** The same where more than 2^53 means nothing: such a number comes back rounded. */
export function integerOf(bytes: Buffer): number | undefined {
  const value = bigIntegerOf(bytes);
  return value === undefined ? undefined : Number(value);
}
