/**
 * Every error that a user can meet, in one table: its stable code, the HTTP status of the HTTP door and what it
 * means. `docs/errors.md` is held equal to it by a test.
 */
export const errorTable = {
  // What a caller sent.
  KEY_MISSING: { status: 400, meaning: "The request names no key, or an empty one." },
  KEY_TOO_LONG: { status: 400, meaning: "The key is longer than 64 KiB of UTF-8." },
  BODY_NOT_JSON: { status: 400, meaning: "The request body isn't a JSON object." },
  FIELD_INVALID: { status: 400, meaning: "A field is missing or of the wrong type." },
  TTL_INVALID: {
    status: 400,
    meaning: "The ttl is negative, not finite, or ends beyond the range of dates.",
  },
  URL_INVALID: { status: 400, meaning: "The query string isn't valid percent-encoded UTF-8." },
  PATH_UNKNOWN: { status: 404, meaning: "There is nothing at this path." },
  METHOD_NOT_ALLOWED: {
    status: 405,
    meaning: "The path exists, but not for this method; `Allow` names those it takes.",
  },
  FORBIDDEN: {
    status: 403,
    meaning: "This node may not be asked for that, or not from there: see `--drain-from`.",
  },
  VALUE_TOO_LARGE: { status: 413, meaning: "The value is larger than 16 MiB." },
  BODY_TOO_LARGE: {
    status: 413,
    meaning: "The request body is larger than a key and a value of the largest size.",
  },
  HTTP_INVALID: { status: 400, meaning: "The bytes on the connection aren't a valid HTTP request." },
  HTTP_TIMEOUT: { status: 408, meaning: "The request wasn't complete in time." },
  HEADERS_TOO_LARGE: { status: 431, meaning: "The request line and headers are larger than 256 KiB." },
  // What the cluster could not do just now.
  DEADLINE_EXCEEDED: {
    status: 503,
    meaning: "The request's deadline passed; `outcome` says whether it may have been carried out.",
  },
  OVERLOADED: { status: 503, meaning: "A bounded queue is full; the operation was not carried out." },
  MEMORY_FULL: {
    status: 507,
    meaning: "The memory of a node is full and `--eviction` is `none`; the write was not carried out.",
  },
  NOT_READY: {
    status: 503,
    meaning:
      "This node isn't serving: it is starting or leaving, or neither its lease nor its backups' grants hold.",
  },
  LINK_LOST: {
    status: 503,
    meaning:
      "The link to the node that had the request broke; `outcome` says whether it may have been carried out.",
  },
  CLOSED: { status: 503, meaning: "This node, link or ring has been closed." },
  INTERNAL: { status: 500, meaning: "A defect of ringcache. Please report it." },
  // What keeps a node from starting.
  OPTION_INVALID: { status: 500, meaning: "An option is unknown, missing or out of its bounds." },
  COORDINATION_UNAVAILABLE: {
    status: 503,
    meaning: "The NATS server can't be reached, or has no JetStream.",
  },
  COORDINATION_TIMEOUT: {
    status: 503,
    meaning: "NATS didn't answer in time; whether a write was stored is unknown.",
  },
  NODE_ID_IN_USE: { status: 500, meaning: "A live node with the same id is a member of the platform." },
  PARTITIONS_MISMATCH: {
    status: 500,
    meaning: "The platform was created with another number of partitions.",
  },
  PORT_UNUSABLE: { status: 500, meaning: "An address can't be listened on." },
  // Between nodes and in the library.
  PEER_REFUSED: {
    status: 503,
    meaning: "A peer's address refuses connections, or another incarnation answers there.",
  },
  PEER_UNREACHABLE: { status: 503, meaning: "A peer can't be reached or doesn't complete the handshake." },
  FRAME_INVALID: {
    status: 500,
    meaning: "A peer sent bytes that aren't a valid frame; the link was closed.",
  },
  METHOD_UNKNOWN: { status: 500, meaning: "The called node has no handler of that name." },
  HANDLER_FAILED: { status: 500, meaning: "The called node's handler threw; the message is its own." },
  NODE_UNKNOWN: { status: 404, meaning: "No member of the ring has this id." },
} as const satisfies Record<string, { status: number; meaning: string }>;

export type ErrorCode = keyof typeof errorTable;

/**
 * Whether the failed operation took effect: `none` it certainly did not and never will, `unknown` it may have or
 * still may.
 */
export type Outcome = "none" | "unknown";

/** The one error class: `code` is stable and in {@link errorTable}; `cause` is what led to it, if anything did. */
export class RingcacheError extends Error {
  readonly code: ErrorCode;
  readonly outcome: Outcome;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; outcome?: Outcome } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "RingcacheError";
    this.code = code;
    this.outcome = options.outcome ?? "none";
  }

  get status(): number {
    return errorTable[this.code].status;
  }
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
