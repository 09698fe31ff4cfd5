/** What a platform's creation fixed for good: it lies in the ring bucket, where only who may use NATS can read it. */
import type { Bucket, Change, Watch } from "../coordination/coordination.ts";
import { messageOf, RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import { type Runtime, sleep } from "../runtime.ts";

const settingsKey = "settings";
const secretSizeBytes = 32;
const formatVersion = 1;

export interface Settings {
  readonly partitions: number;
  /** Every peer link begins with a proof of knowing it. */
  readonly secret: Buffer;
}

/** Creates the platform or joins it. Throws PARTITIONS_MISMATCH. */
export async function agreeOnSettings(
  bucket: Bucket,
  runtime: Runtime,
  platform: string,
  partitions: number,
): Promise<Settings> {
  const secret = runtime.randomBytes(secretSizeBytes);
  const proposal = encode({ partitions, secret });
  let failure: unknown;
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      const entry = await bucket.get(settingsKey);
      if (entry === undefined) {
        if ((await bucket.create(settingsKey, proposal)).written) return { partitions, secret };
      } else {
        return check(entry.value, platform, partitions);
      }
    } catch (error) {
      if (error instanceof RingcacheError && !error.code.startsWith("COORDINATION_")) throw error;
      failure = error; // Whether it was stored will show: read again.
    }
    await sleep(runtime, 50 * (1 + attempt));
  }
  throw new RingcacheError(
    "COORDINATION_UNAVAILABLE",
    `the settings of platform "${platform}" can't be read`,
    {
      cause: failure,
    },
  );
}

/**
 * Puts the settings back into a bucket that has lost them, over those that a node may have made which was started on the
 * empty store. False: try again.
 */
export async function restoreSettings(bucket: Bucket, settings: Settings, log: Log): Promise<boolean> {
  try {
    if ((await bucket.create(settingsKey, encode(settings))).written) return true;
    const entry = await bucket.get(settingsKey);
    if (entry === undefined) return false;
    if (sameSettings(entry.value, settings)) return true;
    log.error(
      { event: "settings-overwritten" },
      "a node was started while the store was empty and made a platform of its own: putting the settings of this cluster back",
    );
    return (await bucket.update(settingsKey, encode(settings), entry.revision)).written;
  } catch (error) {
    log.debug(
      { event: "restore-unanswered", error: messageOf(error) },
      "no answer to restoring the settings",
    );
    return false;
  }
}

/**
 * Tells when the settings turn out to be others than those that this node agreed on: it was started on an empty store,
 * whose cluster has put its own back. A node that has seen the loss itself is of that cluster, and hears nothing.
 */
export function followSettings(
  bucket: Bucket,
  settings: Settings,
  log: Log,
  changed: (settings: Settings) => void,
): Watch {
  let hasSeenLoss = false;
  let known = settings;
  return bucket.watch({
    change: ({ key, value }: Change) => {
      if (key !== settingsKey || value === undefined || hasSeenLoss || sameSettings(value, known)) return;
      try {
        known = check(value, bucket.name, settings.partitions);
        changed(known);
      } catch (error) {
        log.error(
          { event: "settings-refused", error: messageOf(error) },
          "the platform has other settings than this node: stop it and start it again",
        );
      }
    },
    lost: () => {
      hasSeenLoss = true;
    },
  });
}

function encode({ partitions, secret }: Settings): Uint8Array {
  return Buffer.from(JSON.stringify({ version: formatVersion, partitions, secret: secret.toString("hex") }));
}

function sameSettings(value: Uint8Array, settings: Settings): boolean {
  return Buffer.from(value).equals(encode(settings));
}

function check(value: Uint8Array, platform: string, partitions: number): Settings {
  const found = JSON.parse(Buffer.from(value).toString("utf8")) as {
    version: number;
    partitions: number;
    secret: string;
  };
  if (found.version !== formatVersion) {
    throw new RingcacheError(
      "OPTION_INVALID",
      `platform "${platform}" was created by another version of ringcache (format ${found.version}, this is ${formatVersion})`,
    );
  }
  if (found.partitions !== partitions) {
    throw new RingcacheError(
      "PARTITIONS_MISMATCH",
      `platform "${platform}" has ${found.partitions} partitions, this node was started with ${partitions}: start it with --partitions ${found.partitions}`,
    );
  }
  return { partitions, secret: Buffer.from(found.secret, "hex") };
}
