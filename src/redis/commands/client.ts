/** CLIENT: what is known of connections, and how this one is to be treated. */
import type { Call } from "../call.ts";
import type { Handlers } from "../command-table.ts";
import type { Connection } from "../connection.ts";
import { switchOf, textOf } from "./arguments.ts";

const types = new Set(["normal", "master", "slave", "replica", "pubsub"]);

export const clientCommands: Handlers = {
  "client|id": (call) => call.integer(call.connection.id),

  "client|getname": (call) =>
    call.connection.name === "" ? call.null() : latin1(call, call.connection.name),

  "client|setname"(call) {
    const name = textOf(call.args[2]!);
    if (!isClientName(name)) {
      call.error("ERR Client names cannot contain spaces, newlines or special characters.");
      return;
    }
    call.connection.name = name;
    // The connections of ioredis that fetch a cluster's layout.
    if (name.startsWith("ioredis-cluster(")) call.connection.showClusterAware();
    call.ok();
  },

  "client|setinfo"(call) {
    const { args, connection } = call;
    const attribute = textOf(args[2]!).toLowerCase();
    const value = textOf(args[3]!);
    if (attribute !== "lib-name" && attribute !== "lib-ver") {
      call.out.errorLatin1(`ERR Unrecognized option '${textOf(args[2]!)}'`);
      call.end();
    } else if (!isClientName(value)) {
      call.error(`ERR ${attribute} cannot contain spaces, newlines or special characters.`);
    } else {
      if (attribute === "lib-name") connection.libraryName = value;
      else connection.libraryVersion = value;
      call.ok();
    }
  },

  "client|info"(call) {
    call.out.verbatim(`${describe(call.connection)}\n`);
    call.end();
  },

  "client|list": list,

  "client|no-evict"(call) {
    const on = switchOf(call.args[2]!);
    if (on === undefined) {
      call.error("ERR syntax error");
      return;
    }
    call.connection.noEvict = on;
    call.ok();
  },

  "client|no-touch"(call) {
    const on = switchOf(call.args[2]!);
    if (on === undefined) {
      call.error("ERR syntax error");
      return;
    }
    call.connection.noTouch = on;
    call.ok();
  },

  /** OFF and SKIP themselves have no reply. */
  "client|reply"(call) {
    const { connection } = call;
    const mode = textOf(call.args[2]!).toLowerCase();
    if (mode === "on") {
      connection.replies = "on";
      // This request's own reply is the first that is wanted again.
      call.muted = false;
      call.ok();
    } else if (mode === "off" || mode === "skip") {
      if (mode === "off") connection.replies = "off";
      // What is off stays off.
      else if (connection.replies !== "off") connection.replies = "skip";
      call.end();
    } else call.error("ERR syntax error");
  },
};

/** As `validateClientAttr` of Redis: printable, without spaces. */
export function isClientName(text: string): boolean {
  return /^[!-~]*$/.test(text);
}

function latin1(call: Call, text: string): void {
  call.bulk(Buffer.from(text, "latin1"));
}

/** CLIENT LIST [TYPE type] [ID id...]. */
function list(call: Call): void {
  const { args, context } = call;
  let shown = [...context.connections.values()];
  if (args.length > 2) {
    const option = textOf(args[2]!).toLowerCase();
    if (option === "type" && args.length === 4) {
      const type = textOf(args[3]!);
      if (!types.has(type.toLowerCase())) {
        call.out.errorLatin1(`ERR Unknown client type '${type}'`);
        call.end();
        return;
      }
      shown = shown.filter((connection) => typeOf(connection) === type.toLowerCase());
    } else if (option === "id" && args.length > 3) {
      const ids = args.slice(3).map((id) => (/^[1-9]\d{0,15}$/.test(textOf(id)) ? Number(textOf(id)) : 0));
      if (ids.includes(0)) {
        call.error("ERR Invalid client ID");
        return;
      }
      shown = ids.flatMap((id) => context.connections.get(id) ?? []);
    } else {
      call.error("ERR syntax error");
      return;
    }
  }
  call.out.verbatim(shown.map((connection) => `${describe(connection)}\n`).join(""));
  call.end();
}

function typeOf(connection: Connection): string {
  return connection.subscriptions > 0 ? "pubsub" : "normal";
}

/** One line of CLIENT LIST; what this server doesn't count is 0. */
function describe(connection: Connection): string {
  const { socket, context } = connection;
  const nowMs = context.runtime.monotonicMs();
  const seconds = (sinceMs: number): number => Math.floor((nowMs - sinceMs) / 1000);
  const multi = connection.transaction?.queued.length ?? -1;
  const flags = `${connection.subscriptions > 0 ? "P" : ""}${multi >= 0 ? "x" : ""}${connection.noEvict ? "e" : ""}`;
  const fields = {
    id: connection.id,
    addr: address(socket.remoteAddress, socket.remotePort),
    laddr: address(socket.localAddress, socket.localPort),
    fd: 0,
    name: connection.name,
    age: seconds(connection.connectedMs),
    idle: seconds(connection.activeMs),
    flags: flags === "" ? "N" : flags,
    db: 0,
    sub: connection.subscriptions,
    psub: 0,
    ssub: 0,
    multi,
    watch: 0,
    qbuf: connection.intake.heldBytes,
    "qbuf-free": 0,
    "argv-mem": 0,
    "multi-mem": connection.transaction?.sizeBytes ?? 0,
    rbs: 0,
    rbp: 0,
    obl: connection.out.size,
    oll: 0,
    omem: connection.unsentBytes - connection.out.size,
    "tot-mem": connection.intake.heldBytes + connection.unsentBytes,
    events: "r",
    cmd: connection.lastCommand === "" ? "NULL" : connection.lastCommand,
    user: "default",
    redir: -1,
    resp: connection.protocol,
    "lib-name": connection.libraryName,
    "lib-ver": connection.libraryVersion,
  };
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

function address(host: string | undefined, port: number | undefined): string {
  if (host === undefined) return "?:0";
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
