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
