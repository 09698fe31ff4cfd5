/**
 * Reading of accepted connections into buffers of the reader's own: a buffer of 64 KiB for each read, as a stream makes them, costs
 * as much as all else that Node does for a read. Node has this for sockets that one makes oneself (`onread`), but not for those that
 * a server accepts; so an accepted socket's handle is given to a new socket.
 */
import { type OnReadOpts, Socket } from "node:net";

/** What Node has of an accepted socket, and takes for a new one, without saying so in its documentation. */
interface Handled {
  _handle?: object | null;
}

/**
 * A socket for the connection of `accepted`, from which nothing must have been read: its server has `pauseOnConnect`. Undefined where
 * Node isn't as expected: then it is to be read as a stream.
 */
export function readAccepted(
  accepted: Socket,
  onread: OnReadOpts,
  { allowHalfOpen }: { allowHalfOpen: boolean },
): Socket | undefined {
  const handle = (accepted as Handled)._handle;
  if (handle === undefined || handle === null) return undefined;
  (accepted as Handled)._handle = null;
  const options = { handle, allowHalfOpen, onread };
  const socket = new Socket(options);
  // The server counts the one that it knows.
  socket.on("close", () => accepted.destroy());
  return socket;
}
