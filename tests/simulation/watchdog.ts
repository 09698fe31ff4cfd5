/** What must hold in a cluster at every moment, looked at from outside of it. */
import type { CopyState } from "../../src/cache/keeper.ts";
import {
  decodeTable,
  isAtRest,
  lostPartitions,
  type Member,
  memberOf,
  type Row,
  type Table,
} from "../../src/ring/table.ts";
import type { Cluster, ClusterNode } from "./cluster.ts";
import type { Health } from "./health.ts";

/** Nothing tells of every change of who serves, so now and then all is looked at. */
const lookEveryEvents = 64;
const compareEveryEvents = 256;

export interface WatchdogOptions {
  readonly cluster: Cluster;
  /** No more fails than the cluster is to survive, so nothing may be lost. */
  readonly careful: boolean;
  violation(kind: string, what: string): void;
}

export class Watchdog {
  /** How often a partition was handed from one node to another. */
  handoffs = 0;
  /** How often a backup became the owner. */
  promotions = 0;
  /** Partitions of which a table said that they begin anew without data. */
  readonly lost = new Set<number>();
  health: Health | undefined;
  readonly #cluster: Cluster;
  readonly #options: WatchdogOptions;
  /** Who carried operations out in a reign: the partition and the epoch at which it began. */
  readonly #reigns = new Map<string, string>();
  readonly #tables = new Map<string, Table>();
  #published: Table | undefined;
  #wiped = false;
  #everWiped = false;
  #dirty = true;

  constructor(options: WatchdogOptions) {
    const { cluster } = options;
    this.#cluster = cluster;
    this.#options = options;
    this.#watchTable(cluster);
    cluster.onUp = (node) => this.#watchNode(node);
    cluster.sim.onEvent = (events) => {
      if (this.#dirty || events % lookEveryEvents === 0) this.#look();
      if (events % compareEveryEvents === 0) this.#lookAtCopies();
    };
  }

  /** The latest table that there is, though perhaps no node has seen it yet. */
  get published(): Table | undefined {
    return this.#published;
  }

  /** What keeps the cluster from being at rest; undefined once it is. */
  restless(): string | undefined {
    const { nodes, up } = this.#cluster;
    const table = this.#published;
    if (table === undefined || this.#wiped) return "no table";
    if (up.length !== nodes.length) {
      return `not up: ${nodes.filter((node) => node.state !== "up").map((node) => `${node.id} ${node.state}`)}`;
    }
    const members = table.members.map((member) => member.id).sort();
    const expected = up.map((node) => node.id).sort();
    if (members.join() !== expected.join()) return `members ${members}, not ${expected}`;
    if (!isAtRest(table)) return "partitions move, or lack owners or backups";
    return this.#unbalanced(table, expected) ?? this.#wrongAbout(table);
  }

  /** To be called when nobody writes: every backup has exactly what the owner has. */
  compareCopies(): void {
    this.#eachCopy((partition, owner, id, copy) => {
      if (copy?.lsn === owner.lsn && copy.digest() === owner.digest()) return;
      this.#violation("differ", `partition ${partition}: the copy of ${id} isn't what the owner has`);
    });
  }

  /** `node` has carried out an operation in this very turn. */
  acknowledged(node: ClusterNode, partition: number): void {
    const { ring } = node.cache!;
    const reign = `${partition}/${ring.table.rows[partition]!.since}`;
    const other = this.#reigns.get(reign);
    if (other !== undefined && other !== ring.incarnation) {
      this.#violation("owners", `two nodes acknowledge operations on partition ${reign}, ${node.id} too`);
    }
    this.#reigns.set(reign, ring.incarnation);
  }

