/** A channel is a subject of plain NATS; what its own sender hears is left out. */
import type { Channel } from "./coordination.ts";
import { requireMessage } from "./names.ts";
import type { NatsSession } from "./nats-session.ts";

/** Of whoever opened the channel, at the start of each of its messages. */
const senderBytes = 16;

export function openNatsChannel(
  { connection, runtime }: NatsSession,
  name: string,
  receive: (message: Uint8Array) => void,
): Channel {
  const subject = `ringcache.${name}`;
  const sender = runtime.randomBytes(senderBytes);
  const subscription = connection.subscribe(subject, {
    callback: (error, { data }) => {
      if (error || data.length < senderBytes || sender.equals(data.subarray(0, senderBytes))) return;
      receive(data.subarray(senderBytes));
    },
  });
  return {
    // The server has the subscription once it has answered what was sent after it.
    ready: connection.flush().catch(() => {}),
    send(message) {
      requireMessage(message);
      if (connection.isClosed()) return false;
      connection.publish(subject, Buffer.concat([sender, message]));
      return true;
    },
    close: () => {
      if (!connection.isClosed()) subscription.unsubscribe();
    },
  };
}
