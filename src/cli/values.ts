/** The kinds of value that an option can take: how each is written, read and bounded. */
import { isIPv6 } from "node:net";
import * as v from "valibot";
import { maxMemoryBytesMin } from "../config.ts";
import { machineMemoryBytes } from "../runtime.ts";

export interface Kind<T> {
  /** Stands for the value in the help; empty for a switch, which takes none. */
  readonly placeholder: string;
  readonly unit: string;
  /** Completes the sentence "the option must be …". */
  readonly bound: string;
  readonly schema: v.GenericSchema<string, T>;
}

/** Where to listen. `host` empty: every address of the machine. `port` 0: any free one. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export const toggle: Kind<boolean> = {
  placeholder: "",
  unit: "",
  bound: "given or not",
  schema: v.pipe(
    v.picklist(["true", "false"]),
    v.transform((text) => text === "true"),
  ),
};

/** A name that is safe inside a bucket's or a key's name; `extra` are the punctuation marks allowed. */
export function name(extra: string, words: string): Kind<string> {
  return {
    placeholder: "NAME",
    unit: "",
    bound: `1 to 64 letters, digits, ${words}`,
    schema: v.pipe(v.string(), v.regex(new RegExp(`^[A-Za-z0-9${extra}]{1,64}$`))),
  };
}

export const optionalName: Kind<string> = {
  placeholder: "NAME",
  unit: "",
  bound: "empty, or 1 to 64 letters, digits, `-`, `_` or `.`",
  schema: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_.-]{0,64}$/)),
};

export function whole(min: number, max: number): Kind<number> {
  return {
    placeholder: "N",
    unit: "",
    bound: `a whole number from ${min} to ${max}`,
    schema: v.pipe(v.string(), v.regex(/^\d{1,9}$/), v.transform(Number), v.minValue(min), v.maxValue(max)),
  };
}

/** Seconds, with a fraction if need be; the server bounds the other end by the range of dates. */
export const seconds: Kind<number> = {
  placeholder: "SECONDS",
  unit: "s",
  bound: "a number of seconds, 0 or more",
  schema: v.pipe(v.string(), v.regex(/^(\d+|\d*\.\d+)$/), v.transform(Number), v.finite(), v.minValue(0)),
};

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 };

/** Milliseconds from `500ms`, `1.5s` or `1m`. A number without a unit is refused: it would be read two ways. */
export function duration(min: string, max: string): Kind<number> {
  return {
    placeholder: "DURATION",
    unit: "ms, s or m",
    bound: `a duration with its unit, as in 500ms, 3s or 1m, from ${min} to ${max}`,
    schema: v.pipe(
      v.string(),
      v.regex(/^\d{1,9}(\.\d{1,3})?(ms|s|m)$/),
      v.transform(durationMs),
      v.minValue(durationMs(min)),
      v.maxValue(durationMs(max)),
    ),
  };
}

function durationMs(text: string): number {
  const [, amount = "", unit = ""] = /^([\d.]+)(ms|s|m)$/.exec(text) ?? [];
  return Math.round(Number(amount) * (unitMs[unit] ?? Number.NaN));
}

const unitBytes: Readonly<Record<string, number>> = { kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 };

/** Bytes from `512mb`, `2gb` or, of what the machine or its container has, `50%`. */
export const memory: Kind<number> = {
  placeholder: "SIZE",
  unit: "mb, gb or %",
  bound: "a size with its unit, as in 512mb or 2gb, at least 4mb, or a share from 1% to 90%",
  schema: v.pipe(
    v.string(),
    v.regex(/^(\d{1,9}(\.\d{1,3})?(kb|mb|gb)|([1-9]|[1-8]\d|90)%)$/i),
    v.transform((text) => {
      const [, amount = "", unit = ""] = /^([\d.]+)(.*)$/.exec(text.toLowerCase()) ?? [];
      if (unit === "%") return Math.floor((machineMemoryBytes() * Number(amount)) / 100);
      return Math.round(Number(amount) * (unitBytes[unit] ?? Number.NaN));
    }),
    v.minValue(maxMemoryBytesMin),
  ),
};

