/** Request sequences for the eviction benchmark: real traces from files, and generated ones from a seed. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { gunzipSync } from "node:zlib";

/**
 * A workload: `keys[i]` and `sizes[i]` are the i-th request; keys are numbers from 0 without gaps. `sized` says whether
 * the sizes are bytes; else each is 1 and a cache holds a number of entries. `distinct` is the number of keys, `footprint` the
 * sum of their sizes as each was first asked for, `largest` the largest size.
 */
function workload(name, keys, sizes) {
  const seen = new Uint8Array(keys.length);
  let distinct = 0;
  let footprint = 0;
  let sized = false;
  let largest = 0;
  for (let i = 0; i < keys.length; i++) {
    if (sizes[i] !== 1) sized = true;
    if (sizes[i] > largest) largest = sizes[i];
    if (seen[keys[i]] === 1) continue;
    seen[keys[i]] = 1;
    distinct++;
    footprint += sizes[i];
  }
  return { name, keys, sizes, sized, distinct, footprint, largest };
}

/** `path`: lines of `time,key,size` with or without a heading, as text or as gzip. Throws at the first line that isn't one. */
export function readTrace(path) {
  const bytes = readFileSync(path);
  const text = (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString("utf8");
  const numbers = new Map();
  const keys = [];
  const sizes = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line === "" || (index === 0 && line.startsWith("time"))) continue;
    const fields = line.split(",");
    const size = Number(fields[2]);
    if (fields.length !== 3 || fields[1] === "" || !Number.isSafeInteger(size) || size < 0) {
      throw new Error(`${path}, line ${index + 1}: "${line.slice(0, 80)}" is not "time,key,size".`);
    }
    let number = numbers.get(fields[1]);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(fields[1], number);
    }
    keys.push(number);
    sizes.push(size);
  }
  if (keys.length === 0) throw new Error(`${path} has no requests.`);
  return workload(
    basename(path).replace(/\.csv(\.gz)?$/, ""),
    Uint32Array.from(keys),
    Float64Array.from(sizes),
  );
}

/** `count` requests for `keyCount` keys: the k-th most popular is asked for in proportion to 1 / k^`exponent`. */
export function zipf(name, { exponent, keyCount, count, seed }) {
  const next = zipfKeys(exponent, keyCount, seed);
  return generated(name, count, next);
}

/**
 * Zipf with a scan every `every` requests: `scanLength` keys, each asked for once and never again, as an export or a crawler
 * does. Keys that nobody asks for twice are what a policy should not make room for.
 */
export function zipfWithScans(name, { exponent, keyCount, count, every, scanLength, seed }) {
  const next = zipfKeys(exponent, keyCount, seed);
  let scanned = keyCount;
  return generated(name, count, (i) => (i % (every + scanLength) < every ? next() : scanned++));
}

function generated(name, count, next) {
  const numbers = new Map();
  const keys = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const key = next(i);
    let number = numbers.get(key);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(key, number);
    }
    keys[i] = number;
  }
  return workload(name, keys, new Float64Array(count).fill(1));
}

function zipfKeys(exponent, keyCount, seed) {
  const cumulative = new Float64Array(keyCount);
  let sum = 0;
  for (let k = 0; k < keyCount; k++) {
    sum += 1 / (k + 1) ** exponent;
    cumulative[k] = sum;
  }
  const random = randomNumbers(seed);
  return () => {
    const wanted = random() * sum;
    let low = 0;
    let high = keyCount - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (cumulative[middle] > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

/** Numbers from 0 to 1, the same for the same seed (xorshift32, Marsaglia 2003). */
function randomNumbers(seed) {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
