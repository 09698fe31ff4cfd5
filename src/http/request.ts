/** What a request says: the key in its URL, the command in its body. Everything here throws RingcacheErrors. */
import { isUtf8 } from "node:buffer";
import {
  type Command,
  expiresAtMsMax,
  keySizeBytesMax,
  noBytes,
  Op,
  valueSizeBytesMax,
} from "../cache/command.ts";
import { RingcacheError } from "../errors.ts";

const ampersand = 0x26;
const percent = 0x25;
const plus = 0x2b;
const space = 0x20;

/**
 * The key whose query parameter begins right at `start`, after `key=`, and is the last one. Node gives the URL with
 * one character per byte, so plain ASCII stands for itself; everything else is left to {@link keyOfQuery}.
 */
export function keyOfPlainTail(url: string, start: number): Buffer | undefined {
  const length = url.length;
  if (length === start || length - start > keySizeBytesMax) return undefined;
  for (let i = start; i < length; i++) {
    const char = url.charCodeAt(i);
    if (char === percent || char === plus || char === ampersand || char > 0x7f) return undefined;
  }
  return Buffer.from(url.slice(start), "latin1");
}

/**
 * The first `key` of a query (without its `?`), as `application/x-www-form-urlencoded`: `+` is a space, `%XX` a byte;
 * Node's parser lets no other byte than ASCII through. Throws URL_INVALID, KEY_MISSING, KEY_TOO_LONG.
 */
export function keyOfQuery(query: string): Buffer {
  let key: Buffer | undefined;
  for (let start = 0; start <= query.length; ) {
    const end = indexOfOrEnd(query, "&", start, query.length);
    const nameEnd = indexOfOrEnd(query, "=", start, end);
    const name = decodeForm(query, start, nameEnd);
    const value = decodeForm(query, Math.min(nameEnd + 1, end), end);
    if (key === undefined && name.length === 3 && name.toString("latin1") === "key") key = value;
    start = end + 1;
  }
  return checkKey(key ?? noBytes);
}

function indexOfOrEnd(text: string, char: string, start: number, end: number): number {
  const at = text.indexOf(char, start);
  return at === -1 || at > end ? end : at;
}

/** Throws URL_INVALID. */
function decodeForm(text: string, start: number, end: number): Buffer {
  const bytes = Buffer.allocUnsafe(end - start);
  let size = 0;
  for (let i = start; i < end; i++) {
    let byte = text.charCodeAt(i);
    if (byte === plus) byte = space;
    else if (byte === percent) {
      const high = i + 2 < end ? hexDigit(text.charCodeAt(i + 1)) : -1;
      const low = i + 2 < end ? hexDigit(text.charCodeAt(i + 2)) : -1;
      if (high < 0 || low < 0) {
        throw new RingcacheError(
          "URL_INVALID",
          "The query string has a % that isn't followed by two hex digits.",
        );
      }
      byte = high * 16 + low;
      i += 2;
    }
    bytes[size++] = byte;
  }
  const decoded = bytes.subarray(0, size);
  if (!isUtf8(decoded)) throw new RingcacheError("URL_INVALID", "The query string isn't UTF-8.");
  return decoded;
}

function hexDigit(char: number): number {
  if (char >= 0x30 && char <= 0x39) return char - 0x30;
  const lower = char | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function checkKey(key: Buffer): Buffer {
  if (key.length === 0) throw new RingcacheError("KEY_MISSING", "The request names no key, or an empty one.");
  if (key.length > keySizeBytesMax) throw keyTooLong(key.length);
  return key;
}

function keyTooLong(sizeBytes: number): RingcacheError {
  return new RingcacheError(
    "KEY_TOO_LONG",
    `The key is ${sizeBytes} bytes of UTF-8; at most ${keySizeBytesMax} are taken.`,
  );
}

/**
 * The command in the body of `POST /set`. `nowMs`: the wall clock. Throws BODY_NOT_JSON, KEY_MISSING, KEY_TOO_LONG,
 * FIELD_INVALID, VALUE_TOO_LARGE, TTL_INVALID.
 */
export function setCommandOf(body: Buffer, nowMs: number): Command {
  const fields = parseObject(body);
  if (fields.key === undefined || fields.key === "") checkKey(noBytes);
  const key = bytesOf("key", fields.key);
  if (key.length > keySizeBytesMax) throw keyTooLong(key.length);
  const value = bytesOf("value", fields.value);
  if (value.length > valueSizeBytesMax) {
    throw new RingcacheError(
      "VALUE_TOO_LARGE",
      `The value is ${value.length} bytes of UTF-8; at most ${valueSizeBytesMax} are taken.`,
    );
  }
  return { op: Op.set, key, value, expiresAtMs: expiryOf(fields.ttl, nowMs), expected: undefined };
}

function parseObject(body: Buffer): { key?: unknown; value?: unknown; ttl?: unknown } {
  // Decoding would replace what isn't UTF-8 and store something else than was sent.
  if (!isUtf8(body)) throw new RingcacheError("BODY_NOT_JSON", "The request body isn't UTF-8.");
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw new RingcacheError("BODY_NOT_JSON", "The request body isn't valid JSON.", { cause });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new RingcacheError("BODY_NOT_JSON", "The request body isn't a JSON object.");
  }
  return parsed;
}

/** Matches a surrogate that isn't half of a pair. */
const loneSurrogate = /\p{Surrogate}/u;

function bytesOf(name: string, field: unknown): Buffer {
  if (typeof field !== "string") {
    throw new RingcacheError("FIELD_INVALID", `The field "${name}" must be a string.`);
  }
  if (loneSurrogate.test(field)) {
    throw new RingcacheError(
      "FIELD_INVALID",
      `The field "${name}" has half of a surrogate pair, which isn't a character.`,
    );
  }
  return Buffer.from(field, "utf8");
}

/** Milliseconds since 1970 from a ttl in seconds; 0 for never. A positive ttl is at least 1 ms. */
function expiryOf(ttl: unknown, nowMs: number): number {
  if (ttl === undefined) return 0;
  if (typeof ttl !== "number") {
    throw new RingcacheError("FIELD_INVALID", 'The field "ttl" must be a number of seconds.');
  }
  if (!(ttl >= 0)) throw new RingcacheError("TTL_INVALID", "The ttl is negative.");
  if (ttl === 0) return 0;
  const expiresAtMs = Math.floor(nowMs) + Math.max(1, Math.round(ttl * 1000));
  if (!(expiresAtMs <= expiresAtMsMax)) {
    throw new RingcacheError("TTL_INVALID", "The ttl ends beyond the range of dates.");
  }
  return expiresAtMs;
}
