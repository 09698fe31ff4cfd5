import { beforeEach, describe, expect, test } from "vitest";
import type { ByteStream, CloseReason, StreamHandlers } from "../../src/peers/transport.ts";
import { Random } from "./random.ts";
import { type SimNode, Simulation } from "./sim-runtime.ts";
import { SimNetwork } from "./sim-transport.ts";

/** One end of a stream and all that it heard. */
class End {
  readonly heard: string[] = [];
  readonly pieces: Buffer[] = [];
  readonly closes: CloseReason[] = [];
  stream!: ByteStream;
  readonly handlers: StreamHandlers = {
    open: () => this.heard.push("open"),
    data: (bytes) => {
      this.heard.push("data");
      this.pieces.push(bytes);
      return true;
    },
    close: (reason) => {
      this.heard.push("close");
      this.closes.push(reason);
    },
  };

  get text(): string {
    return Buffer.concat(this.pieces).toString();
  }
}

let sim: Simulation;
let network: SimNetwork;
let a: SimNode;
let b: SimNode;
let accepted: End[];

async function listen(node: SimNode, port = 7000): Promise<void> {
  await network.transportOf(node).listen("0.0.0.0", port, (stream) => {
    const end = new End();
    end.stream = stream;
    accepted.push(end);
    return end.handlers;
  });
}

function connect(from: SimNode, host: string, port = 7000): End {
  const end = new End();
  end.stream = network.transportOf(from).connect(host, port, end.handlers);
  return end;
}

async function pass(ms: number): Promise<void> {
  await sim.run(sim.nowMs + ms);
}

/** A stream from a to b, open. */
async function pair(): Promise<[near: End, far: End]> {
  await listen(b);
  const near = connect(a, "b");
  await pass(10);
  expect(near.heard).toEqual(["open"]);
  return [near, accepted[0]!];
}

beforeEach(() => {
  sim = new Simulation(5);
  network = new SimNetwork(sim);
  a = sim.node("a");
  b = sim.node("b");
  accepted = [];
});

describe("streams", () => {
  test("carry bytes both ways, in order, in pieces of any size", async () => {
    const [near, far] = await pair();
    const random = new Random(1);
    const sent = Array.from({ length: 200 }, () => random.bytes(random.integer(0, 5_000)));
    for (const bytes of sent) {
      near.stream.write(bytes);
      far.stream.write(bytes);
      if (random.chance(0.3)) await pass(random.between(0, 1));
    }
    await pass(100);
    const whole = Buffer.concat(sent);
    expect(Buffer.concat(far.pieces).equals(whole)).toBe(true);
    expect(Buffer.concat(near.pieces).equals(whole)).toBe(true);
    const sizes = new Set(sent.map((bytes) => bytes.length));
    expect(far.pieces.some((piece) => !sizes.has(piece.length))).toBe(true);
  });

  test("what is written before it is open arrives too", async () => {
    await listen(b);
    const near = connect(a, "b");
    near.stream.write(Buffer.from("early"));
    await pass(10);
    expect(accepted[0]!.text).toBe("early");
  });

  test("what the accepting side writes at once comes after open", async () => {
    await network.transportOf(b).listen("", 7000, (stream) => {
      stream.write(Buffer.from("hello"));
      return new End().handlers;
    });
    const ends = Array.from({ length: 20 }, () => connect(a, "b"));
    await pass(10);
    for (const end of ends) {
      expect(end.heard[0]).toBe("open");
      expect(end.text).toBe("hello");
    }
  });

  test("end sends what was written, on both sides, and then both are closed", async () => {
    const [near, far] = await pair();
    far.stream.write(Buffer.from("from b"));
    near.stream.write(Buffer.from("from a"));
    near.stream.end();
    expect(near.stream.write(Buffer.from("late"))).toBe(false);
    await pass(10);
    expect([near.text, far.text]).toEqual(["from b", "from a"]);
    expect([...near.closes, ...far.closes]).toEqual([
      { refused: false, error: undefined },
      { refused: false, error: undefined },
    ]);
    expect([network.openStreams(a), network.openStreams(b)]).toEqual([0, 0]);
  });

  test("destroy drops what wasn't sent, closes both, each once", async () => {
    const [near, far] = await pair();
    near.stream.write(Buffer.from("lost"));
    near.stream.destroy();
    near.stream.destroy();
    far.stream.write(Buffer.from("to nobody"));
    await pass(10);
    expect([near.heard, far.heard]).toEqual([["open", "close"], ["close"]]);
  });

  test("one that was destroyed before it opened closes, and the other side too", async () => {
    await listen(b);
    const near = connect(a, "b");
    await pass(0.15);
    near.stream.destroy();
    await pass(10);
    expect(near.heard).toEqual(["close"]);
    expect(accepted.flatMap((end) => end.heard)).toEqual(accepted.map(() => "close"));
  });

  test("a reader that doesn't read lets bytes queue, and they go once it does", async () => {
    const [near, far] = await pair();
    b.pause();
    for (let i = 0; i < 100; i++) near.stream.write(Buffer.alloc(10_000));
    await pass(1_000);
    expect(near.stream.queuedBytes).toBeGreaterThan(500_000);
    b.resume();
    await pass(1_000);
    expect(near.stream.queuedBytes).toBe(0);
    expect(Buffer.concat(far.pieces)).toHaveLength(100 * 10_000);
  });

  test("a slow link takes its time", async () => {
    network.setLink("a", "b", { delayMs: 50, jitterMs: 10, bytesPerMs: 100 });
    await listen(b);
    const fromMs = sim.nowMs;
    const end = connect(a, "b");
    end.stream.write(Buffer.alloc(20_000));
    expect(await sim.runUntil(() => accepted[0]?.text.length === 20_000, 10_000)).toBe(true);
    // There for the connection, back, there again, and 200 ms of bytes.
    expect(sim.nowMs - fromMs).toBeGreaterThan(300);
    expect(sim.nowMs - fromMs).toBeLessThan(400);
  });
});

