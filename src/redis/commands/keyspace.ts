/** Commands on all keys: they go through the partitions, wherever these are. */

import { type Result, type Step, StepCode } from "../../cache/steps/step.ts";
import { numberArg } from "../../cache/steps/strings.ts";
import type { RingcacheError } from "../../errors.ts";
import { integerOf } from "../../storage/integer.ts";
import { cursorEnd } from "../../storage/key-index.ts";
import type { Call } from "../call.ts";
import type { Handlers } from "../command-table.ts";
import { notAnInteger, syntaxError, wordOf } from "../numbers.ts";
import { runAt } from "../plan.ts";

/** Partitions that are asked at the same time. */
const partitionsAtOnce = 8;
/** Entries that a partition looks at in one turn. */
const entriesAtOnce = 500;
/** Above every cursor of a partition: a SCAN's cursor is the partition times this, and the partition's own. */
const cursorFactor = 2 ** 33;
const scanCountMax = 100_000;

/** Asks one partition; `next` is called with its results, or the call fails. */
type Ask = (partition: number, step: Step, next: (result: Result) => void) => void;

/** Asks all partitions, some at a time; `visit` goes on with its partition by `ask`, or calls `done`. */
function overPartitions(
  call: Call,
  visit: (partition: number, ask: Ask, done: () => void) => void,
  ended: () => void,
): void {
  const count = partitionCount(call);
  let begun = 0;
  let left = count;
  let failed = false;
  const fail = (error: RingcacheError): void => {
    if (!failed) call.fail(error);
    failed = true;
  };
  const ask: Ask = (partition, step, next) => {
    if (failed) return;
    runAt(call, partition, [step], (error, [result]) => {
      if (error !== undefined) fail(error);
      else if (!failed) next(result!);
    });
  };
  const begin = (): void => {
    if (begun === count) return;
    visit(begun++, ask, () => {
      if (--left === 0) ended();
      else begin();
    });
  };
  for (let i = 0; i < Math.min(partitionsAtOnce, count); i++) begin();
}

function partitionCount({ context }: Call): number {
  return context.ring?.table.rows.length ?? 1;
}

function scanStep(cursor: number, count: number, pattern: Buffer): Step {
  return { code: StepCode.scan, keys: [], args: [numberArg(cursor), numberArg(count), pattern] };
}

function keys(call: Call): void {
  const pattern = call.args[1]!;
  const found: Buffer[] = [];
  // It matches the empty key, which nobody has.
  if (pattern.length === 0) {
    writeKeys(call, found);
    return;
  }
  overPartitions(
    call,
    (partition, ask, done) => {
      const from = (cursor: number): void =>
        ask(partition, scanStep(cursor, entriesAtOnce, pattern), (result) => {
          const [next, some] = result as [number, Buffer[]];
          for (const key of some) found.push(Buffer.from(key));
          if (next < cursorEnd) from(next);
          else done();
        });
      from(0);
    },
    () => writeKeys(call, found),
  );
}

function writeKeys(call: Call, found: readonly Buffer[]): void {
  const { out } = call;
  out.array(found.length);
  for (const key of found) out.bulk(key);
  call.end();
}

interface ScanOptions {
  readonly pattern: Buffer;
  readonly count: number;
  /** Of another type than strings: nothing is. */
  readonly nothing: boolean;
}

function scanOptions(args: readonly Buffer[]): ScanOptions | string {
  let pattern: Buffer = Buffer.alloc(0);
  let count = 10;
  let nothing = false;
  for (let i = 2; i < args.length; i += 2) {
    const value = args[i + 1];
    if (value === undefined) return syntaxError;
    const word = wordOf(args[i]);
    if (word === "COUNT") {
      const given = integerOf(value);
      if (given === undefined) return notAnInteger;
      if (given < 1n) return syntaxError;
      count = Number(given);
    } else if (word === "MATCH") {
      pattern = value;
      nothing ||= value.length === 0;
    } else if (word === "TYPE") nothing = wordOf(value) !== "STRING";
    else return syntaxError;
  }
  return { pattern, count: Math.min(count, scanCountMax), nothing };
}

/** Goes on through partitions until as many keys have been looked at as were asked for. */
function scan(call: Call): void {
  const text = call.args[1]!.toString("latin1");
  // As an unsigned number of 64 bits, which a negative one is the end of.
  const given = /^-?\d{1,20}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(given)) {
    call.error("ERR invalid cursor");
    return;
  }
  const options = scanOptions(call.args);
  if (typeof options === "string") {
    call.error(options);
    return;
  }
  const found: Buffer[] = [];
  let looked = 0;
  const end = (next: number): void => {
    const { out } = call;
    out.array(2);
    out.text(String(next));
    writeKeys(call, options.nothing ? [] : found);
  };
  const from = (partition: number, cursor: number): void => {
    if (partition >= partitionCount(call)) {
      end(0);
      return;
    }
    if (looked >= options.count) {
      end(partition * cursorFactor + cursor);
      return;
    }
    const step = scanStep(cursor, options.count - looked, options.pattern);
    runAt(call, partition, [step, { code: StepCode.size, keys: [], args: [] }], (error, results) => {
      if (error !== undefined) {
        call.fail(error);
        return;
      }
      const [[next, some], size] = results as [[number, Buffer[]], number];
      for (const key of some) found.push(Buffer.from(key));
      // What the pattern has held back was looked at all the same; an empty partition costs a look too, a small one.
      looked += next < cursorEnd ? options.count - looked : Math.min(size, options.count - looked) + 0.1;
      if (next < cursorEnd) from(partition, next);
      else from(partition + 1, 0);
    });
  };
  if (given < 0) end(0);
  else from(Math.floor(given / cursorFactor), given % cursorFactor);
}

function dbsize(call: Call): void {
  let sum = 0;
  overPartitions(
    call,
    (partition, ask, done) =>
      ask(partition, { code: StepCode.size, keys: [], args: [] }, (size) => {
        sum += size as number;
        done();
      }),
    () => call.integer(sum),
  );
}

function flush(call: Call): void {
  const mode = wordOf(call.args[1]);
  if (call.args.length > 2 || (call.args.length === 2 && mode !== "ASYNC" && mode !== "SYNC")) {
    call.error(syntaxError);
    return;
  }
  overPartitions(
    call,
    (partition, ask, done) => {
      const from = (cursor: number): void =>
        ask(
          partition,
          { code: StepCode.flush, keys: [], args: [numberArg(cursor), numberArg(entriesAtOnce)] },
          (next) => ((next as number) < cursorEnd ? from(next as number) : done()),
        );
      from(0);
    },
    () => call.ok(),
  );
}

/** From a partition that chance names, or the next one that has a key. */
function randomkey(call: Call): void {
  const { runtime } = call.context;
  const count = partitionCount(call);
  const first = Math.floor(runtime.random() * count);
  const from = (i: number): void => {
    if (i === count) {
      call.null();
      return;
    }
    const step: Step = { code: StepCode.randomKey, keys: [], args: [numberArg(runtime.random())] };
    runAt(call, (first + i) % count, [step], (error, [key]) => {
      if (error !== undefined) call.fail(error);
      else if (Buffer.isBuffer(key)) call.bulk(key);
      else from(i + 1);
    });
  };
  from(0);
}

export const keyspaceCommands: Handlers = { keys, scan, dbsize, randomkey, flushdb: flush, flushall: flush };
