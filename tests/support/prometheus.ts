/** A real Prometheus of a test's own: a free port, its data in a temporary folder, gone when the test or its process ends. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./nats-server.ts";

const readyMsMax = 30_000;

/** One alert as `GET /api/v1/alerts` has it. */
export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: "pending" | "firing";
}

interface RuleGroup {
  readonly rules: readonly { readonly name: string; readonly health: string; readonly lastError?: string }[];
}

interface Target {
  readonly health: string;
  readonly lastError: string;
}

/** Runs promtool; its exit code and all that it wrote. */
export function promtool(args: readonly string[], input = ""): { code: number | null; output: string } {
  const { status, stdout, stderr, error } = spawnSync(process.env.PROMTOOL || "promtool", args, {
    input,
    encoding: "utf8",
    timeout: 30_000,
  });
  if (error !== undefined) throw error;
  return { code: status, output: `${stdout}${stderr}` };
}

export class Prometheus {
  readonly #url: string;
  readonly #end: () => Promise<void>;

  private constructor(url: string, end: () => Promise<void>) {
    this.#url = url;
    this.#end = end;
  }

  /** Scrapes those ports of this machine as the job `ringcache` twice a second, and evaluates the rules as often. */
  static async start(ports: readonly number[], rulesFile: string): Promise<Prometheus> {
    const folder = mkdtempSync(join(tmpdir(), "ringcache-prometheus-"));
    const config = join(folder, "prometheus.yml");
    // JSON is YAML.
    const settings = {
      global: { scrape_interval: "500ms", scrape_timeout: "500ms", evaluation_interval: "500ms" },
      rule_files: [rulesFile],
      scrape_configs: [
        { job_name: "ringcache", static_configs: [{ targets: ports.map((port) => `127.0.0.1:${port}`) }] },
      ],
    };
    writeFileSync(config, JSON.stringify(settings));
    const port = await freePort();
    const args = [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ];
    const child = spawn(process.env.PROMETHEUS || "prometheus", args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        output = (output + chunk.toString()).slice(-20_000);
      });
    }
    const exited = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.once("error", (error) => {
        output += error.message;
        resolve();
      });
    });
    // Its end of the pipe closes when this process ends, however it does.
    const untilClosed = 'read -r _; kill -9 "$0" 2>/dev/null; rm -rf "$1"';
    const watchdog = spawn("sh", ["-c", untilClosed, String(child.pid), folder], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    const end = async (): Promise<void> => {
      child.kill("SIGKILL");
      await exited;
      watchdog.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    };
    const url = `http://127.0.0.1:${port}`;
    for (const giveUpAt = performance.now() + readyMsMax; ; ) {
      const ready = await fetch(`${url}/-/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (ready) return new Prometheus(url, end);
      if (child.exitCode !== null || child.pid === undefined || performance.now() > giveUpAt) {
        await end();
        throw new Error(`Prometheus didn't start: ${output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async alerts(): Promise<readonly Alert[]> {
    return (await this.#get<{ alerts: readonly Alert[] }>("alerts")).alerts;
  }

  async rules(): Promise<RuleGroup["rules"]> {
    const { groups } = await this.#get<{ groups: readonly RuleGroup[] }>("rules");
    return groups.flatMap(({ rules }) => rules);
  }

  async targets(): Promise<readonly Target[]> {
    return (await this.#get<{ activeTargets: readonly Target[] }>("targets")).activeTargets;
  }

  /** The present values of an instant query, each under the labels that it has. */
  async query(expression: string): Promise<readonly { labels: Record<string, string>; value: number }[]> {
    interface Vector {
      readonly result: readonly { metric: Record<string, string>; value: [number, string] }[];
    }
    const { result } = await this.#get<Vector>(`query?query=${encodeURIComponent(expression)}`);
    return result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
  }

  stop(): Promise<void> {
    return this.#end();
  }

  async #get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.#url}/api/v1/${path}`);
    const body = (await response.json()) as { status: string; data: T; error?: string };
    if (body.status !== "success") throw new Error(`${path}: ${body.error}`);
    return body.data;
  }
}
