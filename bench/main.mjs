/**
 *     npm run bench -- NAME [--json] [--rounds N] [--seconds S]
 *     npm run bench -- eviction [--json] [FILE...]
 *     npm run bench -- full-memory [--json] [--minutes M]
 *
 * Runs one benchmark, or lists them. Exit code 2 for a wrong command line, 1 when a benchmark fails to run; a target
 * that is missed is a figure, not a failure, but for `eviction` and `full-memory`, whose targets don't depend on the machine.
 */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { stopProcesses } from "./support/processes.mjs";
import { clear } from "./support/progress.mjs";
import { printJson, printTable } from "./support/report.mjs";

const benches = {
  "routed-rpc": "a routed get between two node processes, against NATS request/reply",
  replication: "set with one backup against none, the gap when a node is killed, the rebuild of its copies",
  storage: "the store alone: its speed, memory and pauses, against lru-cache, Map, Redis and memcached",
  http: "GET /get of a local and of a remote key, against a bare node:http server",
  redis: "GET, SET, INCR and MSET over the Redis protocol, by redis-benchmark, against redis-server",
  metrics: "CPU time of an operation over HTTP and over the Redis protocol, with metrics against without",
  eviction:
    "hit ratios of the store against LRU, FIFO and S3-FIFO; FILE...: traces of time,key,size to use instead",
  "full-memory":
    "nodes whose memory is full, for minutes: RSS, failed requests and hit ratio stay as they are",
};

function usage() {
  const lines = Object.entries(benches).map(([name, what]) => `  ${name.padEnd(12)}${what}`);
  return [
    "npm run bench -- NAME [--json] [--rounds N] [--seconds S]",
    "npm run bench -- eviction [--json] [FILE...]",
    "npm run bench -- full-memory [--json] [--minutes M]",
    "",
    ...lines,
    "",
    "  --json       one line of JSON per comparison",
    "  --rounds N   rounds in which all take turns, 1 to 100 (5)",
    "  --seconds S  how long each takes in a round, 0.1 to 60 (2)",
    "  --minutes M  of full-memory: from when all nodes are full, 0.5 to 600 (3)",
    "  --entries N  of storage, may be given more than once: 1,000 to 16,000,000 (1000000 and 10000000)",
  ].join("\n");
}

function refuse(sentence) {
  console.error(`bench: ${sentence}`);
  process.exit(2);
}

function commandLine() {
  const options = {
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    entries: { type: "string", multiple: true, default: ["1000000", "10000000"] },
    minutes: { type: "string", default: "3" },
    help: { type: "boolean", default: false },
  };
  let parsed;
  try {
    parsed = parseArgs({ options, allowPositionals: true });
  } catch (error) {
    refuse(error.message);
  }
  const { values, positionals } = parsed;
  const [name, ...files] = positionals;
  if (values.help || name === undefined) {
    console.log(usage());
    process.exit(0);
  }
  if (!Object.hasOwn(benches, name)) {
    refuse(`there is no benchmark "${name}"; there are ${Object.keys(benches).join(", ")}.`);
  }
  if (files.length > 0 && name !== "eviction") refuse("one benchmark at a time.");
  for (const file of files) if (!existsSync(file)) refuse(`there is no file "${file}".`);
  const rounds = Number(values.rounds);
  if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100)) refuse("--rounds is 1 to 100.");
  const seconds = Number(values.seconds);
  if (!(seconds >= 0.1 && seconds <= 60)) refuse("--seconds is 0.1 to 60.");
  const minutes = Number(values.minutes);
  if (!(minutes >= 0.5 && minutes <= 600)) refuse("--minutes is 0.5 to 600.");
  const entries = values.entries.map(Number);
  if (!entries.every((one) => Number.isInteger(one) && one >= 1_000 && one <= 16_000_000)) {
    refuse("--entries is 1,000 to 16,000,000.");
  }
  return {
    name,
    json: values.json,
    plan: { rounds, seconds, warmUpSeconds: seconds, files, entries, minutes },
  };
}

const { name, json, plan } = commandLine();
try {
  const bench = { printJson, printTable, failed: () => false, ...(await import(`./${name}.mjs`)) };
  const results = await bench.run(plan);
  clear();
  if (json) bench.printJson(name, results);
  else bench.printTable(results);
  if (bench.failed(results)) process.exitCode = 1;
} catch (error) {
  clear();
  console.error(`bench: ${error.stack}`);
  process.exitCode = 1;
} finally {
  await stopProcesses();
}
