/**
 * Counts the operations of a node's clients, and times them. The fastest of them take a microsecond or two, so there is no
 * object and no label on their way, only places in an array: they are all counted, and one in {@link sampleShare} is timed.
 */
import type { Runtime } from "../runtime.ts";
import { Histogram, type HistogramReading } from "./histogram.ts";

/** By which door an operation came: a place in {@link doors}. */
export const Via = { http: 0, redis: 1, library: 2 } as const;
export type Via = (typeof Via)[keyof typeof Via];
export const doors = ["http", "redis", "library"] as const;

/** The kinds of operations, each at the place that is its number on the wire (`Op`). */
export const operationKinds = ["", "get", "set", "delete", "has", "compare_and_set", "run"] as const;

/** How an operation was carried out; a place in {@link paths}. */
export const Path = {
  /** Here, in one turn. */
  local: 0,
  /** Here, and its answer waited for the backups. */
  replicated: 1,
  /** On another node, or it had to wait for its partition. */
  routed: 2,
} as const;
export type Path = (typeof Path)[keyof typeof Path];
export const paths = ["local", "replicated", "routed"] as const;

/** How an operation ended: well, whether its key was there or not, or with an error of this code. */
export const outcomes = [
  "ok",
  "deadline_exceeded",
  "overloaded",
  "link_lost",
  "memory_full",
  "closed",
  "other",
] as const;
const codes = outcomes.map((outcome) => outcome.toUpperCase());

/** Local operations are timed at random places, one in so many on average, and each stands for as many. */
export const sampleShare = 32;

/** From a microsecond, which a local operation takes, to the usual deadline. */
export const latencyBoundsMs = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500,
  5_000,
] as const;

/** Plain numbers, so that it can go to another node. */
export interface OperationsReading {
  /** By door, then by kind (as {@link operationKinds}), then by outcome (as {@link outcomes}). */
  readonly counts: readonly (readonly (readonly number[])[])[];
  /** By door, then by path (as {@link paths}). */
  readonly latency: readonly (readonly HistogramReading[])[];
  /** Those that were carried out here for other nodes' clients, by kind. */
  readonly forPeers: readonly number[];
}

interface Failure {
  readonly code: string;
}
type End<E extends Failure, A> = (error: E | undefined, answer: A | undefined) => void;

export class OperationCounters {
  readonly #runtime: Runtime;
  /** By door, kind and outcome: 8 places each. */
  readonly #counts = new Float64Array(doors.length * 64);
  readonly #forPeers = new Float64Array(8);
  /** By door and path. */
  readonly #latency = doors.map(() => paths.map(() => new Histogram(latencyBoundsMs)));
  #untilSample: number = sampleShare;
  #seed = 1;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Whether this local operation is to be timed; to be asked before it is carried out. */
  takesSample(): boolean {
    if (--this.#untilSample > 0) return false;
    // A linear congruential generator: chance enough not to fall into step with the load, and the same in every simulation.
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0;
    this.#untilSample = 1 + ((this.#seed >>> 16) % (2 * sampleShare - 1));
    return true;
  }

  answered(via: Via, kind: number): void {
    this.#counts[(via << 6) | (kind << 3)]!++;
  }

  failed(via: Via, kind: number, code: string): void {
    const outcome = codes.indexOf(code);
    this.#counts[(via << 6) | (kind << 3) | (outcome > 0 ? outcome : outcomes.length - 1)]!++;
  }

  /** A local operation for which {@link takesSample} said so began at `fromMs`, on the monotonic clock, and is done. */
  sampled(via: Via, fromMs: number): void {
    this.#latency[via]![Path.local]!.add(this.#runtime.monotonicMs() - fromMs, sampleShare);
  }

  /** `done`, for an operation that began at `fromMs` on the monotonic clock: it is counted and timed, then told. */
  watched<E extends Failure, A>(
    via: Via,
    kind: number,
    path: Path,
    fromMs: number,
    done: End<E, A>,
  ): End<E, A> {
    return (error, answer) => {
      if (error === undefined) this.answered(via, kind);
      else this.failed(via, kind, error.code);
      this.#latency[via]![path]!.add(this.#runtime.monotonicMs() - fromMs);
      done(error, answer);
    };
  }

  /** So many operations of one kind that began at `fromMs`, on the monotonic clock, were carried out by another node. */
  routed(via: Via, kind: number, fromMs: number, count: number): void {
    this.#counts[(via << 6) | (kind << 3)]! += count;
    this.#latency[via]![Path.routed]!.add(this.#runtime.monotonicMs() - fromMs, count);
  }

  /** An operation of another node's client was carried out here. */
  carriedOut(kind: number): void {
    this.#forPeers[kind]!++;
  }

  read(): OperationsReading {
    const count = (door: number, kind: number, outcome: number): number =>
      this.#counts[(door << 6) | (kind << 3) | outcome]!;
    return {
      counts: doors.map((_, door) =>
        operationKinds.map((_, kind) => outcomes.map((_, outcome) => count(door, kind, outcome))),
      ),
      latency: this.#latency.map((ofDoor) => ofDoor.map((histogram) => histogram.read())),
      forPeers: [...this.#forPeers.subarray(0, operationKinds.length)],
    };
  }
}
