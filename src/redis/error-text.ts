/** The errors of the cache layer in the words of a Redis client's author: the code says what a client may do. */
import type { RingcacheError } from "../errors.ts";

/** `clusterAware`: the client knows the errors of Redis Cluster, and tries again after them. */
export function errorText(error: RingcacheError, clusterAware: boolean): string {
  const { code, message, outcome } = error;
  if (code === "MEMORY_FULL") return "OOM command not allowed when used memory > 'maxmemory'.";
  if (outcome === "none") {
    if (code === "NOT_READY" || code === "CLOSED") {
      return clusterAware ? "CLUSTERDOWN The cluster is down" : `LOADING ${message}`;
    }
    if (clusterAware && (code === "OVERLOADED" || code === "DEADLINE_EXCEEDED")) return `TRYAGAIN ${message}`;
  }
  return `ERR ${code} ${message}${outcome === "unknown" ? " (it may have been carried out)" : ""}`;
}
