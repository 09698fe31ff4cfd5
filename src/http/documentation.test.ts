import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ManualRuntime } from "../../tests/support/manual-runtime.ts";
import { MapDoor } from "../../tests/support/map-door.ts";
import { eventKinds } from "../cache/cluster/report.ts";
import { type Measures, Sampler } from "../cache/cluster/sampler.ts";
import { type ErrorCode, errorTable } from "../errors.ts";
import { OperationCounters } from "../metrics/operations.ts";
import { systemRuntime } from "../runtime.ts";
import { defaultHttpLimits } from "./limits.ts";

const measures: Measures = {
  ...{ entries: 0, backupEntries: 0, memoryBytes: 0, memoryMaxBytes: 0, evicted: 0 },
  ...{ incarnation: "a", atMs: 0, hits: 0, misses: 0, coordination: "connected" },
  operations: new OperationCounters(new ManualRuntime()).read(),
};

describe("docs/http.md", () => {
  const page = readFileSync(new URL("../../docs/http.md", import.meta.url), "utf8");

  it("gives every error the status that it has", () => {
    const rows = [...page.matchAll(/^\| (\d{3}) \| `([A-Z_]+)` \|/gm)];
    expect(rows.length).toBeGreaterThan(15);
    for (const [, status, code] of rows) expect(errorTable[code as ErrorCode]?.status).toBe(Number(status));
  });

  it("explains every field of /stats and /status", () => {
    const door = new MapDoor(systemRuntime);
    const explained = new Set([...page.matchAll(/`([a-z_]+)`/g)].map(([, name]) => name));
    const status = door.status();
    const fields = [door.stats(), door.stats().ring, status, status.members[0]!].flatMap(Object.keys);
    expect(fields.filter((field) => !explained.has(field))).toEqual([]);
  });

  it("explains every field of /cluster and /lookup, and every kind of event", async () => {
    const explained = new Set([...page.matchAll(/`(?:table\.)?([a-z0-9_-]+)`/g)].map(([, name]) => name));
    const cluster = await new MapDoor(systemRuntime).cluster();
    const sampler = new Sampler({ runtime: new ManualRuntime(), measure: () => measures, sampled: () => {} });
    const { table, ...rest } = cluster;
    const parts = [rest, table, table.members[0]!, sampler.take(), sampler.history()];
    const fields = [...parts.flatMap(Object.keys), ...eventKinds, "histories", "previous"];
    expect(fields.filter((field) => !explained.has(field))).toEqual([]);
    sampler.close();
  });

  it("names the limit that bodies have", () => {
    expect(page).toContain(`${defaultHttpLimits.bodySizeBytesMax.toLocaleString("en")} bytes`);
  });
});