export function oneOf<const T extends string>(...words: readonly T[]): Kind<T> {
  return {
    placeholder: words.join("|"),
    unit: "",
    bound: `one of ${words.join(", ")}`,
    schema: v.picklist(words),
  };
}

/** `:8080`, `8080`, `host:8080` or `[::1]:8080`. */
export const address: Kind<Address> = {
  placeholder: "[HOST]:PORT",
  unit: "",
  bound: "an address such as :8080, host:8080 or [::1]:8080, with a port from 0 to 65535 (0: any free port)",
  schema: v.pipe(
    v.string(),
    v.transform(readAddress),
    v.object({
      host: v.pipe(
        v.string(),
        v.check((host) => host === "" || isHost(host)),
      ),
      port: v.pipe(v.number(), v.integer(), v.maxValue(65_535)),
    }),
  ),
};

/** An address to listen on, or none. */
export const addressOrOff: Kind<Address | undefined> = {
  ...address,
  placeholder: "[HOST]:PORT|off",
  bound: `${address.bound}, or off`,
  schema: v.union([
    v.pipe(
      v.literal("off"),
      v.transform(() => undefined),
    ),
    address.schema,
  ]),
};

/** Anything, kept out of what is printed. */
export const secret: Kind<string> = {
  placeholder: "TEXT",
  unit: "",
  bound: "any text of up to 512 characters",
  schema: v.pipe(v.string(), v.maxLength(512)),
};

function readAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]:|([^:[\]]*):)?(\d{1,5})$/.exec(text);
  const [, bracketed, plain, port] = match ?? [];
  if (bracketed !== undefined && !isIPv6(bracketed)) return { host: "", port: Number.NaN };
  return { host: bracketed ?? plain ?? "", port: port === undefined ? Number.NaN : Number(port) };
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function isHost(text: string): boolean {
  return isIPv6(text) || /^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(text);
}

/** A host without a port; empty: it is chosen. */
export const optionalHost: Kind<string> = {
  placeholder: "HOST",
  unit: "",
  bound: "a host name or an IP address, without a port",
  schema: v.pipe(
    v.string(),
    v.transform((text) => text.replace(/^\[(.*)\]$/, "$1")),
    v.check((host) => host === "" || isHost(host)),
  ),
};

/** One NATS server or several, with commas between them. */
export const natsServers: Kind<string> = {
  placeholder: "URL",
  unit: "",
  bound: "a NATS address such as nats://localhost:4222, or several with commas between them",
  schema: v.pipe(
    v.string(),
    v.check((text) => text.split(",").every((server) => natsHost(server) !== undefined)),
  ),
};

/** The host that a NATS server's address names; undefined if it isn't such an address. */
export function natsHost(server: string): string | undefined {
  const match = /^(?:(?:nats|tls):\/\/)?([^/\s]+)\/?$/.exec(server.trim());
  if (match === null || !URL.canParse(`http://${match[1]}`)) return undefined;
  return new URL(`http://${match[1]}`).hostname.replace(/^\[(.*)\]$/, "$1");
}

/** The address of a node's HTTP door; `localhost:8080` and `:8080` are understood too. */
export const httpUrl: Kind<string> = {
  placeholder: "URL",
  unit: "",
  bound: "the HTTP address of a node, such as http://localhost:8080",
  schema: v.pipe(
    v.string(),
    v.transform((text) =>
      text.includes("://") ? text : `http://${text.startsWith(":") ? "localhost" : ""}${text}`,
    ),
    v.check((text) => URL.canParse(text) && /^https?:\/\//.test(text)),
    v.transform((text) => new URL(text).href.replace(/\/+$/, "")),
  ),
};
