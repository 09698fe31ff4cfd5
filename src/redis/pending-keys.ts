/**
 * The keys of a connection's requests that were sent to another node or wait for their partition: a later request with one
 * of them might overtake it there. What its owner has carried out already, and what only waits for backups, isn't among them.
 */
import type { Call } from "./call.ts";
import type { CommandSpec } from "./command-table.ts";
import { keyPositions } from "./key-positions.ts";
import type { ReadGroup } from "./read-group.ts";

export class PendingKeys {
  /** How many requests have a key of that hash; keys that share one wait for each other, which only takes time. */
  readonly #counts = new Map<number, number>();

  /** GETs that other nodes are asked for: by their partitions, so that nothing is done for each of their keys. */
  readonly #groups: ReadGroup[] = [];

  /** To be called in the turn in which the call was begun. `key`: its only one, if it isn't in its arguments. */
  add(call: Call, key: Buffer | undefined): void {
    if (call.reads !== undefined) {
      this.#groups.push(call.reads);
      return;
    }
    const { ring } = call.context;
    const keys = key === undefined ? keysOf(call.spec, call.args) : [key];
    if (keys.every((one) => ring?.serves(ring.partitionFor(one)))) return;
    const hashes = keys.map(hashOf);
    call.pendingKeys = hashes;
    for (const hash of hashes) this.#counts.set(hash, (this.#counts.get(hash) ?? 0) + 1);
  }

  delete(call: Call): void {
    if (call.reads !== undefined) this.#forget(call.reads);
    const hashes = call.pendingKeys;
    if (hashes === undefined) return;
    call.pendingKeys = undefined;
    for (const hash of hashes) {
      const count = this.#counts.get(hash)! - 1;
      if (count === 0) this.#counts.delete(hash);
      else this.#counts.set(hash, count);
    }
  }

  #forget(group: ReadGroup): void {
    const groups = this.#groups;
    const at = groups.indexOf(group);
    if (at < 0) return;
    groups[at] = groups[groups.length - 1]!;
    groups.pop();
  }

  hasKey(key: Buffer): boolean {
    if (this.#counts.size > 0 && this.#counts.has(hashOf(key))) return true;
    for (const group of this.#groups) if (group.isAbout(key)) return true;
    return false;
  }

  has(spec: CommandSpec, args: readonly Buffer[]): boolean {
    if (this.#counts.size === 0 && this.#groups.length === 0) return false;
    return keysOf(spec, args).some((key) => this.hasKey(key));
  }
}

function keysOf(spec: CommandSpec | undefined, args: readonly Buffer[]): Buffer[] {
  if (spec === undefined || spec.order !== "keys") return [];
  if (spec.onlyKey > 0) return [args[spec.onlyKey]!];
  return (keyPositions(spec, args) ?? []).map((i) => args[i]!);
}

/** FNV-1a. */
function hashOf(key: Buffer): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key[i]!, 0x01000193);
  return hash;
}
