import fc from "fast-check";
import { expect, test } from "vitest";
import { blockBytes, StoreMemory, tableSlots } from "./memory.ts";

const action = fc.oneof(
  fc.record({ take: fc.constantFrom(...blockBytes) }),
  fc.record({ takeTable: fc.constantFrom<number>(...tableSlots, 1_520, 1_900) }),
  fc.record({ give: fc.nat() }),
  fc.record({ giveTable: fc.nat() }),
  fc.record({ count: fc.integer({ min: 0, max: 100_000 }) }),
);

test("what is given out is of the right size, nobody else's, and counted to the byte", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 120, size: "max" }), (actions) => {
      const memory = new StoreMemory(1_000_000);
      const blocks: { block: Buffer; filler: number }[] = [];
      const tables: { table: Int32Array; filler: number }[] = [];
      let counted = 0;
      let filler = 0;
      for (const act of actions) {
        filler = (filler + 1) % 256;
        if ("take" in act) {
          const block = memory.take(act.take);
          expect(block.length).toBe(act.take);
          blocks.push({ block: block.fill(filler), filler });
        } else if ("takeTable" in act) {
          const table = memory.takeTable(act.takeTable);
          expect(table.length).toBe(act.takeTable * 2);
          expect(table.every((slot) => slot === 0)).toBe(true);
          tables.push({ table: table.fill(filler), filler });
        } else if ("give" in act) {
          const [gone] = blocks.splice(act.give % (blocks.length || 1), 1);
          if (gone !== undefined) memory.give(gone.block);
        } else if ("giveTable" in act) {
          const [gone] = tables.splice(act.giveTable % (tables.length || 1), 1);
          if (gone !== undefined) memory.giveTable(gone.table);
        } else {
          memory.count(act.count);
          counted += act.count;
        }
        const used =
          blocks.reduce((sum, { block }) => sum + block.length, 0) +
          tables.reduce((sum, { table }) => sum + table.byteLength, 0) +
          counted;
        expect(memory.usedBytes).toBe(used);
        expect(memory.costBytes).toBeGreaterThanOrEqual(used);
        expect(memory.excessBytes).toBe(memory.costBytes - 1_000_000);
      }
      for (const { block, filler } of blocks) expect(block.every((byte) => byte === filler)).toBe(true);
      for (const { table, filler } of tables) expect(table.every((slot) => slot === filler)).toBe(true);
      for (const { block } of blocks) memory.give(block);
      for (const { table } of tables) memory.giveTable(table);
      memory.count(-counted);
      expect(memory.usedBytes).toBe(0);
    }),
  );
});

test("a block that came back is given out again before another is made", () => {
  const memory = new StoreMemory();
  for (const sizeBytes of blockBytes) {
    const block = memory.take(sizeBytes);
    memory.give(block);
    const again = memory.take(sizeBytes);
    expect([again.buffer === block.buffer, again.byteOffset]).toEqual([true, block.byteOffset]);
  }
});

test("smaller blocks are cut from a larger one until it is used up", () => {
  const memory = new StoreMemory();
  const taken = Array.from({ length: 64 }, () => memory.take(1_024));
  expect(new Set(taken.map(({ buffer }) => buffer)).size).toBe(1);
  expect(taken[0]!.buffer.byteLength).toBe(65_536);
  expect(new Set(taken.map(({ byteOffset }) => byteOffset)).size).toBe(64);
  expect(memory.take(1_024).buffer).not.toBe(taken[0]!.buffer);
});

test("a table that came back is given out again, empty", () => {
  const memory = new StoreMemory();
  const [one, two] = [memory.takeTable(680), memory.takeTable(680)];
  one.fill(7);
  memory.giveTable(one);
  const again = memory.takeTable(680);
  expect(again).toBe(one);
  expect(again.every((slot) => slot === 0)).toBe(true);
  expect(two.every((slot) => slot === 0)).toBe(true);
});

