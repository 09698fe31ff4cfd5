/** The dashboard in a real Chromium, on real processes and a real nats-server: what it shows while nodes come, die and take it along. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchBrowser, openPage, type Watched, whenHolds } from "../support/browser.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Cluster, eventually, type NodeProcess, settled } from "../support/node-process.ts";

/** What the dashboard promises: what a node knows is on the page within this. */
const promisedMs = 2_000;

let nats: NatsServer;
let cluster: Cluster;
let browser: Browser;
let watched: Watched;
let page: Page;
const nodes = new Map<string, NodeProcess>();
let load: NodeJS.Timeout;

const node = (id: string): NodeProcess => nodes.get(id)!;
const serving = (): NodeProcess[] => [...nodes.values()].filter((one) => one.isRunning);

async function start(id: string): Promise<void> {
  nodes.set(id, await cluster.start(id));
}

/** A little of everything through every node, so that there is something to plot. */
function work(): void {
  for (const one of serving()) {
    // It may be joining still.
    if (one.events("serving").length === 0) continue;
    const key = `key ${Math.floor(Math.random() * 300)}`;
    for (const end of [one.http.get(key), one.http.set(key, "v".repeat(400))]) end.catch(() => {});
  }
}

beforeAll(async () => {
  nats = await startNatsServer();
  cluster = new Cluster(nats.url);
  browser = await launchBrowser();
  for (const id of ["node-1", "node-2", "node-3"]) await start(id);
  await settled(serving());
  load = setInterval(work, 25);
  watched = await openPage(browser, `http://127.0.0.1:${node("node-1").httpPort}/`);
  page = watched.page;
});

afterAll(async () => {
  clearInterval(load);
  await browser.close();
  await cluster.end();
  await nats.stop();
});

/** When the node's own /status first says so. */
async function whenKnown(of: NodeProcess, members: readonly string[]): Promise<number> {
  await eventually(
    () => of.status(),
    (status) =>
      status.members
        .filter(({ dead }) => dead === "")
        .map(({ id }) => id)
        .sort()
        .join() === members.join(),
    `${of.id} knows ${members.join(", ")}`,
  );
  return Date.now();
}

const shows = {
  /** A badge in the picture that isn't crossed out. */
  badge: (id: string) => `document.querySelector('.badge[data-node="${id}"]:not(.dead)') !== null`,
  /** Partitions on the ring in that node's colour. */
  arcs: (id: string) => `!!document.querySelector('.owners [data-node="${id}"] path')?.getAttribute("d")`,
  event: (text: string) => `document.querySelector("#events").textContent.includes("${text}")`,
  healthy: `document.querySelector("#health.good") !== null`,
};

/** Pixels of the first plot that have about the colour of the node with this number. */
function pixelsOf(number: number): string {
  return `(() => {
    const canvas = document.querySelector("#charts canvas");
    if (canvas === null || canvas.width === 0) return 0;
    const hue = getComputedStyle(document.documentElement).getPropertyValue("--hue-${number - 1}").trim();
    const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(hue.slice(at, at + 2), 16));
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4)
      if (data[i + 3] > 60 && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 40) count++;
    return count;
  })()`;
}

test("shows the ring, the nodes with what they measure, and the events; and loads nothing from elsewhere", async () => {
  expect(await page.locator(".badge").count()).toBe(3);
  expect(await page.locator("#nodes tbody tr").count()).toBe(3);
  expect(await page.locator("#health").textContent()).toBe("All partitions have 2 copies");
  const { partitions_by_node } = (await node("node-1").stats()).ring;
  for (const [i, id] of ["node-1", "node-2", "node-3"].entries()) {
    const row = page.locator("#nodes tbody tr", { hasText: id });
    expect(await row.locator('[data-name="Owns"]').textContent()).toBe(String(partitions_by_node[id]));
    // Each partition has the number of its owner's badge.
    const numbers = page.locator(`.numbers text[data-node="${id}"]`);
    expect(await numbers.allTextContents()).toEqual(new Array(partitions_by_node[id]!).fill(String(i + 1)));
    await expect.poll(() => row.locator('[data-name="Load"]').textContent()).toMatch(/^[1-9]/);
    await expect.poll(() => row.locator('[data-name="p99"]').textContent()).toMatch(/s$/);
    await expect.poll(() => page.evaluate<number>(pixelsOf(i + 1))).toBeGreaterThan(20);
  }
  expect(await page.locator("#events li", { hasText: "node-3 joined" }).count()).toBe(1);
  expect([...watched.origins]).toEqual([`http://127.0.0.1:${node("node-1").httpPort}`]);
  expect(watched.complaints).toEqual([]);
  await watched.screenshot("three-nodes");
});

