/** One partition's writes to one backup: which of them it has, and whether they may be acknowledged without it. */
import type { PeerIdentity } from "../peers/messages.ts";
import type { Member } from "../ring/table.ts";
import type { BackupLink, WriteStream } from "./backup-link.ts";
import type { OneWrite } from "./write-wire.ts";

/** What a stream tells the partition that it belongs to. */
export interface StreamOwner {
  /** The backup has more than before, or is needed or asked no more. */
  progressed(): void;
  refusedBy(stream: BackupStream): void;
}

export class BackupStream implements WriteStream {
  readonly session: number;
  readonly to: Member;
  readonly link: BackupLink;
  readonly #owner: StreamOwner;
  /** No write is acknowledged without it. */
  required = false;
  /** The table has named it as a backup. */
  named = false;
  /** The copy there is at a known place, and writes are sent to it. */
  live = false;
  /** The backup has every write up to this one. */
  acked = -1;
  /** The backup says that it has no copy: it must leave the table. */
  broken = false;
  closed = false;

  constructor(owner: StreamOwner, session: number, to: Member, link: BackupLink) {
    this.#owner = owner;
    this.session = session;
    this.to = to;
    this.link = link;
  }

  /** The copy there has everything up to `lsn`; what is written from now on is sent. */
  startAt(lsn: number): void {
    this.acked = lsn;
    this.live = true;
  }

  write(partition: number, lsn: number, settled: number, write: OneWrite): void {
    if (this.live && !this.closed) this.link.add(this, partition, lsn, settled, write);
  }

  confirmed(lsn: number): void {
    if (this.closed || lsn <= this.acked) return;
    this.acked = lsn;
    this.#owner.progressed();
  }

  refused(): void {
    if (this.closed) return;
    this.broken = true;
    this.#owner.refusedBy(this);
  }

  close(): void {
    this.closed = true;
    this.required = false;
    this.#owner.progressed();
  }

  leadsTo({ id, incarnation }: PeerIdentity): boolean {
    return this.to.id === id && this.to.incarnation === incarnation;
  }
}
