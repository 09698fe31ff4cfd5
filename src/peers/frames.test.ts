import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { systemRuntime } from "../runtime.ts";
import {
  encodeFrame,
  FrameDecoder,
  FrameType,
  FrameWriter,
  frameSizeBytesMax,
  handshakeFrameSizeBytesMax,
} from "./frames.ts";
import type { ByteStream } from "./transport.ts";

interface Frame {
  type: FrameType;
  kind: number;
  callId: number;
  payload: Buffer;
}

const frames = fc.array(
  fc.record({
    type: fc.constantFrom(...Object.values(FrameType)),
    kind: fc.nat(255),
    callId: fc.nat(0xffffffff),
    payload: fc
      .oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(100_000).map((size) => new Uint8Array(size).fill(size)),
      )
      .map((bytes) => Buffer.from(bytes)),
  }),
  { maxLength: 12 },
);

function decoder(into: Frame[], sizeBytesMax?: number): FrameDecoder {
  const frame = (type: FrameType, kind: number, callId: number, payload: Buffer): void => {
    into.push({ type, kind, callId, payload: Buffer.from(payload) });
  };
  return new FrameDecoder({ frame }, sizeBytesMax);
}

function prefix(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
}

class Sink implements ByteStream {
  readonly remote = "sink";
  readonly queuedBytes = 0;
  readonly written: Buffer[] = [];
  readonly #takes: boolean;
  /** `takes`: as a kernel with room; else it keeps what was written, uncopied. */
  constructor(takes = false) {
    this.#takes = takes;
  }
  write(bytes: Buffer): boolean {
    this.written.push(this.#takes ? Buffer.from(bytes) : bytes);
    return this.#takes;
  }
  end(): void {}
  destroy(): void {}
}

const turn = (): Promise<void> => new Promise((resolve) => systemRuntime.soon(resolve));

describe("FrameDecoder", () => {
  it("decodes what was written, however it is split", () => {
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1 }), (sent, cuts) => {
        const bytes = Buffer.concat(sent.map((f) => encodeFrame(f.type, f.kind, f.callId, f.payload)));
        const got: Frame[] = [];
        const decode = decoder(got);
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const next = at + cuts[i % cuts.length]!;
          decode.push(bytes.subarray(at, next));
          at = next;
        }
        expect(got.length).toBe(sent.length);
        got.forEach((frame, i) => {
          expect({ ...frame, payload: 0 }).toEqual({ ...sent[i]!, payload: 0 });
          expect(frame.payload.equals(sent[i]!.payload)).toBe(true);
        });
      }),
      { numRuns: 60 },
    );
  });

  it("decodes byte by byte", () => {
    const sent = [Buffer.alloc(0), Buffer.from("a"), Buffer.alloc(300, 7)];
    const bytes = Buffer.concat(sent.map((p, i) => encodeFrame(FrameType.reply, i, 0xfffffff0 + i, p)));
    const got: Frame[] = [];
    const decode = decoder(got);
    for (let i = 0; i < bytes.length; i++) decode.push(bytes.subarray(i, i + 1));
    expect(got.map((f) => f.payload)).toEqual(sent);
    expect(got.map((f) => f.callId)).toEqual([0xfffffff0, 0xfffffff1, 0xfffffff2]);
  });

  it.each([
    ["too large", prefix(frameSizeBytesMax - 3), frameSizeBytesMax],
    ["the largest number", prefix(0xffffffff), frameSizeBytesMax],
    ["too large for a handshake", prefix(handshakeFrameSizeBytesMax - 3), handshakeFrameSizeBytesMax],
    ["zero", prefix(0), frameSizeBytesMax],
    ["shorter than a header", prefix(5), frameSizeBytesMax],
    ["of type 0", Buffer.concat([prefix(6), Buffer.of(0)]), frameSizeBytesMax],
    ["of type 6", Buffer.concat([prefix(6), Buffer.of(6)]), frameSizeBytesMax],
  ])("refuses a frame that is %s on its first bytes, whole and byte by byte", (_, bytes, max) => {
    const refusal = expect.objectContaining({ code: "FRAME_INVALID" });
    expect(() => decoder([], max).push(bytes)).toThrow(refusal);
    const decode = decoder([], max);
    for (let i = 0; i < bytes.length - 1; i++) decode.push(bytes.subarray(i, i + 1));
    expect(() => decode.push(bytes.subarray(bytes.length - 1))).toThrow(refusal);
  });

  it("takes a frame of exactly the largest size", () => {
    const got: Frame[] = [];
    const bytes = encodeFrame(FrameType.reply, 0, 1, Buffer.alloc(handshakeFrameSizeBytesMax - 10));
    decoder(got, handshakeFrameSizeBytesMax).push(bytes);
    expect(got.length).toBe(1);
  });

  it("hands on nothing after stop, not even of the same chunk", () => {
    let count = 0;
    const decode: FrameDecoder = new FrameDecoder({
      frame: () => {
        count++;
        decode.stop();
      },
    });
    decode.push(Buffer.concat([1, 2].map((id) => encodeFrame(FrameType.reply, 0, id, Buffer.alloc(3)))));
    expect(count).toBe(1);
  });
});

