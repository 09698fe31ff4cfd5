/**
 * A simulated network: TCP as processes see it, between hosts whose links are slow, cut or reset at will. What is
 * written arrives in order and whole, or the stream closes; a cut link is silent and delivers late, as TCP does.
 */
import { RingcacheError } from "../../src/errors.ts";
import type { ByteStream, Listener, StreamHandlers, Transport } from "../../src/peers/transport.ts";
import type { Random } from "./random.ts";
import type { SimNode, Simulation } from "./sim-runtime.ts";
import { closedWell, failure, SimStream, type Wire } from "./sim-stream.ts";

/** How bytes travel from one host to another. */
export interface LinkProfile {
  readonly delayMs: number;
  /** Up to this much is added at random to every piece. */
  readonly jitterMs: number;
  readonly bytesPerMs: number;
}

export const fastLink: LinkProfile = { delayMs: 0.1, jitterMs: 0.2, bytesPerMs: 100_000 };

const pieceBytesMax = 64 * 1024;

interface Bound {
  readonly node: SimNode;
  readonly accept: (stream: ByteStream) => StreamHandlers;
}

export class SimNetwork implements Wire {
  /** For links without a profile of their own. */
  profile: LinkProfile = fastLink;
  /** The probability that a process that crashes takes with it what a connection of its was sending. */
  lossAtCrash = 0;
  /** Into how many pieces at most a write is split. */
  splitsMax = 3;
  readonly #sim: Simulation;
  readonly #random: Random;
  readonly #bound = new Map<string, Bound>();
  readonly #streams = new Set<SimStream>();
  /** Streams, closed ones too, with something that a cut holds back. */
  readonly #stuck = new Set<SimStream>();
  readonly #profiles = new Map<string, LinkProfile>();
  readonly #cuts = new Set<string>();
  /** What waits for a path to be whole again, that no stream keeps: attempts to connect. */
  #waiting: { readonly path: string; readonly run: () => void }[] = [];
  #nextPort = 40_000;

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.#random = sim.random.fork();
  }

  /** What a process on this host uses. It listens on its own host, whatever address it asks for. */
  transportOf(node: SimNode): Transport {
    node.onCrash(() => this.#crashed(node));
    return {
      listen: async (_host, port, accept) => this.#listen(node, port, accept),
      connect: (host, port, handlers) => this.#connect(node, host, port, handlers),
    };
  }

  /** The number of open streams that this process has. */
  openStreams(node: SimNode): number {
    return [...this.#streams].filter((stream) => stream.node === node).length;
  }

  setLink(from: string, to: string, profile: LinkProfile | undefined): void {
    if (profile === undefined) this.#profiles.delete(`${from}>${to}`);
    else this.#profiles.set(`${from}>${to}`, profile);
  }

  /** Nothing gets from `from` to `to` until the cut is healed; the other direction is untouched. */
  cutOneWay(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  /** No host of one group reaches one of another group. */
  partition(...groups: readonly (readonly string[])[]): void {
    for (const group of groups) {
      for (const other of groups) {
        if (group === other) continue;
        for (const from of group) for (const to of other) this.cutOneWay(from, to);
      }
    }
  }

  heal(from?: string, to?: string): void {
    if (from !== undefined && to !== undefined) this.#cuts.delete(`${from}>${to}`);
    else this.#cuts.clear();
    if (from === undefined) this.#sim.trace("net", "healed");
    for (const stream of [...this.#stuck]) this.#unstick(stream);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { path, run } of waiting) this.#whenWhole(path, run);
  }

  /** Breaks every stream between the two hosts, as a firewall that forgot them does. What was under way is lost. */
  reset(a: string, b: string): void {
    this.#sim.trace("net", `reset ${a}-${b}`);
    for (const stream of [...this.#streams]) {
      const { host } = stream.node;
      const between = (host === a && stream.remoteHost === b) || (host === b && stream.remoteHost === a);
      if (between && stream.other !== undefined) stream.close(failure("ECONNRESET"));
    }
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }

  cut(bytes: Buffer): Buffer[] {
    let splits = this.#random.integer(0, this.splitsMax - 1);
    if (splits === 0 && bytes.length <= pieceBytesMax) return [bytes];
    const pieces: Buffer[] = [];
    let from = 0;
    while (from < bytes.length) {
      const leftBytes = bytes.length - from;
      const size = splits > 0 ? this.#random.integer(1, leftBytes) : leftBytes;
      splits--;
      const to = from + Math.min(size, pieceBytesMax);
      // A buffer of its own: the receiver may do with it what it likes.
      pieces.push(Buffer.from(bytes.subarray(from, to)));
      from = to;
    }
    return pieces;
  }

  carry(from: SimStream, sizeBytes: number, arrive: (other: SimStream) => void): void {
    const { other } = from;
    if (other === undefined) return;
    const { delayMs, jitterMs, bytesPerMs } = this.#profileOf(from.node.host, other.node.host);
    const nowMs = this.#sim.nowMs;
    // The link is busy with what went before; the delay of several pieces overlaps.
    const travelMs = delayMs + this.#random.between(0, jitterMs);
    from.arrivesAtMs = Math.max(nowMs + travelMs, from.arrivesAtMs) + sizeBytes / bytesPerMs;
    const serial = ++from.sent;
    this.#sim.schedule(from.arrivesAtMs - nowMs, () => {
      const deliver = (): void => {
        if (serial <= from.lostUpTo) return;
        other.node.run(() => {
          if (!other.isClosed) arrive(other);
        });
      };
      if (from.stuck.length > 0 || this.isCut(from.node.host, other.node.host)) {
        from.stuck.push(deliver);
        this.#stuck.add(from);
      } else deliver();
    });
  }

  forget(stream: SimStream): void {
    this.#streams.delete(stream);
  }

  #listen(node: SimNode, asked: number, accept: Bound["accept"]): Listener {
    const port = asked === 0 ? this.#nextPort++ : asked;
    const key = `${node.host}:${port}`;
    if (this.#bound.has(key)) {
      throw new RingcacheError("PORT_UNUSABLE", `can't listen on ${key}: another process listens there`);
    }
    const bound: Bound = { node, accept };
    this.#bound.set(key, bound);
    const close = async (): Promise<void> => {
      if (this.#bound.get(key) === bound) this.#bound.delete(key);
    };
    return { host: node.host, port, close };
  }

  #connect(node: SimNode, host: string, port: number, handlers: StreamHandlers): ByteStream {
    const near = new SimStream(this, node, host, port);
    near.handlers = handlers;
    this.#streams.add(near);
    // The kernels make the connection between them, also for a process that is stopped just then.
    this.#after(node.host, host, () => {
      this.#whenWhole(`${node.host}>${host}`, () => {
        const bound = this.#bound.get(`${host}:${port}`);
        if (bound === undefined) this.#refuse(near);
        else if (!near.isClosed) this.#accept(near, bound);
      });
    });
    return near;
  }

  #accept(near: SimStream, bound: Bound): void {
    const far = new SimStream(this, bound.node, near.node.host, this.#nextPort++);
    near.other = far;
    far.other = near;
    this.#streams.add(far);
    bound.node.after(0, () => {
      if (far.isClosed) return;
      far.handlers = bound.accept(far);
      far.opened();
    });
    // Before all that the other side may send.
    this.carry(far, 0, () => {
      near.opened();
      near.handlers?.open?.();
    });
  }

  #refuse(near: SimStream): void {
    const { remoteHost, node } = near;
    this.#after(remoteHost, node.host, () => {
      this.#whenWhole(`${remoteHost}>${node.host}`, () => near.close(failure("ECONNREFUSED", true)));
    });
  }

  #after(from: string, to: string, run: () => void): void {
    const { delayMs, jitterMs } = this.#profileOf(from, to);
    this.#sim.schedule(delayMs + this.#random.between(0, jitterMs), run);
  }

  #profileOf(from: string, to: string): LinkProfile {
    return this.#profiles.get(`${from}>${to}`) ?? this.profile;
  }

  #whenWhole(path: string, run: () => void): void {
    if (this.#cuts.has(path)) this.#waiting.push({ path, run });
    else run();
  }

  #unstick(stream: SimStream): void {
    if (stream.other !== undefined && this.isCut(stream.node.host, stream.other.node.host)) return;
    for (const deliver of stream.stuck.splice(0)) deliver();
    this.#stuck.delete(stream);
  }

  /** The kernel closes what the process had open. */
  #crashed(node: SimNode): void {
    for (const [key, bound] of [...this.#bound]) if (bound.node === node) this.#bound.delete(key);
    for (const stream of [...this.#streams]) {
      if (stream.node !== node || stream.isClosed) continue;
      // A kernel that still has something to be read when it closes resets the connection, and what it was sending is lost.
      if (this.#random.chance(this.lossAtCrash)) stream.lostUpTo = stream.sent;
      stream.sendClose(failure("ECONNRESET"));
      stream.close(closedWell);
    }
  }
}
