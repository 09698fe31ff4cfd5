/** Files that are served from memory: those of the dashboard. */
import type { IncomingMessage, ServerResponse } from "node:http";

export interface Page {
  readonly type: string;
  readonly body: Buffer;
  /** Quoted; changes with the body. */
  readonly etag: string;
  /** Beside those that all pages have. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** By path. */
export type Pages = ReadonlyMap<string, Page>;

export const noPages: Pages = new Map();

/** To a GET or a HEAD. */
export function sendPage(page: Page, req: IncomingMessage, res: ServerResponse): void {
  const headers = { ETag: page.etag, "Cache-Control": "no-cache", ...page.headers };
  if (req.headers["if-none-match"] === page.etag) {
    res.writeHead(304, headers);
    res.end();
    return;
  }
  res.writeHead(200, {
    ...headers,
    "Content-Type": page.type,
    "Content-Length": page.body.length,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
  });
  res.end(page.body);
}
