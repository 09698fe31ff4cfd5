/** Which arguments of a request are its keys. */
import type { CommandSpec, KeySpec } from "./command-table.ts";

/** Positions in `args` of the keys, in the order of the specifications; undefined if a number of keys isn't valid. */
export function keyPositions(spec: CommandSpec, args: readonly Buffer[]): number[] | undefined {
  const positions: number[] = [];
  for (const keySpec of spec.keySpecs) {
    if (keySpec.flags.includes("not_key")) continue;
    const found = positionsOf(keySpec, args);
    if (found === undefined) return undefined;
    positions.push(...found);
  }
  return positions;
}

/** The same for one specification. */
export function positionsOf(
  { index, kind, numbers }: KeySpec,
  args: readonly Buffer[],
): number[] | undefined {
  const [a, b, c] = numbers;
  if (kind === "keynum") {
    const text = args[index + a]?.toString("latin1") ?? "";
    const count = /^(0|[1-9]\d{0,6})$/.test(text) ? Number(text) : Number.NaN;
    if (!(index + b + (count - 1) * c < args.length)) return undefined;
    return Array.from({ length: count }, (_, i) => index + b + i * c);
  }
  const last = a < 0 ? args.length + a : index + a;
  const positions: number[] = [];
  for (let i = index; i <= last && i < args.length; i += b) positions.push(i);
  return positions;
}
