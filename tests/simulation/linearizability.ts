/**
 * Decides whether a history of operations on registers is linearizable: whether each operation can be given one moment
 * between its call and its answer at which it took effect. Keys are independent, so each is decided by itself (Herlihy
 * and Wing, "Linearizability", 1990: locality). The search is that of Wing and Gong (1993) with Lowe's memory of visited
 * configurations ("Testing for linearizability", 2017).
 */

export type Value = string | undefined;

/** Characters of a value that a message shows. */
const valueShownMax = 24;

interface Call {
  /** For messages. */
  readonly client: string;
  readonly key: string;
  /** Any numbers that grow; two equal ones count as simultaneous, so operations that touch are concurrent. */
  readonly invokedAt: number;
  /** Undefined: the outcome is unknown. It may have taken effect, may still do so at any time, or never. */
  readonly completedAt: number | undefined;
}

/** Leave out operations that certainly didn't take effect. `result` counts only if the operation completed. */
export type Operation = Call &
  (
    | { readonly kind: "get"; readonly result?: Value }
    | { readonly kind: "has"; readonly result?: boolean }
    | { readonly kind: "set"; readonly value: string }
    /** Puts `value` behind the present one, none counting as empty; `result`: the length then. */
    | { readonly kind: "append"; readonly value: string; readonly result?: number }
    /** `result`: whether there was something to delete. */
    | { readonly kind: "delete"; readonly result?: boolean }
    /** Sets `value` if the present one is `expected`; `result`: whether it was. */
    | { readonly kind: "cas"; readonly expected: Value; readonly value: string; readonly result?: boolean }
  );

export type Verdict =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly key: string;
      /** The longest order found that explains a part of the history. */
      readonly explained: readonly Operation[];
      /** Of those that this leaves over, the ones that had to come next: none of them fits. */
      readonly unexplained: readonly Operation[];
    };

/** Not a value that any client can have written. */
const refused = Symbol("refused");

/** The register after `operation`, or `refused` if it can't have had this result on this state. */
export function apply(state: Value, operation: Operation): Value | typeof refused {
  const isKnown = operation.completedAt !== undefined;
  switch (operation.kind) {
    case "get":
      return isKnown && operation.result !== state ? refused : state;
    case "has":
      return isKnown && operation.result !== (state !== undefined) ? refused : state;
    case "set":
      return operation.value;
    case "append": {
      const value = `${state ?? ""}${operation.value}`;
      return isKnown && operation.result !== value.length ? refused : value;
    }
    case "delete":
      return isKnown && operation.result !== (state !== undefined) ? refused : undefined;
    case "cas": {
      const applies = state === operation.expected;
      if (isKnown && operation.result !== applies) return refused;
      return applies ? operation.value : state;
    }
  }
}

export { refused };

export interface Register {
  /** What every key held at first. */
  readonly initial?: Value;
  /** At any moment an entry may be gone by itself, and stays gone. */
  readonly evicts?: boolean;
}

export function checkLinearizability(
  history: readonly Operation[],
  { initial = undefined, evicts = false }: Register = {},
): Verdict {
  const byKey = new Map<string, Operation[]>();
  for (const operation of history) {
    const same = byKey.get(operation.key);
    if (same === undefined) byKey.set(operation.key, [operation]);
    else same.push(operation);
  }
  for (const [key, operations] of byKey) {
    const verdict = new Search(key, operations, initial, evicts).run();
    if (!verdict.ok) return verdict;
  }
  return { ok: true };
}

/** A choice that was made: `operation` (an index) next, out of `state`. */
interface Step {
  readonly operation: number;
  readonly state: Value;
}

/** The order of one key's operations, sought depth first. */
class Search {
  readonly #key: string;
  readonly #evicts: boolean;
  /** The known ones by their call, then the unknown ones by theirs. */
  readonly #operations: readonly Operation[];
  readonly #knownCount: number;
  readonly #taken: Uint8Array;
  readonly #steps: Step[] = [];
  /** Configurations from which the search has failed, or is going on. */
  readonly #visited = new Set<string>();
  #state: Value;
  /** All known operations before this one have been taken. */
  #low = 0;
  #longest: readonly Step[] = [];

  constructor(key: string, operations: readonly Operation[], initial: Value, evicts: boolean) {
    this.#key = key;
    this.#evicts = evicts;
    const byCall = (a: Operation, b: Operation): number => a.invokedAt - b.invokedAt;
    const known = operations.filter((operation) => operation.completedAt !== undefined).sort(byCall);
    // A read without an answer says nothing and changes nothing.
    const unknown = operations.filter(
      ({ completedAt, kind }) => completedAt === undefined && kind !== "get" && kind !== "has",
    );
    this.#operations = [...known, ...unknown.sort(byCall)];
    this.#knownCount = known.length;
    this.#taken = new Uint8Array(this.#operations.length);
    this.#state = initial;
  }

