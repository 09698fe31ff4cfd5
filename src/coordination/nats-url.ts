/** NATS addresses: what the client needs of them, and what may be shown to people. */
import { RingcacheError } from "../errors.ts";

export interface NatsServers {
  /** `host:port`, or `tls://host:port`. */
  readonly servers: string[];
  /** For messages: no credentials. */
  readonly location: string;
  readonly tls: boolean;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

/**
 * Reads one or several comma-separated URLs: `nats://` (or no scheme) or `tls://`, port 4222 if none is named. The
 * client signs in to all servers alike, so the first credentials found are used: `user:password@` or `token@`.
 */
export function parseNatsUrls(text: string): NatsServers {
  const urls = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseOne);
  if (urls.length === 0) throw new RingcacheError("OPTION_INVALID", "No NATS URL was given.");
  const servers = urls.map((url) => `${url.hostname}:${url.port || "4222"}`);
  const location = urls.map((url, index) => `${url.protocol}//${servers[index]}`).join(",");
  const tls = urls.some((url) => url.protocol === "tls:");
  const signed = urls.find((url) => url.username !== "");
  if (signed === undefined) return { servers, location, tls };
  const user = decode(signed.username);
  if (signed.password === "") return { servers, location, tls, token: user };
  return { servers, location, tls, user, password: decode(signed.password) };
}

function parseOne(part: string): URL {
  let url: URL | undefined;
  try {
    url = new URL(part.includes("://") ? part : `nats://${part}`);
  } catch {
    // Answered below, together with the URLs that parse but aren't one of ours.
  }
  if (url === undefined || url.hostname === "" || (url.protocol !== "nats:" && url.protocol !== "tls:")) {
    // Whatever stands before the last @ may be a password.
    const shown = part.slice(part.lastIndexOf("@") + 1);
    throw new RingcacheError("OPTION_INVALID", `Not a NATS URL like nats://127.0.0.1:4222: ${shown}`);
  }
  return url;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