test("what tables of one size give up holds something else", () => {
  const memory = new StoreMemory();
  for (const slots of tableSlots) {
    // More than fit in one block, whatever their size.
    const tables = Array.from({ length: 600 }, () => memory.takeTable(slots));
    expect(new Set(tables).size).toBe(600);
    for (const table of tables.filter((_, i) => i % 3 === 1)) memory.giveTable(table);
    for (const table of tables.filter((_, i) => i % 3 !== 1)) memory.giveTable(table);
    expect(memory.costBytes).toBe(0);
  }
  const { pieceBytes } = memory;
  const blocks = Array.from({ length: pieceBytes / 65_536 }, () => memory.take(65_536));
  expect(memory.pieceBytes).toBe(pieceBytes);
  expect(blocks).toHaveLength(pieceBytes / 65_536);
});

test("tables of each size fill a block but for 2 %", () => {
  for (const slots of tableSlots) {
    const tableBytes = slots * 8;
    expect((65_536 % tableBytes) / 65_536).toBeLessThan(0.025);
  }
});

test("room that tables have left in their blocks counts as used, but for a twentieth of the limit", () => {
  const limitBytes = 32 * 1024 * 1024;
  const memory = new StoreMemory(limitBytes);
  // Eight fill a block, but for 1,536 bytes.
  const count = 8 * 512;
  const tables = Array.from({ length: count }, () => memory.takeTable(1_000));
  const usedBytes = count * 8_000;
  expect([memory.usedBytes, memory.costBytes]).toEqual([usedBytes, usedBytes]);
  for (const table of tables.filter((_, i) => i % 8 !== 0)) memory.giveTable(table);
  expect(memory.usedBytes).toBe(usedBytes / 8);
  expect(memory.costBytes).toBe(limitBytes - limitBytes / 20);
  for (const table of tables.filter((_, i) => i % 8 === 0)) memory.giveTable(table);
  expect([memory.usedBytes, memory.costBytes]).toEqual([0, 0]);
});

test("without a limit there is never an excess, and the limit can be changed", () => {
  const memory = new StoreMemory();
  memory.take(65_536);
  expect(memory.excessBytes).toBe(Number.NEGATIVE_INFINITY);
  memory.limitBytes = 65_536;
  const objectBytes = memory.excessBytes;
  expect(objectBytes).toBeLessThan(512);
  memory.take(65_536);
  expect(memory.excessBytes).toBe(65_536 + 2 * objectBytes);
});

test("blocks that were small are large again once all of their quarters are back", () => {
  const memory = new StoreMemory();
  const mib = 1024 * 1024;
  for (const size of [1_024, 4_096, 65_536, 16_384, 1_024]) {
    const blocks = Array.from({ length: mib / size }, () => memory.take(size));
    expect(memory.usedBytes).toBe(mib);
    // In another order than that in which they were taken.
    for (const block of blocks.filter((_, i) => i % 3 === 0)) memory.give(block);
    for (const block of blocks.filter((_, i) => i % 3 !== 0)) memory.give(block);
  }
  // A piece is at most a quarter of what was there before, so a fifth of what is needed may be beyond it.
  expect(memory.pieceBytes).toBeLessThanOrEqual(1.25 * mib);
  const whole = Array.from({ length: 16 }, () => memory.take(65_536));
  whole.forEach((block, i) => {
    block.fill(i);
  });
  expect(whole.every((block, i) => block.every((byte) => byte === i))).toBe(true);
});

test("quarters that nothing is in count as used, but for a twentieth of the limit", () => {
  const mib = 1024 * 1024;
  const memory = new StoreMemory(mib);
  const small = Array.from({ length: 1_024 }, () => memory.take(1_024));
  const objects = memory.costBytes - memory.usedBytes;
  expect(objects).toBeLessThan(0.25 * mib);
  // One of each 64 stays: none of the blocks is whole again.
  for (const block of small.filter((_, i) => i % 64 !== 0)) memory.give(block);
  expect(memory.usedBytes).toBe(16 * 1_024);
  expect(memory.costBytes).toBeGreaterThan(0.9 * mib);
  for (const block of small.filter((_, i) => i % 64 === 0)) memory.give(block);
  expect([memory.usedBytes, memory.costBytes]).toEqual([0, 0]);
});
