/**
 * The requests that most are (GET, SET, MGET, MSET, INCR and their kin), of all connections that have sent some in this turn, carried
 * out together: on keys that are this node's own by the {@link Lane}, with the replies written where they lie. A request that needs
 * more is given back to its connection, with all that came after it there.
 */
import { Found, type Lane, laneKeysMax } from "../cache/lane.ts";
import { smallIntegerAt } from "../storage/access.ts";
import type { Connection } from "./connection.ts";
import type { RequestParser } from "./parser.ts";
import type { ReadGroup } from "./read-group.ts";

const Kind = { other: 0, get: 1, set: 2, mget: 3, mset: 4, incr: 5, decr: 6, incrby: 7, decrby: 8 } as const;
type Kind = (typeof Kind)[keyof typeof Kind];
const names = ["", "get", "set", "mget", "mset", "incr", "decr", "incrby", "decrby"] as const;
const nameBytes = names.map((name) => Buffer.from(name));
/** With these begin the arguments of what is given back, the same objects every time. */
export const getName: Buffer = nameBytes[Kind.get]!;
export const setName: Buffer = nameBytes[Kind.set]!;

/** What became of a request that was offered. */
export const Taken = { yes: 0, no: 1, full: 2 } as const;
export type Taken = (typeof Taken)[keyof typeof Taken];

/** Of one request: a longer one is not among what most are. */
const argumentsMax = 64;

export class Batch {
  readonly lane: Lane;
  #count = 0;
  readonly #connections: Connection[] = [];
  readonly #kinds = new Uint8Array(laneKeysMax);
  readonly #buffers: Buffer[] = [];
  /** The number of its first key. */
  readonly #keys = new Int32Array(laneKeysMax);
  readonly #argc = new Int32Array(laneKeysMax);
  /** Where its arguments begin in the places. */
  readonly #args = new Int32Array(laneKeysMax);
  /** Begin and end of each argument. */
  readonly #places = new Int32Array(laneKeysMax * 6);
  #placed = 0;
  readonly #deltas = new Float64Array(laneKeysMax);