describe("connecting", () => {
  test("is refused where nobody listens, or no longer", async () => {
    const nobody = connect(a, "b");
    await listen(b);
    b.crash();
    const dead = connect(a, "b");
    await pass(10);
    for (const end of [nobody, dead]) {
      expect(end.heard).toEqual(["close"]);
      expect(end.closes[0]?.refused).toBe(true);
    }
  });

  test("reaches the process that runs on the host now", async () => {
    await listen(b);
    b.crash();
    const again = sim.node("b");
    await listen(again);
    const end = connect(a, "b");
    await pass(10);
    expect(end.heard).toEqual(["open"]);
    expect(network.openStreams(again)).toBe(1);
  });

  test("two listeners of a host can't have one port; 0 is any", async () => {
    await listen(b);
    await expect(listen(b)).rejects.toMatchObject({ code: "PORT_UNUSABLE" });
    const any = await network.transportOf(b).listen("", 0, () => new End().handlers);
    expect(any.port).toBeGreaterThan(0);
    await any.close();
    await listen(b, any.port);
  });

  test("opens to a stopped process, which hears of it when it goes on", async () => {
    await listen(b);
    b.pause();
    const near = connect(a, "b");
    near.stream.write(Buffer.from("x"));
    await pass(1_000);
    expect(near.heard).toEqual(["open"]);
    expect(accepted).toEqual([]);
    b.resume();
    await pass(1);
    expect(accepted[0]!.text).toBe("x");
  });
});

describe("faults", () => {
  test("a crash resets the other ends, after what was on its way", async () => {
    const [near, far] = await pair();
    far.stream.write(Buffer.from("last words"));
    await pass(0.01);
    b.crash();
    await pass(10);
    expect(near.text).toBe("last words");
    expect(near.closes[0]?.error).toMatchObject({ code: "ECONNRESET" });
    expect(near.closes[0]?.refused).toBe(false);
    expect(far.heard).toEqual([]);
  });

  test("a one-way cut is silent in that direction alone, and what was sent arrives after it", async () => {
    const [near, far] = await pair();
    network.cutOneWay("a", "b");
    near.stream.write(Buffer.from("1"));
    far.stream.write(Buffer.from("2"));
    await pass(5_000);
    near.stream.write(Buffer.from("3"));
    await pass(5_000);
    expect([near.text, far.text]).toEqual(["2", ""]);
    network.heal("a", "b");
    await pass(10);
    expect(far.text).toBe("13");
    expect([near.closes, far.closes]).toEqual([[], []]);
  });

  test("across a partition nothing opens, is refused or is heard to have crashed, until it heals", async () => {
    const [near] = await pair();
    const c = sim.node("c");
    network.partition(["a"], ["b", "c"]);
    const waiting = connect(a, "b");
    const within = connect(c, "b");
    await pass(1_000);
    b.crash();
    const refused = connect(a, "b");
    await pass(1_000);
    expect([near.heard, waiting.heard, refused.heard]).toEqual([["open"], [], []]);
    expect(within.heard).toEqual(["open", "close"]);
    network.heal();
    await pass(10);
    expect(near.heard).toEqual(["open", "close"]);
    expect([waiting.closes[0]?.refused, refused.closes[0]?.refused]).toEqual([true, true]);
  });

  test("a reset closes the streams between two hosts, and no others", async () => {
    const [near, far] = await pair();
    const other = connect(sim.node("c"), "b");
    await pass(10);
    near.stream.write(Buffer.from("lost"));
    network.reset("b", "a");
    await pass(10);
    expect(near.closes[0]?.error).toMatchObject({ code: "ECONNRESET" });
    expect(far.heard).toEqual(["close"]);
    expect(other.heard).toEqual(["open"]);
    const again = connect(a, "b");
    await pass(10);
    expect(again.heard).toEqual(["open"]);
  });

  test("bytes that are reused after they were written spoil what arrives, if the stream hadn't taken them", async () => {
    const [near, far] = await pair();
    for (const [text, isTaken] of [
      ["right", true],
      ["wrong", false],
      ["wrong", false],
    ] as const) {
      const bytes = Buffer.from(text);
      expect(near.stream.write(bytes)).toBe(isTaken);
      bytes.fill("x");
    }
    await pass(10);
    expect(far.text).toBe("rightxxxxxxxxxx");
    expect(near.stream.write(Buffer.from("."))).toBe(true);
  });
});
