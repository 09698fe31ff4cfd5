/**
 * The links between this node and the others. Each node dials the others that it calls, and knows by that connection whom it
 * reaches; where two nodes dial each other, the calls of both go over one of the two connections (`carrier.ts`).
 */
import { RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerReading } from "../metrics/snapshot.ts";
import type { Runtime } from "../runtime.ts";
import { type Carrier, goesOverTheirs } from "./carrier.ts";
import type { LinkContext } from "./context.ts";
import { Dial } from "./dial.ts";
import { sameIdentity } from "./handshake.ts";
import { IncomingLink, type IncomingOwner } from "./incoming.ts";
import type { CallHandler, LinkEvent, PeerAddress, PeerIdentity, RequestHandler } from "./messages.ts";
import { failSoon, OutgoingLink } from "./outgoing.ts";
import { PeerLedger } from "./peer-ledger.ts";
import { pendingCallsMax } from "./pending.ts";
import type { Listener, Transport } from "./transport.ts";

/** Connections that have not proved who they are; the oldest makes room for a new one. */
const strangersMax = 256;
/** How long `close` waits for what was written to be sent. */
const closeTimeoutMs = 1_000;

export interface PeersOptions {
  readonly runtime: Runtime;
  readonly transport: Transport;
  readonly log: Log;
  readonly platform: string;
  readonly self: PeerIdentity;
  /** The platform's secret, 32 bytes. */
  readonly secret: Uint8Array;
  /** Per link and direction, 1 to 65,536 (the default). */
  readonly inFlightCallsMax?: number;
  /** Per connection; 64 MiB by default. Calls are refused beyond it; replies may add as many. */
  readonly queuedBytesMax?: number;
  /** For connecting and the handshake together; 2,000 by default. */
  readonly connectTimeoutMs?: number;
}

export interface PeersStats {
  /** Outgoing links that are open. */
  readonly linksUp: number;
  /** Connections from other nodes, those that are still authenticating included. */
  readonly linksAccepted: number;
  /** This node's calls that have not ended. */
  readonly inFlight: number;
  /** Other nodes' requests that have not been answered. */
  readonly inFlightIncoming: number;
  /** Bytes received and sent over the present links and earlier connections of them. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Bytes that wait to be sent. */
  readonly queuedBytes: number;
}

type ProbeResult = "alive" | "refused" | "replaced" | "silent";