  constructor(lane: Lane) {
    this.lane = lane;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Takes the request that the parser has found, if it is of those. */
  take(connection: Connection, parser: RequestParser): Taken {
    const { argc } = parser;
    if (parser.isInline || argc < 2 || argc > argumentsMax) return Taken.no;
    const { buffer } = parser;
    const kind = kindOf(buffer, parser.from(0), parser.to(0));
    const step = stepOf(kind, argc);
    if (step === 0) return Taken.no;
    let delta = kind === Kind.decr ? -1 : 1;
    if (kind >= Kind.incrby) {
      delta = smallIntegerAt(buffer, parser.from(2), parser.to(2));
      if (Number.isNaN(delta)) return Taken.no;
      if (kind === Kind.decrby) delta = 0 - delta;
    }
    const { lane } = this;
    if (lane.count + argc > laneKeysMax) return Taken.full;
    const i = this.#count++;
    this.#connections[i] = connection;
    this.#kinds[i] = kind;
    this.#buffers[i] = buffer;
    this.#keys[i] = lane.count;
    this.#argc[i] = argc;
    this.#args[i] = this.#placed;
    this.#deltas[i] = delta;
    for (let arg = 1; arg < argc; arg++) {
      this.#places[this.#placed++] = parser.from(arg);
      this.#places[this.#placed++] = parser.to(arg);
    }
    for (let arg = 1; arg < argc; arg += step) lane.add(buffer, parser.from(arg), parser.to(arg));
    return Taken.yes;
  }

  /** Carries out what was taken. */
  run(): void {
    const { lane } = this;
    lane.begin();
    for (let i = 0; i < this.#count; i++) {
      const connection = this.#connections[i]!;
      try {
        if (connection.isClosed) continue;
        const { group } = connection;
        const isDone =
          group === undefined
            ? connection.isDirect && (this.#carryOut(i, connection) || this.#route(i, connection))
            : !connection.intake.hasBack && this.#join(i, group);
        if (isDone) connection.lastCommand = names[this.#kinds[i]!]!;
        else this.#giveBack(i, connection);
      } catch (thrown) {
        connection.fail(thrown);
      }
    }
    const isValid = lane.end();
    for (let i = 0; i < this.#count; i++) {
      const connection = this.#connections[i]!;
      connection.group = undefined;
      // Its replies are not sent yet.
      if (!isValid) connection.destroy();
      this.#buffers[i] = noBytes;
    }
    this.#count = 0;
    this.#placed = 0;
  }

  /** Begins a group, if it is a GET of another node's key. A client that knows of owners is told of them instead. */
  #route(i: number, connection: Connection): boolean {
    if (this.#kinds[i] !== Kind.get || connection.clusterAware) return false;
    if (this.lane.ownerOf(this.#keys[i]!) === undefined) return false;
    return this.#join(i, connection.startGroup());
  }

  #join(i: number, group: ReadGroup): boolean {
    if (this.#kinds[i] !== Kind.get) return false;
    const { lane } = this;
    const key = this.#keys[i]!;
    const found = lane.get(key);
    const owner = found === Found.elsewhere ? lane.ownerOf(key) : undefined;
    if (found === Found.elsewhere && owner === undefined) return false;
    const number = group.add(lane.partitionOf(key));
    if (owner !== undefined) lane.ask(key, owner, group, number);
    else if (found === Found.absent) group.absent(number);
    else group.present(number, lane.value.bytes, lane.value.from, lane.value.to);
    return true;
  }

  /** False: not here, and nothing was done. */
  #carryOut(i: number, { out }: Connection): boolean {
    const { lane } = this;
    const key = this.#keys[i]!;
    switch (this.#kinds[i]) {
      case Kind.get: {
        const found = lane.get(key);
        if (found === Found.elsewhere) return false;
        if (found === Found.present) out.bulkOf(lane.value.bytes, lane.value.from, lane.value.to);
        else out.null();
        return true;
      }
      case Kind.set:
        if (!this.#set(i, key, 1)) return false;
        out.ok();
        return true;
      case Kind.mget:
        return this.#getEach(i, key, out);
      case Kind.mset: {
        const count = (this.#argc[i]! - 1) >> 1;
        for (let n = 0; n < count; n++) if (!lane.mayWrite(key + n)) return false;
        for (let n = 0; n < count; n++) this.#set(i, key + n, 2 * n + 1);
        out.ok();
        return true;
      }
      default: {
        const sum = lane.increment(key, this.#deltas[i]!);
        if (Number.isNaN(sum)) return false;
        out.integer(sum);
        return true;
      }
    }
  }

  /** `arg`: the value's place among the arguments behind the name. */
  #set(i: number, key: number, arg: number): boolean {
    const place = this.#args[i]! + 2 * arg;
    return this.lane.set(key, this.#buffers[i]!, this.#places[place]!, this.#places[place + 1]!, 0);
  }

  #getEach(i: number, first: number, out: Connection["out"]): boolean {
    const { lane } = this;
    const count = this.#argc[i]! - 1;
    for (let n = 0; n < count; n++) if (!lane.mayRead(first + n)) return false;
    out.array(count);
    for (let n = 0; n < count; n++) {
      if (lane.get(first + n) === Found.present) {
        out.bulkOf(lane.value.bytes, lane.value.from, lane.value.to);
      } else out.null();
    }
    return true;
  }

  /** It, and all that follow it, have to go the usual way. */
  #giveBack(i: number, { intake, context }: Connection): void {
    context.statistics.commands--;
    intake.giveBack(this.#argsOf(i));
  }

  #argsOf(i: number): Buffer[] {
    const args: Buffer[] = [nameBytes[this.#kinds[i]!]!];
    let place = this.#args[i]!;
    for (let arg = 1; arg < this.#argc[i]!; arg++, place += 2) {
      args.push(this.#buffers[i]!.subarray(this.#places[place], this.#places[place + 1]));
    }
    return args;
  }
}

const noBytes: Buffer = Buffer.alloc(0);

/** From one key to the next among the arguments; 0: it isn't such a request, or not with so many arguments. */
function stepOf(kind: Kind, argc: number): number {
  switch (kind) {
    case Kind.get:
    case Kind.incr:
    case Kind.decr:
      return argc === 2 ? 1 : 0;
    case Kind.set:
    case Kind.incrby:
    case Kind.decrby:
      return argc === 3 ? 2 : 0;
    case Kind.mget:
      return 1;
    case Kind.mset:
      return argc % 2 === 1 ? 2 : 0;
    default:
      return 0;
  }
}

const get = wordOf("GET");
const set = wordOf("SET");
const mget = wordOf("MGET");
const mset = wordOf("MSET");
const incr = wordOf("INCR");
const decr = wordOf("DECR");
const by = wordOf("BY");

function wordOf(name: string): number {
  return lettersAt(Buffer.from(name), 0, name.length);
}

/** Up to four letters in upper case: clears the bit that makes a letter small; what isn't a letter can't become one of a name's. */
function lettersAt(bytes: Uint8Array, from: number, to: number): number {
  let letters = 0;
  for (let i = from; i < to; i++) letters = (letters << 8) | (bytes[i]! & 0xdf);
  return letters;
}

function kindOf(bytes: Uint8Array, from: number, to: number): Kind {
  switch (to - from) {
    case 3: {
      const letters = lettersAt(bytes, from, to);
      return letters === get ? Kind.get : letters === set ? Kind.set : Kind.other;
    }
    case 4: {
      const letters = lettersAt(bytes, from, to);
      if (letters === mset) return Kind.mset;
      if (letters === mget) return Kind.mget;
      return letters === incr ? Kind.incr : letters === decr ? Kind.decr : Kind.other;
    }
    case 6: {
      const letters = lettersAt(bytes, from, from + 4);
      if (lettersAt(bytes, from + 4, to) !== by) return Kind.other;
      return letters === incr ? Kind.incrby : letters === decr ? Kind.decrby : Kind.other;
    }
    default:
      return Kind.other;
  }
}
