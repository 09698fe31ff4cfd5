/** Which request does what. A route turns a request into a command or a report and hands its reply back. */
import { AsyncResource } from "node:async_hooks";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Door, noBytes, Op, type Reply } from "../cache/command.ts";
import { messageOf, RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime.ts";
import type { Spans } from "../tracing.ts";
import type { BodyReader } from "./body.ts";
import { checkMayDrain, type NodeControl } from "./control.ts";
import type { EventStreams } from "./event-streams.ts";
import { originHeaders } from "./origins.ts";
import type { Outbox } from "./outbox.ts";
import { type Pages, sendPage } from "./pages.ts";
import {
  sendDeleteReply,
  sendError,
  sendGetReply,
  sendJson,
  sendMetrics,
  sendNotAllowed,
  sendReport,
  sendSetReply,
} from "./reply.ts";
import { keyOfPlainTail, keyOfQuery, setCommandOf } from "./request.ts";

export interface RouteContext {
  readonly door: Door;
  readonly log: Log;
  readonly runtime: Runtime;
  readonly bodies: BodyReader;
  readonly outbox: Outbox;
  /** Absent: nobody may ask for anything but operations and reports. */
  readonly control: NodeControl | undefined;
  readonly spans: Spans | undefined;
  readonly streams: EventStreams;
  /** What `/metrics` shows beside the node's own; absent: nothing. */
  readonly moreMetrics: (() => Promise<string>) | undefined;
  /** By path. */
  readonly pages: Pages;
  /** Answers a request whose body is still coming, and ends its connection. */
  refuse(req: IncomingMessage, res: ServerResponse, error: RingcacheError): void;
}

interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  /** Throws RingcacheErrors. */
  run(context: RouteContext, req: IncomingMessage, res: ServerResponse, query: string): void;
}

const routes: ReadonlyMap<string, Route> = new Map<string, Route>([
  ["/get", { method: "GET", run: (context, _req, res, query) => get(context, res, keyOfQuery(query)) }],
  ["/set", { method: "POST", run: (context, req, res) => set(context, req, res) }],
  [
    "/delete",
    { method: "DELETE", run: (context, _req, res, query) => remove(context, res, keyOfQuery(query)) },
  ],
  ["/owner", { method: "GET", run: ({ door }, _req, res, query) => owner(door, res, keyOfQuery(query)) }],
  [
    "/stats",
    { method: "GET", run: ({ door }, _req, res) => sendJson(res, 200, JSON.stringify(door.stats())) },
  ],
  [
    "/status",
    { method: "GET", run: ({ door }, _req, res) => sendJson(res, 200, JSON.stringify(door.status())) },
  ],
  ["/cluster", { method: "GET", run: (context, req, res) => void cluster(context, req, res) }],
  [
    "/events",
    { method: "GET", run: ({ door, streams }, req, res) => streams.open(req, res, originHeaders(door, req)) },
  ],
  [
    "/lookup",
    { method: "GET", run: (context, req, res, query) => lookUp(context, req, res, keyOfQuery(query)) },
  ],
  ["/metrics", { method: "GET", run: (context, _req, res) => void metrics(context, res) }],
  ["/health", { method: "GET", run: ({ door }, _req, res) => health(door, res) }],
  ["/ready", { method: "GET", run: ({ door }, _req, res) => ready(door, res) }],
  ["/drain", { method: "POST", run: (context, req, res, query) => drain(context, req, res, query) }],
  ["/rebalance", { method: "POST", run: (context, _req, res) => rebalance(context, res) }],
]);

const plainGet = "/get?key=";

/** Answers the request, now or when the door does. Never throws. */
export function handleRequest(context: RouteContext, req: IncomingMessage, res: ServerResponse): void {
  try {
    const url = req.url!;
    // The shape of nearly every request: no table, no query to take apart.
    if (url.startsWith(plainGet) && req.method === "GET") {
      const key = keyOfPlainTail(url, plainGet.length);
      if (key !== undefined) {
        get(context, res, key);
        return;
      }
    }
    dispatch(context, req, res, withoutOrigin(url));
  } catch (thrown) {
    answerThrown(context, res, thrown);
  }
}

function dispatch(context: RouteContext, req: IncomingMessage, res: ServerResponse, target: string): void {
  const mark = target.indexOf("?");
  const path = mark === -1 ? target : target.slice(0, mark);
  const route = routes.get(path) ?? pageRoute(context.pages, path);
  if (route === undefined) {
    throw new RingcacheError("PATH_UNKNOWN", "There is nothing at this path.");
  }
  const { method } = route;
  if (req.method !== method && !(req.method === "HEAD" && method === "GET")) {
    const allow = method === "GET" ? "GET, HEAD" : method;
    const error = new RingcacheError("METHOD_NOT_ALLOWED", `${path} takes ${allow} only.`);
    sendNotAllowed(res, error, allow);
    return;
  }
  route.run(context, req, res, mark === -1 ? "" : target.slice(mark + 1));
}

function pageRoute(pages: Pages, path: string): Route | undefined {
  const page = pages.get(path);
  return page && { method: "GET", run: (_context, req, res) => sendPage(page, req, res) };
}

/** A proxy may send `GET http://host/path`; HTTP/1.1 wants that understood. */
function withoutOrigin(url: string): string {
  if (url.startsWith("/")) return url;
  const origin = /^https?:\/\/[^/?]*/i.exec(url);
  return origin === null ? url : url.slice(origin[0].length);
}

