/** What a platform's creation fixed for good: it lies in the ring bucket, where only who may use NATS can read it. */
import type { Bucket } from "../coordination/coordination.ts";
import { RingcacheError } from "../errors.ts";
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
  const proposal = Buffer.from(
    JSON.stringify({ version: formatVersion, partitions, secret: secret.toString("hex") }),
  );
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