describe("a chunk", () => {
  const request = encodeFrame(FrameType.request, 0, 1, Buffer.alloc(50));
  const reply = encodeFrame(FrameType.reply, 0, 1, Buffer.alloc(50));

  it("is kept for a request that lies in it, not for replies, nor for what is collected", () => {
    const decode = decoder([]);
    expect(decode.push(Buffer.concat([reply, reply]))).toBe(false);
    expect(decode.push(Buffer.concat([reply, request]))).toBe(true);
    expect(decode.push(request.subarray(0, 30))).toBe(false);
    expect(decode.push(Buffer.concat([request.subarray(30), reply.subarray(0, 7)]))).toBe(false);
    expect(decode.push(Buffer.concat([reply.subarray(7), request]))).toBe(true);
  });
});

describe("FrameWriter", () => {
  it("writes the few frames of one turn at once", async () => {
    const sink = new Sink();
    const writer = new FrameWriter(systemRuntime, sink);
    for (let i = 0; i < 10; i++) writer.write(FrameType.request, 1, i, Buffer.alloc(100));
    expect(sink.written.length).toBe(0);
    await turn();
    expect(sink.written.length).toBe(1);
  });

  it("writes the many frames of one turn in growing parts, in order, safe from reuse of the payload", async () => {
    const sink = new Sink();
    const writer = new FrameWriter(systemRuntime, sink);
    const payload = Buffer.alloc(100);
    for (let i = 0; i < 100; i++) writer.write(FrameType.request, 1, i, payload.fill(i));
    payload.fill(255);
    await turn();
    // At 2 KiB, at 8 KiB, and at the end of the turn.
    expect(sink.written.map((part) => part.length)).toEqual([19 * 110, 75 * 110, 6 * 110]);
    writer.write(FrameType.request, 1, 100, payload.fill(100));
    await turn();
    const got: Frame[] = [];
    const decode = decoder(got);
    for (const bytes of sink.written) decode.push(Buffer.from(bytes));
    expect(got.map((f) => [f.callId, f.payload[0], f.payload[99]])).toEqual(
      Array.from({ length: 101 }, (_, i) => [i, i, i]),
    );
  });

  it("keeps the order of large and small frames and copies the large", async () => {
    const sink = new Sink();
    const writer = new FrameWriter(systemRuntime, sink);
    const sizes = [10, 40_000, 20, 31_000, 31_000, 31_000, 0, 1_000_000, 5];
    const payload = Buffer.alloc(1_000_000);
    sizes.forEach((size, i) => {
      writer.write(FrameType.request, 1, i, payload.fill(i + 1).subarray(0, size));
    });
    payload.fill(255);
    await turn();
    const got: Frame[] = [];
    decoder(got).push(Buffer.concat(sink.written));
    expect(got.map((f) => f.payload.length)).toEqual(sizes);
    expect(got.every((f, i) => f.payload.every((byte) => byte === i + 1))).toBe(true);
  });

  it("uses its memory again once the stream has taken what was in it, and not before", async () => {
    for (const takes of [true, false]) {
      const sink = new Sink(takes);
      const places = new Set<number>();
      const buffers = new Set<ArrayBufferLike>();
      const keep = sink.write.bind(sink);
      sink.write = (bytes) => {
        places.add(bytes.byteOffset);
        buffers.add(bytes.buffer);
        return keep(bytes);
      };
      const writer = new FrameWriter(systemRuntime, sink);
      const count = 200;
      for (let i = 0; i < count; i++) {
        writer.write(FrameType.request, 1, i, Buffer.alloc(1_000, i));
        await turn();
      }
      const got: Frame[] = [];
      const decode = decoder(got);
      for (const bytes of sink.written) decode.push(bytes);
      expect(got.map((f) => [f.callId, f.payload[999]])).toEqual(
        Array.from({ length: count }, (_, i) => [i, i]),
      );
      if (takes) expect([places.size, buffers.size]).toEqual([1, 1]);
      else expect(buffers.size).toBeGreaterThan(3);
    }
  });

  it("never sends what was not flushed before close", async () => {
    const sink = new Sink();
    const writer = new FrameWriter(systemRuntime, sink);
    writer.write(FrameType.request, 1, 1, Buffer.alloc(5));
    writer.close();
    await turn();
    expect(sink.written).toEqual([]);
    expect([writer.framesWritten, writer.framesFlushed]).toEqual([1, 0]);
  });
});
