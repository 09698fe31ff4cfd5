/**
 * Brings the table back into a store that has lost its data. Any member may write back the last one that it knows, but
 * only if no living member knows a newer one: that may have given a partition to another owner, which serves by it. So
 * each asks the others directly, and each says in its member record what it knows; who has noticed the loss learns of
 * no newer table of before, so its answer is final. A member that neither answers nor is known to be dead is waited for,
 * for a full lease. What is found out too late to be undone {@link TableStore} tells: the node gives itself up.
 */
import type { Bucket, Watch } from "../coordination/coordination.ts";
import { RingcacheError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { IncomingRequest, PeerAddress, PeerIdentity } from "../peers/messages.ts";
import type { Peers } from "../peers/peers.ts";
import { type Runtime, sleep } from "../runtime.ts";
import { PeerKind } from "./calls.ts";
import type { LastTable } from "./member-record.ts";
import { clockDriftMax, type Membership } from "./membership.ts";
import { followSettings, restoreSettings, type Settings } from "./settings.ts";
import { encodeTable, type Member } from "./table.ts";
import type { TableStore } from "./table-store.ts";

const askTimeoutMsMax = 1_000;
const retryMs = 50;
const complainMs = 10_000;

export interface RestorerOptions {
  readonly bucket: Bucket;
  readonly settings: Settings;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly leaseMs: number;
  readonly peers: Pick<Peers, "handle" | "requestPromise" | "setSecret">;
  readonly tables: TableStore;
  readonly membership: Pick<Membership, "self" | "leaseHolds" | "reports" | "isGone" | "renew" | "isolate">;
  /** Whether the store can't reach this node just now. */
  isCutOff(): boolean;
  /** The process of this incarnation is known to be dead. */
  isDead(peer: PeerIdentity): boolean;
}

export class Restorer {
  readonly #options: RestorerOptions;
  /** Incarnations from which nothing newer is to be expected. */
  readonly #heard = new Set<string>();
  #generation = "";
  #sinceMs = 0;
  /** This node's lease held when the loss was noticed: it was a member, and has missed nothing but the very last. */
  #wasCurrent = false;
  #complainedAtMs = Number.NEGATIVE_INFINITY;
  #running = false;
  #stopped = false;
  #watch: Watch | undefined;

  constructor(options: RestorerOptions) {
    this.#options = options;
    const { bucket, log, peers, settings, tables, membership } = options;
    peers.handle(PeerKind.lastTable, (request) => this.#answer(request));
    tables.onLoss({
      lost: () => this.#begin(),
      undone: () => {
        const message = "the table that was written back undoes what this node acted on: it joins anew";
        log.error({ event: "table-undone" }, message);
        void membership.isolate();
      },
    });
    this.#watch = followSettings(bucket, settings, log, ({ secret }) => {
      const message =
        "this node was started while the store was empty: it takes the secret of the cluster that is back";
      log.error({ event: "secret-replaced" }, message);
      peers.setSecret(secret);
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#watch?.stop();
  }

  /** What this node's record says of the table. Always, so that who starts on an empty store knows that there was one. */
  lastTable(): LastTable | undefined {
    const { generation, table } = this.#options.tables;
    const { epoch, history } = table;
    return epoch > 0
      ? { generation, epoch, ...(history !== undefined && { history: history.id }) }
      : undefined;
  }

  #begin(): void {
    const { log, membership, runtime, tables } = this.#options;
    this.#wasCurrent = membership.leaseHolds && (this.#wasCurrent || !this.#running);
    this.#generation = tables.generation;
    this.#sinceMs = runtime.monotonicMs();
    this.#heard.clear();
    const { epoch } = tables.table;
    log.error(
      { event: "table-lost", epoch },
      `the store has lost its data; table ${epoch} stays in force here`,
    );
    // So that the others know what this node knows.
    void membership.renew();
    if (this.#running) return;
    this.#running = true;
    void this.#run().finally(() => {
      this.#running = false;
    });
  }

  async #run(): Promise<void> {
    const { bucket, log, runtime, settings, tables } = this.#options;
    while (tables.isRestoring && !this.#stopped) {
      await tables.look();
      if (!tables.isRestoring) return;
      const isReady = await restoreSettings(bucket, settings, log);
      await this.#askOthers();
      if (isReady && this.#mayWriteBack()) await tables.writeBack();
      if (tables.isRestoring) await sleep(runtime, retryMs * (1 + runtime.random()));
    }
  }

  /** Those of the known table that live as far as it says. */
  #others(): Member[] {
    const { membership, tables } = this.#options;
    return tables.table.members.filter(({ id, dead }) => dead === "" && id !== membership.self.id);
  }

  async #askOthers(): Promise<void> {
    const { isDead, membership } = this.#options;
    const generation = this.#generation;
    for (const { incarnation, lastTable } of membership.reports())
      if (lastTable?.generation === generation && this.#isOldNews(lastTable)) this.#heard.add(incarnation);
    const asked = this.#others().filter((member) => !this.#heard.has(member.incarnation));
    const answers = await Promise.all(
      asked.map(async (member) => isDead(member) || membership.isGone(member) || (await this.#ask(member))),
    );
    if (generation !== this.#generation) return;
    for (const [index, { incarnation }] of asked.entries()) if (answers[index]) this.#heard.add(incarnation);
  }

  #isOldNews({ epoch }: LastTable): boolean {
    return epoch <= this.#options.tables.table.epoch;
  }

  #isForeign({ history }: LastTable): boolean {
    const own = this.#options.tables.table.history?.id;
    return own !== undefined && history !== undefined && own !== history;
  }

  /** True: the member will never know of a newer table of before the loss than this node does. */
  async #ask(member: PeerAddress): Promise<boolean> {
    const { leaseMs, peers, tables } = this.#options;
    const question: LastTable = { generation: this.#generation, epoch: tables.table.epoch };
    const frame = Buffer.from(JSON.stringify(question));
    try {
      const timeoutMs = Math.min(leaseMs / 4, askTimeoutMsMax);
      const answer = await peers.requestPromise(member, PeerKind.lastTable, frame, timeoutMs);
      if (answer.length === 0 || question.generation !== this.#generation) return false;
      if (answer[0] === Answer.newer) tables.learn(answer.subarray(1));
      return answer[0] === Answer.newer || answer[0] === Answer.notNewer;
    } catch (error) {
      // A dead process knows nothing, and serves nothing.
      return error instanceof RingcacheError && error.code === "PEER_REFUSED";
    }
  }

  #answer(request: IncomingRequest): void {
    const { isCutOff, tables } = this.#options;
    const { generation, epoch } = JSON.parse(request.payload.toString("utf8")) as LastTable;
    // Without the store this node learns of no table either, and what it still gets to know of the old one is thrown away.
    const isFinal = (tables.isRestoring && tables.generation === generation) || isCutOff();
    if (!isFinal) request.reply(Buffer.of(Answer.unknown));
    else if (tables.table.epoch <= epoch) request.reply(Buffer.of(Answer.notNewer));
    else request.reply(Buffer.concat([Buffer.of(Answer.newer), encodeTable(tables.table)]));
  }

  #mayWriteBack(): boolean {
    const { leaseMs, membership, runtime, tables } = this.#options;
    const nowMs = runtime.monotonicMs();
    const waitMs = leaseMs * (1 + clockDriftMax);
    // Who knows a newer one writes it, if it doesn't die over it. Nodes that began a cluster of their own count their own tables.
    const isBehind = membership.reports().some(({ lastTable, seenAtMs }) => {
      const isOfNow = lastTable?.generation === this.#generation && nowMs - seenAtMs < waitMs;
      return isOfNow && !this.#isForeign(lastTable) && lastTable.epoch > tables.table.epoch;
    });
    if (isBehind) return false;
    const others = this.#others();
    const missing = others.filter((member) => !this.#heard.has(member.incarnation));
    if (missing.length === 0) return true;
    if (nowMs - this.#sinceMs < waitMs) return false;
    if (this.#wasCurrent || this.#isMainPart(others.length + 1, missing)) return true;
    this.#complain(missing);
    return false;
  }

  /**
   * This node's lease had lapsed before, so the cluster may have gone on without it: then it needs most of the members,
   * or half of them with the oldest.
   */
  #isMainPart(members: number, missing: readonly Member[]): boolean {
    const present = members - missing.length;
    if (present !== missing.length) return present > missing.length;
    const oldest = this.#options.tables.table.members.find(({ dead }) => dead === "");
    return !missing.some(({ id }) => id === oldest?.id);
  }

  #complain(missing: readonly Member[]): void {
    const { log, runtime } = this.#options;
    const nowMs = runtime.monotonicMs();
    if (nowMs - this.#complainedAtMs < complainMs) return;
    this.#complainedAtMs = nowMs;
    const names = missing.map(({ id }) => id).join(", ");
    log.error(
      { event: "restore-waits", missing: names },
      `the store has lost its data, and most members don't answer: waiting for ${names}, which may know better than this node`,
    );
  }
}

const Answer = { unknown: 0, notNewer: 1, newer: 2 } as const;