test("looks a key up: where it is, and how long it lives", async () => {
  const key = "user:ü 1";
  await node("node-2").http.set(key, "Alice", 600);
  await page.getByRole("textbox", { name: "Key" }).fill(key);
  await page.getByRole("button", { name: "Look up" }).click();
  const fact = (name: string): Promise<string | null> =>
    page.locator("dl div", { hasText: name }).locator("dd").textContent();
  await page.locator("dl").waitFor();
  const { body } = await node("node-3").http.request("GET", `/owner?key=${encodeURIComponent(key)}`);
  const owned = body as { partition: number; owner: string };
  expect(await fact("Partition")).toBe(String(owned.partition));
  expect(await fact("Owner")).toContain(owned.owner);
  expect(await fact("Entry")).toContain("5 B");
  expect(await fact("Time to live")).toMatch(/^(9|10) min left$/);
  // It is shown on the ring.
  await page.locator(".middle", { hasText: `partition ${owned.partition}` }).waitFor();
  expect(await page.locator(".cursor").getAttribute("d")).not.toBe("");
  await page.getByRole("textbox", { name: "Key" }).fill("nobody has it");
  await page.getByRole("button", { name: "Look up" }).click();
  await page.locator("dl", { hasText: "not there" }).waitFor();
  await page.getByRole("textbox", { name: "Key" }).fill("");
  await page.getByRole("button", { name: "Look up" }).click();
  await page.locator(".result .bad").waitFor();
});

test("follows a node that joins: picture, plots and events within two seconds of the node that it is connected to", async () => {
  const joined = [shows.badge("node-4"), shows.event("node-4 joined")].map((what) => whenHolds(page, what));
  const owns = whenHolds(page, `${shows.arcs("node-4")} && ${shows.event("over to node-4")}`);
  const plotted = whenHolds(page, `${pixelsOf(4)} > 5`);
  const whole = cluster.spawn("node-4");
  nodes.set("node-4", whole);
  const knownAtMs = await whenKnown(node("node-1"), ["node-1", "node-2", "node-3", "node-4"]);
  for (const shownAtMs of await Promise.all(joined)) expect(shownAtMs - knownAtMs).toBeLessThan(promisedMs);
  await eventually(
    () => node("node-1").stats(),
    ({ ring }) => (ring.partitions_by_node["node-4"] ?? 0) > 0,
    "node-4 owns something",
  );
  expect((await owns) - Date.now()).toBeLessThan(promisedMs);
  await watched.screenshot("joining");
  await whole.serving();
  const servingAtMs = Date.now();
  // The plots have a point a second, and the new process has just begun to work.
  expect((await plotted) - servingAtMs).toBeLessThan(promisedMs + 8_000);
  await settled(serving());
  await page.evaluate("new Promise((resolve) => setTimeout(resolve, 0))");
  await whenHolds(page, shows.healthy);
  expect(watched.complaints).toEqual([]);
});

test("follows a node that is killed: picture and events within two seconds, and all is well again on its own", async () => {
  const gone = whenHolds(page, `!(${shows.badge("node-2")}) && ${shows.event("node-2 died")}`);
  const promoted = whenHolds(page, shows.event("over from node-2"));
  const silent = whenHolds(page, `!document.querySelector("#nodes").textContent.includes("node-2")`);
  await node("node-2").kill();
  const knownAtMs = await whenKnown(node("node-1"), ["node-1", "node-3", "node-4"]);
  expect((await gone) - knownAtMs).toBeLessThan(promisedMs);
  expect((await promoted) - knownAtMs).toBeLessThan(promisedMs);
  await watched.screenshot("after-a-death");
  await settled(serving());
  const settledAtMs = Date.now();
  await whenHolds(page, `${shows.healthy} && ${shows.event("All copies are there again")}`);
  expect((await silent) - settledAtMs).toBeLessThan(promisedMs);
  expect(watched.complaints).toEqual([]);
  await watched.screenshot("three-again");
});

test("goes on through another node when the one that served it is killed, and says so", async () => {
  const through = whenHolds(
    page,
    `/Live, through node-[34]: the node that served this page/.test(document.querySelector("#connection").textContent)`,
  );
  const gone = whenHolds(page, `!(${shows.badge("node-1")}) && ${shows.event("node-1 died")}`);
  await node("node-1").kill();
  const killedAtMs = Date.now();
  const knownAtMs = await whenKnown(node("node-3"), ["node-3", "node-4"]);
  expect((await through) - killedAtMs).toBeLessThan(promisedMs);
  expect((await gone) - knownAtMs).toBeLessThan(promisedMs);
  // It is alive: samples come in, and keys are looked up through the new node.
  const second = "document.querySelector('#nodes td[data-name=Up]').textContent";
  const before = await page.evaluate<string>(second);
  await whenHolds(page, `${second} !== ${JSON.stringify(before)}`);
  await page.getByRole("textbox", { name: "Key" }).fill("user:1");
  await page.getByRole("button", { name: "Look up" }).click();
  await page.locator("dl", { hasText: "Partition" }).waitFor();
  await watched.screenshot("without-its-node");
  // The browser itself writes down what it could not reach; nothing else went wrong.
  const own = watched.complaints.filter((text) => !/^Failed to load resource: net::ERR_/.test(text));
  expect(own).toEqual([]);
});

test("says of a node that it evicts, for as long as it does", async () => {
  const small = await cluster.start("small", { args: ["--platform", "small", "--max-memory", "4mb"] });
  const other = await openPage(browser, `http://127.0.0.1:${small.httpPort}/`);
  const evicts = whenHolds(
    other.page,
    `${shows.event("small evicts entries")} && /evicting [1-9]/.test(document.querySelector("#nodes").textContent)`,
  );
  for (let i = 0; i < 1_500; i++) await small.http.set(`key:${i}`, "v".repeat(10_000));
  await evicts;
  await whenHolds(
    other.page,
    `${shows.event("small doesn't evict any more")} && !document.querySelector("#nodes").textContent.includes("evicting")`,
  );
  expect(other.complaints).toEqual([]);
  await other.page.close();
}, 90_000);
