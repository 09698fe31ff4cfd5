/** The dashboard for everybody: by keyboard alone, in light and dark, on a phone. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchBrowser, openPage, whenHolds } from "../support/browser.ts";
import { Program } from "../support/node-process.ts";

let dev: Program;
let browser: Browser;
let url: string;

beforeAll(async () => {
  dev = new Program(["dev", "--nodes", "3", "--http", "127.0.0.1:0", "--log-level", "error"]);
  const find = (): string | undefined => /The dashboard: (http:\S+)/.exec(dev.stdout)?.[1];
  [url, browser] = await Promise.all([
    dev.until(find, "it says where the dashboard is", 30_000),
    launchBrowser(),
  ]);
});

afterAll(async () => {
  await browser.close();
  await dev.kill();
});

test("everything is reached and used by keyboard, and says what it is", async () => {
  const { page, complaints } = await openPage(browser, url);
  const focused = (): Promise<string> =>
    page.evaluate<string>(`(() => {
      const element = document.activeElement;
      const name = element.getAttribute("aria-label") ?? element.getAttribute("aria-valuetext") ?? element.textContent.trim();
      return (element.getAttribute("role") ?? element.tagName.toLowerCase()) + ": " + (element.getAttribute("aria-valuetext") ?? name).slice(0, 100);
    })()`);
  const stops: string[] = [];
  for (let i = 0; i < 13; i++) {
    await page.keyboard.press("Tab");
    stops.push(await focused());
    // Whoever uses the keyboard sees where they are.
    expect(await page.evaluate("document.activeElement.matches(':focus-visible')")).toBe(true);
  }
  expect(stops.map((stop) => stop.replace(/(node-\d|partition \d+).*/, "$1"))).toEqual([
    "a: Skip to the ring",
    "button: Colours: auto. Change",
    "slider: partition 0",
    "button: node-1",
    "input: ",
    "button: Look up",
    "log: Events, the newest first",
    "region: Table of nodes",
    "button: node-1",
    "button: node-2",
    "a: The dashboard of node-2",
    "button: node-3",
    "a: The dashboard of node-3",
  ]);
  // From partition to partition.
  await page.locator("[role=slider]").focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await expect
    .poll(focused)
    .toMatch(/^slider: partition 2, slots 512 to 767, owner node-\d, copies on node-\d$/);
  await page.keyboard.press("End");
  await expect.poll(focused).toMatch(/^slider: partition 63, slots 16128 to 16383/);
  await whenHolds(page, `document.querySelector(".middle").textContent.includes("partition 63")`);
  // From node to node; Enter keeps one, Escape lets it go.
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowRight");
  await expect.poll(focused).toContain("button: node-2: ");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  const kept = `document.querySelectorAll('.owners [data-node]:not(.faded)').length === 1`;
  await whenHolds(
    page,
    `${kept} && document.querySelector('.badge[data-node="node-2"]').getAttribute("aria-pressed") === "true"`,
  );
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Tab");
  await whenHolds(page, `document.querySelectorAll(".faded").length === 0`);
  // The focus is in the box now.
  await page.keyboard.type("user:1");
  await page.keyboard.press("Enter");
  await page.locator("dl", { hasText: "10778" }).waitFor();
  expect(complaints).toEqual([]);
});

test("nothing but its own files may run or be loaded, and what the browser has it needn't get again", async () => {
  const page = await fetch(url);
  const policy = page.headers.get("content-security-policy")!;
  expect(policy).toContain("default-src 'none'; script-src 'self' 'sha256-");
  expect(policy).not.toMatch(/unsafe|script-src[^;]*https?:/);
  const text = await page.text();
  const files = [...text.matchAll(/(?:src|href)="(\/dashboard\/[^"]+)"|: "(\/dashboard\/[^"]+)"/g)].map(
    (m) => m[1] ?? m[2]!,
  );
  expect(files.length).toBeGreaterThan(6);
  for (const file of files) {
    const { status, headers } = await fetch(new URL(file, url));
    expect([file, status, headers.get("x-content-type-options")]).toEqual([file, 200, "nosniff"]);
    const again = await fetch(new URL(file, url), { headers: { "if-none-match": headers.get("etag")! } });
    expect(again.status).toBe(304);
  }
  expect((await fetch(new URL("/dashboard/pages.js", url))).status).toBe(404);
  expect((await fetch(url, { method: "POST" })).status).toBe(405);
});

