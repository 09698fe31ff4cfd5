/**
 * Byte streams between nodes, as TCP gives them: ordered, reliable while open, closed as a whole. `tcp.ts` is the
 * real one; the simulator has its own.
 */

export interface StreamHandlers {
  /** The stream is open; only for streams that this side connected. */
  open?(): void;
  /** Returns whether the bytes are kept: if so they are never written to again, else they may be at once. */
  data(bytes: Buffer): boolean;
  /** Called exactly once, also when the stream never opened. `refused`: nobody listens at that address. */
  close(reason: CloseReason): void;
}

export interface CloseReason {
  /** True if the other host answered that no process listens there: proof that none does. */
  readonly refused: boolean;
  readonly error: Error | undefined;
}

export interface ByteStream {
  /** Queues the bytes in order. True: they, and all that was written before, may be used again; else they are read later. */
  write(bytes: Buffer): boolean;
  /** Bytes that were written and have not yet been handed to the network. */
  readonly queuedBytes: number;
  /** Closes after what was written has been sent. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
  /** Where the other side is, for messages. */
  readonly remote: string;
}

export interface Listener {
  readonly host: string;
  /** The actual port, also when 0 was asked for. */
  readonly port: number;
  close(): Promise<void>;
}

export interface Transport {
  /** Throws PORT_UNUSABLE. `accept` returns the handlers of the stream that came in. */
  listen(host: string, port: number, accept: (stream: ByteStream) => StreamHandlers): Promise<Listener>;
  connect(host: string, port: number, handlers: StreamHandlers): ByteStream;
}
