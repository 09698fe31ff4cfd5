/** Keeps a fixed number of operations in flight. */

/** How many operations end between two looks at the clock. */
const clockEvery = 16;

/**
 * Calls `issue(done)` so that `inFlight` operations are always under way, for `seconds`; then waits for the last. Each
 * operation calls `done(error)` once, not within `issue`. Rejects with the first error.
 */
export function closedLoop(issue, inFlight, seconds) {
  return new Promise((resolve, reject) => {
    const startedAtMs = performance.now();
    const endAtMs = startedAtMs + seconds * 1000;
    let operations = 0;
    let underWay = inFlight;
    let over = false;
    let left = clockEvery;
    const done = (error) => {
      if (error) {
        over = true;
        reject(error);
        return;
      }
      operations++;
      if (--left === 0) {
        left = Math.min(clockEvery, inFlight);
        over ||= performance.now() >= endAtMs;
      }
      if (!over) issue(done);
      else if (--underWay === 0) {
        const elapsedSeconds = (performance.now() - startedAtMs) / 1000;
        resolve({ operations, perSecond: operations / elapsedSeconds });
      }
    };
    for (let i = 0; i < inFlight; i++) issue(done);
  });
}
