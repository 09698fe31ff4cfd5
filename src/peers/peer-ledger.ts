/** What goes over the links to each peer, whichever of the two nodes made them, and what went over those that are no more. */
import type { PeerReading } from "../metrics/snapshot.ts";
import type { IncomingLink } from "./incoming.ts";
import type { OutgoingLink } from "./outgoing.ts";

type Mutable<T> = { -readonly [Field in keyof T]: T[Field] };

export class PeerLedger {
  /** By id: of links that are no more. */
  readonly #past = new Map<string, Mutable<PeerReading>>();
  /** Undefined: anybody. */
  #retained: ReadonlySet<string> | undefined;

  outgoingEnded(link: OutgoingLink): void {
    if (this.#retained?.has(link.peer.id) !== false) addOutgoing(this.#past, link);
  }

  incomingEnded(link: IncomingLink): void {
    if (link.peer !== undefined && this.#retained?.has(link.peer.id) !== false) addIncoming(this.#past, link);
  }

  /** Forgets all others: members come and go. */
  retain(ids: ReadonlySet<string>): void {
    this.#retained = ids;
    for (const id of this.#past.keys()) if (!ids.has(id)) this.#past.delete(id);
  }

  read(outgoing: Iterable<OutgoingLink>, incoming: Iterable<IncomingLink>): PeerReading[] {
    const stats = new Map<string, Mutable<PeerReading>>();
    for (const [id, past] of this.#past) {
      stats.set(id, { ...past, up: false, inFlight: 0, inFlightIncoming: 0, queuedBytes: 0 });
    }
    for (const link of outgoing) addOutgoing(stats, link);
    for (const link of incoming) addIncoming(stats, link);
    return [...stats.values()];
  }
}

function addOutgoing(stats: Map<string, Mutable<PeerReading>>, link: OutgoingLink): void {
  const one = statsOf(stats, link.peer.id);
  one.up ||= link.up;
  one.inFlight += link.inFlight;
  one.inFlightIncoming += link.inFlightIncoming;
  one.queuedBytes += link.queuedBytes;
  one.bytesIn += link.bytesIn;
  one.bytesOut += link.bytesOut;
  one.failedCalls += link.failedCalls;
  one.lostLinks += link.lostLinks;
}

function addIncoming(stats: Map<string, Mutable<PeerReading>>, link: IncomingLink): void {
  if (link.peer === undefined) return;
  const one = statsOf(stats, link.peer.id);
  one.inFlightIncoming += link.inFlight;
  one.queuedBytes += link.writer.queuedBytes;
  one.bytesIn += link.bytesIn;
  one.bytesOut += link.writer.bytes;
}

function statsOf(stats: Map<string, Mutable<PeerReading>>, peer: string): Mutable<PeerReading> {
  let one = stats.get(peer);
  if (one === undefined) {
    const counted = { bytesIn: 0, bytesOut: 0, failedCalls: 0, lostLinks: 0 };
    one = { peer, up: false, inFlight: 0, inFlightIncoming: 0, queuedBytes: 0, ...counted };
    stats.set(peer, one);
  }
  return one;
}
