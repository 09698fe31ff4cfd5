/** JSON over HTTP on keep-alive connections of its own, as an application's client has them. */
import { Agent, request } from "node:http";

export interface JsonAnswer {
  readonly status: number;
  /** The parsed body; undefined if it is empty. */
  readonly body: unknown;
  /** The server asks to take the next request elsewhere: this connection ends. */
  readonly closes: boolean;
}

export class HttpClient {
  readonly #port: number;
  readonly #host: string;
  readonly #agent: Agent;

  constructor(port: number, socketsMax = 16, host = "127.0.0.1") {
    this.#port = port;
    this.#host = host;
    this.#agent = new Agent({ keepAlive: true, maxSockets: socketsMax });
  }

  /** Rejects when no whole answer comes: refused, reset, cut off. */
  request(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<JsonAnswer> {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const req = request(
        {
          host: this.#host,
          port: this.#port,
          method,
          path,
          agent: this.#agent,
          headers: { ...headers, ...(bytes && { "content-length": bytes.length }) },
        },
        (res) => {
          const chunks: Buffer[] = [];
          res.on("data", (chunk: Buffer) => chunks.push(chunk));
          res.on("error", reject);
          res.on("end", () => {
            const text = Buffer.concat(chunks).toString("utf8");
            try {
              resolve({
                status: res.statusCode ?? 0,
                body: text === "" ? undefined : (JSON.parse(text) as unknown),
                closes: res.headers.connection === "close",
              });
            } catch (error) {
              reject(error);
            }
          });
        },
      );
      req.on("error", reject);
      req.end(bytes);
    });
  }

  get(key: string): Promise<JsonAnswer> {
    return this.request("GET", `/get?key=${encodeURIComponent(key)}`);
  }

  set(key: string, value: string, ttl?: number): Promise<JsonAnswer> {
    return this.request("POST", "/set", { key, value, ...(ttl !== undefined && { ttl }) });
  }

  delete(key: string): Promise<JsonAnswer> {
    return this.request("DELETE", `/delete?key=${encodeURIComponent(key)}`);
  }

  close(): void {
    this.#agent.destroy();
  }
}
