/** Steps on keys, whatever their values, and on a partition as a whole. */
import { cursorEnd } from "../../storage/key-index.ts";
import { globOf } from "./glob.ts";
import type { Keyspace } from "./keyspace.ts";
import { ok, type Result, type Step } from "./step.ts";
import { copyOf } from "./strings.ts";

type Carry = (space: Keyspace, step: Step) => Result;

/** Conditions of {@link expire}, in its second argument's byte. No expiry counts as one that never comes. */
export const ExpireFlag = { ifNone: 1, ifAny: 2, ifLater: 4, ifSooner: 8 } as const;

const noSuchKey: Result = { failure: "ERR no such key" };

/** How many of the keys there were. */
export const remove: Carry = (space, { keys }) => keys.filter((key) => space.delete(key)).length;

/** How many of the keys there are; one that is named twice counts twice. */
export const exists: Carry = (space, { keys }) => keys.filter((key) => space.get(key) !== undefined).length;

/** args: f64 expiry, 0: none any more; u8 {@link ExpireFlag}s. 1 if it was given, else 0. */
export const expire: Carry = (space, { keys, args }) => {
  const entry = space.peek(keys[0]!);
  if (entry === undefined) return 0;
  const expiresAtMs = args[0]!.readDoubleBE(0);
  const flags = args[1]?.[0] ?? 0;
  const before = entry.expiresAtMs;
  if (expiresAtMs === 0 && before === 0) return 0;
  if ((flags & ExpireFlag.ifNone) !== 0 && before !== 0) return 0;
  if ((flags & ExpireFlag.ifAny) !== 0 && before === 0) return 0;
  if ((flags & ExpireFlag.ifLater) !== 0 && (before === 0 || expiresAtMs <= before)) return 0;
  if ((flags & ExpireFlag.ifSooner) !== 0 && before !== 0 && expiresAtMs >= before) return 0;
  space.touch(keys[0]!, expiresAtMs);
  return 1;
};

/** -2 if there is no entry, -1 if it doesn't expire, else when: milliseconds since 1970. */
export const expiry: Carry = (space, { keys }) => {
  const entry = space.peek(keys[0]!);
  if (entry === undefined) return -2;
  return entry.expiresAtMs === 0 ? -1 : entry.expiresAtMs;
};

/** keys: from, to; args: u8 1: only if there is none at `to`. OK, or 1 and 0 with the condition. */
export const rename: Carry = (space, { keys, args }) => {
  const [from, to] = keys as [Buffer, Buffer];
  const onlyIfNew = args[0]?.[0] === 1;
  const entry = space.peek(from);
  if (entry === undefined) return noSuchKey;
  if (onlyIfNew && space.peek(to) !== undefined) return 0;
  const value = copyOf(entry.value)!;
  const { expiresAtMs } = entry;
  if (!from.equals(to)) {
    space.delete(from);
    space.set(to, value, expiresAtMs);
  }
  return onlyIfNew ? 1 : ok;
};

/** keys: from, to; args: u8 1: in place of what is at `to`. 1 if it was copied, else 0. */
export const copy: Carry = (space, { keys, args }) => {
  const [from, to] = keys as [Buffer, Buffer];
  const entry = space.peek(from);
  if (entry === undefined) return 0;
  if (args[0]?.[0] !== 1 && space.peek(to) !== undefined) return 0;
  space.set(to, copyOf(entry.value)!, entry.expiresAtMs);
  return 1;
};

/** args: a value for each key. 1 if all were set, 0 if one of the keys was there and so none was. */
export const setAll: Carry = (space, { keys, args }) => {
  if (keys.some((key) => space.peek(key) !== undefined)) return 0;
  keys.forEach((key, i) => {
    space.set(key, args[i]!, 0);
  });
  return 1;
};

/** Of each key, what {@link guard} compares: the number of the write that stored its entry, 0 if there is none. */
export const version: Carry = (space, { keys }) => keys.map((key) => space.peek(key)?.version ?? 0);

/** args: f64 version of each key. 1 if all are as they were; 0 if not, and no step after this one is carried out. */
export const guard: Carry = (space, { keys, args }) =>
  keys.every((key, i) => (space.peek(key)?.version ?? 0) === args[i]!.readDoubleBE(0)) ? 1 : 0;

/** Null, or: bytes of the value, how often it was used lately (0 to 3), bytes of memory that the entry takes. */
export const inspect: Carry = (space, { keys }) => {
  const found = space.store.inspect(keys[0]!, space.nowMs);
  return found === undefined ? null : [found.valueBytes, found.frequency, found.recordBytes];
};

/**
 * args: f64 cursor, 0 at first; f64 about how many; a glob pattern, empty: all. The next cursor, {@link cursorEnd} at the end, and
 * the keys. A pattern may let fewer through than asked for.
 */
export const scan: Carry = (space, { args }) => {
  const [cursor, count, pattern] = args as [Buffer, Buffer, Buffer];
  const matches = globOf(pattern);
  const keys: Buffer[] = [];
  const next = space.store.scan(cursor.readDoubleBE(0), count.readDoubleBE(0), space.nowMs, (key) => {
    if (matches(key)) keys.push(Buffer.from(key));
  });
  return [next, keys];
};

/** args: f64 cursor; f64 about how many. Removes entries from there on; the next cursor. */
export const flush: Carry = (space, { args }) => {
  const keys: Buffer[] = [];
  const next = space.store.scan(
    args[0]!.readDoubleBE(0),
    args[1]!.readDoubleBE(0),
    Number.NEGATIVE_INFINITY,
    (key) => keys.push(Buffer.from(key)),
  );
  for (const key of keys) space.delete(key);
  return next;
};

/** args: f64 from 0 to 1. A key from about there in the order of the hashes, or null if there is none. */
export const randomKey: Carry = (space, { args }) => {
  const start = Math.floor(args[0]!.readDoubleBE(0) * cursorEnd);
  for (const from of [start, 0]) {
    for (let cursor = from; cursor < cursorEnd; ) {
      const keys: Buffer[] = [];
      cursor = space.store.scan(cursor, 1, space.nowMs, (key) => keys.push(Buffer.from(key)));
      if (keys.length > 0) return keys[0]!;
    }
  }
  return null;
};

/** How many entries, expired ones that weren't removed yet included. */
export const size: Carry = (space) => space.store.size;
