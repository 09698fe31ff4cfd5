/**
 * Spans of OpenTelemetry, if this process has set it up: `@opentelemetry/api` is only imported then. A context travels
 * between nodes as bytes: u8 flags, 16 bytes trace id, 8 bytes span id, trace state in Latin-1.
 */
import type * as Api from "@opentelemetry/api";
import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";

export type Attributes = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** One span that has begun. */
export interface OpenSpan {
  /** For {@link Spans.server} on another node; at most {@link contextSizeBytesMax} bytes. */
  readonly context: Buffer;
  /** A part of it that happens in this process. */
  child(name: string, attributes: Attributes): OpenSpan;
  /** `error`: why it failed; absent if it didn't. */
  end(attributes?: Attributes, error?: string): void;
}

export interface Spans {
  /** Something that is asked for, as a part of what is going on in this process. Undefined: it isn't recorded. */
  client(name: string, attributes: Attributes): OpenSpan | undefined;
  /** Something that another node has asked for. Undefined: it isn't recorded, or the context isn't one. */
  server(name: string, attributes: Attributes, context: Uint8Array): OpenSpan | undefined;
  /** Runs `fn` as a part of what these headers name, unless something is going on already. */
  within(headers: Readonly<Record<string, string | string[] | undefined>>, fn: () => void): void;
}

const idsBytes = 25;
const traceStateCharsMax = 512;
export const contextSizeBytesMax: number = idsBytes + traceStateCharsMax;

/** Undefined unless this process has registered a tracer provider by now. Never throws. */
export async function findSpans(log: Log): Promise<Spans | undefined> {
  // Where every copy of the API, of any version 1, keeps what was registered. To look imports nothing.
  const registered = (globalThis as Record<symbol, { readonly trace?: unknown } | undefined>)[
    Symbol.for("opentelemetry.js.api.1")
  ];
  if (registered?.trace === undefined) return undefined;
  try {
    return new OtelSpans(await import("@opentelemetry/api"));
  } catch (error) {
    const message =
      "OpenTelemetry is set up, but its API can't be imported from here: operations aren't traced";
    log.warn({ event: "traces-unavailable", error: messageOf(error) }, message);
    return undefined;
  }
}

class OtelSpans implements Spans {
  readonly #api: typeof Api;
  readonly #tracer: Api.Tracer;

  constructor(api: typeof Api) {
    this.#api = api;
    this.#tracer = api.trace.getTracer("ringcache");
  }

  client(name: string, attributes: Attributes): OpenSpan | undefined {
    const { SpanKind, context } = this.#api;
    return this.open(name, SpanKind.CLIENT, attributes, context.active());
  }

  server(name: string, attributes: Attributes, bytes: Uint8Array): OpenSpan | undefined {
    const { ROOT_CONTEXT, SpanKind, trace } = this.#api;
    const from = decodeContext(bytes, this.#api);
    if (from === undefined) return undefined;
    return this.open(name, SpanKind.SERVER, attributes, trace.setSpanContext(ROOT_CONTEXT, from));
  }

  within(headers: Readonly<Record<string, string | string[] | undefined>>, fn: () => void): void {
    const { context, propagation, trace } = this.#api;
    const active = context.active();
    if (trace.getSpan(active) !== undefined) fn();
    else context.with(propagation.extract(active, headers), fn);
  }

  open(name: string, kind: Api.SpanKind, attributes: Attributes, parent: Api.Context): OtelSpan | undefined {
    const span = this.#tracer.startSpan(name, { kind, attributes: attributes as Api.Attributes }, parent);
    return span.isRecording() ? new OtelSpan(this, this.#api, span, parent) : undefined;
  }
}

class OtelSpan implements OpenSpan {
  readonly context: Buffer;
  readonly #spans: OtelSpans;
  readonly #api: typeof Api;
  readonly #span: Api.Span;
  readonly #parent: Api.Context;

  constructor(spans: OtelSpans, api: typeof Api, span: Api.Span, parent: Api.Context) {
    this.#spans = spans;
    this.#api = api;
    this.#span = span;
    this.#parent = parent;
    this.context = encodeContext(span.spanContext());
  }

  child(name: string, attributes: Attributes): OpenSpan {
    const { SpanKind, trace } = this.#api;
    const within = trace.setSpan(this.#parent, this.#span);
    return this.#spans.open(name, SpanKind.INTERNAL, attributes, within) ?? notRecorded;
  }

  end(attributes?: Attributes, error?: string): void {
    if (attributes !== undefined) this.#span.setAttributes(attributes as Api.Attributes);
    if (error !== undefined) {
      this.#span.setAttribute("error.type", error);
      this.#span.setStatus({ code: this.#api.SpanStatusCode.ERROR });
    }
    this.#span.end();
  }
}

const notRecorded: OpenSpan = { context: Buffer.alloc(0), child: () => notRecorded, end() {} };

function encodeContext({ traceId, spanId, traceFlags, traceState }: Api.SpanContext): Buffer {
  const state = traceState?.serialize() ?? "";
  const kept = state.length <= traceStateCharsMax ? state : "";
  const bytes = Buffer.allocUnsafe(idsBytes + kept.length);
  bytes[0] = traceFlags;
  bytes.write(traceId, 1, "hex");
  bytes.write(spanId, 17, "hex");
  bytes.write(kept, idsBytes, "latin1");
  return bytes;
}

function decodeContext(bytes: Uint8Array, api: typeof Api): Api.SpanContext | undefined {
  const { length } = bytes;
  if (length < idsBytes || length > contextSizeBytesMax) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, length);
  const state = view.toString("latin1", idsBytes);
  const context: Api.SpanContext = {
    traceFlags: view[0]!,
    traceId: view.toString("hex", 1, 17),
    spanId: view.toString("hex", 17, idsBytes),
    isRemote: true,
    ...(state !== "" && { traceState: api.createTraceState(state) }),
  };
  return api.isSpanContextValid(context) ? context : undefined;
}
