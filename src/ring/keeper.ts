/** What the ring asks of whoever holds the data of its partitions. The ring alone has none; the cache brings one. */
import type { PeerIdentity } from "../peers/messages.ts";
import type { Member, Row } from "./table.ts";

export interface PartitionKeeper {
  /**
   * This node owns the partition from `row.since` on and does not serve it yet: takes the data that is to be served: its
   * backup copy (`promotion`, `handover`) or nothing (`empty`). Operations wait.
   */
  own(partition: number, row: Row): void;
  /**
   * The table's present backups of a partition that this node owns, dead or alive: from this turn on no write is
   * acknowledged, and no read of it answered, before all of them have it, so a dead one must leave the table first. Called
   * with every new term; who isn't in the list gets nothing more, those being filled excepted. One that is new to this
   * owner (it came with the partition) is brought to the owner's state.
   */
  setBackups(partition: number, term: number, backups: readonly Member[]): void;
  /** Resolves when all of the present backups have what the owner has. Waits for ever for one that doesn't answer. */
  ready(partition: number): Promise<void>;
  /** Carry operations out from this turn on. */
  activate(partition: number): void;
  /**
   * Copies an active partition to `to` while it is served. When it resolves, `to` has everything, goes on getting every
   * write, and none is acknowledged without it. Rejects if `to` can't be reached, refuses, or {@link forget} is called.
   */
  fill(partition: number, to: Member): Promise<void>;
  /** `to` is not to become a backup after all; does nothing if it isn't being filled and wasn't. */
  forget(partition: number, to: Member): void;
  /** Lets operations queue from this turn on; resolves when every backup has everything. Waits as {@link ready} does. */
  seal(partition: number): Promise<void>;
  /** Serve on after {@link seal}. */
  unseal(partition: number): void;
  /**
   * This node owns the partition no more. `handed`: by its own doing; it keeps its data as a backup copy for as long as
   * the table names it. Else its data is void and dropped at once, and what wasn't acknowledged has an unknown outcome.
   */
  release(partition: number, handed: boolean): void;
  /** That backup of an owned partition says that it has no copy: it must leave the table. */
  isBroken(partition: number, backup: PeerIdentity): boolean;
}
