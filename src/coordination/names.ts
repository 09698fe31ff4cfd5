/** The names that every implementation takes, so that what works in memory works on NATS. */
import { RingcacheError } from "../errors.ts";
import { channelMessageBytesMax } from "./coordination.ts";

const bucketNames = /^[A-Za-z0-9_-]{1,200}$/;
const keyNames = /^[A-Za-z0-9._-]{1,200}$/;

export function requireBucketName(name: string): void {
  if (!bucketNames.test(name)) {
    throw new RingcacheError(
      "INTERNAL",
      `A bucket's name is 1 to 200 letters, digits, - or _; not ${JSON.stringify(name)}.`,
    );
  }
}

export function requireKey(key: string): void {
  if (!keyNames.test(key)) {
    throw new RingcacheError(
      "INTERNAL",
      `A bucket's key is 1 to 200 letters, digits, -, _ or dots; not ${JSON.stringify(key)}.`,
    );
  }
}

export function requireMessage(message: Uint8Array): void {
  if (message.length > channelMessageBytesMax) {
    throw new RingcacheError(
      "INTERNAL",
      `A message has at most ${channelMessageBytesMax} bytes; not ${message.length}.`,
    );
  }
}

/** Revision 0 would mean "has no value" to NATS, which is what `create` is for. */
export function requireRevision(revision: number): void {
  if (!Number.isSafeInteger(revision) || revision < 1) {
    throw new RingcacheError("INTERNAL", `A revision is a positive integer; not ${revision}.`);
  }
}
