/** What node:http alone can do: the same bytes for whatever is asked. */
import { createServer } from "node:http";
import { serve } from "../support/serve.mjs";

serve({
  listen(body, contentType) {
    const headers = { "Content-Type": contentType, "Content-Length": Buffer.byteLength(body) };
    const server = createServer((_req, res) => {
      res.writeHead(200, headers);
      res.end(body);
    });
    server.keepAliveTimeout = 60_000;
    return new Promise((resolve, reject) => {
      server.on("error", reject);
      server.listen(0, "127.0.0.1", () => resolve(server.address().port));
    });
  },
});