function answerThrown({ log }: RouteContext, res: ServerResponse, thrown: unknown): void {
  if (thrown instanceof RingcacheError) {
    sendError(res, thrown);
    return;
  }
  log.error(
    { event: "defect-survived", where: "http", err: thrown },
    `defect while answering an HTTP request: ${messageOf(thrown)}`,
  );
  if (res.headersSent) res.destroy();
  else sendError(res, new RingcacheError("INTERNAL", "A defect of ringcache; its log says more."));
}

// A client that has disconnected meanwhile: Node drops what is written, so no reply needs to ask.

function get({ door, outbox }: RouteContext, res: ServerResponse, key: Buffer): void {
  door.execute({ op: Op.get, key, value: noBytes, expiresAtMs: 0, expected: undefined }, (error, reply) => {
    if (error === undefined) sendGetReply(outbox, res, reply as Reply);
    else sendError(res, error, true);
  });
}

function remove({ door, outbox }: RouteContext, res: ServerResponse, key: Buffer): void {
  door.execute(
    { op: Op.delete, key, value: noBytes, expiresAtMs: 0, expected: undefined },
    (error, reply) => {
      if (error === undefined) sendDeleteReply(outbox, res, reply as Reply);
      else sendError(res, error, true);
    },
  );
}

function set(context: RouteContext, req: IncomingMessage, res: ServerResponse): void {
  const received = (refused: RingcacheError | undefined, body: Buffer): void => {
    if (refused !== undefined) {
      context.refuse(req, res, refused);
      return;
    }
    try {
      context.door.execute(setCommandOf(body, context.runtime.wallMs()), (error, reply) => {
        if (error === undefined) sendSetReply(context.outbox, res, reply as Reply);
        else sendError(res, error, true);
      });
    } catch (thrown) {
      answerThrown(context, res, thrown);
    }
  };
  // The body's end is told in another asynchronous context than that of this request's trace.
  context.bodies.read(req, context.spans === undefined ? received : AsyncResource.bind(received));
}

function owner(door: Door, res: ServerResponse, key: Buffer): void {
  sendJson(res, 200, JSON.stringify({ key: key.toString("utf8"), ...door.owner(key) }));
}

async function cluster(context: RouteContext, req: IncomingMessage, res: ServerResponse): Promise<void> {
  try {
    const report = await context.door.cluster();
    sendReport(res, JSON.stringify(report), originHeaders(context.door, req));
  } catch (thrown) {
    answerThrown(context, res, thrown);
  }
}

async function metrics(context: RouteContext, res: ServerResponse): Promise<void> {
  try {
    const [ofNode, more = ""] = await Promise.all([context.door.metrics(), context.moreMetrics?.()]);
    sendMetrics(res, `${ofNode}${more}`);
  } catch (thrown) {
    answerThrown(context, res, thrown);
  }
}

function lookUp({ door }: RouteContext, req: IncomingMessage, res: ServerResponse, key: Buffer): void {
  const headers = originHeaders(door, req);
  door.lookUp(key, (error, report) => {
    if (error !== undefined) sendError(res, error, true);
    else sendReport(res, JSON.stringify({ key: key.toString("utf8"), ...report }), headers);
  });
}

function health(door: Door, res: ServerResponse): void {
  sendJson(res, 200, JSON.stringify({ status: "ok", node: door.nodeId }));
}

function ready(door: Door, res: ServerResponse): void {
  if (!door.ready)
    throw new RingcacheError(
      "NOT_READY",
      "This node isn't serving: it is starting or leaving, or neither its lease nor its backups' grants hold.",
    );
  sendJson(res, 200, JSON.stringify({ ready: true, node: door.nodeId }));
}

/** Answered at once or, with `wait=true`, when everything has been handed over or the time for that is over. */
function drain(context: RouteContext, req: IncomingMessage, res: ServerResponse, query: string): void {
  const { door, control } = context;
  checkMayDrain(control?.drainFrom ?? "nowhere", req);
  const held = (): { partitions: number; backups: number } => {
    const self = door.status().members.find(({ id }) => id === door.nodeId);
    return { partitions: self?.partitions ?? 0, backups: self?.backups ?? 0 };
  };
  const drained = control!.drain();
  if (query !== "wait=true") {
    const { drainTimeoutMs: drain_timeout_ms } = control!;
    sendJson(res, 202, JSON.stringify({ draining: true, node: door.nodeId, ...held(), drain_timeout_ms }));
    return;
  }
  drained.then(
    () => {
      const left = held();
      const isDrained = left.partitions + left.backups === 0;
      sendJson(res, 200, JSON.stringify({ drained: isDrained, node: door.nodeId, ...left }));
    },
    (thrown: unknown) => answerThrown(context, res, thrown),
  );
}

/** Answered when there is a plan: what it says is carried out afterwards. */
function rebalance(context: RouteContext, res: ServerResponse): void {
  const { door, control } = context;
  if (control === undefined) throw new RingcacheError("FORBIDDEN", "Nobody may ask this node for a plan.");
  control.plan().then(
    () => sendJson(res, 202, JSON.stringify({ planned: true, node: door.nodeId })),
    (thrown: unknown) => answerThrown(context, res, thrown),
  );
}
