/** Answers: nearly every body is JSON, every answer has its exact length. */
import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Reply } from "../cache/command.ts";
import type { RingcacheError } from "../errors.ts";
import type { Outbox } from "./outbox.ts";

const contentType = "application/json; charset=utf-8";

// Node reads these arrays within writeHead and doesn't keep them: one of each kind serves all answers.
const headers: string[] = ["Content-Type", contentType, "Content-Length", ""];
const allowHeaders: string[] = ["Content-Type", contentType, "Content-Length", "", "Allow", ""];

/** A HEAD request gets the same headers; Node leaves the body out. */
export function sendJson(res: ServerResponse, status: number, body: string): void {
  headers[3] = String(Buffer.byteLength(body));
  res.writeHead(status, headers);
  res.end(body);
}

/** An answer that is of this moment only. */
export function sendReport(
  res: ServerResponse,
  body: string,
  headers: Readonly<Record<string, string>>,
): void {
  const length = String(Buffer.byteLength(body));
  const own = { "Content-Type": contentType, "Content-Length": length, "Cache-Control": "no-store" };
  res.writeHead(200, { ...own, ...headers });
  res.end(body);
}

/** Prometheus's text format. */
export function sendMetrics(res: ServerResponse, body: string): void {
  const length = String(Buffer.byteLength(body));
  const type = "text/plain; version=0.0.4; charset=utf-8";
  res.writeHead(200, { "Content-Type": type, "Content-Length": length, "Cache-Control": "no-store" });
  res.end(body);
}

/** For bodies that are known to be ASCII: one byte per character, nothing to count or transcode. */
function sendAscii(res: ServerResponse, status: number, body: string): void {
  headers[3] = String(body.length);
  res.writeHead(status, headers);
  res.end(body, "latin1");
}

/** `operation`: the error of a carried command, so that the caller is told whether it may have taken effect. */
export function errorBody(error: RingcacheError, operation = false): string {
  const { code, message } = error;
  return JSON.stringify({ error: operation ? { code, message, outcome: error.outcome } : { code, message } });
}

export function sendError(res: ServerResponse, error: RingcacheError, operation = false): void {
  sendJson(res, error.status, errorBody(error, operation && error.status >= 500));
}

export function sendNotAllowed(res: ServerResponse, error: RingcacheError, allow: string): void {
  const body = errorBody(error);
  allowHeaders[3] = String(Buffer.byteLength(body));
  allowHeaders[5] = allow;
  res.writeHead(error.status, allowHeaders);
  res.end(body);
}

/** Sends the whole answer but leaves it open, so that Node doesn't close the connection under a client that sends. */
export function sendErrorUnended(res: ServerResponse, error: RingcacheError, operation: boolean): void {
  const body = errorBody(error, operation && error.status >= 500);
  res.writeHead(error.status, [
    "Content-Type",
    contentType,
    "Content-Length",
    String(Buffer.byteLength(body)),
    "Connection",
    "close",
  ]);
  res.write(body);
}

/** An answer for a connection that has no request object: the bytes on it were not HTTP. */
export function rawError(error: RingcacheError): string {
  const body = errorBody(error);
  return (
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\nContent-Type: ${contentType}\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  );
}

// Nearly all answers name the same node: its JSON is kept.
let lastNode: string | undefined;
let lastNodeJson = "";
let lastNodeAscii = true;

function nodeJson(node: string): string {
  if (node !== lastNode) {
    lastNode = node;
    lastNodeJson = JSON.stringify(node);
    lastNodeAscii = !mustEscape.test(node);
  }
  return lastNodeJson;
}

/** Anything but printable ASCII without `"` and `\`: what doesn't stand for itself in a JSON string. */
const mustEscape = /[^\x20\x21\x23-\x5b\x5d-\x7e]/;

/** Takes what it needs out of `reply` at once: its value is a view that is valid during the call only. */
export function sendGetReply(outbox: Outbox, res: ServerResponse, reply: Reply): void {
  const node = nodeJson(reply.node);
  if (!reply.found) {
    outbox.add(res, 404, `{"found":false,"node":${node}}`, sendJson);
    return;
  }
  const text = reply.value.toString("latin1");
  if (lastNodeAscii && !mustEscape.test(text)) {
    outbox.add(res, 200, `{"found":true,"value":"${text}","node":${node}}`, sendAscii);
    return;
  }
  // Bytes that aren't UTF-8, which only other doors can store, show as U+FFFD.
  const value = JSON.stringify(reply.value.toString("utf8"));
  outbox.add(res, 200, `{"found":true,"value":${value},"node":${node}}`, sendJson);
}

export function sendSetReply(outbox: Outbox, res: ServerResponse, reply: Reply): void {
  outbox.add(res, 200, `{"success":true,"node":${nodeJson(reply.node)}}`, sendJson);
}

export function sendDeleteReply(outbox: Outbox, res: ServerResponse, reply: Reply): void {
  outbox.add(res, 200, `{"deleted":${reply.found},"node":${nodeJson(reply.node)}}`, sendJson);
}
