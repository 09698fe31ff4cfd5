/** The dashboard's files, read once and served from memory. The build puts them, and the libraries that they use, beside this one. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

interface Page {
  readonly type: string;
  readonly body: Buffer;
  readonly etag: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** By path: the page itself at `/`, everything that it loads below `/dashboard/`. */
export function dashboardPages(): ReadonlyMap<string, Page> {
  const folder = fileURLToPath(new URL("page/", import.meta.url));
  const pages = new Map<string, Page>();
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const file = join(entry.parentPath, entry.name);
    const type = types[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const body = readFileSync(file);
    const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
    const path = relative(folder, file).split(sep).join("/");
    if (path === "index.html") pages.set("/", { type, body, etag, headers: documentHeaders(body) });
    else pages.set(`/dashboard/${path}`, { type, body, etag });
  }
  return pages;
}

/**
 * Nothing is loaded from elsewhere and no script runs but the files of this folder and the import map, which is named by its hash. The
 * page may connect to other nodes' doors: it goes on through one of them when its own node dies.
 */
function documentHeaders(document: Buffer): Record<string, string> {
  const inline = /<script type="importmap">([\s\S]*?)<\/script>/.exec(document.toString("utf8"))?.[1] ?? "";
  const hash = createHash("sha256").update(inline).digest("base64");
  const policy = [
    "default-src 'none'",
    `script-src 'self' 'sha256-${hash}'`,
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self' http: https:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return { "Content-Security-Policy": policy.join("; ") };
}
