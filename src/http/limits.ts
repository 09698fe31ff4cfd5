/** Every bound of the HTTP door, with its default. */
import { keySizeBytesMax, valueSizeBytesMax } from "../cache/command.ts";

export interface HttpLimits {
  /** One request body; beyond it: BODY_TOO_LARGE. */
  readonly bodySizeBytesMax: number;
  /** All request bodies that are being received, together; beyond it: OVERLOADED. */
  readonly bodiesSizeBytesMax: number;
  /** Request line and headers together; beyond it: HEADERS_TOO_LARGE. */
  readonly headersSizeBytesMax: number;
  /** From a request's first byte to the end of its headers; beyond it: HTTP_TIMEOUT. */
  readonly headersTimeoutMs: number;
  /** From a request's first byte to the end of its body; beyond it: HTTP_TIMEOUT. */
  readonly requestTimeoutMs: number;
  /** How often the two time-outs above are looked at. */
  readonly timeoutCheckMs: number;
  /** How long a connection may stay without a request. */
  readonly keepAliveMs: number;
  /**
   * How long a connection with an unanswered request, or one that doesn't read its answer, may stay without a byte
   * moving. Must be longer than the request deadline.
   */
  readonly inactivityMs: number;
  /** For how long what a refused client still sends is read and dropped, so that it gets to see the answer. */
  readonly lingerMs: number;
  /** While closing: how long a connection must be idle before it is closed: time for one last request. */
  readonly closeGraceMs: number;
  /** While closing: how long requests under way may take. */
  readonly closeTimeoutMs: number;
}

/** A byte of a key or value takes at most six bytes of JSON: `\u0000`. */
const jsonBytesPerByteMax = 6;

export const defaultHttpLimits: HttpLimits = {
  // 64 KiB for field names, the ttl and white space.
  bodySizeBytesMax: jsonBytesPerByteMax * (valueSizeBytesMax + keySizeBytesMax) + 64 * 1024,
  bodiesSizeBytesMax: 512 * 1024 * 1024,
  // A key of the largest size takes 192 KiB when every byte is percent-encoded.
  headersSizeBytesMax: 256 * 1024,
  headersTimeoutMs: 30_000,
  requestTimeoutMs: 120_000,
  timeoutCheckMs: 5_000,
  // Longer than the 60 s after which common load balancers drop their side: the server must not be first.
  keepAliveMs: 72_000,
  inactivityMs: 120_000,
  lingerMs: 2_000,
  closeGraceMs: 250,
  closeTimeoutMs: 2_000,
};
