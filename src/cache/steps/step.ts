/**
 * What a {@link Command} of `Op.run` carries: steps that the owner of a partition carries out in one turn, one after the other, with
 * nothing in between, and their results. All integers are big-endian.
 */

/** What a step does; each is described where it is carried out. */
export const StepCode = {
  get: 1,
  set: 2,
  getDelete: 3,
  getExpire: 4,
  append: 5,
  length: 6,
  getRange: 7,
  setRange: 8,
  add: 9,
  addFloat: 10,
  delete: 11,
  exists: 12,
  expire: 13,
  expiry: 14,
  rename: 15,
  copy: 16,
  setAll: 17,
  version: 18,
  guard: 19,
  inspect: 20,
  scan: 21,
  flush: 22,
  randomKey: 23,
  size: 24,
  script: 25,
} as const;
export type StepCode = (typeof StepCode)[keyof typeof StepCode];

/** Those that may change something, and of these the ones that may need memory for it. */
const writing: ReadonlySet<number> = new Set([
  StepCode.set,
  StepCode.getDelete,
  StepCode.getExpire,
  StepCode.append,
  StepCode.setRange,
  StepCode.add,
  StepCode.addFloat,
  StepCode.delete,
  StepCode.expire,
  StepCode.rename,
  StepCode.copy,
  StepCode.setAll,
  StepCode.flush,
  StepCode.script,
]);
const freeing: ReadonlySet<number> = new Set([
  StepCode.getDelete,
  StepCode.getExpire,
  StepCode.delete,
  StepCode.expire,
  StepCode.flush,
]);

/** All keys of the steps of one run are in one partition. */
export interface Step {
  readonly code: StepCode;
  readonly keys: readonly Buffer[];
  readonly args: readonly Buffer[];
}

/** A word such as `OK`. */
export interface Word {
  readonly word: string;
}

/** Why a step did nothing; begins with a code in capitals, as in Redis. */
export interface Failure {
  readonly failure: string;
}

/** What a step results in; `null`: nothing is there. */
export type Result = null | number | bigint | Buffer | Word | Failure | readonly Result[];

export const ok: Word = { word: "OK" };

/** In a run's first byte. */
const writesFlag = 1;
const addsFlag = 2;

/** u8 flags, u32 number of steps; per step: u8 code, u32 number of keys, u32 number of args; each of them: u32 length, bytes. */
export function encodeSteps(steps: readonly Step[]): Buffer {
  let sizeBytes = 5;
  for (const { keys, args } of steps) {
    sizeBytes += 9;
    for (const key of keys) sizeBytes += 4 + key.length;
    for (const arg of args) sizeBytes += 4 + arg.length;
  }
  const bytes = Buffer.allocUnsafe(sizeBytes);
  bytes[0] = flagsOf(steps);
  let at = bytes.writeUInt32BE(steps.length, 1);
  for (const { code, keys, args } of steps) {
    bytes[at++] = code;
    at = bytes.writeUInt32BE(keys.length, at);
    at = bytes.writeUInt32BE(args.length, at);
    for (const key of keys) at = putBytes(bytes, at, key);
    for (const arg of args) at = putBytes(bytes, at, arg);
  }
  return bytes;
}

/** Whether the run may change something; `steps`: instead of `value`, if they are known. */
export function runWrites(run: Run): boolean {
  return ((run.steps === undefined ? run.value[0]! : flagsOf(run.steps)) & writesFlag) !== 0;
}

/** Whether the run may need memory. */
export function runAdds(run: Run): boolean {
  return ((run.steps === undefined ? run.value[0]! : flagsOf(run.steps)) & addsFlag) !== 0;
}

interface Run {
  readonly value: Buffer;
  readonly steps?: readonly Step[];
}

function flagsOf(steps: readonly Step[]): number {
  let flags = 0;
  for (const { code } of steps) {
    if (writing.has(code)) flags |= freeing.has(code) ? writesFlag : writesFlag | addsFlag;
  }
  return flags;
}

/** Views into `run`. Throws a RangeError if it ends within a step. */
export function decodeSteps(run: Buffer): Step[] {
  const steps: Step[] = [];
  const count = run.readUInt32BE(1);
  let at = 5;
  const take = (): Buffer => {
    const end = at + 4 + run.readUInt32BE(at);
    if (end > run.length) throw new RangeError("a step is longer than its run");
    const bytes = run.subarray(at + 4, end);
    at = end;
    return bytes;
  };
  for (let i = 0; i < count; i++) {
    const code = run.readUInt8(at) as StepCode;
    const keyCount = run.readUInt32BE(at + 1);
    const argCount = run.readUInt32BE(at + 5);
    at += 9;
    const keys: Buffer[] = [];
    for (let k = 0; k < keyCount; k++) keys.push(take());
    const args: Buffer[] = [];
    for (let a = 0; a < argCount; a++) args.push(take());
    steps.push({ code, keys, args });
  }
  return steps;
}

const Tag = { null: 0, number: 1, bytes: 2, word: 3, failure: 4, list: 5 } as const;

/** u8 {@link Tag}; number: i64; bytes, word and failure: u32 length and bytes; list: u32 count and its items. */
export function encodeResults(results: readonly Result[]): Buffer {
  const parts: Buffer[] = [];
  putResult(parts, results);
  return Buffer.concat(parts);
}

function putResult(parts: Buffer[], result: Result): void {
  if (result === null) parts.push(Buffer.from([Tag.null]));
  else if (typeof result === "number" || typeof result === "bigint") {
    const bytes = Buffer.allocUnsafe(9);
    bytes[0] = Tag.number;
    bytes.writeBigInt64BE(BigInt(result), 1);
    parts.push(bytes);
  } else if (Buffer.isBuffer(result)) putTagged(parts, Tag.bytes, result);
  else if ("word" in result) putTagged(parts, Tag.word, Buffer.from(result.word));
  else if ("failure" in result) putTagged(parts, Tag.failure, Buffer.from(result.failure));
  else {
    parts.push(headOf(Tag.list, result.length));
    for (const one of result) putResult(parts, one);
  }
}

function putTagged(parts: Buffer[], tag: number, bytes: Buffer): void {
  parts.push(headOf(tag, bytes.length), bytes);
}

function headOf(tag: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(5);
  head[0] = tag;
  head.writeUInt32BE(length, 1);
  return head;
}

/** One result per step that was carried out: a `guard` that doesn't hold is the last. Views into `bytes`. Numbers are bigint past 2^53. */
export function decodeResults(bytes: Buffer): Result[] {
  let at = 0;
  const take = (): Result => {
    const tag = bytes.readUInt8(at);
    if (tag === Tag.null) {
      at++;
      return null;
    }
    if (tag === Tag.number) {
      const number = bytes.readBigInt64BE(at + 1);
      at += 9;
      return Number.isSafeInteger(Number(number)) ? Number(number) : number;
    }
    const length = bytes.readUInt32BE(at + 1);
    at += 5;
    if (tag === Tag.list) return Array.from({ length }, take);
    const content = bytes.subarray(at, at + length);
    if (content.length < length) throw new RangeError("a result is longer than its answer");
    at += length;
    if (tag === Tag.bytes) return content;
    return tag === Tag.word ? { word: content.toString() } : { failure: content.toString() };
  };
  return take() as Result[];
}

function putBytes(bytes: Buffer, at: number, content: Buffer): number {
  const from = bytes.writeUInt32BE(content.length, at);
  bytes.set(content, from);
  return from + content.length;
}
