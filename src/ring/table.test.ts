import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeTable, encodeTable, type Member, type Table } from "./table.ts";

const member = fc.record({
  id: fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/),
  incarnation: fc.string(),
  host: fc.string(),
  port: fc.nat(65_535),
  http: fc.string(),
  zone: fc.string(),
  leaving: fc.boolean(),
});

const table: fc.Arbitrary<Table> = fc
  .uniqueArray(member, { selector: (m: Member) => m.id, maxLength: 5 })
  .chain((members) => {
    const ids = members.map((m) => m.id);
    const number = fc.nat(2 ** 40);
    const row = fc.record({
      owner: fc.constantFrom("", ...ids),
      backups: fc.subarray(ids),
      term: number,
      incoming: fc.constantFrom("", ...ids),
      move: number,
      source: number,
    });
    return fc.record({
      epoch: number,
      members: fc.constant(members),
      rows: fc.array(row, { maxLength: 20 }),
      writer: fc.string(),
    });
  });

test("a table comes back as it was written", () => {
  fc.assert(
    fc.property(table, (written) => {
      expect(decodeTable(encodeTable(written))).toEqual(written);
    }),
  );
});

test("what isn't a table throws", () => {
  for (const text of ["", "null", "{}", '{"epoch":1}', '{"epoch":"1","members":[],"rows":[]}'])
    expect(() => decodeTable(Buffer.from(text)), text).toThrow();
});
