/** Redis and memcached as their packages have them, filled over their own protocols, for what an entry takes there. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { startProgram } from "./processes.mjs";

const readyMsMax = 10_000;
const settleMsMax = 60_000;
const chunkEntries = 2_000;

/**
 * Each: the program, how it tells its version, its arguments, how an entry is written without waiting for an answer to it, and what
 * asks for the number of entries and finds it in the answer.
 */
const servers = {
  "redis-server": {
    version: ["--version", /v=(\S+)/],
    args: (path) => ["--save", "", "--appendonly", "no", "--port", "0", "--unixsocket", path],
    before: "CLIENT REPLY OFF\r\n",
    set: (key, value) => `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n`,
    after: "CLIENT REPLY ON\r\nDBSIZE\r\n",
    count: /:(\d+)\r\n/,
  },
  memcached: {
    version: ["-V", /(\d+\.\d+\.\d+)/],
    // It doesn't run as root unless it is told to.
    args: (path) => ["-s", path, "-m", "65536", ...(process.getuid() === 0 ? ["-u", "root"] : [])],
    before: "",
    set: (key, value) => `set ${key} 0 0 ${value.length} noreply\r\n${value}\r\n`,
    after: "stats\r\n",
    count: /STAT curr_items (\d+)\r\n/,
  },
};

export const serverNames = Object.keys(servers);

/** The version of that server, or undefined if it isn't installed. */
export function versionOf(name) {
  const [flag, pattern] = servers[name].version;
  const { stdout } = spawnSync(name, [flag], { encoding: "latin1" });
  return pattern.exec(stdout ?? "")?.[1];
}

/** By how many bytes the server's memory grows as it takes the entries `keyOf(0)` to `keyOf(entries - 1)`, all with that value. */
export async function growthOf(name, entries, keyOf, value) {
  const { args, before, set, after, count } = servers[name];
  const program = startProgram(name, (folder) => args(`${folder}/socket`));
  try {
    const socket = await connected(`${program.folder}/socket`, program);
    const emptyBytes = rssOf(program.pid);
    const text = value.toString("latin1");
    socket.write(before);
    for (let from = 0; from < entries; from += chunkEntries) {
      let chunk = "";
      const to = Math.min(from + chunkEntries, entries);
      for (let i = from; i < to; i++) chunk += set(keyOf(i).latin1Slice(), text);
      if (!socket.write(chunk, "latin1")) await new Promise((resolve) => socket.once("drain", resolve));
    }
    const stored = await ask(socket, after, count);
    if (stored !== entries) throw new Error(`${name} has ${stored} of ${entries} entries`);
    const bytes = await settled(program.pid);
    socket.destroy();
    return bytes - emptyBytes;
  } finally {
    program.stop();
  }
}

async function connected(path, program) {
  const giveUpAt = performance.now() + readyMsMax;
  for (;;) {
    const socket = connect(path);
    const failure = await new Promise((resolve) => {
      socket.once("connect", () => resolve(undefined));
      socket.once("error", resolve);
    });
    if (failure === undefined) return socket;
    if (program.failure() !== undefined || performance.now() > giveUpAt) {
      throw new Error(`${program.name} didn't start: ${program.failure() ?? failure.message}`);
    }
    await sleep(20);
  }
}

function ask(socket, question, pattern) {
  return new Promise((resolve, reject) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      const found = pattern.exec(text);
      if (found !== null) resolve(Number(found[1]));
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the server closed the connection")));
    socket.write(question);
  });
}

/** The memory once it no longer shrinks: tables that were replaced are given back little by little. */
async function settled(pid) {
  const giveUpAt = performance.now() + settleMsMax;
  let bytes = rssOf(pid);
  for (let same = 0; same < 4 && performance.now() < giveUpAt; ) {
    await sleep(500);
    const now = rssOf(pid);
    same = now < bytes * 0.999 ? 0 : same + 1;
    bytes = Math.min(bytes, now);
  }
  return bytes;
}

function rssOf(pid) {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]) * 1024;
}