test("light and dark follow the system, and the choice of who looks, which is remembered", async () => {
  const { page, complaints } = await openPage(browser, url, { colorScheme: "dark" });
  const ground = (): Promise<string> =>
    page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
  const button = page.locator("#theme");
  expect(await ground()).toBe("rgb(13, 18, 24)");
  await page.emulateMedia({ colorScheme: "light" });
  expect(await ground()).toBe("rgb(243, 245, 248)");
  await button.click();
  await expect.poll(() => button.textContent()).toContain("light");
  await page.emulateMedia({ colorScheme: "dark" });
  expect(await ground()).toBe("rgb(243, 245, 248)");
  await button.click();
  await page.emulateMedia({ colorScheme: "light" });
  expect(await ground()).toBe("rgb(13, 18, 24)");
  await page.reload();
  await button.waitFor();
  expect(await ground()).toBe("rgb(13, 18, 24)");
  expect(complaints).toEqual([]);
});

test("text stands out against its ground in both themes", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    const watched = await openPage(browser, url, { colorScheme });
    const ratios = await watched.page.evaluate<[string, number][]>(`(() => {
      const style = getComputedStyle(document.documentElement);
      const light = (name) => {
        const hex = style.getPropertyValue(name).trim();
        const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
          .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
      const pairs = [["--ink", "--card"], ["--muted", "--card"], ["--muted", "--page"], ["--good", "--good-soft"],
        ["--warn", "--warn-soft"], ["--bad", "--bad-soft"], ["--warn", "--card"], ["--bad", "--card"], ["--good", "--card"]];
      const hues = Array.from({ length: 10 }, (_, i) => ["--hue-" + i, "--card"]);
      return [...pairs, ...hues].map(([a, b]) => [a + " on " + b, ratio(a, b)]);
    })()`);
    expect(ratios).toHaveLength(19);
    // WCAG 2: 4.5 for text, 3 for shapes.
    for (const [pair, ratio] of ratios)
      expect(ratio, `${colorScheme}: ${pair}`).toBeGreaterThan(pair.includes("hue") ? 3 : 4.5);
    expect(watched.complaints).toEqual([]);
    await watched.screenshot(`theme-${colorScheme}`, true);
  }
});

test("a phone shows everything without scrolling sideways", async () => {
  const watched = await openPage(browser, url, {
    viewport: { width: 390, height: 844 },
    deviceScaleFactor: 2,
    hasTouch: true,
    isMobile: true,
  });
  const { page, complaints } = watched;
  expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(390);
  for (const id of ["ring", "lookup", "charts", "events", "nodes"]) {
    const box = await page.locator(`#${id}`).boundingBox();
    expect(box!.x).toBeGreaterThanOrEqual(0);
    expect(box!.x + box!.width).toBeLessThanOrEqual(390);
  }
  // Each value has its name beside it where there is no head of a table.
  expect(await page.locator("thead").isVisible()).toBe(false);
  const name = await page.evaluate(
    `getComputedStyle(document.querySelector('td[data-name="p99"]'), "::before").content`,
  );
  expect(name).toBe('"p99"');
  await page.locator('.badge[data-node="node-2"]').tap();
  await whenHolds(page, `document.querySelector(".middle").textContent.includes("node-2")`);
  expect(complaints).toEqual([]);
  await watched.screenshot("phone", true);
});
