/** What a connection has been told by its client, and what the client has shown. */
import type { CommandSpec } from "./command-table.ts";
import type { RedisContext } from "./context.ts";
import { type Protocol, ReplyWriter } from "./writer.ts";

/** What was sent between MULTI and EXEC. */
export interface Transaction {
  readonly queued: { readonly spec: CommandSpec; readonly args: readonly Buffer[] }[];
  /** Of what is queued. */
  sizeBytes: number;
  /** A command was refused: EXEC answers EXECABORT. */
  aborted: boolean;
}

export class Session {
  readonly context: RedisContext;
  /** What is to be sent with the next write. */
  readonly out = new ReplyWriter();
  authenticated: boolean;
  /** It has shown that it knows Redis Cluster, or all are taken to. */
  clusterAware: boolean;
  name = "";
  libraryName = "";
  libraryVersion = "";
  noEvict = false;
  noTouch = false;
  /** Between MULTI and EXEC. */
  transaction: Transaction | undefined;
  /** Channels and patterns. */
  subscriptions = 0;
  /** `skip`: the next request gets no reply. */
  replies: "on" | "off" | "skip" = "on";
  lastCommand = "";
  /** What holds something of this connection, a subscription or a watched key, lets it go: on RESET and when it closes. */
  readonly cleanups = new Set<() => void>();

  constructor(context: RedisContext) {
    this.context = context;
    this.authenticated = context.password === "";
    this.clusterAware = context.cluster === "always";
  }

  get protocol(): Protocol {
    return this.out.protocol;
  }

  set protocol(protocol: Protocol) {
    this.out.protocol = protocol;
  }

  /** Nothing stands between a GET or SET and the cache. */
  get isPlain(): boolean {
    const mayAsk = this.authenticated && (this.subscriptions === 0 || this.protocol === 3);
    return mayAsk && this.transaction === undefined && this.replies === "on";
  }

  /** The client has asked for what only one that knows Redis Cluster asks for. */
  showClusterAware(): void {
    if (this.context.cluster === "auto") this.clusterAware = true;
  }

  /** As after connecting, for RESET; only what the library said of itself stays. */
  reset(): void {
    this.runCleanups();
    this.transaction = undefined;
    this.subscriptions = 0;
    this.protocol = 2;
    this.name = "";
    this.replies = "on";
    this.noEvict = false;
    this.noTouch = false;
    this.authenticated = this.context.password === "";
    this.clusterAware = this.context.cluster === "always";
  }

  protected runCleanups(): void {
    const cleanups = [...this.cleanups];
    this.cleanups.clear();
    for (const cleanup of cleanups) cleanup();
  }
}