  #watchTable(cluster: Cluster): void {
    cluster.store.open(`${cluster.platform}-ring`, {}).listeners.add({
      push: ({ key, value }) => {
        if (key === "table" && value !== undefined) this.#tablePublished(decodeTable(value));
      },
      wiped: () => {
        this.#wiped = true;
        this.#everWiped = true;
      },
    });
  }

  #watchNode(node: ClusterNode): void {
    const { ring } = node.cache!;
    const mark = (): void => {
      this.#dirty = true;
    };
    ring.on("owned", mark);
    ring.on("lease", mark);
    ring.on("table", (table, before) => {
      mark();
      this.#neverBack(before, table, `at ${node.id}`);
    });
    mark();
  }

  /** One owner: no two processes would carry an operation out on the same partition. And every queue within its bound. */
  #look(): void {
    this.#dirty = false;
    const { nodes, partitions } = this.#cluster;
    const running = nodes.filter((node) => node.cache !== undefined && !node.process.isCrashed);
    for (let partition = 0; partition < partitions; partition++) {
      let owner = "";
      for (const { id, cache } of running) {
        if (!cache!.ring.serves(partition)) continue;
        if (owner !== "") this.#violation("owners", `${owner} and ${id} both serve partition ${partition}`);
        owner = id;
      }
    }
    for (const { id, cache } of running) {
      for (const { name, size, max } of cache!.queues()) {
        if (size > max) this.#violation("queue", `${name} of ${id} holds ${size}, more than ${max}`);
      }
    }
  }

  /** A backup that follows its owner's reign is never ahead of it, and the same whenever it is as far. */
  #lookAtCopies(): void {
    this.#eachCopy((partition, owner, id, copy) => {
      if (copy === undefined || copy.since !== owner.since || copy.lsn < owner.lsn) return;
      if (copy.lsn > owner.lsn) {
        this.#violation("differ", `partition ${partition}: ${id} is ahead of its owner`);
      } else if (copy.digest() !== owner.digest()) {
        this.#violation(
          "differ",
          `partition ${partition}: ${id} differs from its owner at write ${copy.lsn}`,
        );
      }
    });
  }

  /** Of the partitions that are served by who is to serve them, the backups' copies. */
  #eachCopy(
    look: (partition: number, owner: CopyState, id: string, copy: CopyState | undefined) => void,
  ): void {
    const nodes = new Map(this.#cluster.up.map(({ id, cache }) => [id, cache!]));
    for (const [partition, { owner, backups }] of (this.#published?.rows ?? []).entries()) {
      const node = nodes.get(owner);
      const state = node?.ring.serves(partition) === true ? node.copy(partition) : undefined;
      if (state === undefined) continue;
      for (const id of backups) look(partition, state, id, nodes.get(id)?.copy(partition));
    }
  }

  #tablePublished(table: Table): void {
    const latest = this.#published;
    this.#published = table;
    this.#tables.set(nameOf(table), table);
    this.#cluster.sim.trace("table", describeTable(table, latest));
    const rebuilt = this.#wiped;
    this.#wiped = false;
    if (latest === undefined) return;
    const before = rebuilt ? (this.#unseen(table) ?? latest) : latest;
    if (rebuilt && !this.#survived(before)) {
      for (let partition = 0; partition < table.rows.length; partition++) this.lost.add(partition);
      this.#reigns.clear();
      return;
    }
    // Once the data was lost, a member may still write a table back that another has written back before.
    if (table.epoch !== before.epoch + 1 && !(this.#everWiped && table.epoch > before.epoch)) {
      this.#violation("epoch", `epoch ${before.epoch} was followed by ${table.epoch}`);
    }
    this.#neverBack(before, table, "as published");
    const lost = lostPartitions(table, before);
    for (const partition of lost) this.lost.add(partition);
    if (lost.length > 0 && this.#options.careful) {
      this.#violation("lost", `table ${table.epoch} gives up partitions ${lost}`);
    }
    table.rows.forEach((row, partition) => {
      this.#rowChanged(before.rows[partition]!, row, partition, before, table);
    });
    if (this.#options.careful) for (const member of before.members) this.#death(member, table);
  }

  /** If what the store lost had been seen by nobody who runs: the table before it, from which `table` was restored. */
  #unseen({ history }: Table): Table | undefined {
    if (history === undefined) return undefined;
    const { id, restoredFrom } = history;
    const isSeen = this.#cluster.nodes.some(({ cache }) => {
      const known = cache?.ring.table;
      return known?.history?.id === id && known.epoch > restoredFrom;
    });
    return isSeen ? undefined : this.#tables.get(nameOf({ epoch: restoredFrom, history }));
  }

  /** Whether anybody is left who can know of the tables before the store lost its data. */
  #survived({ members }: Table): boolean {
    return this.#cluster.nodes.some(({ cache }) =>
      members.some(({ incarnation }) => incarnation === cache?.ring.incarnation),
    );
  }

  #rowChanged(was: Row, row: Row, partition: number, before: Table, table: Table): void {
    const what = `partition ${partition} in table ${table.epoch}`;
    const reign = row.owner !== was.owner || row.since !== was.since;
    if (reign || row.backups.join() !== was.backups.join()) {
      if (row.term !== table.epoch) this.#violation("term", `${what}: changed, but not its term`);
    }
    if (reign && row.since !== table.epoch) this.#violation("term", `${what}: a reign began, but not now`);
    if (reign && row.came !== "empty") {
      if (row.came === "handover") this.handoffs++;
      else this.promotions++;
      if (!was.backups.includes(row.owner)) this.#violation("copies", `${what}: ${row.owner} had no copy`);
    }
    const gone = lostCopies(was, row, before, table);
    if (gone.length === 0) return;
    // Who may be cut off from some of the others does what it can with the rest.
    const excused = (id: string): boolean => this.health?.mayBeGivenUp(id) === true || !this.#runs(id);
    const complete = was.wanted.every((id) => [row.owner, ...row.backups].includes(id));
    if (!complete && !excused(was.owner) && !gone.every(excused)) {
      this.#violation("copies", `${what}: the copies of ${gone} went without others in their place`);
    }
  }

  /** Nobody is taken for dead who was only slow. */
  #death(member: Member, table: Table): void {
    const now = memberOf(table, member.id);
    if (member.dead !== "" || member.leaving) return;
    if (now?.incarnation === member.incarnation && now.dead === "") return;
    const node = this.#cluster.nodes.find(({ id }) => id === member.id);
    const lives = node?.state === "up" && node.cache!.ring.incarnation === member.incarnation;
    if (lives && this.health?.mayBeGivenUp(member.id) !== true) {
      this.#violation("death", `table ${table.epoch} takes ${member.id} for dead by mistake`);
    }
  }

  #runs(id: string): boolean {
    return this.#cluster.nodes.some((node) => node.id === id && node.cache !== undefined);
  }

  #neverBack(before: Table, after: Table, where: string): void {
    if (after.epoch <= before.epoch)
      this.#violation("epoch", `epoch ${before.epoch} to ${after.epoch} ${where}`);
    after.rows.forEach((row, partition) => {
      const was = before.rows[partition]!;
      if (row.term < was.term || row.since < was.since || row.term > after.epoch || row.since > row.term) {
        const change = `term ${was.term} to ${row.term}, since ${was.since} to ${row.since}`;
        this.#violation("term", `partition ${partition}: ${change} in table ${after.epoch} ${where}`);
      }
    });
  }

  #unbalanced(table: Table, ids: readonly string[]): string | undefined {
    const owned = ids.map((id) => table.rows.filter((row) => row.owner === id).length);
    if (Math.max(...owned) - Math.min(...owned) > 1) return `unbalanced owners: ${owned}`;
    const zones = table.members.some((member) => member.zone !== "");
    for (const [partition, { owner, backups }] of table.rows.entries()) {
      const { zone } = memberOf(table, owner)!;
      const others = table.members.filter((member) => member.id !== owner && !sameZone(member.zone, zone));
      const expected = Math.min(this.#cluster.backups, others.length);
      if (backups.length !== expected || backups.some((id) => sameZone(memberOf(table, id)!.zone, zone))) {
        return `partition ${partition} of ${owner} has the backups ${backups}, ${expected} expected`;
      }
    }
    const copies = ids.map((id) => table.rows.filter((row) => row.backups.includes(id)).length);
    if (!zones && Math.max(...copies) - Math.min(...copies) > 1) return `unbalanced copies: ${copies}`;
    return undefined;
  }

  #wrongAbout(table: Table): string | undefined {
    for (const { id, cache } of this.#cluster.up) {
      if (cache!.ring.table.epoch !== table.epoch) return `${id} is behind`;
      const wrong = table.rows.findIndex((row, p) => cache!.ring.serves(p) !== (row.owner === id));
      if (wrong >= 0) return `${id} is wrong about partition ${wrong}`;
    }
    return undefined;
  }

  #violation(kind: string, what: string): void {
    this.#options.violation(kind, what);
  }
}

