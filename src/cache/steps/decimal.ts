/** Sums of decimal numbers without the rounding of binary ones, written as Redis writes them. */

/** Digits behind the point that are kept. */
const scaleMax = 17;
/** A sum of more digits before the point is beyond any number that a client can mean. */
const digitsMax = 4_932;

/** Undefined if one of them isn't a number; `infinite` if the sum is too large. */
export function addDecimals(one: string, other: string): string | "infinite" | undefined {
  const a = parse(one);
  const b = parse(other);
  if (a === undefined || b === undefined) return undefined;
  if (a === "infinite" || b === "infinite") return "infinite";
  const scale = Math.max(a.scale, b.scale);
  const sum = a.digits * 10n ** BigInt(scale - a.scale) + b.digits * 10n ** BigInt(scale - b.scale);
  return format(sum, scale);
}

/** `digits` / 10^`scale`. */
interface Decimal {
  readonly digits: bigint;
  readonly scale: number;
}

function parse(text: string): Decimal | "infinite" | undefined {
  if (/^[+-]?inf(inity)?$/i.test(text)) return "infinite";
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,6}))?$/i.exec(text);
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = match ?? [];
  if (match === null || whole.length + fraction.length === 0 || text.length > 256) return undefined;
  const power = Number(exponent);
  if (Math.abs(power) > digitsMax) return power > 0 ? "infinite" : { digits: 0n, scale: 0 };
  const digits = BigInt(`${whole}${fraction}`) * (sign === "-" ? -1n : 1n);
  const scale = fraction.length - power;
  return scale >= 0 ? { digits, scale } : { digits: digits * 10n ** BigInt(-scale), scale: 0 };
}

function format(digits: bigint, scale: number): string | "infinite" {
  let rounded = digits;
  let places = scale;
  if (places > scaleMax) {
    const factor = 10n ** BigInt(places - scaleMax);
    const half = factor / 2n;
    rounded = (rounded + (rounded < 0n ? -half : half)) / factor;
    places = scaleMax;
  }
  const negative = rounded < 0n;
  const text = String(negative ? -rounded : rounded).padStart(places + 1, "0");
  if (text.length - places > digitsMax) return "infinite";
  const whole = text.slice(0, text.length - places);
  const fraction = text.slice(text.length - places).replace(/0+$/, "");
  return `${negative ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`;
}
