/** Stores without a limit, for tests that are about something else. */
import { Stores } from "../../src/cache/stores.ts";
import { systemRuntime } from "../../src/runtime.ts";
import type { PartitionStore } from "../../src/storage/partition-store.ts";

export function testStores(): Stores {
  return new Stores({
    runtime: systemRuntime,
    maxMemoryBytes: Number.POSITIVE_INFINITY,
    eviction: "s3-fifo",
  });
}

/** `key=value@expiry` of each entry, in the order of the keys. */
export function contentsOf(store: PartitionStore): string[] {
  const found: string[] = [];
  store.scan(0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, (key, { value, expiresAtMs }) => {
    found.push(`${key}=${value}@${expiresAtMs}`);
  });
  return found.sort();
}