function nameOf({ epoch, history }: Pick<Table, "epoch" | "history">): string {
  return `${history?.id}/${epoch}`;
}

function sameZone(a: string, b: string): boolean {
  return a !== "" && a === b;
}

/** For the transcript: who the members are, and the rows that have changed. */
function describeTable({ epoch, members, rows }: Table, before: Table | undefined): string {
  const states = members.map(
    ({ id, dead, leaving }) => `${id}${leaving ? " leaving" : ""}${dead && ` ${dead}`}`,
  );
  const changed = rows.flatMap((row, partition) => {
    const text = describeRow(row);
    return before !== undefined && text === describeRow(before.rows[partition]!)
      ? []
      : [`${partition}: ${text}`];
  });
  return [`${epoch} of ${states.join(", ")}`, ...changed].join("; ");
}

function describeRow({ owner, backups, incoming, wanted, came, since, wait }: Row): string {
  const to = incoming === "" ? "" : ` to ${incoming}`;
  return `${owner || "-"}+${backups}${to} wants ${wanted} (${came} ${since}${wait ? ", waits" : ""})`;
}

/** The living who held a copy and, still living, hold none any more. */
function lostCopies(was: Row, row: Row, before: Table, table: Table): string[] {
  if (was.owner === "") return [];
  return [was.owner, ...was.backups].filter((id) => {
    const [then, now] = [memberOf(before, id), memberOf(table, id)];
    const lives = then?.dead === "" && now?.dead === "" && then.incarnation === now.incarnation;
    return lives && row.owner !== id && !row.backups.includes(id);
  });
}
