import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { silentLog } from "../log.ts";
import { pingIntervalMs } from "./contacts.ts";
import { Isolation } from "./isolation.ts";
import type { MemberReport } from "./sightings.ts";
import { emptyTable, type Member, type Row, type Table } from "./table.ts";

const heartbeatMs = 1_000;
const leaseMs = 3_000;
const intervalMs = pingIntervalMs(heartbeatMs, leaseMs);
/** By then a node that is outside has to go. */
const goneMs = 2 * heartbeatMs + 2 * intervalMs;

function member(id: string, incarnation = `${id}1`, more: Partial<Member> = {}): Member {
  return { id, incarnation, host: "h", port: 1, http: "", zone: "", leaving: false, dead: "", ...more };
}

let runtime: ManualRuntime;

/** Nodes that see one another's reports at every heartbeat. */
class Cluster {
  readonly nodes = new Map<string, Node>();
  members: Member[];
  rows: Row[] = [];
  /** Ids of members that don't renew their records. */
  readonly silent = new Set<string>();
  readonly #reports = new Map<string, MemberReport>();
  #beating = true;

  constructor(ids: readonly string[]) {
    this.members = ids.map((id) => member(id));
    for (const id of ids) this.nodes.set(id, new Node(this, member(id)));
    this.#beat();
  }

  get table(): Table {
    return { ...emptyTable(1), epoch: 1, members: this.members, rows: this.rows };
  }

  node(id: string): Node {
    return this.nodes.get(id)!;
  }

  /** From now on no member of one group reaches one of another. */
  cut(...groups: readonly string[][]): void {
    for (const node of this.nodes.values()) {
      const own = groups.find((group) => group.includes(node.self.id));
      if (own === undefined) continue;
      node.setUnreachable(groups.flat().filter((id) => !own.includes(id)));
    }
  }

