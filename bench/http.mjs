/**
 * `GET /get` with a value of 100 bytes, 64 keep-alive connections with one request each:
 * - of a local key, against a bare node:http server in a process of its own that answers a constant body of the same
 *   size with the same content type;
 * - of a remote key, which the node that is asked fetches from its owner, against a local one.
 *
 * All run as they do in production: `ringcache start`, a real nats-server, and the load from yet another process. With two
 * cores the load has one and the server the other, so the throughput of `local` against `bare` compares servers; but
 * `remote` has two servers and the load on two cores, which holds its throughput down. The CPU time says what a request
 * costs whatever the cores: of the process that serves, for a remote key the sum of both nodes; the load's isn't in it.
 */
import { compare, measure } from "./support/compare.mjs";
import { startNats, startServer, startWorker } from "./support/processes.mjs";
import { getJson, settled } from "./support/settle.mjs";

const connections = 64;
const valueBytes = 100;
const keyCount = 200;

export async function run(plan) {
  const nats = await startNats();
  const a = await startServer(nats.url, "node-1");
  const b = await startServer(nats.url, "node-2");
  for (const { port } of [a, b]) await settled(port, 2);
  const keys = await fill(a.port);
  const { body, contentType } = await sample(a.port, keys.local[0]);
  const bare = startWorker("the bare server", "bare-http.mjs");
  const barePort = await bare.call("listen", body, contentType);

  const load = startWorker("the load", "http-load.mjs");
  const paths = (names) => names.map((key) => `/get?key=${key}`);
  await load.call("open", "bare", barePort, paths(keys.local), connections);
  await load.call("open", "local", a.port, paths(keys.local), connections);
  await load.call("open", "remote", a.port, paths(keys.remote), connections);
  const subject = (name, servers) => ({
    servers,
    processes: servers,
    run: (seconds) => load.call("run", name, seconds),
  });
  const measured = await measure(
    {
      bare: subject("bare", [bare]),
      local: subject("local", [a.worker]),
      remote: subject("remote", [a.worker, b.worker]),
    },
    plan,
  );
  const local = { subject: measured.local, baseline: measured.bare };
  const remote = { subject: measured.remote, baseline: measured.local };
  const throughput = { unit: "requests/s", field: "perSecond" };
  const cpu = { unit: "µs/request", field: "serverCpuMicros" };
  return [
    compare({ name: "local key against bare node:http", ...throughput, ...local, target: 0.8 }),
    compare({ name: "its server CPU time", ...cpu, ...local }),
    compare({ name: "remote key against local key", ...throughput, ...remote, target: 0.6 }),
    compare({ name: "its server CPU time, both nodes", ...cpu, ...remote }),
  ];
}

/** Stores values under keys of both nodes, as many of each. */
async function fill(port) {
  const keys = { local: [], remote: [] };
  for (let i = 0; keys.local.length < keyCount || keys.remote.length < keyCount; i++) {
    const key = `user:${String(i).padStart(8, "0")}`;
    const { is_local: isLocal } = await getJson(port, `/owner?key=${key}`);
    const names = isLocal ? keys.local : keys.remote;
    if (names.length === keyCount) continue;
    names.push(key);
    const body = JSON.stringify({ key, value: "v".repeat(valueBytes) });
    const response = await fetch(`http://127.0.0.1:${port}/set`, { method: "POST", body });
    if (!response.ok) throw new Error(`POST /set: ${await response.text()}`);
  }
  return keys;
}

async function sample(port, key) {
  const response = await fetch(`http://127.0.0.1:${port}/get?key=${key}`);
  return { body: await response.text(), contentType: response.headers.get("content-type") };
}
