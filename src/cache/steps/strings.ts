/** Steps on the value of one key. Their results and failures are those of the Redis commands that they stand for. */
import { expiresAtMsMax, noBytes, valueSizeBytesMax } from "../command.ts";
import { addDecimals } from "./decimal.ts";
import type { Keyspace } from "./keyspace.ts";
import { ok, type Result, type Step } from "./step.ts";

/** Conditions and options of {@link set}, in its first argument's byte. */
export const SetFlag = { ifAbsent: 1, ifPresent: 2, get: 4, keepExpiry: 8 } as const;

const notAnInteger: Result = { failure: "ERR value is not an integer or out of range" };
const notAFloat: Result = { failure: "ERR value is not a valid float" };
const tooLong: Result = { failure: "ERR string exceeds maximum allowed size (proto-max-bulk-len)" };

type Carry = (space: Keyspace, step: Step) => Result;

/** Value. */
export const get: Carry = (space, { keys }) => copyOf(space.get(keys[0]!)?.value);

/** args: u8 {@link SetFlag}s; value; f64 expiry. Result: OK, or null if a condition doesn't hold; with `get` the value before. */
export const set: Carry = (space, { keys, args }) => {
  const key = keys[0]!;
  const flags = args[0]![0]!;
  const value = args[1]!;
  const before = space.peek(key);
  const old = (flags & SetFlag.get) === 0 ? null : copyOf(before?.value);
  const missed =
    ((flags & SetFlag.ifAbsent) !== 0 && before !== undefined) ||
    ((flags & SetFlag.ifPresent) !== 0 && before === undefined);
  if (missed) return old;
  const keeps = (flags & SetFlag.keepExpiry) !== 0;
  space.set(key, value, keeps ? (before?.expiresAtMs ?? 0) : args[2]!.readDoubleBE(0));
  return (flags & SetFlag.get) === 0 ? ok : old;
};

/** Value, or null. */
export const getDelete: Carry = (space, { keys }) => {
  const value = copyOf(space.get(keys[0]!)?.value);
  if (value !== null) space.delete(keys[0]!);
  return value;
};

/** args: f64 expiry, 0: none any more. Value, or null. */
export const getExpire: Carry = (space, { keys, args }) => {
  const entry = space.get(keys[0]!);
  if (entry === undefined) return null;
  const value = copyOf(entry.value);
  const expiresAtMs = args[0]!.readDoubleBE(0);
  if (expiresAtMs !== entry.expiresAtMs) space.touch(keys[0]!, expiresAtMs);
  return value;
};

/** args: bytes to put behind the value. Its length then. */
export const append: Carry = (space, { keys, args }) => {
  const before = space.get(keys[0]!)?.value.length ?? 0;
  return before + args[0]!.length > valueSizeBytesMax ? tooLong : space.append(keys[0]!, args[0]!);
};

export const length: Carry = (space, { keys }) => space.get(keys[0]!)?.value.length ?? 0;

/** args: f64 first and last byte, from the end if negative. */
export const getRange: Carry = (space, { keys, args }) => {
  const value = space.get(keys[0]!)?.value ?? noBytes;
  const size = value.length;
  let first = args[0]!.readDoubleBE(0);
  let last = args[1]!.readDoubleBE(0);
  if (first < 0 && last < 0 && first > last) return Buffer.alloc(0);
  if (first < 0) first = Math.max(size + first, 0);
  if (last < 0) last = Math.max(size + last, 0);
  last = Math.min(last, size - 1);
  return first > last || size === 0 ? Buffer.alloc(0) : Buffer.from(value.subarray(first, last + 1));
};

/** args: f64 place, not negative; bytes to write there. The value's length then. */
export const setRange: Carry = (space, { keys, args }) => {
  const place = args[0]!.readDoubleBE(0);
  const bytes = args[1]!;
  const before = space.get(keys[0]!);
  const sizeBefore = before?.value.length ?? 0;
  if (bytes.length === 0) return sizeBefore;
  if (place + bytes.length > valueSizeBytesMax) return tooLong;
  const value = Buffer.alloc(Math.max(sizeBefore, place + bytes.length));
  if (before !== undefined) value.set(before.value, 0);
  value.set(bytes, place);
  space.set(keys[0]!, value, before?.expiresAtMs ?? 0);
  return value.length;
};

/** args: i64 to add. The sum. */
export const add: Carry = (space, { keys, args }) => {
  const sum = space.add(keys[0]!, args[0]!.readBigInt64BE(0));
  if (sum === "out-of-range") return { failure: "ERR increment or decrement would overflow" };
  return sum === "not-an-integer" ? notAnInteger : sum;
};

/** args: a decimal number to add. The sum, as bytes. */
export const addFloat: Carry = (space, { keys, args }) => {
  const before = space.get(keys[0]!);
  const sum = addDecimals(before?.value.toString("latin1") ?? "0", args[0]!.toString("latin1"));
  if (sum === undefined) return notAFloat;
  if (sum === "infinite") return { failure: "ERR increment would produce NaN or Infinity" };
  const value = Buffer.from(sum, "latin1");
  space.set(keys[0]!, value, before?.expiresAtMs ?? 0);
  return value;
};

export function copyOf(value: Buffer | undefined): Buffer | null {
  return value === undefined ? null : Buffer.from(value);
}

/** As a step's argument: a number such as an expiry, at most {@link expiresAtMsMax}. */
export function numberArg(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeDoubleBE(Math.min(value, expiresAtMsMax), 0);
  return bytes;
}

export function integerArg(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(value, 0);
  return bytes;
}
