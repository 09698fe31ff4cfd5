/** What must hold in a cluster at every moment, looked at from outside of it. */
import { decodeTable, isSettled, lostPartitions, type Table } from "../../src/ring/table.ts";
import type { Cluster } from "./cluster.ts";

export class Watchdog {
  /** How often a partition was handed from one node to another. */
  handoffs = 0;
  readonly #cluster: Cluster;
  readonly #violation: (what: string) => void;
  /** Per process, the newest table that it was seen to act on. */
  readonly #seen = new Map<string, Table>();
  #published: Table | undefined;
  #mayLose = true;

  constructor(cluster: Cluster, violation: (what: string) => void) {
    this.#cluster = cluster;
    this.#violation = violation;
    const ring = cluster.store.open(`${cluster.platform}-ring`, {});
    ring.listeners.add({
      push: ({ key, value }) => {
        if (key === "table" && value !== undefined) this.#tablePublished(decodeTable(value));
      },
      destroyed: () => {},
    });
    cluster.sim.onEvent = () => this.#check();
  }

  get published(): Table | undefined {
    return this.#published;
  }

  /** From here on every partition stays with who has its data. */
  nothingMayBeLost(): void {
    this.#mayLose = false;
  }

  /** What keeps the cluster from being at rest; undefined once it is. */
  restless(): string | undefined {
    const { nodes, up } = this.#cluster;
    const table = this.#published;
    if (table === undefined) return "no table";
    if (up.length !== nodes.length) {
      return `not up: ${nodes.filter((node) => node.state !== "up").map((node) => `${node.id} ${node.state}`)}`;
    }
    const members = table.members.map((member) => member.id).sort();
    const expected = up.map((node) => node.id).sort();
    if (members.join() !== expected.join()) return `members ${members}, not ${expected}`;
    if (!isSettled(table)) return "partitions move or have no owner";
    const loads = expected.map((id) => table.rows.filter((row) => row.owner === id).length);
    if (Math.max(...loads) - Math.min(...loads) > 1) return `unbalanced: ${loads}`;
    for (const { id, cache } of up) {
      if (cache!.ring.table.epoch !== table.epoch) return `${id} is behind`;
      const wrong = table.rows.findIndex((row, p) => cache!.ring.serves(p) !== (row.owner === id));
      if (wrong >= 0) return `${id} is wrong about partition ${wrong}`;
    }
    return undefined;
  }

  /** One owner: no two processes would carry an operation out on the same partition. */
  #check(): void {
    const { nodes, partitions } = this.#cluster;
    const running = nodes.filter((node) => node.cache !== undefined && !node.process.isCrashed);
    for (let partition = 0; partition < partitions; partition++) {
      let owner = "";
      for (const { id, cache } of running) {
        if (!cache!.ring.serves(partition)) continue;
        if (owner !== "") this.#violation(`${owner} and ${id} both serve partition ${partition}`);
        owner = id;
      }
    }
    for (const { cache } of running) {
      const { table, incarnation } = cache!.ring;
      const before = this.#seen.get(incarnation);
      if (before === table) continue;
      this.#seen.set(incarnation, table);
      if (before !== undefined) this.#neverBack(before, table, `at ${cache!.nodeId}`);
    }
  }

  #tablePublished(table: Table): void {
    const before = this.#published;
    this.#published = table;
    if (before === undefined) return;
    if (table.epoch !== before.epoch + 1)
      this.#violation(`epoch ${before.epoch} was followed by ${table.epoch}`);
    this.#neverBack(before, table, "as published");
    const lost = lostPartitions(table, before);
    if (lost.length > 0 && !this.#mayLose)
      this.#violation(`table ${table.epoch} gives up partitions ${lost}`);
    table.rows.forEach((row, partition) => {
      const was = before.rows[partition]!;
      if (row.owner === was.owner) return;
      if (row.term !== table.epoch) this.#violation(`partition ${partition} changed its owner, not its term`);
      if (was.owner !== "" && row.owner === was.incoming) this.handoffs++;
    });
  }

  #neverBack(before: Table, after: Table, where: string): void {
    if (after.epoch <= before.epoch) this.#violation(`epoch ${before.epoch} to ${after.epoch} ${where}`);
    after.rows.forEach((row, partition) => {
      const was = before.rows[partition]!;
      if (row.term < was.term || row.term > after.epoch) {
        this.#violation(
          `partition ${partition}: term ${was.term} to ${row.term} in table ${after.epoch} ${where}`,
        );
      }
    });
  }
}
