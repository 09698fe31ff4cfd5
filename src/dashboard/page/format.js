// @ts-check
/** Numbers, sizes and times as people read them. */

/** 1234 is 1.23k. @param {number | null | undefined} value */
export function count(value) {
  if (value === null || value === undefined) return "–";
  for (const [unit, suffix] of /** @type {const} */ ([
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ])) {
    if (value >= unit) return digits(value / unit) + suffix;
  }
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : digits(value);
}

/** @param {number | null | undefined} value */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  for (const [unit, suffix] of /** @type {const} */ ([
    [2 ** 40, "TiB"],
    [2 ** 30, "GiB"],
    [2 ** 20, "MiB"],
    [2 ** 10, "KiB"],
  ])) {
    if (value >= unit) return `${digits(value / unit)} ${suffix}`;
  }
  return `${value} B`;
}

/** @param {number | null | undefined} value from 0 to 1 */
export function percent(value) {
  if (value === null || value === undefined) return "–";
  const hundred = value * 100;
  return `${hundred === 0 || hundred >= 99.95 ? Math.round(hundred) : hundred < 10 ? hundred.toFixed(1) : Math.round(hundred)} %`;
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds === 0) return "0 ms";
  if (seconds < 1e-3) return `${digits(seconds * 1e6)} µs`;
  if (seconds < 1) return `${digits(seconds * 1e3)} ms`;
  if (seconds < 90) return `${digits(seconds)} s`;
  if (seconds < 5_400) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** How long ago, on the axis of a plot. @param {number} seconds */
export function ago(seconds) {
  if (seconds <= 0) return "now";
  return seconds % 60 === 0 ? `−${seconds / 60} min` : `−${seconds} s`;
}

/** @param {number} atMs since 1970 */
export function clock(atMs) {
  return new Date(atMs).toLocaleTimeString([], {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hour12: false,
  });
}

/** `1 partition`, `2 partitions`. @param {number} number @param {string} word */
export function plural(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

/** Three of them. @param {number} value */
function digits(value) {
  return String(Number(value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)));
}
