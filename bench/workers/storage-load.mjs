/** The requests of the storage benchmark: which key, and whether it is read or written. All of it is made before anything is measured. */

export const keyBytes = 11;
export const valueBytes = 100;
/** How many requests there are before they start again. */
const requestCount = 2 ** 22;
const exponent = 0.99;

/** A small generator with a fixed start, so that each process gets the same requests (xorshift: Marsaglia, 2003). */
function fractions(start) {
  let state = start;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/**
 * Ranks from 0 by Zipf's law, in constant time each (Gray et al., "Quickly generating billion-record synthetic databases",
 * SIGMOD'94, as in YCSB).
 */
function zipfRanks(count, next) {
  let zeta = 0;
  for (let rank = 1; rank <= count; rank++) zeta += rank ** -exponent;
  const second = 1 + 0.5 ** exponent;
  const alpha = 1 / (1 - exponent);
  const eta = (1 - (2 / count) ** (1 - exponent)) / (1 - second / zeta);
  return () => {
    const part = next();
    if (part * zeta < 1) return 0;
    if (part * zeta < second) return 1;
    return Math.min(Math.floor(count * (eta * part - eta + 1) ** alpha), count - 1);
  };
}

/** Near the golden section of `count`, and without a common divisor: it spreads ranks over all keys, each on one of its own. */
function spreader(count) {
  const divisor = (a, b) => (b === 0 ? a : divisor(b, a % b));
  let factor = Math.max(Math.floor(count * 0.618), 1);
  while (divisor(count, factor) !== 1) factor++;
  return factor;
}

/** `numbers[i]` is the key of the i-th request, which is a write if `dice[i]` is below the percentage of writes. */
export function requests(entries) {
  const next = fractions(12_345);
  const rank = zipfRanks(entries, next);
  const factor = spreader(entries);
  const numbers = new Uint32Array(requestCount);
  const dice = new Uint8Array(requestCount);
  for (let i = 0; i < requestCount; i++) {
    numbers[i] = (rank() * factor) % entries;
    dice[i] = next() * 100;
  }
  return { numbers, dice, mask: requestCount - 1 };
}

const digits = 9;
const zero = 48;
const key = Buffer.from(`k:${"0".repeat(digits)}`, "latin1");

/** The key with that number, always in the same buffer, as a front door has it in what it has read from a socket. */
export function keyOf(number) {
  let left = number;
  for (let place = keyBytes - 1; place >= keyBytes - digits; place--) {
    const rest = (left / 10) | 0;
    key[place] = zero + left - rest * 10;
    left = rest;
  }
  return key;
}
