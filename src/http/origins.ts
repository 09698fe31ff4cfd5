/**
 * Which pages may read the cluster's state across origins: those that come from a node that is, or was, a member. The dashboard of one
 * node goes on through another one when its own has died. No other page gets anything.
 */
import type { IncomingMessage } from "node:http";
import type { Door } from "../cache/command.ts";

export type OriginHeaders = Readonly<Record<string, string>>;

const none: OriginHeaders = { Vary: "Origin" };

export function originHeaders(door: Door, { headers: { origin } }: IncomingMessage): OriginHeaders {
  if (origin === undefined) return none;
  const asked = hostOf(origin);
  const isMember = [...door.httpAddresses()].some((address) => normal(address) === asked);
  return isMember ? { Vary: "Origin", "Access-Control-Allow-Origin": origin } : none;
}

function hostOf(origin: string): string | undefined {
  const match = /^http:\/\/([^/]+)$/.exec(origin);
  return match === null ? undefined : normal(match[1]!);
}

/** The ways to say "this machine" are one. */
function normal(address: string): string {
  const host = address
    .toLowerCase()
    .replace(/^(localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0)(?=:|$)/, "localhost");
  return /:\d+$/.test(host) ? host : `${host}:80`;
}
