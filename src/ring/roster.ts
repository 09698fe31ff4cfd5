/** The members that the next table should have, by what is known of who lives, who died and how. */
import type { PeerIdentity } from "../peers/messages.ts";
import type { Membership } from "./membership.ts";
import type { Member, Table } from "./table.ts";

const proofsMax = 1024;
const departedMax = 1024;

export class Roster {
  readonly #membership: Pick<Membership, "living" | "isGone" | "hasEnded">;
  /** Incarnations whose processes are known to be dead. */
  readonly #proofs = new Set<string>();
  /** Incarnations that have died or left, as seen in tables: they never come back, whatever an old record says. */
  readonly #departed = new Set<string>();

  constructor(membership: Pick<Membership, "living" | "isGone" | "hasEnded">) {
    this.#membership = membership;
  }

  /** The process is known to be dead. False if it was known before. */
  prove({ incarnation }: PeerIdentity): boolean {
    if (this.#proofs.has(incarnation)) return false;
    addBounded(this.#proofs, incarnation, proofsMax);
    return true;
  }

  isProven({ incarnation }: PeerIdentity): boolean {
    return this.#proofs.has(incarnation);
  }

  /** To be called with every new table. */
  tableChanged(table: Table, previous: Table): void {
    const isLiving = ({ dead }: Member): boolean => dead === "";
    const living = new Set(table.members.filter(isLiving).map((member) => member.incarnation));
    // One that a restored table is without may have joined after that table, and live.
    const isSequel = restoredFrom(table) === restoredFrom(previous);
    for (const { incarnation } of [...(isSequel ? previous.members : []), ...table.members]) {
      if (!living.has(incarnation)) addBounded(this.#departed, incarnation, departedMax);
    }
  }

  /** Those of this table, living or dead, then the new ones: who is back has nothing of what it had, and is the youngest. */
  expected(table: Table): Member[] {
    const membership = this.#membership;
    const isNew = (member: Member): boolean => !this.#departed.has(member.incarnation);
    const living = new Map(membership.living().map((member) => [member.id, member]));
    const expected: Member[] = [];
    const back: Member[] = [];
    for (const member of table.members) {
      const current = living.get(member.id);
      living.delete(member.id);
      const isGone = membership.isGone(member);
      const isSame = current?.incarnation === member.incarnation;
      if (member.dead !== "" || isGone) expected.push({ ...member, dead: this.#howDead(member) });
      // What isn't known to be gone stays: no record of it was ever seen here, or one of the time before it.
      else if (!isSame) expected.push(member);
      // Who leaves never comes back as the same incarnation: a record that says otherwise is of the time before.
      else expected.push({ ...current, leaving: current.leaving || member.leaving });
      // Back as another incarnation; if that isn't certain, the record may be of the time before.
      if (isGone && current !== undefined && !isSame && isNew(current)) back.push(current);
    }
    return [...expected, ...back, ...[...living.values()].filter(isNew)];
  }

  /** Without proof, a member that was declared dead may go on serving by the grants of its backups. */
  #howDead(member: Member): "gone" | "silent" {
    return this.isProven(member) || this.#membership.hasEnded(member) ? "gone" : "silent";
  }
}

function restoredFrom(table: Table): number {
  return table.history?.restoredFrom ?? 0;
}

/** Room for a new one is made by the oldest. */
function addBounded(set: Set<string>, value: string, max: number): void {
  if (set.size >= max && !set.has(value)) for (const oldest of set) if (set.delete(oldest)) break;
  set.add(value);
}
