/** The arguments of an inline request. Source: `sdssplitargs` of Redis. */

const quote = 0x22;
const apostrophe = 0x27;
const backslash = 0x5c;

const escapes: Readonly<Record<number, number>> = { 110: 0x0a, 114: 0x0d, 116: 0x09, 98: 0x08, 97: 0x07 };

/** Undefined if its quotes aren't balanced, or text follows a closing one. As in Redis, a zero byte ends the line. */
export function splitLine(line: Uint8Array): Buffer[] | undefined {
  const zero = line.indexOf(0);
  const size = zero === -1 ? line.length : zero;
  const args: Buffer[] = [];
  let at = 0;
  for (;;) {
    while (at < size && isSpace(line[at]!)) at++;
    if (at >= size) return args;
    const word: number[] = [];
    at = readWord(line, at, size, word);
    if (at === -1) return undefined;
    args.push(Buffer.from(word));
  }
}

/** Appends the word's bytes; returns where it ends, or -1. */
function readWord(line: Uint8Array, from: number, size: number, word: number[]): number {
  let at = from;
  while (at < size && !isSpace(line[at]!)) {
    const byte = line[at]!;
    if (byte === quote || byte === apostrophe) {
      at = byte === quote ? readQuoted(line, at + 1, size, word) : readVerbatim(line, at + 1, size, word);
      // A closing quote is followed by a space or by nothing.
      if (at === -1 || (at < size && !isSpace(line[at]!))) return -1;
      return at;
    }
    word.push(byte);
    at++;
  }
  return at;
}

function readQuoted(line: Uint8Array, from: number, size: number, word: number[]): number {
  for (let at = from; at < size; at++) {
    const byte = line[at]!;
    if (byte === quote) return at + 1;
    if (byte !== backslash || at + 1 >= size) {
      word.push(byte);
      continue;
    }
    const high = at + 3 < size && line[at + 1] === 0x78 ? hexDigit(line[at + 2]!) : -1;
    const low = high === -1 ? -1 : hexDigit(line[at + 3]!);
    if (low !== -1) {
      word.push(high * 16 + low);
      at += 3;
    } else {
      at++;
      word.push(escapes[line[at]!] ?? line[at]!);
    }
  }
  return -1;
}

/** In single quotes only `\'` is an escape. */
function readVerbatim(line: Uint8Array, from: number, size: number, word: number[]): number {
  for (let at = from; at < size; at++) {
    const byte = line[at]!;
    if (byte === apostrophe) return at + 1;
    if (byte === backslash && at + 1 < size && line[at + 1] === apostrophe) {
      word.push(apostrophe);
      at++;
    } else word.push(byte);
  }
  return -1;
}

/** C's `isspace`. */
function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