  publish({ self, unreachable, unknown }: Node): void {
    const { id, incarnation } = self;
    this.#reports.set(id, {
      id,
      incarnation,
      unreachable,
      unknown,
      seenAtMs: runtime.nowMs,
      lastTable: undefined,
    });
  }

  /** Its record is there no more. */
  remove(id: string): void {
    this.silent.add(id);
    this.#reports.delete(id);
  }

  reports(): MemberReport[] {
    return [...this.#reports.values()];
  }

  stop(): void {
    this.#beating = false;
    for (const { isolation } of this.nodes.values()) isolation.stop();
  }

  #beat(): void {
    if (!this.#beating) return;
    for (const node of this.nodes.values()) if (!this.silent.has(node.self.id)) this.publish(node);
    runtime.after(heartbeatMs, () => this.#beat());
  }
}

class Node {
  readonly isolation: Isolation;
  self: Member;
  unreachable: readonly string[] = [];
  unknown: readonly string[] = [];
  leaseHolds = true;
  isolatedAtMs: number[] = [];
  readonly #sinceMs = new Map<string, number>();

  constructor(cluster: Cluster, self: Member) {
    this.self = self;
    const node = this;
    this.isolation = new Isolation({
      runtime,
      log: silentLog,
      heartbeatMs,
      leaseMs,
      tables: cluster,
      membership: {
        get self() {
          return node.self;
        },
        get leaseHolds() {
          return node.leaseHolds;
        },
        reports: () => cluster.reports(),
      },
      contacts: {
        unreachable: () => this.unreachable,
        unknown: () => this.unknown,
        isUnreachableFor: ({ id }, ms) =>
          runtime.nowMs - (this.#sinceMs.get(id) ?? Number.POSITIVE_INFINITY) >= ms,
      },
      isolated: () => void this.isolatedAtMs.push(runtime.nowMs),
    });
  }

  setUnreachable(ids: readonly string[]): void {
    for (const id of this.#sinceMs.keys()) if (!ids.includes(id)) this.#sinceMs.delete(id);
    for (const id of ids) if (!this.#sinceMs.has(id)) this.#sinceMs.set(id, runtime.nowMs);
    this.unreachable = ids;
  }

  get isolations(): number {
    return this.isolatedAtMs.length;
  }
}

const clusters: Cluster[] = [];

async function cluster(...ids: string[]): Promise<Cluster> {
  const made = new Cluster(ids);
  clusters.push(made);
  await runtime.advance(5 * heartbeatMs);
  return made;
}

async function until(holds: () => boolean): Promise<void> {
  const giveUpAtMs = runtime.nowMs + 100 * leaseMs;
  while (!holds()) {
    expect(runtime.nowMs).toBeLessThan(giveUpAtMs);
    await runtime.advance(intervalMs);
  }
}

const isolated = ({ nodes }: Cluster): string[] =>
  [...nodes.values()].filter(({ isolations }) => isolations > 0).map(({ self }) => self.id);

beforeEach(() => {
  runtime = new ManualRuntime();
});

afterEach(() => {
  for (const made of clusters.splice(0)) made.stop();
});

describe("a node gives itself up", () => {
  test("when it has been cut off from the others for two heartbeats, once", async () => {
    const abc = await cluster("a", "b", "c");
    const cutAtMs = runtime.nowMs;
    abc.cut(["a", "b"], ["c"]);
    await runtime.advance(10 * leaseMs);
    expect(isolated(abc)).toEqual(["c"]);
    const [atMs, ...more] = abc.node("c").isolatedAtMs;
    expect(more).toEqual([]);
    expect(atMs! - cutAtMs).toBeGreaterThanOrEqual(2 * heartbeatMs);
    expect(atMs! - cutAtMs).toBeLessThanOrEqual(goneMs);
  });

  test("also if only the others can't reach it", async () => {
    const abc = await cluster("a", "b", "c");
    abc.node("a").setUnreachable(["c"]);
    abc.node("b").setUnreachable(["c"]);
    await runtime.advance(heartbeatMs + goneMs);
    expect(isolated(abc)).toEqual(["c"]);
  });

  test("of two, when it is the younger", async () => {
    const ab = await cluster("a", "b");
    ab.cut(["a"], ["b"]);
    await runtime.advance(10 * leaseMs);
    expect(isolated(ab)).toEqual(["b"]);
  });

  test("as a newcomer, not as the one that has the only copies", async () => {
    const abc = await cluster("a", "b", "c");
    abc.rows = [{ ...emptyTable(1).rows[0]!, owner: "c" }];
    abc.cut(["a", "b"], ["c"]);
    await runtime.advance(heartbeatMs + goneMs);
    expect(isolated(abc)).toEqual(["a", "b"]);
    await runtime.advance(10 * leaseMs);
    expect(abc.node("c").isolations).toBe(0);
  });

  test("not while it has a copy that nobody has who goes on", async () => {
    const abc = await cluster("a", "b", "c");
    const row = emptyTable(1).rows[0]!;
    abc.rows = [
      { ...row, owner: "c", backups: ["a"] },
      { ...row, owner: "b" },
      { ...row, owner: "c" },
    ];
    abc.cut(["a", "b"], ["c"]);
    await runtime.advance(10 * leaseMs);
    expect(isolated(abc)).toEqual([]);
    abc.rows = abc.rows.slice(0, 2);
    await runtime.advance(heartbeatMs);
    expect(isolated(abc)).toEqual(["c"]);
  });

  test("with those that it still reaches", async () => {
    const many = await cluster("a", "b", "c", "d", "e");
    many.cut(["a", "d"], ["b", "c", "e"]);
    await runtime.advance(10 * leaseMs);
    expect(isolated(many)).toEqual(["a", "d"]);
  });
});

describe("nobody gives itself up", () => {
  test("for links that have not been there yet, nor is anybody dropped by way of them", async () => {
    const abcd = await cluster("a", "b", "c", "d");
    for (const id of ["a", "b", "c"]) abcd.node(id).unknown = ["d"];
    abcd.node("d").unknown = ["a", "b", "c"];
    await runtime.advance(10 * leaseMs);
    expect(isolated(abcd)).toEqual([]);
    // To c, d is a way to a and b only once it has been seen to be one.
    abcd.cut(["a", "b"], ["c"]);
    await runtime.advance(10 * leaseMs);
    expect(isolated(abcd)).toEqual([]);
    expect(abcd.node("c").isolation.shouldDrop(member("a"))).toBe(false);
    expect(abcd.node("a").isolation.shouldDrop(member("c"))).toBe(true);
  });

  test("for a cut between two that a third reaches", async () => {
    const abc = await cluster("a", "b", "c");
    abc.cut(["b"], ["c"]);
    await runtime.advance(10 * leaseMs);
    expect(isolated(abc)).toEqual([]);
  });

  test("for a cut that heals within two heartbeats, however often", async () => {
    const abc = await cluster("a", "b", "c");
    for (let i = 0; i < 10; i++) {
      abc.cut(["a", "b"], ["c"]);
      await runtime.advance(2 * heartbeatMs - 1);
      abc.cut(["a", "b", "c"]);
      await runtime.advance(heartbeatMs);
    }
    expect(isolated(abc)).toEqual([]);
  });

  test("because an older one hangs or died: it doesn't renew", async () => {
    const ab = await cluster("a", "b");
    ab.silent.add("a");
    ab.node("a").leaseHolds = false;
    await runtime.advance(leaseMs / 2);
    ab.node("b").setUnreachable(["a"]);
    await runtime.advance(10 * leaseMs);
    expect(isolated(ab)).toEqual([]);
  });

  test("for what those say who are no members, or dead", async () => {
    const abc = await cluster("a", "b", "c");
    abc.members = [member("a", "a2"), member("b", "b1", { dead: "silent" }), member("c")];
    abc.cut(["a", "b"], ["c"]);
    await runtime.advance(10 * leaseMs);
    expect(isolated(abc)).toEqual([]);
  });

  test("without a lease, nor before two heartbeats with one", async () => {
    const abc = await cluster("a", "b", "c");
    const c = abc.node("c");
    c.leaseHolds = false;
    abc.cut(["a", "b"], ["c"]);
    await runtime.advance(10 * leaseMs);
    expect(isolated(abc)).toEqual([]);
    c.leaseHolds = true;
    await runtime.advance(2 * heartbeatMs - 1);
    expect(isolated(abc)).toEqual([]);
    await runtime.advance(goneMs - 2 * heartbeatMs + 1);
    expect(isolated(abc)).toEqual(["c"]);
  });

  test("before a table has it", async () => {
    const abc = await cluster("a", "b", "c");
    abc.members = [member("a"), member("b")];
    abc.cut(["a", "b"], ["c"]);
    await runtime.advance(10 * leaseMs);
    expect(isolated(abc)).toEqual([]);
  });

  test("because it stalled: what was outside before says nothing about the time between", async () => {
    const abc = await cluster("a", "b", "c");
    abc.cut(["a", "b"], ["c"]);
    await runtime.advance(intervalMs);
    runtime.stall(10 * heartbeatMs);
    await runtime.advance(0);
    abc.cut(["a", "b", "c"]);
    await runtime.advance(10 * leaseMs);
    expect(isolated(abc)).toEqual([]);
  });

  test("on both sides, if a report is late on one of them", async () => {
    const many = await cluster("a", "b", "c", "d");
    many.silent.add("b");
    many.cut(["a", "b"], ["c", "d"]);
    await runtime.advance(2 * leaseMs);
    expect(isolated(many)).not.toContain("a");
  });
});

describe("a backup that can't be reached", () => {
  test("is dropped by one that stays, after the other has had the time to go", async () => {
    const abc = await cluster("a", "b", "c");
    abc.cut(["a", "b"], ["c"]);
    const cutAtMs = runtime.nowMs;
    await until(() => abc.node("a").isolation.shouldDrop(member("c")));
    expect(runtime.nowMs - cutAtMs).toBeGreaterThanOrEqual(leaseMs + 2 * heartbeatMs);
    expect(isolated(abc)).toEqual(["c"]);
    expect(abc.node("a").isolation.shouldDrop(member("b"))).toBe(false);
  });

  test("is never dropped by the one that has to go", async () => {
    for (const ids of [
      ["a", "b", "c"],
      ["c", "b", "a"],
      ["a", "c"],
    ]) {
      const made = await cluster(...ids);
      made.cut(
        ids.filter((id) => id !== "c"),
        ["c"],
      );
      for (let ms = 0; ms < 10 * leaseMs; ms += 100) {
        await runtime.advance(100);
        for (const id of ids) expect(made.node("c").isolation.shouldDrop(member(id))).toBe(false);
      }
    }
  });

  test("is dropped sooner if it stays a member: nobody goes for a cut between two", async () => {
    const abc = await cluster("a", "b", "c");
    abc.cut(["b"], ["c"]);
    await runtime.advance(2 * heartbeatMs);
    expect(abc.node("b").isolation.shouldDrop(member("c"))).toBe(false);
    await runtime.advance(2 * intervalMs);
    expect(abc.node("b").isolation.shouldDrop(member("c"))).toBe(true);
    expect(abc.node("c").isolation.shouldDrop(member("b"))).toBe(true);
    expect(abc.node("c").isolation.shouldDrop(member("a"))).toBe(false);
  });

  test("is not dropped while it may just be late with its report, nor without a lease", async () => {
    const ab = await cluster("a", "b");
    ab.silent.add("a");
    ab.node("b").setUnreachable(["a"]);
    await runtime.advance(10 * leaseMs);
    // By all reports the older one is the one that stays.
    expect(ab.node("b").isolation.shouldDrop(member("a"))).toBe(false);
    ab.silent.add("b");
    ab.cut(["a"], ["b"]);
    await runtime.advance(10 * leaseMs);
    expect(ab.node("a").isolation.shouldDrop(member("b"))).toBe(true);
    ab.node("a").leaseHolds = false;
    expect(ab.node("a").isolation.shouldDrop(member("b"))).toBe(false);
  });
});

describe("a node that was fenced", () => {
  /** c has given itself up and the others have noticed. */
  async function withoutC(): Promise<Cluster> {
    const abc = await cluster("a", "b", "c");
    abc.cut(["a", "b"], ["c"]);
    await runtime.advance(goneMs);
    expect(isolated(abc)).toEqual(["c"]);
    leave(abc, "c");
    return abc;
  }

  function leave(from: Cluster, id: string): void {
    from.node(id).leaseHolds = false;
    from.remove(id);
    from.members = from.members.filter((other) => other.id !== id);
    for (const other of from.nodes.values()) if (other.self.id !== id) other.setUnreachable([]);
  }

  function comeBack(to: Cluster, id: string, incarnation: string): void {
    const node = to.node(id);
    node.self = member(id, incarnation);
    node.leaseHolds = true;
    to.silent.delete(id);
    to.members = [...to.members, node.self];
  }

  async function untilMayRejoin({ isolation }: Node): Promise<number> {
    const fromMs = runtime.nowMs;
    await until(() => isolation.mayRejoin());
    return runtime.nowMs - fromMs;
  }

  test("doesn't come back before it reaches the others", async () => {
    const abc = await withoutC();
    await runtime.advance(20 * leaseMs);
    expect(abc.node("c").isolation.mayRejoin()).toBe(false);
    abc.node("c").setUnreachable(["a"]); // Through b.
    expect(abc.node("c").isolation.mayRejoin()).toBe(true);
  });

  test("stands behind a member that it doesn't reach, though it was the older of the two: that one holds what it has lost", async () => {
    const ab = await cluster("a", "b");
    ab.cut(["a"], ["b"]);
    ab.node("a").leaseHolds = false; // Declared dead, and still in the table.
    expect(ab.node("a").isolation.mayRejoin()).toBe(false);
    ab.node("a").setUnreachable([]);
    ab.node("b").setUnreachable([]);
    expect(ab.node("a").isolation.mayRejoin()).toBe(true);
  });

  test("comes back if the others are no more", async () => {
    const abc = await withoutC();
    abc.silent.add("a").add("b");
    await runtime.advance(20 * leaseMs);
    expect(abc.node("c").isolation.mayRejoin()).toBe(true);
  });

  test("comes back at once if it wasn't cut off", async () => {
    const abc = await cluster("a", "b", "c");
    leave(abc, "c");
    expect(abc.node("c").isolation.mayRejoin()).toBe(true);
  });

  test("waits longer and longer if it has to go again soon, and isn't asked to go before it is back", async () => {
    const abc = await withoutC();
    const c = abc.node("c");
    const waits: number[] = [];
    for (let i = 0; i < 6; i++) {
      c.setUnreachable([]);
      waits.push(await untilMayRejoin(c));
      comeBack(abc, "c", `again ${i}`);
      for (const id of ["a", "b"]) abc.node(id).setUnreachable(["c"]);
      await runtime.advance(heartbeatMs + goneMs);
      expect(c.isolations).toBe(i + 2);
      leave(abc, "c");
      await runtime.advance(3 * heartbeatMs);
      expect(c.isolations).toBe(i + 2);
    }
    for (const [i, wait] of waits.entries()) if (i > 0) expect(wait).toBeGreaterThanOrEqual(waits[i - 1]!);
    expect(waits.at(-1)).toBeGreaterThan(50_000);
    expect(waits.at(-1)).toBeLessThanOrEqual(60_000);
    // What lasted isn't held against it.
    await untilMayRejoin(c);
    comeBack(abc, "c", "for long");
    await runtime.advance(120_000);
    abc.cut(["a", "b"], ["c"]);
    await runtime.advance(goneMs);
    leave(abc, "c");
    c.setUnreachable([]);
    expect(await untilMayRejoin(c)).toBeLessThanOrEqual(leaseMs + intervalMs);
  });
});
