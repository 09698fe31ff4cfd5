/**
 * Publish and subscribe, over all nodes: what is published on one goes to its own subscribers at once and to those of the others by a
 * channel of what the nodes agree through. Nothing is kept; who isn't there misses it, as in Redis.
 */

import { globOf } from "../../cache/steps/glob.ts";
import { type Channel, channelMessageBytesMax } from "../../coordination/coordination.ts";
import type { Call } from "../call.ts";
import type { Handlers } from "../command-table.ts";
import type { Connection } from "../connection.ts";
import type { RedisContext, RingView } from "../context.ts";
import type { ReplyWriter } from "../writer.ts";

/** For how long a first SUBSCRIBE waits for NATS. */
const readyWithinMs = 1_000;

/** By the bytes of the name as latin-1. */
interface Subscriptions {
  /** Ends them all. */
  readonly forget: () => void;
  readonly channels: Set<string>;
  readonly patterns: Set<string>;
}

interface Pattern {
  readonly name: Buffer;
  readonly matches: (channel: Buffer) => boolean;
  readonly subscribers: Set<Connection>;
}

/** The subscribers of one door, and its channel to the other nodes. */
class Hub {
  readonly channels = new Map<string, Set<Connection>>();
  readonly patterns = new Map<string, Pattern>();
  readonly #of = new WeakMap<Connection, Subscriptions>();
  readonly #context: RedisContext;
  #channel: Channel | undefined;
  #isHeard = false;

  constructor(context: RedisContext) {
    this.#context = context;
  }

  subscriptionsOf(connection: Connection): Subscriptions {
    let known = this.#of.get(connection);
    if (known === undefined) {
      known = { channels: new Set(), patterns: new Set(), forget: () => this.#forget(connection) };
      this.#of.set(connection, known);
    }
    return known;
  }

  subscribe(connection: Connection, name: Buffer, isPattern: boolean): void {
    const key = name.toString("latin1");
    const own = this.subscriptionsOf(connection);
    // The same each time: it stays until the connection ends.
    connection.cleanups.add(own.forget);
    // Listening begins with the first subscription, so that a door without any costs nothing.
    this.#open();
    if (isPattern) {
      own.patterns.add(key);
      const known = this.patterns.get(key) ?? { name, matches: globOf(name), subscribers: new Set() };
      known.subscribers.add(connection);
      this.patterns.set(key, known);
    } else {
      own.channels.add(key);
      const known = this.channels.get(key) ?? new Set();
      known.add(connection);
      this.channels.set(key, known);
    }
    connection.subscriptions = own.channels.size + own.patterns.size;
  }

  unsubscribe(connection: Connection, key: string, isPattern: boolean): void {
    const own = this.subscriptionsOf(connection);
    if (isPattern) {
      own.patterns.delete(key);
      const known = this.patterns.get(key);
      known?.subscribers.delete(connection);
      if (known?.subscribers.size === 0) this.patterns.delete(key);
    } else {
      own.channels.delete(key);
      const known = this.channels.get(key);
      known?.delete(connection);
      if (known?.size === 0) this.channels.delete(key);
    }
    connection.subscriptions = own.channels.size + own.patterns.size;
  }

  /** Calls `then` once what other nodes publish is heard here, or NATS takes too long: then it is heard when NATS is back. */
  whenHeard(then: () => void): void {
    const channel = this.#open();
    if (this.#isHeard || channel === undefined) {
      then();
      return;
    }
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      this.#isHeard = true;
      then();
    };
    void channel.ready.then(end);
    this.#context.runtime.after(readyWithinMs, end);
  }

  /** How many of this node's subscribers got it. */
  deliver(channel: Buffer, message: Buffer): number {
    let count = 0;
    for (const connection of this.channels.get(channel.toString("latin1")) ?? []) {
      count++;
      connection.push((out) => writePush(out, "message", channel, message));
    }
    for (const { name, matches, subscribers } of this.patterns.values()) {
      if (!matches(channel)) continue;
      for (const connection of subscribers) {
        count++;
        connection.push((out) => writePush(out, "pmessage", name, channel, message));
      }
    }
    return count;
  }

  /** To the other nodes. */
  send(channel: Buffer, message: Buffer): void {
    const head = Buffer.allocUnsafe(4);
    head.writeUInt32BE(channel.length, 0);
    this.#open()?.send(Buffer.concat([head, channel, message]));
  }

