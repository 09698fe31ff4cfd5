/** Commands and their answers as bytes between nodes. All integers are big-endian. */
import { type Command, noBytes, type Op, type Reply } from "./command.ts";

/** Frames up to this size are written into one place, over and over. */
const scratchBytes = 64 * 1024;
const scratch = Buffer.allocUnsafeSlow(scratchBytes);
/** The view that was given out last: sizes tend to repeat, and a view costs more than what is written into it. */
let lastScratch = scratch;

/** A frame to be filled. It is valid until the next one is made: the link copies it before its `call` returns. */
function frameOf(sizeBytes: number): Buffer {
  if (sizeBytes > scratchBytes) return Buffer.allocUnsafe(sizeBytes);
  if (lastScratch.length !== sizeBytes) lastScratch = scratch.subarray(0, sizeBytes);
  return lastScratch;
}

/**
 * u8 op, u8 {@link Has}, u16 partition, u48 sender's epoch, u32 milliseconds left, f64 expiry, u48
 * sequence, u48 oldest, u32 key length, key; if a value is expected: u32 its length, its bytes; if there is a trace: u16 its length, its bytes; value.
 */
const commandHeaderBytes = 38;
const expectedHeaderBytes = 4;
const traceHeaderBytes = 2;

/** What there is between key and value. */
const Has = { expected: 1, trace: 2 } as const;

export interface WireCommand extends Omit<Command, "partition">, Sending {}

export interface Sending {
  readonly partition: number;
  /** The sender's table: a receiver whose own is older waits until it has caught up. */
  readonly epoch: number;
  /** How long the sender still waits, from the arrival on. */
  readonly leftMs: number;
  /** The sender's number of this write, from 1; 0 for what changes nothing and so may be carried out twice. */
  readonly sequence: number;
  /** The lowest number of the sender's writes that it still waits for. */
  readonly oldest: number;
  /** The context of the sender's span: at most 64 KiB; undefined if there is none. */
  readonly trace: Buffer | undefined;
}

export function encodeCommand(command: Command, sending: Sending): Buffer {
  const { key, value, expected } = command;
  const { trace } = sending;
  const expectedBytes = expected === undefined ? 0 : expectedHeaderBytes + expected.length;
  const traceBytes = trace === undefined ? 0 : traceHeaderBytes + trace.length;
  const frame = frameOf(commandHeaderBytes + key.length + expectedBytes + traceBytes + value.length);
  frame[0] = command.op;
  frame[1] = (expected === undefined ? 0 : Has.expected) | (trace === undefined ? 0 : Has.trace);
  frame.writeUInt16BE(sending.partition, 2);
  frame.writeUIntBE(sending.epoch, 4, 6);
  frame.writeUInt32BE(Math.ceil(sending.leftMs), 10);
  frame.writeDoubleBE(command.expiresAtMs, 14);
  frame.writeUIntBE(sending.sequence, 22, 6);
  frame.writeUIntBE(sending.oldest, 28, 6);
  frame.writeUInt32BE(key.length, 34);
  frame.set(key, commandHeaderBytes);
  if (expected !== undefined) {
    const at = commandHeaderBytes + key.length;
    frame.writeUInt32BE(expected.length, at);
    frame.set(expected, at + expectedHeaderBytes);
  }
  if (trace !== undefined) {
    const at = commandHeaderBytes + key.length + expectedBytes;
    frame.writeUInt16BE(trace.length, at);
    frame.set(trace, at + traceHeaderBytes);
  }
  if (value.length > 0) frame.set(value, commandHeaderBytes + key.length + expectedBytes + traceBytes);
  return frame;
}

/** Views into `frame`. Only authenticated peers send commands; a frame that lies about its lengths throws. */
export function decodeCommand(frame: Buffer): WireCommand {
  const keyEnd = commandHeaderBytes + frame.readUInt32BE(34);
  if (keyEnd > frame.length) throw new RangeError("a command's key is longer than its frame");
  let valueStart = keyEnd;
  let expected: Buffer | undefined;
  let trace: Buffer | undefined;
  const has = frame[1]!;
  if (has !== 0) {
    if ((has & Has.expected) !== 0) {
      valueStart = keyEnd + expectedHeaderBytes + frame.readUInt32BE(keyEnd);
      expected = frame.subarray(keyEnd + expectedHeaderBytes, valueStart);
    }
    if ((has & Has.trace) !== 0) {
      const start = valueStart + traceHeaderBytes;
      valueStart = start + frame.readUInt16BE(valueStart);
      trace = frame.subarray(start, valueStart);
    }
    if (valueStart > frame.length) throw new RangeError("what a command has is longer than its frame");
  }
  return {
    op: frame[0] as Op,
    partition: frame.readUInt16BE(2),
    epoch: frame.readUIntBE(4, 6),
    leftMs: frame.readUInt32BE(10),
    expiresAtMs: frame.readDoubleBE(14),
    sequence: frame.readUIntBE(22, 6),
    oldest: frame.readUIntBE(28, 6),
    key: frame.subarray(commandHeaderBytes, keyEnd),
    value: valueStart === frame.length ? noBytes : frame.subarray(valueStart),
    expected,
    trace,
  };
}

/** The first byte of an answer. */
export const Answer = {
  /** Carried out, and the key was there: f64 expiry and the value follow. */
  found: 1,
  /** Carried out, and the key was not there. */
  absent: 2,
  /** Not carried out: another node owns the partition; u48 epoch of the table that says so follows. */
  notOwner: 3,
  /** Not carried out: the time that the sender gave is over. */
  late: 4,
  /** Not carried out: too much is waiting here. */
  overloaded: 5,
  /** Not carried out: the node is closing. */
  closed: 6,
  /** Carried out here, but perhaps not for good: to be sent again under its number. A read: to be asked again. */
  unsettled: 7,
  /** Not carried out: there is no memory for it. */
  full: 8,
} as const;

const foundHeaderBytes = 9;

export function encodeFound(expiresAtMs: number, value: Uint8Array): Buffer {
  const frame = frameOf(foundHeaderBytes + value.length);
  frame[0] = Answer.found;
  frame.writeDoubleBE(expiresAtMs, 1);
  if (value.length > 0) frame.set(value, foundHeaderBytes);
  return frame;
}

/** A view into `frame`. */
export function decodeFound(frame: Buffer, node: string): Reply {
  return { found: true, value: frame.subarray(foundHeaderBytes), expiresAtMs: frame.readDoubleBE(1), node };
}

export const absentAnswer: Buffer = Buffer.from([Answer.absent]);
export const lateAnswer: Buffer = Buffer.from([Answer.late]);
export const overloadedAnswer: Buffer = Buffer.from([Answer.overloaded]);
export const closedAnswer: Buffer = Buffer.from([Answer.closed]);
export const fullAnswer: Buffer = Buffer.from([Answer.full]);
export const unsettledAnswer: Buffer = Buffer.from([Answer.unsettled]);

export function encodeNotOwner(epoch: number): Buffer {
  const frame = Buffer.allocUnsafe(7);
  frame[0] = Answer.notOwner;
  frame.writeUIntBE(epoch, 1, 6);
  return frame;
}

export function decodeNotOwner(frame: Buffer): number {
  return frame.readUIntBE(1, 6);
}
