/** The dashboard with fifty nodes and 1,024 partitions. */
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ClusterReport } from "../../src/cache/cluster/report.ts";
import { launchBrowser, openPage, type Watched, whenHolds } from "../support/browser.ts";
import { Program } from "../support/node-process.ts";

const count = 50;
const partitions = 1_024;
const script = fileURLToPath(new URL("many-nodes.mjs", import.meta.url));

let cluster: Program;
let browser: Browser;
let watched: Watched;
let url: string;

async function said(event: RegExp, what: string): Promise<string> {
  const match = await cluster.until(() => event.exec(cluster.stdout) ?? undefined, what, 90_000);
  return match[1]!;
}

beforeAll(async () => {
  // Without backups: copying a thousand partitions between fifty nodes in one process is a test of something else.
  cluster = new Program([String(count), String(partitions), "0"], script);
  [url, browser] = await Promise.all([said(/"http":"([^"]+)"/, "it serves"), launchBrowser()]);
  url = `http://${url}`;
  watched = await openPage(browser, url);
}, 150_000);

afterAll(async () => {
  await browser.close();
  await cluster.kill();
});

test("shows all of them, each told apart, and what is sent for it is small", async () => {
  const { page } = watched;
  const text = await (await fetch(`${url}/cluster`)).text();
  expect(text.length).toBeLessThan(100_000);
  const { table } = JSON.parse(text) as ClusterReport;
  expect(await page.locator(".badge").count()).toBe(count);
  expect(await page.locator("#nodes tbody tr").count()).toBe(count);
  // Every partition is in the picture of its owner: so many pieces, of so many partitions side by side.
  const drawn = await page.evaluate<Record<string, number>>(`Object.fromEntries(
    [...document.querySelectorAll(".owners [data-node]")].map((group) =>
      [group.dataset.node, group.querySelector("path").getAttribute("d").split("Z").length - 1]))`);
  const pieces: Record<string, number> = {};
  table.owners.forEach((owner, p) => {
    const id = table.members[owner]!.id;
    if (table.owners[p - 1] !== owner) pieces[id] = (pieces[id] ?? 0) + 1;
  });
  expect(drawn).toEqual(pieces);
  // Hue and pattern together are no other node's, nor is the number.
  const looks = await page.evaluate<string[]>(`[...document.querySelectorAll(".badge")].map((badge) =>
    badge.querySelector(".body").getAttribute("class") + badge.querySelector(".body-pattern").getAttribute("fill"))`);
  expect(new Set(looks).size).toBe(count);
  const numbers = await page.locator(".badge .number").allTextContents();
  expect(new Set(numbers).size).toBe(count);
  await watched.screenshot("fifty-nodes", true);
});

test("stays quick for whoever uses it, and follows a node that dies", async () => {
  const { page } = watched;
  await page.locator("#ring").scrollIntoViewIfNeeded();
  for (const id of ["node-07", "node-33"]) {
    await page.locator(`.badge[data-node="${id}"]`).hover();
    await whenHolds(page, `document.querySelector(".middle").textContent.startsWith("${id}")`);
  }
  // Between two frames, over two seconds in which samples come in and all is drawn anew.
  const slowestMs = await page.evaluate<number>(`new Promise((resolve) => {
    const startMs = performance.now();
    let [lastMs, slowestMs] = [startMs, 0];
    const look = (nowMs) => {
      slowestMs = Math.max(slowestMs, nowMs - lastMs);
      lastMs = nowMs;
      if (nowMs - startMs > 2_000) resolve(slowestMs);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  })`);
  expect(slowestMs).toBeLessThan(1_000);
  const gone = whenHolds(
    page,
    `document.querySelectorAll(".badge:not(.dead)").length === ${count - 1} &&
     /node-21 died/.test(document.querySelector("#events").textContent) &&
     /of node-21 lost/.test(document.querySelector("#events").textContent)`,
  );
  cluster.send("close node-21");
  await said(/("done")/, "it is closed");
  await gone;
  expect(watched.complaints).toEqual([]);
  await watched.screenshot("fifty-without-one");
});