export class Peers implements IncomingOwner {
  readonly #context: LinkContext & { self: PeerIdentity; secret: Uint8Array };
  readonly #handlers: (RequestHandler | undefined)[] = new Array<RequestHandler | undefined>(256).fill(
    undefined,
  );
  readonly #listeners = new Set<(peer: PeerAddress, event: LinkEvent) => void>();
  /** One per peer and address, by {@link keyOf}. */
  readonly #outgoing = new Map<string, OutgoingLink>();
  /** The link last used for an id, so that a call need not build a key. */
  readonly #lastUsed = new Map<string, OutgoingLink>();
  readonly #incoming = new Set<IncomingLink>();
  /** Those of them that have not proved who they are, oldest first. */
  readonly #strangers = new Set<IncomingLink>();
  readonly #ledger = new PeerLedger();
  /** How to give up each probe that is under way. */
  readonly #probes = new Set<() => void>();
  #listener: Listener | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: PeersOptions) {
    const inFlightCallsMax = options.inFlightCallsMax ?? pendingCallsMax;
    if (!(inFlightCallsMax >= 1 && inFlightCallsMax <= pendingCallsMax)) {
      throw new RingcacheError("OPTION_INVALID", `inFlightCallsMax must be 1 to ${pendingCallsMax}`);
    }
    this.#context = {
      runtime: options.runtime,
      transport: options.transport,
      log: options.log,
      platform: options.platform,
      secret: options.secret,
      self: options.self,
      handlers: this.#handlers,
      inFlightCallsMax,
      queuedBytesMax: options.queuedBytesMax ?? 64 * 1024 * 1024,
      connectTimeoutMs: options.connectTimeoutMs ?? 2_000,
      carrierFrom: (peer) => this.#carrierFrom(peer),
      linkEvent: (peer, event) => this.#emit(peer, event),
    };
  }

  /** Whom the others know the sender of this node's calls as, from this turn on. */
  get self(): PeerIdentity {
    return this.#context.self;
  }

  /** Takes other nodes' connections. Port 0: any free port. Throws PORT_UNUSABLE. */
  async listen(host: string, port: number): Promise<{ host: string; port: number }> {
    const listener = await this.#context.transport.listen(host, port, (stream) => {
      const link = new IncomingLink(this.#context, stream, this);
      this.#incoming.add(link);
      this.#strangers.add(link);
      if (this.#closing !== undefined) link.destroy();
      else if (this.#strangers.size > strangersMax) {
        for (const oldest of this.#strangers) {
          this.#strangers.delete(oldest);
          oldest.destroy();
          break;
        }
      }
      return link;
    });
    if (this.#closing !== undefined) {
      await listener.close();
      throw new RingcacheError("CLOSED", "the peer links have been closed");
    }
    this.#listener = listener;
    return { host: listener.host, port: listener.port };
  }

  /** Serves the requests of `kind`, 0 to 255. A request of a kind without a handler closes its link. */
  handle(kind: number, handler: RequestHandler): void {
    if (!Number.isInteger(kind) || kind < 0 || kind > 255)
      throw new RangeError(`kind ${kind} is not 0 to 255`);
    this.#handlers[kind] = handler;
  }

  /**
   * Sends a request to `peer`; dials it if there is no link, and sends when that is open. After a failed attempt a
   * retained peer's calls wait for the next one, at most a second away. `payload` may be reused on return.
   */
  call(peer: PeerAddress, kind: number, payload: Uint8Array, timeoutMs: number, handler: CallHandler): void {
    const link = this.#linkTo(peer);
    if (link === undefined) {
      failSoon(this.#context, handler, new RingcacheError("CLOSED", "the peer links have been closed"));
    } else link.call(kind, payload, timeoutMs, handler);
  }

  /**
   * Calls `fn` at the end of this event-loop turn, just before all that was written to `peer` in it is sent: what `fn` calls
   * there goes out in the same write.
   */
  atTurnEnd(peer: PeerAddress, fn: () => void): void {
    const link = this.#linkTo(peer);
    if (link === undefined) this.#context.runtime.soon(fn);
    else link.atTurnEnd(fn);
  }

  /** {@link call} for messages of which there are few; the reply is a copy. */
  requestPromise(peer: PeerAddress, kind: number, payload: Uint8Array, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const reply = (bytes: Buffer): void => resolve(Buffer.from(bytes));
      this.call(peer, kind, payload, timeoutMs, { reply, failed: reject });
    });
  }

  /**
   * Keeps a link to each of these peers up, this node itself left out, and closes all other outgoing links: what is
   * under way on those fails with LINK_LOST, or PEER_UNREACHABLE if the link wasn't open.
   */
  retain(peers: readonly PeerAddress[]): void {
    if (this.#closing !== undefined) return;
    this.#ledger.retain(new Set(peers.map(({ id }) => id)));
    const wanted = new Map<string, PeerAddress>();
    for (const peer of peers) if (!sameIdentity(peer, this.#context.self)) wanted.set(keyOf(peer), peer);
    for (const [key, link] of [...this.#outgoing]) {
      if (wanted.has(key)) continue;
      this.#forget(link);
      link.destroy("LINK_LOST", `the link to ${link.peer.id} is no longer wanted`);
    }
    for (const peer of wanted.values()) this.#linkTo(peer)?.retain();
  }

  /**
   * Tells what becomes of outgoing links. `refused`, `replaced` and `down` are told again for every attempt that
   * ends so. The returned function ends it.
   */
  onLink(listener: (peer: PeerAddress, event: LinkEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Dials `peer` anew to see whether that very incarnation answers. `refused` and `replaced` prove that it is dead. */
  probe(peer: PeerAddress, timeoutMs: number): Promise<ProbeResult> {
    if (this.#closing !== undefined) return Promise.resolve("silent");
    return new Promise((resolve) => {
      const done = (result: ProbeResult): void => {
        this.#probes.delete(giveUp);
        resolve(result);
      };
      const dial = new Dial(this.#context, peer, timeoutMs, {
        opened: () => {
          dial.destroy();
          done("alive");
        },
        reply() {},
        ended: (end) => done(end === "lost" ? "silent" : end),
      });
      const giveUp = (): void => {
        dial.destroy();
        done("silent");
      };
      this.#probes.add(giveUp);
    });
  }

  /** For links that are made from now on: the platform has another secret than the one that this node started with. */
  setSecret(secret: Uint8Array): void {
    this.#context.secret = secret;
  }

  /** This node is another incarnation from now on: closes every link, as each was authenticated for the old one. */
  setSelf(self: PeerIdentity): void {
    this.#context.self = self;
    for (const giveUp of [...this.#probes]) giveUp();
    for (const link of [...this.#incoming]) link.destroy();
    const links = [...this.#outgoing.values()];
    const retained = links.filter((link) => link.retained).map((link) => link.peer);
    for (const link of links) {
      this.#forget(link);
      link.destroy("LINK_LOST", "this node became another incarnation");
    }
    this.retain(retained);
  }

  stats(): PeersStats {
    let linksUp = 0;
    let inFlight = 0;
    let inFlightIncoming = 0;
    let bytesIn = 0;
    let bytesOut = 0;
    let queuedBytes = 0;
    for (const link of this.#outgoing.values()) {
      if (link.up) linksUp++;
      inFlight += link.inFlight;
      bytesIn += link.bytesIn;
      bytesOut += link.bytesOut;
      inFlightIncoming += link.inFlightIncoming;
      queuedBytes += link.queuedBytes;
    }
    for (const link of this.#incoming) {
      inFlightIncoming += link.inFlight;
      bytesIn += link.bytesIn;
      bytesOut += link.writer.bytes;
      queuedBytes += link.writer.queuedBytes;
    }
    const linksAccepted = this.#incoming.size;
    return { linksUp, linksAccepted, inFlight, inFlightIncoming, bytesIn, bytesOut, queuedBytes };
  }

  /** Of each peer to which there is a link, or that is retained and had one. */
  byPeer(): PeerReading[] {
    return this.#ledger.read(this.#outgoing.values(), this.#incoming);
  }

  /**
   * Stops listening, fails the calls under way with CLOSED, and closes every link once what was written to it has
   * been sent, after at most a second.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  authenticated(link: IncomingLink): void {
    this.#strangers.delete(link);
    for (const outgoing of this.#outgoing.values()) {
      if (link.from !== undefined && sameIdentity(outgoing.peer, link.from)) outgoing.changeOver();
    }
  }

  closed(link: IncomingLink): void {
    if (this.#incoming.has(link)) this.#ledger.incomingEnded(link);
    this.#strangers.delete(link);
    this.#incoming.delete(link);
  }

  async #close(): Promise<void> {
    const { runtime } = this.#context;
    this.#listeners.clear();
    for (const giveUp of [...this.#probes]) giveUp();
    for (const stranger of this.#strangers) stranger.destroy();
    const dials: (Dial | undefined)[] = [];
    const ended: Promise<void>[] = [];
    for (const link of this.#outgoing.values()) {
      ended.push(new Promise((resolve) => dials.push(link.end(resolve))));
    }
    this.#outgoing.clear();
    this.#lastUsed.clear();
    const incoming = [...this.#incoming].filter((link) => !this.#strangers.has(link));
    for (const link of incoming) ended.push(new Promise((resolve) => link.end(resolve)));
    ended.push(this.#listener?.close() ?? Promise.resolve());
    // The calls that have just been failed are told in the next turn; this comes after it.
    ended.push(new Promise((resolve) => runtime.soon(resolve)));
    const timeout = new Promise<void>((resolve) => runtime.after(closeTimeoutMs, resolve));
    await Promise.race([Promise.all(ended), timeout]);
    for (const dial of dials) dial?.destroy();
    for (const link of incoming) link.destroy();
  }

  /** Undefined once closed. */
  #linkTo(peer: PeerAddress): OutgoingLink | undefined {
    if (this.#closing !== undefined) return undefined;
    const last = this.#lastUsed.get(peer.id);
    if (last !== undefined && leadsTo(last, peer)) return last;
    const key = keyOf(peer);
    let link = this.#outgoing.get(key);
    if (link === undefined) {
      link = new OutgoingLink(this.#context, peer, (idle) => this.#forget(idle));
      this.#outgoing.set(key, link);
    }
    this.#lastUsed.set(peer.id, link);
    return link;
  }

  #carrierFrom(peer: PeerIdentity): Carrier | undefined {
    if (!goesOverTheirs(this.#context.self, peer)) return undefined;
    for (const link of this.#incoming) {
      if (link.from !== undefined && sameIdentity(link.from, peer) && !link.carries) return link;
    }
    return undefined;
  }

  #forget(link: OutgoingLink): void {
    const key = keyOf(link.peer);
    if (this.#outgoing.get(key) === link) {
      this.#outgoing.delete(key);
      this.#ledger.outgoingEnded(link);
    }
    if (this.#lastUsed.get(link.peer.id) === link) this.#lastUsed.delete(link.peer.id);
  }

  #emit(peer: PeerAddress, event: LinkEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(peer, event);
      } catch (error) {
        this.#context.log.error(
          { event: "defect-survived", where: "peers", peer: peer.id, err: error },
          "a link listener threw",
        );
      }
    }
  }
}

function keyOf({ id, incarnation, host, port }: PeerAddress): string {
  return JSON.stringify([id, incarnation, host, port]);
}

function leadsTo({ peer }: OutgoingLink, { incarnation, host, port }: PeerAddress): boolean {
  return peer.incarnation === incarnation && peer.host === host && peer.port === port;
}
