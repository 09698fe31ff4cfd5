/** Calls from member to member by name, by key and to all. */
import { RingcacheError } from "../errors.ts";
import type { Peers } from "../peers/peers.ts";
import { type Runtime, sleep } from "../runtime.ts";
import { decodeAnswer, encodeCall, type Handler, Handlers } from "./rpc.ts";
import { memberOf, type Table } from "./table.ts";

/** The kinds of peer requests; each belongs to one layer. */
export const PeerKind = {
  rpc: 1,
  command: 2,
  handoff: 3,
  grant: 4,
  replica: 5,
  lastTable: 6,
  pressure: 7,
  newerTable: 8,
  reads: 9,
} as const;

/** Until the owner is looked up again, after it wasn't the owner or couldn't be reached. */
const retryMs = 10;

export type BroadcastResult =
  | { readonly node: string; readonly ok: true; readonly payload: unknown }
  | { readonly node: string; readonly ok: false; readonly error: Error };

/** What calls need of the ring. */
export interface CallRing {
  readonly nodeId: string;
  readonly peers: Peers;
  readonly table: Table;
  nodeForPartition(partition: number): string;
  serves(partition: number): boolean;
}

export class Calls {
  readonly #ring: CallRing;
  readonly #runtime: Runtime;
  readonly #handlers = new Handlers();

  constructor(ring: CallRing, runtime: Runtime) {
    this.#ring = ring;
    this.#runtime = runtime;
    ring.peers.handle(PeerKind.rpc, (request) => {
      this.#handlers.serve(request, (partition) => ring.serves(partition));
    });
  }

  handle(method: string, handler: Handler): void {
    this.#handlers.set(method, handler);
  }

  async call(node: string, method: string, payload: unknown, timeoutMs: number): Promise<unknown> {
    const { nodeId, peers, table } = this.#ring;
    if (node === nodeId) return this.#handlers.run(method, payload, node, node);
    const member = memberOf(table, node);
    if (member === undefined) {
      throw new RingcacheError("NODE_UNKNOWN", `there is no member "${node}" in the ring`);
    }
    const frame = await peers.requestPromise(member, PeerKind.rpc, encodeCall(method, payload), timeoutMs);
    return decodeAnswer(frame, method, node).payload;
  }

  async callOwner(partition: number, method: string, payload: unknown, timeoutMs: number): Promise<unknown> {
    const frame = encodeCall(method, payload, partition);
    const endMs = this.#runtime.monotonicMs() + timeoutMs;
    for (;;) {
      const leftMs = endMs - this.#runtime.monotonicMs();
      if (leftMs <= 0) {
        throw new RingcacheError("DEADLINE_EXCEEDED", `no node served partition ${partition} in time`);
      }
      const answer = await this.#askOwner(partition, method, payload, frame, leftMs);
      if (answer !== undefined && !answer.notOwner) return answer.payload;
      await sleep(this.#runtime, Math.min(retryMs, leftMs));
    }
  }

  async broadcast(method: string, payload: unknown, timeoutMs: number): Promise<BroadcastResult[]> {
    const nodes = this.#ring.table.members.map((member) => member.id);
    const calls = nodes.map((node) => this.call(node, method, payload, timeoutMs));
    const settled = await Promise.allSettled(calls);
    return settled.map((result, i) =>
      result.status === "fulfilled"
        ? { node: nodes[i]!, ok: true, payload: result.value }
        : { node: nodes[i]!, ok: false, error: result.reason as Error },
    );
  }

  /** Undefined: nobody could be asked just now, and nothing was carried out. */
  async #askOwner(
    partition: number,
    method: string,
    payload: unknown,
    frame: Buffer,
    timeoutMs: number,
  ): Promise<{ notOwner: boolean; payload: unknown } | undefined> {
    const { nodeId, peers, table } = this.#ring;
    const owner = memberOf(table, this.#ring.nodeForPartition(partition));
    if (owner === undefined) return undefined;
    if (owner.id === nodeId) {
      if (!this.#ring.serves(partition)) return undefined;
      return { notOwner: false, payload: await this.#handlers.run(method, payload, nodeId, nodeId) };
    }
    try {
      return decodeAnswer(
        await peers.requestPromise(owner, PeerKind.rpc, frame, timeoutMs),
        method,
        owner.id,
      );
    } catch (error) {
      const retry =
        error instanceof RingcacheError && error.code.startsWith("PEER_") && error.outcome === "none";
      if (retry) return undefined;
      throw error;
    }
  }
}
