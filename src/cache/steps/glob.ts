/** Patterns as Redis has them: `*`, `?`, `[ab]`, `[^ab]`, `[a-c]`, and `\` before what is meant as itself. On bytes. */

const star = 0x2a;
const question = 0x3f;
const open = 0x5b;
const close = 0x5d;
const caret = 0x5e;
const dash = 0x2d;
const backslash = 0x5c;

/** An empty pattern matches everything. */
export function globOf(pattern: Buffer): (key: Buffer) => boolean {
  if (pattern.length === 0 || (pattern.length === 1 && pattern[0] === star)) return () => true;
  return (key) => matches(pattern, key);
}

/** Goes back to the last star only, so it takes at most pattern × key steps. */
function matches(pattern: Buffer, key: Buffer): boolean {
  let p = 0;
  let k = 0;
  let starAt = -1;
  let keyAtStar = 0;
  while (k < key.length) {
    if (p < pattern.length && pattern[p] === star) {
      starAt = p++;
      keyAtStar = k;
      continue;
    }
    const next = p < pattern.length ? matchOne(pattern, p, key[k]!) : -1;
    if (next !== -1) {
      p = next;
      k++;
    } else if (starAt !== -1) {
      p = starAt + 1;
      k = ++keyAtStar;
    } else return false;
  }
  while (pattern[p] === star) p++;
  return p >= pattern.length;
}

/** Where the pattern goes on if what is at `p` matches the byte; -1 if it doesn't. */
function matchOne(pattern: Buffer, p: number, byte: number): number {
  const first = pattern[p]!;
  if (first === question) return p + 1;
  if (first === backslash && p + 1 < pattern.length) return pattern[p + 1] === byte ? p + 2 : -1;
  if (first !== open) return first === byte ? p + 1 : -1;
  let at = p + 1;
  const isNegated = pattern[at] === caret;
  if (isNegated) at++;
  let found = false;
  for (; at < pattern.length && pattern[at] !== close; at++) {
    if (pattern[at] === backslash && at + 1 < pattern.length) {
      at++;
      found ||= pattern[at] === byte;
    } else if (pattern[at + 1] === dash && at + 2 < pattern.length) {
      const from = Math.min(pattern[at]!, pattern[at + 2]!);
      const to = Math.max(pattern[at]!, pattern[at + 2]!);
      found ||= byte >= from && byte <= to;
      at += 2;
    } else found ||= pattern[at] === byte;
  }
  return found !== isNegated ? Math.min(at + 1, pattern.length) : -1;
}
