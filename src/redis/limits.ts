/** The bounds of the Redis door. */
import { valueSizeBytesMax } from "../cache/command.ts";

export interface RedisLimits {
  /** Connections at one time; a further one is told so and closed, as by Redis. */
  readonly clientsMax: number;
  /** A longer bulk string breaks the protocol, as with Redis's `proto-max-bulk-len`. */
  readonly protocolBulkBytesMax: number;
  /** A longer bulk string is read to its end, without being kept, and its request is refused. */
  readonly bulkBytesMax: number;
  /** A request of more arguments breaks the protocol. */
  readonly argumentsMax: number;
  /** A request that is larger in all is read to its end, without being kept, and refused. */
  readonly requestBytesMax: number;
  /** A longer line (an inline request, or a length) breaks the protocol. */
  readonly lineBytesMax: number;
  /** Nothing more is read from a connection that has so many requests unanswered, until there are fewer. */
  readonly unansweredMax: number;
  /** The same for the bytes of those requests. */
  readonly unansweredBytesMax: number;
  /** No further request is carried out while so many bytes of replies are unsent. */
  readonly unsentBytesMax: number;
  /** Beyond this many unsent bytes a connection is closed: a single reply, or published messages, can make them. */
  readonly outputBytesMax: number;
  /** How many bytes of published messages may be unsent; as `client-output-buffer-limit pubsub`. */
  readonly pubsubOutputBytesMax: number;
  /** How long an operation may wait that is under way when the door closes. */
  readonly closeTimeoutMs: number;
  /** A connection without anything under way stays open so long after the door was told to close. */
  readonly closeGraceMs: number;
  /** How long a connection whose protocol was broken may take to read the last reply. */
  readonly lingerMs: number;
}

const mib = 1024 * 1024;

export const defaultRedisLimits: RedisLimits = {
  clientsMax: 10_000,
  protocolBulkBytesMax: 512 * mib,
  bulkBytesMax: valueSizeBytesMax,
  argumentsMax: 1_048_576,
  requestBytesMax: 128 * mib,
  lineBytesMax: 64 * 1024,
  unansweredMax: 4_096,
  unansweredBytesMax: 4 * mib,
  unsentBytesMax: mib,
  outputBytesMax: 256 * mib,
  pubsubOutputBytesMax: 32 * mib,
  closeTimeoutMs: 2_000,
  closeGraceMs: 250,
  lingerMs: 2_000,
};
