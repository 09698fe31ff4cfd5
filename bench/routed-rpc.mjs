/**
 * A get that is issued on node A and owned by node B, each a process of its own, against NATS request/reply between
 * two processes through the same nats-server. Both carry the key there and the value back, 64 at a time. The get enters
 * its node where the HTTP door enters it; `cache.get()` shows what promises and strings for keys cost an application on
 * top, for information.
 *
 * The server's CPU time is what it takes to have a request answered, without the side that asks: node B here; the
 * responder and the nats-server there. "All processes" is with the side that asks. `one in flight` is the time from
 * asking to having the answer.
 */
import { compare, measure } from "./support/compare.mjs";
import { startNats, startWorker } from "./support/processes.mjs";

const inFlight = 64;
const valueBytes = 64;
const keyCount = 1_000;

export async function run(plan) {
  const nats = await startNats();
  const [a, b, asker, responder] = [
    startWorker("node-a", "cache-node.mjs"),
    startWorker("node-b", "cache-node.mjs"),
    startWorker("the NATS client", "nats-peer.mjs"),
    startWorker("the NATS responder", "nats-peer.mjs"),
  ];
  await a.call("join", nats.url, "node-a");
  await b.call("join", nats.url, "node-b");
  for (const node of [a, b]) await node.call("settled", 2);
  const keyBytes = await a.call("fill", "node-b", keyCount, valueBytes);
  await responder.call("connect", nats.url);
  await responder.call("answer", valueBytes);
  await asker.call("connect", nats.url);

  const routed = { servers: [b], processes: [a, b] };
  const requested = { servers: [responder, nats], processes: [asker, responder, nats] };
  const ask = (calls) => (seconds) => asker.call("run", calls, seconds, keyBytes, valueBytes);
  const many = await measure(
    {
      baseline: { ...requested, run: ask(inFlight) },
      subject: { ...routed, run: (seconds) => a.call("run", inFlight, seconds) },
      library: { ...routed, run: (seconds) => a.call("runLibrary", inFlight, seconds) },
    },
    plan,
  );
  const one = await measure(
    {
      baseline: { ...requested, run: ask(1) },
      subject: { ...routed, run: (seconds) => a.call("run", 1, seconds) },
    },
    { ...plan, seconds: plan.seconds / 2, warmUpSeconds: plan.warmUpSeconds / 2 },
  );
  const latency = (measured) => measured.map(({ perSecond }) => ({ micros: 1_000_000 / perSecond }));
  return [
    compare({ name: "routed get, 64 in flight", unit: "calls/s", field: "perSecond", ...many, target: 8 }),
    compare({ name: "its server CPU time", unit: "µs/call", field: "serverCpuMicros", ...many }),
    compare({ name: "its CPU time, all processes", unit: "µs/call", field: "cpuMicros", ...many }),
    compare({
      name: "cache.get() of the library, 64 in flight",
      unit: "calls/s",
      field: "perSecond",
      subject: many.library,
      baseline: many.baseline,
    }),
    compare({
      name: "routed get, one in flight",
      unit: "µs",
      field: "micros",
      subject: latency(one.subject),
      baseline: latency(one.baseline),
    }),
  ];
}