  #open(): Channel | undefined {
    const { ring } = this.#context;
    if (ring === undefined) return undefined;
    this.#channel ??= openChannel(ring, (bytes) => {
      const message = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      const end = 4 + message.readUInt32BE(0);
      if (end <= message.length) this.deliver(message.subarray(4, end), message.subarray(end));
    });
    return this.#channel;
  }

  #forget(connection: Connection): void {
    const { channels, patterns } = this.subscriptionsOf(connection);
    for (const key of [...channels]) this.unsubscribe(connection, key, false);
    for (const key of [...patterns]) this.unsubscribe(connection, key, true);
  }
}

function openChannel({ coordination, config }: RingView, receive: (bytes: Uint8Array) => void): Channel {
  return coordination.openChannel(`${config.platform}-redis`, receive);
}

const hubs = new WeakMap<RedisContext, Hub>();

function hubOf(context: RedisContext): Hub {
  let hub = hubs.get(context);
  if (hub === undefined) {
    hub = new Hub(context);
    hubs.set(context, hub);
  }
  return hub;
}

function writePush(out: ReplyWriter, kind: string, ...parts: (Buffer | number | null)[]): void {
  out.push(parts.length + 1);
  out.text(kind);
  for (const part of parts) {
    if (part === null) out.null();
    else if (typeof part === "number") out.integer(part);
    else out.bulk(part);
  }
}

/** Each name gets a confirmation of its own. */
function subscribe(kind: "subscribe" | "psubscribe"): (call: Call) => void {
  return (call) => {
    const { connection } = call;
    const hub = hubOf(call.context);
    const names = call.args.slice(1).map((name) => Buffer.from(name));
    hub.whenHeard(() => {
      const { out } = call;
      for (const name of names) {
        hub.subscribe(connection, name, kind === "psubscribe");
        writePush(out, kind, name, connection.subscriptions);
      }
      call.end();
    });
  };
}

/** Without a name: from all. */
function unsubscribe(kind: "unsubscribe" | "punsubscribe"): (call: Call) => void {
  return (call) => {
    const { connection, out } = call;
    const hub = hubOf(call.context);
    const isPattern = kind === "punsubscribe";
    const own = hub.subscriptionsOf(connection);
    const given = call.args.slice(1).map((name) => name.toString("latin1"));
    const names = given.length > 0 ? given : [...(isPattern ? own.patterns : own.channels)];
    for (const name of names) {
      hub.unsubscribe(connection, name, isPattern);
      writePush(out, kind, Buffer.from(name, "latin1"), connection.subscriptions);
    }
    if (names.length === 0) writePush(out, kind, null, connection.subscriptions);
    call.end();
  };
}

function publish(call: Call): void {
  const [, channel, message] = call.args as [Buffer, Buffer, Buffer];
  if (channel.length + message.length + 4 > channelMessageBytesMax) {
    call.error(`ERR a message and its channel have at most ${channelMessageBytesMax - 4} bytes`);
    return;
  }
  const hub = hubOf(call.context);
  hub.send(channel, message);
  call.integer(hub.deliver(channel, message));
}

export const pubsubCommands: Handlers = {
  subscribe: subscribe("subscribe"),
  psubscribe: subscribe("psubscribe"),
  unsubscribe: unsubscribe("unsubscribe"),
  punsubscribe: unsubscribe("punsubscribe"),
  publish,

  "pubsub|channels"(call) {
    const matches = globOf(call.args[2] ?? Buffer.alloc(0));
    const names = [...hubOf(call.context).channels.keys()].map((name) => Buffer.from(name, "latin1"));
    const found = names.filter(matches);
    const { out } = call;
    out.array(found.length);
    for (const name of found) out.bulk(name);
    call.end();
  },

  "pubsub|numsub"(call) {
    const { out, args } = call;
    const { channels } = hubOf(call.context);
    out.array(2 * (args.length - 2));
    for (const name of args.slice(2)) {
      out.bulk(name);
      out.integer(channels.get(name.toString("latin1"))?.size ?? 0);
    }
    call.end();
  },

  "pubsub|numpat": (call) => call.integer(hubOf(call.context).patterns.size),
};
