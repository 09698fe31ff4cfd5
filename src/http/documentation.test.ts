import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { MapDoor } from "../../tests/support/map-door.ts";
import { type ErrorCode, errorTable } from "../errors.ts";
import { systemRuntime } from "../runtime.ts";
import { defaultHttpLimits } from "./limits.ts";

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

  it("names the limit that bodies have", () => {
    expect(page).toContain(`${defaultHttpLimits.bodySizeBytesMax.toLocaleString("en")} bytes`);
  });
});
