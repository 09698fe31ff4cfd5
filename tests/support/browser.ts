/** A real Chromium for tests of the dashboard, headless; what a page complains about fails the test. */
import { accessSync, constants, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const artefacts = fileURLToPath(new URL("../../.artefacts/browser/", import.meta.url));
const names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

function chromiumPath(): string {
  const named = process.env.CHROMIUM;
  if (named !== undefined && named !== "") return named;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const paths = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  const found = paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found === undefined)
    throw new Error("Chromium isn't on the PATH: install it, or name it in CHROMIUM; `npm test` does it");
  return found;
}

export function launchBrowser(): Promise<Browser> {
  // Chromium refuses to sandbox itself for root, as which containers often run.
  // It is read from the disk first, which may be slow.
  return chromium.launch({ executablePath: chromiumPath(), args: ["--no-sandbox"], timeout: 60_000 });
}

/** An open page, with what it said, asked for and failed at. */
export class Watched {
  readonly page: Page;
  /** Errors and warnings of its console, and exceptions that nobody caught. */
  readonly complaints: string[] = [];
  /** Origins of all that it has asked for. */
  readonly origins: Set<string> = new Set();

  constructor(page: Page) {
    this.page = page;
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(String(error.stack)));
    page.on("request", (request) => this.origins.add(new URL(request.url()).origin));
  }

  /** Kept beside the results of the tests. */
  async screenshot(name: string, fullPage = false): Promise<void> {
    mkdirSync(artefacts, { recursive: true });
    await this.page.screenshot({ path: join(artefacts, `${name}.png`), fullPage });
  }
}

export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1100 }, ...options });
  const watched = new Watched(await context.newPage());
  await watched.page.goto(url);
  await watched.page.locator("#connection", { hasText: "Live" }).waitFor();
  return watched;
}

/**
 * When an expression first holds in the page, by the machine's clock; the page looks every few milliseconds. To be called before
 * what brings it about, and awaited after it.
 */
export function whenHolds(page: Page, expression: string): Promise<number> {
  const noted = page.evaluate<number>(
    `(async () => {
      while (!(${expression})) await new Promise((resolve) => setTimeout(resolve, 10));
      return Date.now();
    })()`,
  );
  // Until it is awaited, a page that is closed meanwhile is no unhandled rejection.
  noted.catch(() => {});
  return noted;
}
