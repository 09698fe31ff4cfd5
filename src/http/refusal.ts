/**
 * Answers that end a connection while its client may still be sending. Closing at once would make the kernel reset
 * the connection, and the client lose the answer with it; so what still comes is read and dropped for a while.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { RingcacheError } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import { rawError, sendErrorUnended } from "./reply.ts";

/** Answers `req`, whose body is still coming, and ends the connection when it has come or `lingerMs` have passed. */
export function refuseBody(
  runtime: Runtime,
  lingerMs: number,
  req: IncomingMessage,
  res: ServerResponse,
  error: RingcacheError,
): void {
  sendErrorUnended(res, error, true);
  const timer = runtime.after(lingerMs, () => res.end());
  const finish = (): void => {
    timer.cancel();
    res.end();
  };
  if (req.readableEnded || req.destroyed) finish();
  else {
    req.on("end", finish);
    req.on("close", finish);
    req.resume();
  }
}

/** What Node's parser or its time-outs report about a connection, as the answer to be given. */
export function errorOfConnection(error: NodeJS.ErrnoException): RingcacheError {
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW":
      return new RingcacheError("HEADERS_TOO_LARGE", "The request line and headers are larger than 256 KiB.");
    case "HPE_INVALID_URL":
      return new RingcacheError("URL_INVALID", "The URL has a byte that must be percent-encoded.");
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return new RingcacheError("BODY_TOO_LARGE", "The extensions of a chunk are too large.");
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new RingcacheError("HTTP_TIMEOUT", "The request wasn't complete in time.");
    default:
      return new RingcacheError("HTTP_INVALID", "The bytes on this connection aren't a valid HTTP request.");
  }
}

/** The response that Node is about to write to this socket. Not documented, but what Node's own default looks at. */
export function responseUnderWay(socket: Socket): ServerResponse | undefined {
  return (socket as { _httpMessage?: ServerResponse | null })._httpMessage ?? undefined;
}

/**
 * Answers a connection whose bytes can't be followed any more, after the requests before them have had their own
 * answers: a pipelined one that still waits must not take this answer for its own.
 */
export function refuseConnection(
  runtime: Runtime,
  lingerMs: number,
  socket: Socket,
  error: RingcacheError,
): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const response = responseUnderWay(socket);
  // A request that isn't complete is the one that broke; a complete one is answered first.
  if (response !== undefined && (response.req.complete || response.headersSent)) {
    response.once("finish", () => refuseConnection(runtime, lingerMs, socket, error));
    return;
  }
  socket.end(rawError(error));
  const timer = runtime.after(lingerMs, () => socket.destroy());
  socket.on("close", () => timer.cancel());
  socket.on("end", () => socket.destroy());
  socket.resume();
}
