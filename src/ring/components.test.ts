import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mainComponent, type Reachability } from "./components.ts";

/** `members("a", "b:a")`: b can't reach a. */
function members(...specs: string[]): Reachability[] {
  return specs.map((spec) => {
    const [id, cut] = spec.split(":");
    return { id: id!, unreachable: cut === undefined ? [] : cut.split(",") };
  });
}

const main = (...specs: string[]): string[] => [...mainComponent(members(...specs))].sort();

describe("the main component", () => {
  test("is everybody when nothing is cut, and nobody of none", () => {
    expect(main("a", "b", "c")).toEqual(["a", "b", "c"]);
    expect(main("a")).toEqual(["a"]);
    expect(main()).toEqual([]);
  });

  test("is without the one that the others can't reach, whoever says so", () => {
    expect(main("a:b,c", "b", "c")).toEqual(["b", "c"]);
    expect(main("a", "b:a", "c:a")).toEqual(["b", "c"]);
    expect(main("a:b", "b", "c:a")).toEqual(["b", "c"]);
  });

  test("isn't split by one cut between two that reach each other through a third", () => {
    expect(main("a", "b:c", "c:b")).toEqual(["a", "b", "c"]);
  });

  test("is the one with the first member when two are as large", () => {
    expect(main("a:b", "b:a")).toEqual(["a"]);
    expect(main("b:a", "a:b")).toEqual(["b"]);
    expect(main("c:a,b", "a:d", "b:d", "d:a,b")).toEqual(["c", "d"]);
  });

  test("doesn't depend on where those are that leave", () => {
    const [a, b, c] = members("a:b,c", "b:a", "c:a") as [Reachability, Reachability, Reachability];
    expect([...mainComponent([b, { ...c, leaving: true }, a])]).toEqual(["b", "c"]);
    expect([...mainComponent([{ ...b, leaving: true }, { ...c, leaving: true }, a])]).toEqual(["a"]);
    expect([...mainComponent([a, b, { ...c, leaving: true }])]).toEqual(["b", "c"]);
  });

  test("is the one with a copy of the most partitions, though others are more", () => {
    const torn = members("a:b,c", "b:a", "c:a");
    const alone = { owner: "a", backups: [] };
    const both = { owner: "b", backups: ["a"] };
    expect([...mainComponent(torn, [alone, both])]).toEqual(["a"]);
    expect([...mainComponent(torn, [both, both])]).toEqual(["b", "c"]);
    expect([...mainComponent(torn, [alone, { owner: "c", backups: ["b"] }])]).toEqual(["b", "c"]);
    expect([...mainComponent(torn, [alone, alone, { owner: "c", backups: ["b"] }])]).toEqual(["a"]);
  });

  test("counts no copies of one that comes anew", () => {
    const [a, b] = members("a:b", "b:a") as [Reachability, Reachability];
    expect([...mainComponent([b, { ...a, isNewcomer: true }], [{ owner: "a", backups: [] }])]).toEqual(["b"]);
  });

  test("of two of which one is larger is that one, whatever the order", () => {
    expect(main("a:b,c", "b", "c")).toEqual(["b", "c"]);
  });

  test("doesn't care for members that aren't there", () => {
    expect(main("a:x,y", "b:x")).toEqual(["a", "b"]);
  });
});

const ids = ["a", "b", "c", "d", "e", "f", "g"];
const anyMembers = fc
  .shuffledSubarray(ids, { minLength: 1 })
  .chain((present) =>
    fc.tuple(
      ...present.map((id) =>
        fc
          .subarray(ids.filter((other) => other !== id))
          .map((unreachable): Reachability => ({ id, unreachable })),
      ),
    ),
  );

function reachableFrom(start: string, given: readonly Reachability[]): Set<string> {
  const reached = new Set([start]);
  for (let grew = true; grew; ) {
    grew = false;
    for (const a of given) {
      for (const b of given) {
        const cut = a.unreachable.includes(b.id) || b.unreachable.includes(a.id);
        if (cut || !reached.has(a.id) || reached.has(b.id)) continue;
        reached.add(b.id);
        grew = true;
      }
    }
  }
  return reached;
}

describe("for any members and cuts", () => {
  test("the main component is connected, complete and the first of the largest", () => {
    fc.assert(
      fc.property(anyMembers, (given) => {
        const component = mainComponent(given);
        const all = given.map(({ id }) => reachableFrom(id, given));
        const largest = Math.max(...all.map((other) => other.size));
        const first = all.find((other) => other.size === largest);
        expect([...component].sort()).toEqual([...first!].sort());
      }),
    );
  });

  test("who says that two can't reach each other makes no difference", () => {
    fc.assert(
      fc.property(anyMembers, (given) => {
        const told = given.map(({ id, unreachable }) => ({
          id,
          unreachable: [
            ...unreachable,
            ...given.filter((other) => other.unreachable.includes(id)).map((other) => other.id),
          ],
        }));
        expect(mainComponent(told)).toEqual(mainComponent(given));
      }),
    );
  });

  test("one more cut between two that stay connected without it changes nothing", () => {
    fc.assert(
      fc.property(anyMembers, fc.nat(), fc.nat(), (given, i, j) => {
        const a = given[i % given.length]!;
        const b = given[j % given.length]!;
        fc.pre(a.id !== b.id);
        const cut = given.map((member) =>
          member === a ? { id: a.id, unreachable: [...a.unreachable, b.id] } : member,
        );
        fc.pre(reachableFrom(a.id, cut).has(b.id));
        expect([...mainComponent(cut)].sort()).toEqual([...mainComponent(given)].sort());
      }),
    );
  });
});