  run(): Verdict {
    let from = 0;
    for (;;) {
      if (this.#low === this.#knownCount) return { ok: true };
      const next = this.#nextFrom(from);
      if (next !== undefined) {
        from = 0;
        continue;
      }
      const undone = this.#undo();
      if (undone === undefined) return this.#failure();
      from = undone + 1;
    }
  }

  /** Takes the first operation from `from` on that may come next and leads to a new configuration. */
  #nextFrom(from: number): number | undefined {
    const before = this.#firstAnswer();
    const state = this.#state;
    for (let i = from === 0 ? this.#low : from; i < this.#operations.length; i++) {
      const operation = this.#operations[i]!;
      if (operation.invokedAt > before) {
        // Those that follow were called later still: on with the unknown ones, or done.
        if (i >= this.#knownCount) return undefined;
        i = this.#knownCount - 1;
        continue;
      }
      if (this.#taken[i] === 1) continue;
      let result = apply(state, operation);
      // An entry that could have gone earlier may as well go only now that something depends on it: also a write that may
      // have found nothing.
      const depends = result === refused || (i >= this.#knownCount && result === state);
      if (depends && this.#evicts) result = apply(undefined, operation);
      // An unknown one that changes nothing can as well be left out.
      if (result === refused || (i >= this.#knownCount && result === state)) continue;
      this.#take(i);
      this.#state = result;
      const configuration = this.#configuration();
      if (!this.#visited.has(configuration)) {
        this.#visited.add(configuration);
        this.#steps.push({ operation: i, state });
        if (this.#steps.length > this.#longest.length) this.#longest = [...this.#steps];
        return i;
      }
      this.#release(i);
      this.#state = state;
    }
    return undefined;
  }

  #undo(): number | undefined {
    const step = this.#steps.pop();
    if (step === undefined) return undefined;
    this.#release(step.operation);
    this.#state = step.state;
    return step.operation;
  }

  #take(i: number): void {
    this.#taken[i] = 1;
    while (this.#low < this.#knownCount && this.#taken[this.#low] === 1) this.#low++;
  }

  #release(i: number): void {
    this.#taken[i] = 0;
    if (i < this.#low) this.#low = i;
  }

  /** The earliest answer among the known operations that are left: what was called after it can't come before it. */
  #firstAnswer(): number {
    let first = Number.POSITIVE_INFINITY;
    for (let i = this.#low; i < this.#knownCount; i++) {
      const { invokedAt, completedAt } = this.#operations[i]!;
      if (invokedAt > first) break;
      if (this.#taken[i] === 0) first = Math.min(first, completedAt!);
    }
    return first;
  }

  /** Names what has been taken and what the register holds. Taken are all before `low` and a few after it. */
  #configuration(): string {
    let name = `${this.#low}`;
    const before = this.#firstAnswer();
    for (let i = this.#low; i < this.#knownCount; i++) {
      if (this.#taken[i] === 1) name += `,${i}`;
      else if (this.#operations[i]!.invokedAt > before) break;
    }
    for (let i = this.#knownCount; i < this.#taken.length; i++) if (this.#taken[i] === 1) name += `,${i}`;
    return this.#state === undefined ? name : `${name}=${this.#state}`;
  }

  #failure(): Verdict {
    const explained = this.#longest.map((step) => this.#operations[step.operation]!);
    const done = new Set(explained);
    const left = this.#operations.slice(0, this.#knownCount).filter((operation) => !done.has(operation));
    const firstAnswer = Math.min(...left.map((operation) => operation.completedAt!));
    const unexplained = left.filter((operation) => operation.invokedAt <= firstAnswer);
    return { ok: false, key: this.#key, explained, unexplained };
  }
}

function short(value: Value | boolean | number): string {
  const text = String(value);
  return text.length <= valueShownMax ? text : `${text.slice(0, valueShownMax)}...`;
}

/** One line per operation. */
export function describeOperation(operation: Operation): string {
  const { client, kind, key, invokedAt, completedAt } = operation;
  const args =
    kind === "set" || kind === "append"
      ? ` ${short(operation.value)}`
      : kind === "cas"
        ? ` ${short(operation.expected)} -> ${short(operation.value)}`
        : "";
  const result = completedAt === undefined ? "?" : kind === "set" ? "ok" : short(operation.result);
  return `[${invokedAt}..${completedAt ?? ""}] ${client} ${kind} ${key}${args}: ${result}`;
}

/** A verdict for a person to read: the end of what could be explained and what could not. */
export function describeVerdict(verdict: Verdict): string {
  if (verdict.ok) return "linearizable";
  return [
    `key ${verdict.key} is not linearizable; after`,
    ...verdict.explained.slice(-10).map((operation) => `  ${describeOperation(operation)}`),
    "none of these can be next:",
    ...verdict.unexplained.map((operation) => `  ${describeOperation(operation)}`),
  ].join("\n");
}
