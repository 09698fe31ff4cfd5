/**
 * Calls between the members of a ring. A payload is bytes, which travel as they are, or any JSON value. A call to
 * the owner of a key names the partition, so that a node which doesn't own it any more refuses and the caller asks
 * the next.
 */
import { messageOf, RingcacheError } from "../errors.ts";
import { payloadSizeBytesMax } from "../peers/frames.ts";
import type { IncomingRequest } from "../peers/messages.ts";

export interface CallContext {
  /** The id of the calling node. */
  readonly from: string;
}

/** The caller and the handler agree on the types; the ring only carries the values. */
export type Handler<P = unknown, R = unknown> = (payload: P, context: CallContext) => R | Promise<R>;

const Kind = { none: 0, bytes: 1, json: 2 } as const;
export const RpcStatus = { ok: 0, methodUnknown: 1, handlerFailed: 2, notOwner: 3 } as const;
const noPartition = 0xffff_ffff;
/** UTF-8 bytes of a method's name. */
export const methodSizeBytesMax = 255;

function payloadParts(payload: unknown): [kind: number, bytes: Uint8Array] {
  if (payload === undefined) return [Kind.none, Buffer.alloc(0)];
  if (payload instanceof Uint8Array) return [Kind.bytes, payload];
  const text = JSON.stringify(payload);
  if (text === undefined) throw new RingcacheError("FIELD_INVALID", "a payload is bytes or a JSON value");
  return [Kind.json, Buffer.from(text)];
}

function payloadOf(kind: number, bytes: Buffer): unknown {
  if (kind === Kind.bytes) return Buffer.from(bytes);
  return kind === Kind.json ? JSON.parse(bytes.toString("utf8")) : undefined;
}

/** u8 payload kind, u32 partition, u8 method length, method, payload. */
export function encodeCall(method: string, payload: unknown, partition: number = noPartition): Buffer {
  const name = Buffer.from(method);
  if (name.length === 0 || name.length > methodSizeBytesMax) {
    throw new RingcacheError("FIELD_INVALID", `a method's name has 1 to ${methodSizeBytesMax} bytes`);
  }
  const [kind, bytes] = payloadParts(payload);
  const frame = Buffer.allocUnsafe(6 + name.length + bytes.length);
  frame.writeUInt8(kind, 0);
  frame.writeUInt32BE(partition, 1);
  frame.writeUInt8(name.length, 5);
  frame.set(name, 6);
  frame.set(bytes, 6 + name.length);
  return frame;
}

function encodeAnswer(status: number, payload: unknown): Buffer {
  const [kind, bytes] = payloadParts(payload);
  const frame = Buffer.allocUnsafe(2 + bytes.length);
  frame.writeUInt8(status, 0);
  frame.writeUInt8(kind, 1);
  frame.set(bytes, 2);
  return frame;
}

/** The answer's payload; undefined status `notOwner` is the caller's to handle. Throws what the other side threw. */
export function decodeAnswer(
  frame: Buffer,
  method: string,
  node: string,
): { notOwner: boolean; payload: unknown } {
  const status = frame[0];
  const payload = payloadOf(frame[1] ?? Kind.none, frame.subarray(2));
  if (status === RpcStatus.methodUnknown) {
    throw new RingcacheError("METHOD_UNKNOWN", `node "${node}" has no handler for "${method}"`);
  }
  if (status === RpcStatus.handlerFailed) {
    throw new RingcacheError("HANDLER_FAILED", String(payload), { outcome: "unknown" });
  }
  return { notOwner: status === RpcStatus.notOwner, payload };
}

export class Handlers {
  readonly #handlers = new Map<string, Handler>();

  set(method: string, handler: Handler): void {
    this.#handlers.set(method, handler);
  }

  /** Runs a handler of this node for this node. */
  async run(method: string, payload: unknown, from: string, node: string): Promise<unknown> {
    const handler = this.#handlers.get(method);
    if (handler === undefined)
      throw new RingcacheError("METHOD_UNKNOWN", `node "${node}" has no handler for "${method}"`);
    return await handler(payload, { from });
  }

  /**
   * Serves one request from a peer; `owns` tells whether this node serves the partition that the caller named. Throws
   * at once, and never later, if the request isn't one that {@link encodeCall} made: then the link is to be closed.
   */
  serve(request: IncomingRequest, owns: (partition: number) => boolean): void {
    const frame = request.payload;
    const kind = frame.readUInt8(0);
    const partition = frame.readUInt32BE(1);
    const nameEnd = 6 + frame.readUInt8(5);
    const handler = this.#handlers.get(frame.toString("utf8", 6, nameEnd));
    if (partition !== noPartition && !owns(partition)) {
      request.reply(encodeAnswer(RpcStatus.notOwner, undefined));
    } else if (handler === undefined) {
      request.reply(encodeAnswer(RpcStatus.methodUnknown, undefined));
    } else void this.#answer(request, handler, kind, frame.subarray(nameEnd));
  }

  async #answer(request: IncomingRequest, handler: Handler, kind: number, payload: Buffer): Promise<void> {
    let answer: Buffer;
    try {
      const result = await handler(payloadOf(kind, payload), { from: request.from.id });
      answer = encodeAnswer(RpcStatus.ok, result);
      if (answer.length > payloadSizeBytesMax) {
        throw new RingcacheError("VALUE_TOO_LARGE", `the result is larger than ${payloadSizeBytesMax} bytes`);
      }
    } catch (error) {
      answer = encodeAnswer(RpcStatus.handlerFailed, messageOf(error));
    }
    request.reply(answer);
  }
}
