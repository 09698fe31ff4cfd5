/** Commands about the connection itself, CLIENT's apart. */
import { createHash, timingSafeEqual } from "node:crypto";
import { integerOf } from "../../storage/integer.ts";
import type { Call } from "../call.ts";
import type { Handlers } from "../command-table.ts";
import { redisVersion } from "../version.ts";
import { isClientName } from "./client.ts";

const wrongPassword = "WRONGPASS invalid username-password pair or user is disabled.";

export const connectionCommands: Handlers = {
  ping(call) {
    const { args, connection } = call;
    if (args.length > 2) call.error("ERR wrong number of arguments for 'ping' command");
    else if (connection.subscriptions > 0 && connection.protocol === 2) {
      const { out } = call;
      out.array(2);
      out.text("pong");
      if (args[1] === undefined) out.text("");
      else out.bulk(args[1]);
      call.end();
    } else if (args[1] === undefined) call.simple("PONG");
    else call.bulk(args[1]);
  },

  echo: (call) => call.bulk(call.args[1]!),

  quit(call) {
    call.connection.endAfterReply();
    call.ok();
  },

  reset(call) {
    call.connection.reset();
    call.simple("RESET");
  },

  select(call) {
    const text = call.args[1]!.toString("latin1");
    if (!/^(0|-?[1-9]\d{0,9})$/.test(text)) call.error("ERR value is not an integer or out of range");
    else if (text !== "0") call.error("ERR DB index is out of range");
    else call.ok();
  },

  auth(call) {
    const { args, context, connection } = call;
    if (args.length > 3) call.error("ERR syntax error");
    else if (args.length === 2 && context.password === "") {
      call.error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
      );
    } else if (!admits(call, args.length === 3 ? args[1]! : undefined, args.at(-1)!))
      call.error(wrongPassword);
    else {
      connection.authenticated = true;
      call.ok();
    }
  },

  hello,
};

/** Whether that password is the user's. Without a password configured, the default user has any. */
function admits({ context }: Call, user: Buffer | undefined, password: Buffer): boolean {
  if (user !== undefined && user.toString("latin1") !== "default") return false;
  return context.password === "" || timingSafeEqual(digest(password), digest(Buffer.from(context.password)));
}

function digest(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/** HELLO [protocol [AUTH user password] [SETNAME name]]: nothing is changed unless all of it is right. */
function hello(call: Call): void {
  const { args, connection } = call;
  let protocol = connection.protocol;
  if (args[1] !== undefined) {
    const text = args[1].toString("latin1");
    if (integerOf(args[1]) === undefined) {
      call.error("ERR Protocol version is not an integer or out of range");
      return;
    }
    if (text !== "2" && text !== "3") {
      call.error("NOPROTO unsupported protocol version");
      return;
    }
    protocol = text === "2" ? 2 : 3;
  }
  let authenticated = connection.authenticated;
  let name: string | undefined;
  for (let i = 2; i < args.length; ) {
    const option = args[i]!.toString("latin1");
    if (/^auth$/i.test(option) && i + 2 < args.length) {
      if (!admits(call, args[i + 1]!, args[i + 2]!)) {
        call.error(wrongPassword);
        return;
      }
      authenticated = true;
      i += 3;
    } else if (/^setname$/i.test(option) && i + 1 < args.length) {
      name = args[i + 1]!.toString("latin1");
      if (!isClientName(name)) {
        call.error("ERR Client names cannot contain spaces, newlines or special characters.");
        return;
      }
      i += 2;
    } else {
      call.out.errorLatin1(`ERR Syntax error in HELLO option '${option}'`);
      call.end();
      return;
    }
  }
  if (!authenticated) {
    call.error(
      "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
    );
    return;
  }
  connection.authenticated = true;
  connection.protocol = protocol;
  if (name !== undefined) connection.name = name;
  greet(call);
}

function greet(call: Call): void {
  const { connection, out } = call;
  out.map(7);
  out.text("server");
  out.text("redis");
  out.text("version");
  out.text(redisVersion);
  out.text("proto");
  out.integer(connection.protocol);
  out.text("id");
  out.integer(connection.id);
  out.text("mode");
  out.text(connection.clusterAware ? "cluster" : "standalone");
  out.text("role");
  out.text("master");
  out.text("modules");
  out.array(0);
  call.end();
}
