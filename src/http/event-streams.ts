/**
 * `GET /events`: the cluster as server-sent events. The streams of one door share what is told: it is made into text once. A stream
 * whose client doesn't read gets no more until it has read what waits for it, then a whole new state; or is closed.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type {
  ClusterEvent,
  ClusterState,
  ClusterWatcher,
  Samples,
  TableChange,
} from "../cache/cluster/report.ts";
import type { Door } from "../cache/command.ts";
import { messageOf, RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import { sendError } from "./reply.ts";

/** At once, on one node. */
export const streamsMax = 64;
/** Written and not sent; past it the client is behind. */
const waitingBytesMax = 256 * 1024;
/** Messages in a row, at least one a second, after which a client that is behind is given up. */
const missedMax = 30;

/** HTTP headers for the streams, beside those of the answer itself. */
export type Headers = Readonly<Record<string, string>>;

export class EventStreams {
  readonly #door: Door;
  readonly #log: Log;
  readonly #streams = new Set<EventStream>();
  #closed = false;

  constructor(door: Door, log: Log) {
    this.#door = door;
    this.#log = log;
  }

  open(req: IncomingMessage, res: ServerResponse, headers: Headers): void {
    if (this.#closed || this.#streams.size >= streamsMax) {
      const message = `${streamsMax} clients watch the cluster through this node already.`;
      throw new RingcacheError("OVERLOADED", message);
    }
    if (req.method === "HEAD") {
      res.writeHead(200, { ...streamHeaders, ...headers });
      res.end();
      return;
    }
    const stream = new EventStream(res, headers, () => void this.#begin(stream));
    this.#streams.add(stream);
    res.on("close", () => {
      this.#streams.delete(stream);
      this.#door.unwatch(stream);
      stream.ended = true;
    });
    void this.#begin(stream);
  }

  /** Ends all streams: their clients are to look for another node. */
  close(): void {
    this.#closed = true;
    for (const stream of this.#streams) stream.end();
  }

  async #begin(stream: EventStream): Promise<void> {
    try {
      await this.#door.watch(stream);
    } catch (thrown) {
      if (!(thrown instanceof RingcacheError)) {
        this.#log.error(
          { event: "defect-survived", where: "http", err: thrown },
          `defect while the cluster is watched: ${messageOf(thrown)}`,
        );
      }
      stream.fail(thrown instanceof RingcacheError ? thrown : new RingcacheError("INTERNAL", "A defect."));
    }
    // It has gone meanwhile.
    if (stream.ended || this.#closed) this.#door.unwatch(stream);
  }
}

const streamHeaders = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-store",
  // A proxy that collects what it passes on would make a live view of nothing.
  "X-Accel-Buffering": "no",
};

class EventStream implements ClusterWatcher {
  ended = false;
  readonly #res: ServerResponse;
  readonly #headers: Headers;
  readonly #again: () => void;
  /** Messages in a row that it didn't get because it is behind. */
  #missed = 0;
  /** Among them was one on which later ones rest. */
  #isTorn = false;
  #asking = true;

  /** `again`: has it told the whole state. */
  constructor(res: ServerResponse, headers: Headers, again: () => void) {
    this.#res = res;
    this.#headers = headers;
    this.#again = again;
  }

  began(state: ClusterState): void {
    this.#asking = false;
    this.#isTorn = false;
    if (!this.#res.headersSent) {
      this.#res.writeHead(200, { ...streamHeaders, ...this.#headers });
      this.#res.write("retry: 1000\n\n");
    }
    this.#write("state", state);
  }

  changed(change: TableChange): void {
    this.#tell("change", change);
  }

  sampled(samples: Samples): void {
    this.#tell("samples", samples);
  }

  happened(events: readonly ClusterEvent[]): void {
    this.#tell("happened", events);
  }

  fail(error: RingcacheError): void {
    if (this.#res.headersSent) this.end();
    else sendError(this.#res, error);
  }

  end(): void {
    this.ended = true;
    if (this.#res.headersSent) this.#res.end();
    else sendError(this.#res, new RingcacheError("CLOSED", "This node is closing."));
  }

  #tell(name: string, content: object): void {
    if (this.ended || this.#asking) return;
    if (this.#res.writableLength > waitingBytesMax) {
      // Samples come anew anyway.
      this.#isTorn ||= name !== "samples";
      if (++this.#missed > missedMax) this.#res.destroy();
      return;
    }
    this.#missed = 0;
    if (this.#isTorn) {
      this.#asking = true;
      this.#again();
    } else this.#write(name, content);
  }

  #write(name: string, content: object): void {
    this.#res.write(`event: ${name}\ndata: ${textOf(content)}\n\n`);
  }
}

/** All streams are told the same object in the same turn. */
let lastContent: object | undefined;
let lastText = "";

function textOf(content: object): string {
  if (content !== lastContent) {
    lastContent = content;
    lastText = JSON.stringify(content);
  }
  return lastText;
}
