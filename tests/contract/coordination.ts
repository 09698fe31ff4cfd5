/** What every implementation of {@link Coordination} does; the same suite runs over each of them. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Bucket,
  type Coordination,
  channelMessageBytesMax,
} from "../../src/coordination/coordination.ts";
import { bytes, Recorder, text, until, written } from "../support/recorder.ts";

export interface CoordinationSetup {
  /** Another node's connection to the same store. */
  connect(): Promise<Coordination>;
  /** Destroys the bucket and its data behind the store's back. */
  destroyBucket(name: string): Promise<void>;
  end(): Promise<void>;
}

export function coordinationContract(name: string, setUp: () => Promise<CoordinationSetup>): void {
  describe(`coordination contract: ${name}`, () => {
    let setup: CoordinationSetup;
    let one: Coordination;
    let two: Coordination;
    let bucket: Bucket;
    let other: Bucket;
    let serial = 0;

    beforeEach(async () => {
      setup = await setUp();
      one = await setup.connect();
      two = await setup.connect();
      serial += 1;
      bucket = await one.openBucket(`contract-${serial}`);
      other = await two.openBucket(`contract-${serial}`);
    });
    afterEach(async () => {
      await one.close();
      await two.close();
      await setup.end();
    });

    describe("compare-and-set", () => {
      it("creates what isn't there, once", async () => {
        const revision = written(await bucket.create("a", bytes("1")));
        expect(revision).toBeGreaterThan(0);
        expect(await other.create("a", bytes("2"))).toEqual({ written: false });
        const entry = await other.get("a");
        expect(entry).toMatchObject({ key: "a", revision });
        expect(text(entry?.value)).toBe("1");
      });

      it("updates exactly the named revision", async () => {
        const first = written(await bucket.create("a", bytes("1")));
        const second = written(await other.update("a", bytes("2"), first));
        expect(second).toBeGreaterThan(first);
        expect(await bucket.update("a", bytes("3"), first)).toEqual({ written: false });
        expect(await bucket.update("a", bytes("3"), second + 100)).toEqual({ written: false });
        expect(text((await bucket.get("a"))?.value)).toBe("2");
      });

      it("doesn't update what was never there", async () => {
        expect(await bucket.update("a", bytes("1"), 1)).toEqual({ written: false });
        expect(await bucket.get("a")).toBeUndefined();
      });

      it("removes exactly the named revision", async () => {
        const first = written(await bucket.create("a", bytes("1")));
        const second = written(await bucket.update("a", bytes("2"), first));
        expect(await other.remove("a", first)).toEqual({ written: false });
        expect(text((await bucket.get("a"))?.value)).toBe("2");
        expect(written(await other.remove("a", second))).toBeGreaterThan(second);
        expect(await bucket.get("a")).toBeUndefined();
        expect(await bucket.update("a", bytes("3"), second)).toEqual({ written: false });
        expect(await bucket.remove("b", second)).toEqual({ written: false });
      });

      it("creates over a removed key, again and again", async () => {
        let last = 0;
        for (let round = 0; round < 3; round += 1) {
          const created = written(await bucket.create("a", bytes(String(round))));
          expect(created).toBeGreaterThan(last);
          expect(await other.create("a", bytes("x"))).toEqual({ written: false });
          last = written(await other.remove("a", created));
          expect(last).toBeGreaterThan(created);
        }
      });

      it("lets one of 20 concurrent updates win", async () => {
        const first = written(await bucket.create("a", bytes("0")));
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, n) =>
            (n % 2 === 0 ? bucket : other).update("a", bytes(String(n)), first),
          ),
        );
        const winners = results.flatMap((result, n) => (result.written ? [n] : []));
        expect(winners).toHaveLength(1);
        expect(text((await bucket.get("a"))?.value)).toBe(String(winners[0]));
      });

      it.each(["new", "removed"])("lets one of 20 concurrent creates of a %s key win", async (state) => {
        if (state === "removed") await bucket.remove("a", written(await bucket.create("a", bytes("0"))));
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? bucket : other).create("a", bytes(String(n)))),
        );
        const winners = results.flatMap((result, n) => (result.written ? [n] : []));
        expect(winners).toHaveLength(1);
        expect(text((await other.get("a"))?.value)).toBe(String(winners[0]));
      });

      it("grows its revisions over all keys of a bucket", async () => {
        const revisions = [];
        for (const key of ["a", "b", "c"]) revisions.push(written(await bucket.create(key, bytes(key))));
        revisions.push(written(await other.update("a", bytes("2"), revisions[0] ?? 0)));
        expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
      });

      it("refuses a revision that can't be, and a key that NATS couldn't hold", async () => {
        await expect(bucket.update("a", bytes("1"), 0)).rejects.toMatchObject({ code: "INTERNAL" });
        await expect(bucket.remove("a", -1)).rejects.toMatchObject({ code: "INTERNAL" });
        for (const key of ["", "a b", "a*", ">", "ä"]) {
          await expect(bucket.create(key, bytes("1"))).rejects.toMatchObject({ code: "INTERNAL" });
        }
      });
    });

    describe("values and keys", () => {
      it("keeps any bytes, none included", async () => {
        const all = Uint8Array.from({ length: 256 }, (_, n) => n);
        const empty = written(await bucket.create("empty", new Uint8Array(0)));
        await bucket.create("all", all);
        expect(new Uint8Array((await other.get("all"))?.value ?? [])).toEqual(all);
        expect((await other.get("empty"))?.value).toHaveLength(0);
        expect(await other.create("empty", all)).toEqual({ written: false });
        const seen = await new Recorder(other).isCurrent();
        expect(seen.changes.find((change) => change.key === "empty")?.value).toHaveLength(0);
        written(await other.update("empty", all, empty));
      });

      it("copies what it is given", async () => {
        const value = bytes("before");
        const writing = bucket.create("a", value);
        value.fill(0);
        written(await writing);
        expect(text((await bucket.get("a"))?.value)).toBe("before");
      });

      it("takes letters, digits, - _ and dots anywhere", async () => {
        const keys = ["node-1", "node_1", "Node.1", ".a", "a.", "a..b", "-", "_", "0", "x".repeat(64)];
        for (const key of keys) written(await bucket.create(key, bytes(key)));
        for (const key of keys) expect(text((await other.get(key))?.value)).toBe(key);
        const seen = await new Recorder(other).isCurrent();
        expect(seen.changes.map((change) => change.key).sort()).toEqual([...keys].sort());
      });

      it("keeps buckets apart", async () => {
        const second = await one.openBucket(`contract-${serial}-b`);
        written(await bucket.create("a", bytes("1")));
        expect(await second.get("a")).toBeUndefined();
        written(await second.create("a", bytes("2")));
        expect(text((await bucket.get("a"))?.value)).toBe("1");
      });
    });

    describe("opening", () => {
      it("is the same bucket for all who open it at once", async () => {
        const name = `contract-${serial}-c`;
        const buckets = await Promise.all(
          Array.from({ length: 8 }, (_, n) =>
            (n % 2 === 0 ? one : two).openBucket(name, n === 7 ? { ttlMs: 60_000 } : {}),
          ),
        );
        const results = await Promise.all(buckets.map((each) => each.create("a", bytes("1"))));
        expect(results.filter((result) => result.written)).toHaveLength(1);
        expect(buckets[0]?.name).toBe(name);
      });

      it("refuses a name that NATS couldn't hold", async () => {
        for (const name of ["", "a.b", "a b", "*"]) {
          await expect(one.openBucket(name)).rejects.toMatchObject({ code: "INTERNAL" });
        }
      });

      it("collects entries after the bucket's TTL, and lets them be created again", async () => {
        const short = await one.openBucket(`contract-${serial}-ttl`, { ttlMs: 300 });
        const first = written(await short.create("a", bytes("1")));
        expect(await short.create("a", bytes("2"))).toEqual({ written: false });
        await until(async () => (await short.get("a")) === undefined, "the entry expires");
        expect(await short.update("a", bytes("2"), first)).toEqual({ written: false });
        expect(await short.remove("a", first)).toEqual({ written: false });
        expect(written(await short.create("a", bytes("3")))).toBeGreaterThan(first);
        expect(text((await short.get("a"))?.value)).toBe("3");
      });

      it("starts an entry's TTL anew with every write", async () => {
        const short = await one.openBucket(`contract-${serial}-ttl`, { ttlMs: 1_000 });
        let revision = written(await short.create("a", bytes("1")));
        written(await short.create("still", bytes("1")));
        while ((await short.get("still")) !== undefined) {
          await new Promise((resolve) => setTimeout(resolve, 50));
          revision = written(await short.update("a", bytes("2"), revision));
        }
        expect(await short.get("a")).toMatchObject({ revision });
      });
    });

    describe("watching", () => {
      it("delivers what is there, then current, then every change in order", async () => {
        const a = written(await bucket.create("a", bytes("1")));
        const b = written(await bucket.create("b", bytes("1")));
        const seen = await new Recorder(other).isCurrent();
        expect([...seen.events].sort()).toEqual(["a=1", "b=1", "current"]);
        expect(seen.events.at(-1)).toBe("current");
        await bucket.update("a", bytes("2"), a);
        await seen.sees("a=2");
        const gone = written(await bucket.remove("b", b));
        await seen.sees("b=-");
        await bucket.create("b", bytes("3"));
        await seen.sees("b=3");
        expect(seen.events.slice(3)).toEqual(["a=2", "b=-", "b=3"]);
        expect(seen.changes.find((change) => change.value === undefined)?.revision).toBe(gone);
        expect(seen.currents).toBe(1);
      });

      it("is current for an empty bucket too, once", async () => {
        const seen = await new Recorder(other).isCurrent();
        expect(seen.events).toEqual(["current"]);
        await bucket.create("a", bytes("1"));
        await seen.sees("a=1");
        expect(seen.events).toEqual(["current", "a=1"]);
      });

      it("says nothing before the call returned", async () => {
        await bucket.create("a", bytes("1"));
        const seen = new Recorder(bucket);
        expect(seen.events).toEqual([]);
        await seen.isCurrent();
      });

      it("keeps the order of revisions under many writes, and ends with the last value", async () => {
        const seen = new Recorder(other);
        let revision = written(await bucket.create("a", bytes("0")));
        for (let n = 1; n <= 200; n += 1) {
          revision = written(await bucket.update("a", bytes(String(n)), revision));
        }
        await seen.sees("a=200");
        const revisions = seen.changes.map((change) => change.revision);
        expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
        expect(revisions.at(-1)).toBe(revision);
        expect(seen.currents).toBe(1);
      });

      it("serves several watches of one bucket alike", async () => {
        const all = await Promise.all([bucket, other, other].map((each) => new Recorder(each).isCurrent()));
        await bucket.create("a", bytes("1"));
        for (const seen of all) await seen.sees("a=1");
      });

      it("is silent after stop, also when stopped from a handler", async () => {
        await bucket.create("a", bytes("1"));
        await bucket.create("b", bytes("1"));
        const heard: string[] = [];
        const watch = other.watch({
          change: (change) => {
            heard.push(change.key);
            watch.stop();
          },
          current: () => heard.push("current"),
          lost: () => heard.push("lost"),
          ended: () => heard.push("ended"),
        });
        const witness = new Recorder(other);
        await witness.isCurrent();
        await until(() => heard.length > 0, "the first change");
        await bucket.create("c", bytes("1"));
        await witness.sees("c=1");
        watch.stop();
        await two.close();
        expect(heard).toHaveLength(1);
      });
    });

    describe("losing all data", () => {
      it("tells every watch, then delivers what is in the bucket that comes after it", async () => {
        written(await bucket.create("a", bytes("1")));
        written(await bucket.create("b", bytes("1")));
        const seen = [bucket, other, other].map((each) => new Recorder(each));
        for (const each of seen) await each.isCurrent();
        const before = bucket.generation;
        expect(other.generation).toBe(before);
        await setup.destroyBucket(bucket.name);
        for (const each of seen) await each.sees("lost");
        expect(bucket.generation).not.toBe(before);
        expect(other.generation).toBe(bucket.generation);
        expect(await bucket.get("a")).toBeUndefined();
        written(await bucket.create("a", bytes("2")));
        for (const each of seen) {
          await each.sees("a=2");
          expect([...each.events].sort()).toEqual(["a=1", "a=2", "b=1", "current", "lost"]);
          expect(each.events.slice(-3)).toEqual(["current", "lost", "a=2"]);
          expect(each.ended).toEqual([]);
        }
        const late = await new Recorder(other).isCurrent();
        expect(late.events).toEqual(["a=2", "current"]);
      });

      it("is noticed although another node made the bucket anew and its revisions have grown past the known", async () => {
        const first = written(await bucket.create("a", bytes("1")));
        const revision = written(await bucket.update("a", bytes("2"), first));
        const seen = await new Recorder(other).isCurrent();
        await setup.destroyBucket(bucket.name);
        const third = await setup.connect();
        const again = await third.openBucket(bucket.name);
        let last = written(await again.create("a", bytes("new")));
        while (last < revision + 3) last = written(await again.update("a", bytes("new"), last));
        await seen.sees("a=new");
        expect(seen.events.filter((event) => event === "lost")).toHaveLength(1);
        expect(seen.events.indexOf("lost")).toBeLessThan(seen.events.indexOf("a=new"));
        expect(seen.changes.at(-1)?.revision).toBe(last);
        await third.close();
      });

      it("lets no write of before take effect after it, whatever revision the key has there", async () => {
        let revision = written(await bucket.create("a", bytes("1")));
        revision = written(await bucket.update("a", bytes("2"), revision));
        let lost = 0;
        bucket.watch({
          change: () => {},
          lost: () => {
            lost += 1;
          },
        });
        await setup.destroyBucket(bucket.name);
        const again = await two.openBucket(bucket.name);
        // The key gets the very revision that it had.
        let last = written(await again.create("a", bytes("new")));
        while (last < revision) last = written(await again.update("a", bytes("new"), last));
        while (lost === 0) {
          const results = await Promise.allSettled([
            bucket.update("a", bytes("old"), revision),
            bucket.remove("a", revision),
            bucket.create("b", bytes("old")),
          ]);
          // Told in between: from there on, it is the caller's to know.
          if (lost > 0) break;
          for (const result of results) expect(result).toMatchObject({ status: "rejected" });
          await new Promise((resolve) => setImmediate(resolve));
        }
        const seen = await new Recorder(again).isCurrent();
        expect(seen.events).toEqual(["a=new", "current"]);
      });

      it("takes part in everything afterwards, again and again", async () => {
        const seen = await new Recorder(other).isCurrent();
        for (let round = 1; round <= 3; round += 1) {
          written(await bucket.create("a", bytes(String(round))));
          await seen.sees(`a=${round}`);
          const witness = new Recorder(bucket);
          await witness.isCurrent();
          await setup.destroyBucket(bucket.name);
          await until(() => seen.events.filter((event) => event === "lost").length === round, "told again");
          await witness.sees("lost");
          witness.watch.stop();
        }
        expect(seen.events.at(-1)).toBe("lost");
        expect(seen.currents).toBe(1);
      });
    });

    describe("channels", () => {
      it("bring what is sent to all others, in order, whole, and not back", async () => {
        const three = await setup.connect();
        const heard: string[][] = [[], [], []];
        const channels = [one, two, three].map((coordination, i) =>
          coordination.openChannel(`channel-${serial}`, (message) => heard[i]!.push(text(message)!)),
        );
        const large = "x".repeat(channelMessageBytesMax);
        await Promise.all(channels.map(({ ready }) => ready));
        for (const message of ["a", "", "b", large]) expect(channels[0]!.send(bytes(message))).toBe(true);
        channels[1]!.send(bytes("from two"));
        await until(
          () => heard[1]!.at(-1) === large && heard[2]!.includes(large) && heard[0]!.length > 0,
          "all is heard",
        );
        await until(() => heard[2]!.includes("from two"), "the second is heard");
        const others = (i: number) => heard[i]!.filter((one) => one !== "from two");
        expect(heard[0]).toEqual(["from two"]);
        expect(others(1)).toEqual(["a", "", "b", large]);
        expect(others(2)).toEqual(["a", "", "b", large]);
        await three.close();
      });

      it("of other names and closed ones are silent; what is too long is refused", async () => {
        const heard: string[] = [];
        const listen = (coordination: Coordination, name: string) =>
          coordination.openChannel(`${name}-${serial}`, (message) => heard.push(`${name} ${text(message)}`));
        const first = listen(one, "first");
        const closed = listen(two, "first");
        listen(two, "second");
        const second = listen(one, "second");
        closed.close();
        await until(() => {
          first.send(bytes("unheard"));
          second.send(bytes("heard"));
          return heard.length > 0;
        }, "the second is heard");
        expect(new Set(heard)).toEqual(new Set(["second heard"]));
        expect(() => first.send(Buffer.alloc(channelMessageBytesMax + 1))).toThrow(/at most/);
        await one.close();
        expect(first.send(bytes("late"))).toBe(false);
      });
    });

    describe("closing", () => {
      it("ends every watch, and says so", async () => {
        const seen = await new Recorder(bucket).isCurrent();
        const statuses: string[] = [];
        one.onStatus((status) => statuses.push(status));
        expect(one.status).toBe("connected");
        await one.close();
        await one.close();
        expect(one.status).toBe("closed");
        expect(statuses).toEqual(["closed"]);
        expect(seen.ended).toHaveLength(1);
        expect(seen.ended[0]).toMatchObject({ code: "CLOSED" });
      });

      it("fails calls with CLOSED and leaves the other nodes alone", async () => {
        const revision = written(await bucket.create("a", bytes("1")));
        await one.close();
        const calls = [
          bucket.get("a"),
          bucket.create("b", bytes("1")),
          bucket.update("a", bytes("2"), revision),
          bucket.remove("a", revision),
          one.openBucket("contract-late"),
        ];
        for (const call of calls) await expect(call).rejects.toMatchObject({ code: "CLOSED" });
        const late = new Recorder(bucket);
        await until(() => late.ended.length > 0, "the watch of a closed store ends");
        expect(late.ended[0]).toMatchObject({ code: "CLOSED" });
        expect(text((await other.get("a"))?.value)).toBe("1");
      });

      it("leaves no call unanswered", async () => {
        const calls = Array.from({ length: 20 }, (_, n) => bucket.create(`k${n}`, bytes("1")));
        const settled = Promise.allSettled(calls);
        await one.close();
        for (const result of await settled) {
          if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "CLOSED" });
        }
      });

      it("ends a status listener on request", async () => {
        const statuses: string[] = [];
        const stop = one.onStatus((status) => statuses.push(status));
        stop();
        await one.close();
        expect(statuses).toEqual([]);
      });
    });
  });
}
